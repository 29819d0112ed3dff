"""TensorFlow's own kernels for batch normalisation and Adam, in place of the operations Keras writes out.

Keras 3 computes a batch norm in training with about a dozen TensorFlow operations and as many gradients, and
an Adam update with 15 for each variable. One kernel does each, with the same result to float rounding: less
to compute in each step, and a graph that is built in a fraction of the time.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from cnnzoo.training.devices import sharing


@contextmanager
def fused_kernels(model: keras.Model) -> Iterator[None]:
    """Has a compiled `model` train with fused kernels where the backend is TensorFlow.

    Where several devices share a batch, Keras' own operations stay, and batch norms look at all of it. Else
    the methods of its batch norms and of its optimiser are replaced on these very objects and put back at the
    end: what is saved, or traced later, is Keras' own.
    """
    if keras.backend.backend() != "tensorflow":
        yield
        return
    if sharing() > 1:
        with _synchronized([norm for norm in _batch_norms(model) if norm.trainable]):
            yield
        return
    replaced = [(norm, "call", _batch_norm(norm)) for norm in _batch_norms(model) if _can_be_fused(norm)]
    if type(model.optimizer) in (keras.optimizers.Adam, keras.optimizers.AdamW):
        replaced += [(model.optimizer, name, method) for name, method in _adam(model.optimizer).items()]
    for owner, name, method in replaced:
        setattr(owner, name, method)
    try:
        yield
    finally:
        for owner, name, _ in replaced:
            delattr(owner, name)


@contextmanager
def _synchronized(norms: Sequence[keras.layers.BatchNormalization]) -> Iterator[None]:
    before = [norm.synchronized for norm in norms]
    for norm in norms:
        norm.synchronized = True
    try:
        yield
    finally:
        for norm, own in zip(norms, before, strict=True):
            norm.synchronized = own


def _batch_norms(model: keras.Model) -> Iterator[keras.layers.BatchNormalization]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _batch_norms(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            yield layer


def _can_be_fused(norm: keras.layers.BatchNormalization) -> bool:
    """Whether it normalises the channels of images, each batch by its own statistics."""
    return norm.axis in (-1, 3) and norm.input_spec.ndim == 4 and not (norm.renorm or norm.synchronized)


def _batch_norm(norm: keras.layers.BatchNormalization) -> Callable[..., Any]:
    import tensorflow as tf

    written_out = norm.call

    def call(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not training or not norm.trainable or mask is not None:
            return written_out(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=tf.cast(inputs, tf.float32),
            scale=norm.gamma if norm.scale else tf.ones(channels),
            offset=norm.beta if norm.center else tf.zeros(channels),
            mean=[],
            variance=[],
            epsilon=norm.epsilon,
            is_training=True,
        )
        # The kernel gives the unbiased variance; Keras averages the biased one.
        places = tf.cast(tf.size(inputs) // channels, tf.float32)
        for average, new in (
            (norm.moving_mean, mean),
            (norm.moving_variance, variance * (places - 1) / places),
        ):
            average.assign(average * norm.momentum + new * (1 - norm.momentum))
        return tf.cast(outputs, norm.compute_dtype)

    return call


def _adam(optimizer: keras.optimizers.Adam) -> dict[str, Callable[..., Any]]:
    """The methods of Adam and AdamW that write operations out, by name."""
    import tensorflow as tf

    apply = optimizer.apply
    now: dict[str, Any] = {}  # what all variables share in the step that is being traced

    def apply_once(grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        step = tf.cast(optimizer.iterations + 1, tf.float32)
        now["rate"] = tf.convert_to_tensor(optimizer.learning_rate)
        now["powers"] = tf.pow(optimizer.beta_1, step), tf.pow(optimizer.beta_2, step)
        apply(grads, trainable_variables)

    def decay(variables: Sequence[Any]) -> None:
        if optimizer.weight_decay is None:
            return
        share = optimizer.weight_decay * now["rate"]
        for variable in variables:
            if optimizer._use_weight_decay(variable):
                variable.value.assign_sub(variable.value * share)

    def update(gradient: Any, variable: Any, learning_rate: Any) -> None:
        place = optimizer._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=optimizer._momentums[place].value.handle,
            v=optimizer._velocities[place].value.handle,
            beta1_power=now["powers"][0],
            beta2_power=now["powers"][1],
            lr=now["rate"],
            beta1=optimizer.beta_1,
            beta2=optimizer.beta_2,
            epsilon=optimizer.epsilon,
            grad=gradient,
        )

    return {"apply": apply_once, "_apply_weight_decay": decay, "update_step": update}
