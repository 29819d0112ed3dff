"""What this machine can multiply and add, and what a training step asks of it."""

import keras

from cnnzoo.models.flops import count_flops

SIDE, PRODUCTS = 1024, 10  # of square matrices: some tenths of a second on two cores
FLOPS = PRODUCTS * SIDE**3  # multiply-adds of `multiply_matrices`
NAME = "a float32 matrix product"


def multiply_matrices() -> None:
    """Multiplies matrices with TensorFlow, on the threads that it has."""
    import tensorflow as tf

    product = tf.eye(SIDE)
    for _ in range(PRODUCTS):
        product = tf.linalg.matmul(product, product)
    product.numpy()


def training_flops(model: keras.Model) -> int:
    """Counts the multiply-adds of a training step for one image.

    Backwards, what trains costs twice as much as forwards: once for its weights, once for its inputs.
    """
    return count_flops(model) + 2 * count_flops(model, trainable_only=True)
