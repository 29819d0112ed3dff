"""The architectures; importing this package registers them."""

from cnnzoo.models import (
    alexnet,
    crack_net,
    densenet,
    lenet,
    mobilenet_v2,
    repvgg,
    resnet,
    resnet_v2,
    squeezenet,
    three_conv,
    vgg,
)

__all__ = [
    "alexnet",
    "crack_net",
    "densenet",
    "lenet",
    "mobilenet_v2",
    "repvgg",
    "resnet",
    "resnet_v2",
    "squeezenet",
    "three_conv",
    "vgg",
]
