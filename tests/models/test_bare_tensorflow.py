"""Networks without a counterpart in keras.applications, beside the same written in bare TensorFlow."""

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from parity import images, predict, settle, spread_out

from cnnzoo.models.catalogue import create_model
from cnnzoo.models.transfer import backbone_of, set_trainable

SQUEEZENET_FILE = (
    Path(__file__).parents[3] / "shared/weights/squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5"
)


def convolve(x, kernel, *, stride=1, padding=0):
    padded = tf.pad(x, [[0, 0], [padding, padding], [padding, padding], [0, 0]])
    return tf.nn.conv2d(padded, kernel, stride, "VALID")


def max_pool(x, *, padding=0):
    padded = tf.pad(x, [[0, 0], [padding, padding], [padding, padding], [0, 0]])
    return tf.nn.max_pool2d(padded, 3, 2, "VALID")


@pytest.mark.parametrize("size", [64, 75])
def test_resnet18_is_that_of_torchvision_with_its_even_padding(size):
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(4, size, size, 3)).astype(np.float32)
    backbone = backbone_of(create_model("resnet18", input_shape=(size, size, 3)))
    settle(backbone, x)

    def conv_norm(x, name, stride, padding):
        gamma, beta, mean, variance = backbone.get_layer(f"{name}_bn").get_weights()
        y = convolve(x, backbone.get_layer(f"{name}_conv").kernel.value, stride=stride, padding=padding)
        return (y - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    y = max_pool(tf.nn.relu(conv_norm(x, "conv1", 2, 3)), padding=1)
    for stage in range(2, 6):
        for block in (1, 2):
            name, stride = f"conv{stage}_block{block}", 2 if stage > 2 and block == 1 else 1
            shortcut = conv_norm(y, f"{name}_0", stride, 0) if stride == 2 else y
            y = tf.nn.relu(conv_norm(y, f"{name}_1", stride, 1))
            y = tf.nn.relu(conv_norm(y, f"{name}_2", 1, 1) + shortcut)
    mine = predict(backbone, x)
    assert mine.std() > 0.05
    np.testing.assert_allclose(mine, y, atol=1e-4 * np.abs(mine).max())


def test_alexnet_is_that_of_torchvision_at_its_own_size():
    keras.utils.set_random_seed(0)
    model = create_model("alexnet", dense_units=(5, 4), num_classes=3)
    spread_out(model)
    x = images(2, 224)
    y = (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    y = tf.constant(y, tf.float32)
    for number, (stride, padding) in enumerate(((4, 2), (1, 2), (1, 1), (1, 1), (1, 1)), start=1):
        kernel, bias = model.get_layer(f"conv_{number}").get_weights()
        y = tf.nn.relu(convolve(y, kernel, stride=stride, padding=padding) + bias)
        y = y if number in (3, 4) else max_pool(y)
    assert y.shape[1:] == (6, 6, 256)
    features = keras.Model(model.input, model.get_layer("pooling").output)
    np.testing.assert_allclose(predict(features, x), y, atol=1e-4 * np.max(y))


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (7, 10), (13, 20)])
def test_pooling_of_alexnet_averages_the_windows_of_torch(shape):
    x = np.random.default_rng(0).normal(size=(2, *shape, 3)).astype(np.float32)
    windows = [[slice(i * side // 6, -(-(i + 1) * side // 6)) for i in range(6)] for side in shape]
    expected = [[x[:, rows, columns].mean(axis=(1, 2)) for columns in windows[1]] for rows in windows[0]]
    found = predict(keras.layers.AdaptiveAveragePooling2D((6, 6)), x)
    np.testing.assert_allclose(found, np.transpose(expected, (2, 0, 1, 3)), atol=1e-6)


# SqueezeNet's published file.


@pytest.fixture
def squeezenet_arrays():
    if not SQUEEZENET_FILE.is_file():
        pytest.skip(f"{SQUEEZENET_FILE} is not here")
    arrays = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            layer = "_".join(name.split("/")[:2]) if name.startswith("fire") else "conv1"
            arrays.setdefault(layer, {})["bias" if item.ndim == 1 else "kernel"] = item[()]

    with h5py.File(SQUEEZENET_FILE) as file:
        file.visititems(visit)
    return arrays


@pytest.mark.parametrize("size", [64, 97])
def test_squeezenet_with_the_published_file_is_what_bare_tensorflow_computes(squeezenet_arrays, size):
    def conv(x, name, **arguments):
        arrays = squeezenet_arrays[name]
        return tf.nn.relu(convolve(x, arrays["kernel"], **arguments) + arrays["bias"])

    model = create_model("squeezenet", input_shape=(size, size, 3), weights=SQUEEZENET_FILE, num_classes=5)
    photo = images(3, size)
    x = tf.constant(photo[..., ::-1] - np.array([103.939, 116.779, 123.68]), tf.float32)
    x = max_pool(conv(x, "conv1", stride=2))
    for fire in range(2, 10):
        squeezed = conv(x, f"fire{fire}_squeeze1x1")
        left, right = (
            conv(squeezed, f"fire{fire}_expand1x1"),
            conv(squeezed, f"fire{fire}_expand3x3", padding=1),
        )
        x = tf.concat([left, right], axis=-1)
        x = max_pool(x) if fire in (3, 5) else x
    features = predict(backbone_of(model), photo[..., ::-1] - np.array([103.939, 116.779, 123.68]))
    assert features.std() > 0.1
    np.testing.assert_allclose(features, x, atol=1e-4 * features.max())
    kernel, bias = model.get_layer("class_conv").get_weights()
    scores = tf.nn.softmax(tf.reduce_mean(convolve(x, kernel) + bias, axis=(1, 2)))
    np.testing.assert_allclose(predict(model, photo), scores, atol=1e-5)


def test_squeezenet_can_be_frozen_and_freed_in_part(squeezenet_arrays):
    model = create_model("squeezenet", input_shape=(32, 48, 3), weights=SQUEEZENET_FILE)
    set_trainable(model, "head")
    assert [weight.path for weight in model.trainable_weights] == ["class_conv/kernel", "class_conv/bias"]
    set_trainable(model, "fire9_squeeze")
    assert len(model.trainable_weights) == 3 * 2 + 2
