"""The architectures; importing this package registers them."""

from cnnzoo.models import crack_net, mobilenet_v2, resnet, three_conv

__all__ = ["crack_net", "mobilenet_v2", "resnet", "three_conv"]
