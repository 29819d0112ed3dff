"""Several GPUs of one machine: each batch is shared out among them, and all have the same weights."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import keras

from cnnzoo.data.pipeline import ImageSet
from cnnzoo.training.checkpoint import put_back, values_of

if TYPE_CHECKING:
    import tensorflow as tf


@contextmanager
def on_all_devices(model: keras.Model) -> Iterator[keras.Model]:
    """Gives what to train: `model`, or where there are several GPUs a copy on all, whose weights it gets.

    By `MirroredStrategy` on TensorFlow and `DataParallel` on JAX. The model itself stays where it is: on
    several devices a single image can't be predicted, which can't be shared out. Where the caller has set
    either of them, the model is his copy.
    """
    if sharing() > 1 or _visible() == 1:
        yield model
        return
    with _all_devices():
        copy = keras.models.clone_model(model)
        put_back(copy.variables, values_of(model.variables))
        yield copy
        values = values_of(copy.variables)
    put_back(model.variables, values)


def sharing() -> int:
    """Returns among how many devices a batch is shared out here."""
    if keras.backend.backend() == "jax":
        distribution = keras.distribution.distribution()
        return distribution.device_mesh.devices.size if distribution else 1
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.get_strategy().num_replicas_in_sync
    return 1


def shared_out(batches: "tf.data.Dataset", images: ImageSet | None = None) -> "tf.data.Dataset":
    """Fills up batches that can't be shared out evenly, with images that weigh nothing.

    Args:
        batches: of images and labels.
        images: that are in all batches together, where their mean is asked for; None where that of each is.

    Returns:
        The batches, and where several devices share them, weights of their images, with which the mean over
        what is filled up is that of the images in it.
    """
    devices = sharing()
    if devices == 1:
        return batches
    import tensorflow as tf

    def filled(x: Any, y: Any) -> Any:
        count = tf.shape(x)[0]
        more = -count % devices
        places = tf.concat([tf.range(count), tf.zeros([more], tf.int32)], 0)
        whole = tf.cast(count + more, tf.float32) / tf.cast(count, tf.float32)
        if images is not None:
            whole = _places(images, devices) / len(images)
        weights = tf.concat([tf.fill([count], whole), tf.zeros([more])], 0)
        return tf.gather(x, places), tf.gather(y, places), weights

    return batches.map(filled)


def _places(images: ImageSet, devices: int) -> int:
    """How many images there are with those that fill up batches."""
    whole, rest = divmod(len(images), images.batch_size)
    return sum(size + -size % devices for size in [images.batch_size] * whole + [rest])


def _visible() -> int:
    if keras.backend.backend() == "jax":
        import jax

        return len(jax.local_devices())
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return len(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU"))
    return 1


def _all_devices() -> AbstractContextManager[Any]:
    if keras.backend.backend() == "jax":
        return keras.distribution.DataParallel().scope()
    import tensorflow as tf

    return tf.distribute.MirroredStrategy().scope()
