"""ResNet-50 (He et al. 2015), weight-compatible with `keras.applications.ResNet50`."""

from pathlib import Path

import keras
from keras import KerasTensor, layers

from cnnzoo.blocks import Head, conv_norm_act
from cnnzoo.registry import PublishedFile, register_model
from cnnzoo.transfer import load_pretrained, transfer_model

# Table 1 of the paper, 50 layers: channels, blocks, stride of the first of them.
STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))

EPSILON = 1.001e-5
IMAGENET_MEAN_BGR = (103.939, 116.779, 123.68)


def imagenet_file(*, input_shape: tuple[int, int, int]) -> PublishedFile:
    """Names the one file there is; it serves every image size."""
    return PublishedFile(
        "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
        "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        md5="4d473c1dd8becc155b73f8504c6f6626",
    )


@register_model(
    image_size=224,
    year=2015,
    source="He et al., Deep Residual Learning for Image Recognition, CVPR 2016",
    url="https://arxiv.org/abs/1512.03385",
    weights_file=imagenet_file,
    weights_licence="MIT",
)
def resnet50(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 2,
    weights: str | Path | None = None,
    dropout: float = 0.0,
    head: Head = "softmax",
) -> keras.Model:
    """Builds ResNet-50 (version 1, stride in the first 1x1) with a new head; see `transfer_model`.

    Args:
        input_shape: (height, width, channels).
        num_classes: at least 2.
        weights: None, "imagenet" or a file.
        dropout: share of the pooled features left out.
        head: "softmax" over the classes, or one "sigmoid" unit.

    Raises:
        InputError: an argument has no usable value, or the weights can't be had or don't fit.
    """
    backbone = resnet50_backbone(input_shape=input_shape)
    load_pretrained(backbone, weights, model="resnet50", input_shape=input_shape)
    return transfer_model(
        backbone,
        normalise=_normalise,
        num_classes=num_classes,
        dropout=dropout,
        head=head,
        pretrained=weights is not None,
    )


def resnet50_backbone(*, input_shape: tuple[int, int, int]) -> keras.Model:
    """Builds ResNet-50 without pooling and head, for BGR minus the ImageNet mean.

    Layers with weights have the names and the order that they have in keras.applications.
    """
    inputs = keras.Input(input_shape, name="features_in")
    # Padding is explicit: "same" would pad even sizes unequally, and the published weights expect it equal.
    x = layers.ZeroPadding2D(3, name="conv1_pad")(inputs)
    x = _conv(x, 64, 7, name="conv1", stride=2)
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for stage, (channels, blocks, stride) in enumerate(STAGES, start=2):
        for block in range(1, blocks + 1):
            x = _bottleneck(
                x,
                channels,
                stride=stride if block == 1 else 1,
                project=block == 1,
                name=f"conv{stage}_block{block}",
            )
    return keras.Model(inputs, x, name="resnet50")


def _bottleneck(x: KerasTensor, channels: int, *, stride: int, project: bool, name: str) -> KerasTensor:
    """Narrows, filters, widens, and adds the input (figure 5, right)."""
    shortcut = _conv(x, 4 * channels, 1, name=f"{name}_0", stride=stride, relu=False) if project else x
    x = _conv(x, channels, 1, name=f"{name}_1", stride=stride)
    x = _conv(x, channels, 3, name=f"{name}_2", padding="same")
    x = _conv(x, 4 * channels, 1, name=f"{name}_3", relu=False)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_out")(x)


def _conv(
    x: KerasTensor,
    channels: int,
    kernel: int,
    *,
    name: str,
    stride: int = 1,
    padding: str = "valid",
    relu: bool = True,
) -> KerasTensor:
    return conv_norm_act(
        x,
        layers.Conv2D(channels, kernel, strides=stride, padding=padding, name=f"{name}_conv"),
        norm=f"{name}_bn",
        epsilon=EPSILON,
        activation=f"{name}_relu" if relu else None,
    )


def _normalise(images: KerasTensor) -> KerasTensor:
    if images.shape[-1] != 3:
        # There is no mean for other channels; mid-gray centres them as well as can be.
        return layers.Rescaling(1.0, offset=-127.5, dtype="float32", name="rescaling")(images)
    offset = [-mean for mean in IMAGENET_MEAN_BGR]
    bgr = keras.ops.take(images, [2, 1, 0], axis=-1)
    return layers.Rescaling(1.0, offset=offset, dtype="float32", name="rescaling")(bgr)
