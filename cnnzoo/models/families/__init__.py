"""The architectures; importing this package registers them."""

from cnnzoo.models.families import (  # noqa: F401
    alexnet,
    convnext,
    crack_net,
    densenet,
    efficientnet,
    lenet,
    mobilenet,
    mobilenet_v2,
    mobilenet_v3,
    repvgg,
    resnet,
    resnet_v2,
    squeezenet,
    three_conv,
    vgg,
)
