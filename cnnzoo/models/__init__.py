"""The architectures; importing this package registers them."""

from cnnzoo.models import mobilenet_v2, resnet, three_conv

__all__ = ["mobilenet_v2", "resnet", "three_conv"]
