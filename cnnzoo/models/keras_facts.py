"""What there is to know of each network of keras.applications: a table.

A test holds it against the installed Keras. What a newer Keras adds is offered once it is added here: the
test then names it, as it does whatever a newer Keras has otherwise.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cnnzoo.errors import InputError
from cnnzoo.models.weights import PublishedFile

Shape = tuple[int, int, int]

_STORE = "https://storage.googleapis.com/"
_TF = f"{_STORE}tensorflow/keras-applications/"
_KERNELS = "_weights_tf_dim_ordering_tf_kernels_notop.h5"


@dataclass(frozen=True)
class Paper:
    """Where a network was published.

    Attributes:
        source: title and venue.
        url: of the text.
        year: of the first version on arXiv.
    """

    source: str
    url: str
    year: int


@dataclass(frozen=True)
class Facts:
    """What is known of an application without building it.

    Attributes:
        size: side in pixels of the images that it is made for.
        paper: that it is from.
        weights_file: picks the published file of the network without its top. It takes `input_shape` and
            `arguments`, and raises `InputError` where nothing is published for these.
        arguments: those that change the architecture, with their defaults.
        deviation: of red, green and blue in ImageNet, by whose square root Keras divides what the network has
            normalised, though only if it is to have ImageNet's weights; None where it does not do so.
    """

    size: int
    paper: Paper
    weights_file: Callable[..., PublishedFile]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    deviation: tuple[float, float, float] | None = None


def _family(
    paper: Paper,
    url: str,
    rows: Mapping[str, tuple[int, str, str]],
    *,
    cached_as: str = "",
    deviation: tuple[float, float, float] | None = None,
) -> dict[str, Facts]:
    """Returns the facts of networks that have one published file each, by name.

    Args:
        paper: that they are from.
        url: of their files, with {} for what tells these apart.
        rows: of each network the size, what stands for {}, and the file's MD5 or SHA-256.
        cached_as: name of the files in Keras's cache, with {} too, where it is not that in the URL.
        deviation: as in `Facts`.
    """
    return {
        name: Facts(size, paper, _always(url.format(kind), file_hash, cached_as.format(kind)), {}, deviation)
        for name, (size, kind, file_hash) in rows.items()
    }


def _always(url: str, file_hash: str, cached_as: str) -> Callable[..., PublishedFile]:
    def pick(*, input_shape: Shape) -> PublishedFile:
        return PublishedFile(url, md5=file_hash, cached_as=cached_as)

    return pick


# The makers of MobileNet and MobileNetV2 publish no hashes.

_MOBILENET_WIDTHS = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}


def _mobilenet_file(*, input_shape: Shape, alpha: float = 1.0, depth_multiplier: int = 1) -> PublishedFile:
    _check_published("depth_multiplier", depth_multiplier, [1])
    _check_published("alpha", alpha, list(_MOBILENET_WIDTHS))
    side = _published_side(input_shape, [128, 160, 192, 224])
    return PublishedFile(f"{_TF}mobilenet/mobilenet_{_MOBILENET_WIDTHS[alpha]}_{side}_tf_no_top.h5")


def _mobilenet_v2_file(*, input_shape: Shape, alpha: float = 1.0) -> PublishedFile:
    _check_published("alpha", alpha, [0.35, 0.5, 0.75, 1.0, 1.3, 1.4])
    side = _published_side(input_shape, [96, 128, 160, 192, 224])
    name = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{float(alpha)}_{side}_no_top.h5"
    return PublishedFile(f"{_TF}mobilenet_v2/{name}")


_MOBILENET_V3_HASHES = {
    "large_224_0.75": "40af19a13ebea4e2ee0c676887f69a2e",
    "large_224_1.0": "07fb09a5933dd0c8eaafa16978110389",
    "large_minimalistic_224_1.0": "ec5221f64a2f6d1ef965a614bdae7973",
    "small_224_0.75": "ebdb5cc8e0b497cd13a7c275d475c819",
    "small_224_1.0": "d3e8ec802a04aa4fc771ee12a9a9b836",
    "small_minimalistic_224_1.0": "cde8136e733e811080d9fcd8a252f7e4",
}


def _mobilenet_v3_file(
    kind: str, *, input_shape: Shape, alpha: float = 1.0, minimalistic: bool = False
) -> PublishedFile:
    _check_published("alpha", alpha, [1.0] if minimalistic else [0.75, 1.0])
    variant = f"{kind}{'_minimalistic' if minimalistic else ''}_224_{float(alpha)}"
    url = f"{_TF}mobilenet_v3/weights_mobilenet_v3_{variant}_float_no_top_v2.h5"
    return PublishedFile(url, md5=_MOBILENET_V3_HASHES[variant])


def _check_published(argument: str, value: object, known: Sequence[float]) -> None:
    if value not in known:
        choice = ", ".join(str(each) for each in known)
        raise InputError(
            f"no weights are published for {argument}={value!r}; {argument} can be one of {choice}"
        )


def _published_side(input_shape: Shape, sides: Sequence[int]) -> int:
    """Weights were published for squares of some sides; those of 224 pixels are for all other shapes."""
    height, width = input_shape[:2]
    return height if height == width and height in sides else 224


_MOBILENET = Paper(
    "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
    "https://arxiv.org/abs/1704.04861",
    2017,
)
_MOBILENET_V2 = Paper(
    "MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018",
    "https://arxiv.org/abs/1801.04381",
    2018,
)
_MOBILENET_V3 = Paper("Searching for MobileNetV3, ICCV 2019", "https://arxiv.org/pdf/1905.02244.pdf", 2019)

_V3_ARGUMENTS = {"alpha": 1.0, "minimalistic": False}

APPLICATIONS: dict[str, Facts] = {
    **_family(
        Paper("A ConvNet for the 2020s, CVPR 2022", "https://arxiv.org/abs/2201.03545", 2022),
        _TF + "convnext/convnext_{}_notop.h5",
        {
            "ConvNeXtTiny": (224, "tiny", "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1"),
            "ConvNeXtSmall": (
                224,
                "small",
                "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab",
            ),
            "ConvNeXtBase": (224, "base", "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45"),
            "ConvNeXtLarge": (
                224,
                "large",
                "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd",
            ),
            "ConvNeXtXLarge": (
                224,
                "xlarge",
                "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05",
            ),
        },
    ),
    **_family(
        Paper(
            "Densely Connected Convolutional Networks, CVPR 2017", "https://arxiv.org/abs/1608.06993", 2016
        ),
        _TF + "densenet/densenet{}" + _KERNELS,
        {
            "DenseNet121": (224, "121", "30ee3e1110167f948a6b9946edeeb738"),
            "DenseNet169": (224, "169", "b8c4d4c20dd625c148057b9ff1c1176b"),
            "DenseNet201": (224, "201", "c13680b51ded0fb44dff2d8f86ac8bb1"),
        },
    ),
    **_family(
        Paper(
            "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019",
            "https://arxiv.org/abs/1905.11946",
            2019,
        ),
        _STORE + "keras-applications/efficientnet{}_notop.h5",
        {
            "EfficientNetB0": (224, "b0", "50bc09e76180e00e4465e1a485ddc09d"),
            "EfficientNetB1": (240, "b1", "74c4e6b3e1f6a1eea24c589628592432"),
            "EfficientNetB2": (260, "b2", "111f8e2ac8aa800a7a99e3239f7bfb39"),
            "EfficientNetB3": (300, "b3", "af6d107764bb5b1abb91932881670226"),
            "EfficientNetB4": (380, "b4", "ebc24e6d6c33eaebbd558eafbeedf1ba"),
            "EfficientNetB5": (456, "b5", "38879255a25d3c92d5e44e04ae6cec6f"),
            "EfficientNetB6": (528, "b6", "9ecce42647a20130c1f39a5d4cb75743"),
            "EfficientNetB7": (600, "b7", "cbcfe4450ddf6f3ad90b1b398090fe4a"),
        },
        deviation=(0.229, 0.224, 0.225),
    ),
    **_family(
        Paper(
            "EfficientNetV2: Smaller Models and Faster Training, ICML 2021",
            "https://arxiv.org/abs/2104.00298",
            2021,
        ),
        _TF + "efficientnet_v2/efficientnetv2-{}_notop.h5",
        {
            "EfficientNetV2B0": (224, "b0", "893217f2bb855e2983157299931e43ff"),
            "EfficientNetV2B1": (240, "b1", "0e80663031ca32d657f9caa404b6ec37"),
            "EfficientNetV2B2": (260, "b2", "1dfe2e7a5d45b6632553a8961ea609eb"),
            "EfficientNetV2B3": (300, "b3", "f6abf7b5849ac99a89b50dd3fd532856"),
            "EfficientNetV2S": (384, "s", "af0682fb74e8c54910f2d4393339c070"),
            "EfficientNetV2M": (480, "m", "1b8dc055df72dde80d614482840fe342"),
            "EfficientNetV2L": (480, "l", "b0b66b5c863aef5b46e8608fe1711615"),
        },
    ),
    **_family(
        Paper(
            "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning, AAAI 2017",
            "https://arxiv.org/abs/1602.07261",
            2016,
        ),
        _TF + "inception_resnet_v2/{}" + _KERNELS,
        {"InceptionResNetV2": (299, "inception_resnet_v2", "d19885ff4a710c122648d3b5c3b684e4")},
    ),
    **_family(
        Paper(
            "Rethinking the Inception Architecture for Computer Vision, CVPR 2016",
            "https://arxiv.org/abs/1512.00567",
            2015,
        ),
        _TF + "inception_v3/{}" + _KERNELS,
        {"InceptionV3": (299, "inception_v3", "bcbd6486424b2319ff4ef7d526e38f63")},
    ),
    "MobileNet": Facts(224, _MOBILENET, _mobilenet_file, {"alpha": 1.0, "depth_multiplier": 1}),
    "MobileNetV2": Facts(224, _MOBILENET_V2, _mobilenet_v2_file, {"alpha": 1.0}),
    "MobileNetV3Small": Facts(224, _MOBILENET_V3, partial(_mobilenet_v3_file, "small"), _V3_ARGUMENTS),
    "MobileNetV3Large": Facts(224, _MOBILENET_V3, partial(_mobilenet_v3_file, "large"), _V3_ARGUMENTS),
    **_family(
        Paper(
            "Learning Transferable Architectures for Scalable Image Recognition, CVPR 2018",
            "https://arxiv.org/abs/1707.07012",
            2017,
        ),
        _TF + "nasnet/NASNet-{}-no-top.h5",
        {
            "NASNetMobile": (224, "mobile", "1ed92395b5b598bdda52abe5c0dbfd63"),
            "NASNetLarge": (331, "large", "d81d89dc07e6e56530c4e77faddd61b5"),
        },
        cached_as="nasnet_{}_no_top.h5",
    ),
    **_family(
        Paper(
            "Deep Residual Learning for Image Recognition, CVPR 2015",
            "https://arxiv.org/abs/1512.03385",
            2015,
        ),
        _TF + "resnet/{}" + _KERNELS,
        {
            "ResNet50": (224, "resnet50", "4d473c1dd8becc155b73f8504c6f6626"),
            "ResNet101": (224, "resnet101", "88cf7a10940856eca736dc7b7e228a21"),
            "ResNet152": (224, "resnet152", "ee4c566cf9a93f14d82f913c2dc6dd0c"),
        },
    ),
    **_family(
        Paper(
            "Identity Mappings in Deep Residual Networks, CVPR 2016", "https://arxiv.org/abs/1603.05027", 2016
        ),
        _TF + "resnet/{}" + _KERNELS,
        {
            "ResNet50V2": (224, "resnet50v2", "fac2f116257151a9d068a22e544a4917"),
            "ResNet101V2": (224, "resnet101v2", "c0ed64b8031c3730f411d2eb4eea35b5"),
            "ResNet152V2": (224, "resnet152v2", "ed17cf2e0169df9d443503ef94b23b33"),
        },
    ),
    **_family(
        Paper(
            "Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015",
            "https://arxiv.org/abs/1409.1556",
            2014,
        ),
        _TF + "{0}/{0}" + _KERNELS,
        {
            "VGG16": (224, "vgg16", "6d6bbae143d832006294945121d1f1fc"),
            "VGG19": (224, "vgg19", "253f8cb515780f3b799900260a226db6"),
        },
    ),
    **_family(
        Paper(
            "Xception: Deep Learning with Depthwise Separable Convolutions, CVPR 2017",
            "https://arxiv.org/abs/1610.02357",
            2016,
        ),
        _TF + "xception/{}" + _KERNELS,
        {"Xception": (299, "xception", "b0042744bf5b25fce3cb969f33bebb97")},
    ),
}
