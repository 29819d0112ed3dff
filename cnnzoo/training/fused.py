"""TensorFlow's own kernels for batch normalisation and Adam, in place of the operations Keras writes out.

Keras 3 computes a batch norm in training with about a dozen TensorFlow operations and as many gradients, and
an Adam update with 15 for each variable. One kernel does each, with the same result to float rounding: less
to compute in each step, and a graph that is built in a fraction of the time.

A batch norm whose statistics stay as they are, as in fine-tuning, needs no kernel at all: it scales and
shifts channels, and so can the convolution before it. Its scale gets its gradient through their kernel.

A convolution in front of a maximum pooling adds its bias and applies its ReLU behind it, to what is left of
the values: the largest stays the largest, so the same comes out.

Dropout draws 32 random bits for each value and turns them into a float; 16 bits say as well what is left out.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras

from cnnzoo.models.folding import foldable_layers, models_within, sole_feeders
from cnnzoo.training.devices import sharing

_SIXTEEN_BITS = 1 << 16  # as many values as that many bits have


@contextmanager
def fused_kernels(model: keras.Model) -> Iterator[None]:
    """Has a compiled `model` train with fused kernels where the backend is TensorFlow.

    Where several devices share a batch, Keras' own operations stay, and batch norms look at all of it. Else
    the methods of layers and optimiser are replaced on these very objects and put back at the end: what is
    saved, or traced later, is Keras' own.
    """
    if keras.backend.backend() != "tensorflow":
        yield
        return
    if sharing() > 1:
        with _synchronized([norm for norm in _batch_norms(model) if norm.trainable]):
            yield
        return
    replaced = [(norm, "call", _batch_norm(norm)) for norm in _batch_norms(model) if _can_be_fused(norm)]
    for convolution, norm in _fixed_pairs(model):
        replaced += [(convolution, "call", _scaled(convolution, norm)), (norm, "call", _unchanged)]
    for convolution, pooling in _pooled_pairs(model):
        replaced += [
            (convolution, "call", partial(_convolved, convolution)),
            (pooling, "call", _activated(pooling, convolution)),
        ]
    replaced += [(layer, "call", _dropout(layer)) for layer in _layers(model) if _drops_values(layer)]
    if type(model.optimizer) in (keras.optimizers.Adam, keras.optimizers.AdamW):
        replaced += [(model.optimizer, name, method) for name, method in _adam(model.optimizer).items()]
    for owner, name, method in replaced:
        setattr(owner, name, method)
    try:
        yield
    finally:
        for owner, name, _ in replaced:
            delattr(owner, name)


def single_functions(model: keras.Model) -> None:
    """Gives a compiled `model` one TensorFlow function for a batch of training and one for validation.

    Keras makes two of each, one within the other, and TensorFlow traces the way of every variable into both.
    """
    if keras.backend.backend() != "tensorflow" or model.jit_compile or model.run_eagerly:
        return
    import tensorflow as tf

    if tf.distribute.has_strategy() or model.steps_per_execution > 1:
        return
    for name, step in (("train_function", model.train_step), ("test_function", model.test_step)):
        setattr(model, name, tf.function(_with_next(step), reduce_retracing=True, autograph=False))


def _with_next(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda batches: step(next(batches))


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


def _layers(model: keras.Model) -> Iterable[keras.Layer]:
    """The layers of a model and of those within it, each once."""
    return dict.fromkeys(layer for part in models_within(model) for layer in part.layers)


def _batch_norms(model: keras.Model) -> Iterator[keras.layers.BatchNormalization]:
    return (layer for layer in _layers(model) if isinstance(layer, keras.layers.BatchNormalization))


def _drops_values(layer: keras.Layer) -> bool:
    """Whether it is a dropout of single values."""
    return type(layer) is keras.layers.Dropout and 0 < layer.rate < 1 and layer.noise_shape is None


def _dropout(layer: keras.layers.Dropout) -> Callable[..., Any]:
    """A dropout's call with 16 random bits a value: its rate is met to 1 / 131,072, its mean exactly."""
    import tensorflow as tf

    written_out = layer.call
    dropped = min(max(round(layer.rate * _SIXTEEN_BITS), 1), _SIXTEEN_BITS - 1)

    def call(inputs: Any, training: bool = False) -> Any:
        if not training:
            return written_out(inputs, training=training)
        seed = tf.cast(layer.seed_generator.next(), tf.int64)
        size = tf.size(inputs)
        words = tf.random.stateless_uniform([(size + 3) // 4], seed, None, None, tf.uint64)
        bits = tf.reshape(tf.reshape(tf.bitcast(words, tf.uint16), [-1])[:size], tf.shape(inputs))
        kept = tf.cast(bits >= tf.constant(dropped, tf.uint16), inputs.dtype)
        outputs = inputs * (kept * tf.cast(_SIXTEEN_BITS / (_SIXTEEN_BITS - dropped), inputs.dtype))
        outputs.set_shape(inputs.shape)
        return outputs

    return call


def _can_be_fused(norm: keras.layers.BatchNormalization) -> bool:
    """Whether it normalises the channels of images, each batch by its own statistics."""
    return (
        norm.trainable
        and norm.axis in (-1, 3)
        and norm.input_spec.ndim == 4
        and not (norm.renorm or norm.synchronized)
    )


def _fixed_pairs(model: keras.Model) -> Iterator[tuple[keras.Layer, keras.layers.BatchNormalization]]:
    """The convolutions that alone feed a batch norm with fixed statistics."""
    return ((before, norm) for before, norm in foldable_layers(model) if not norm.trainable)


def _pooled_pairs(model: keras.Model) -> Iterator[tuple[keras.layers.Conv2D, keras.layers.MaxPooling2D]]:
    """The convolutions with ReLU that alone feed a maximum pooling."""
    for before, pooling in sole_feeders(model, keras.layers.MaxPooling2D):
        if type(before) is keras.layers.Conv2D and before.activation is keras.activations.relu:
            yield before, pooling


def _unchanged(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
    return inputs


def _convolved(convolution: keras.layers.Conv2D, inputs: Any) -> Any:
    return convolution.convolution_op(inputs, convolution.kernel)


def _activated(pooling: keras.layers.MaxPooling2D, convolution: keras.layers.Conv2D) -> Callable[..., Any]:
    """A pooling's call with the bias and ReLU of the convolution before it."""
    import tensorflow as tf

    pool = pooling.call

    def call(inputs: Any) -> Any:
        outputs = pool(inputs)
        if convolution.use_bias:
            outputs = tf.nn.bias_add(outputs, tf.cast(convolution.bias, outputs.dtype))
        return tf.nn.relu(outputs)

    return call


def _scaled(convolution: keras.Layer, norm: keras.layers.BatchNormalization) -> Callable[..., Any]:
    """A convolution's call with the batch norm behind it, as `fold_batch_norm` computes it."""
    import tensorflow as tf

    depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)

    def call(inputs: Any) -> Any:
        scale = tf.math.rsqrt(norm.moving_variance + norm.epsilon)
        scale = scale * norm.gamma if norm.scale else scale
        shift = -norm.moving_mean * scale
        shift = shift + norm.beta if norm.center else shift
        if convolution.use_bias:
            shift = shift + tf.cast(convolution.bias, scale.dtype) * scale
        kernel = tf.cast(convolution.kernel, scale.dtype)
        kernel = kernel * (tf.reshape(scale, kernel.shape[2:]) if depthwise else scale)
        convolve = _depthwise(convolution) if depthwise else convolution.convolution_op
        outputs = convolve(inputs, tf.cast(kernel, inputs.dtype))
        return tf.nn.bias_add(outputs, tf.cast(shift, outputs.dtype))

    return call


def _depthwise(layer: keras.layers.DepthwiseConv2D) -> Callable[..., Any]:
    return partial(
        keras.ops.depthwise_conv,
        strides=layer.strides,
        padding=layer.padding,
        data_format=layer.data_format,
        dilation_rate=layer.dilation_rate,
    )


def _batch_norm(norm: keras.layers.BatchNormalization) -> Callable[..., Any]:
    import tensorflow as tf

    written_out = norm.call

    def call(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not training or not norm.trainable or mask is not None:
            return written_out(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=tf.cast(inputs, tf.float32),
            scale=norm.gamma.value if norm.scale else tf.ones(channels),
            offset=norm.beta.value if norm.center else tf.zeros(channels),
            mean=[],
            variance=[],
            epsilon=norm.epsilon,
            is_training=True,
        )
        # The kernel gives the unbiased variance; Keras averages the biased one.
        places = tf.cast(tf.size(inputs) // channels, tf.float32)
        for average, new in (
            (norm.moving_mean.value, mean),
            (norm.moving_variance.value, variance * (places - 1) / places),
        ):
            average.assign(average * norm.momentum + new * (1 - norm.momentum), read_value=False)
        return tf.cast(outputs, norm.compute_dtype)

    return call


def _adam(optimizer: keras.optimizers.Adam) -> dict[str, Callable[..., Any]]:
    """The methods of Adam and AdamW that write operations out, by name."""
    import tensorflow as tf

    apply, update_one_by_one = optimizer.apply, optimizer._backend_update_step
    now: dict[str, Any] = {}  # what all variables share in the step that is being traced

    def apply_once(grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        step = tf.cast(optimizer.iterations + 1, tf.float32)
        now["rate"] = tf.convert_to_tensor(optimizer.learning_rate)
        now["betas"] = tf.constant(optimizer.beta_1), tf.constant(optimizer.beta_2)
        now["powers"] = tuple(tf.pow(beta, step) for beta in now["betas"])
        now["epsilon"] = tf.constant(optimizer.epsilon)
        apply(grads, trainable_variables)

    def decay(variables: Sequence[Any]) -> None:
        if optimizer.weight_decay is None:
            return
        share = optimizer.weight_decay * now["rate"]
        for variable in variables:
            if optimizer._use_weight_decay(variable):
                variable.value.assign_sub(variable.value * share, read_value=False)

    def update_all(gradients: Sequence[Any], variables: Sequence[Any], learning_rate: Any) -> None:
        if tf.distribute.has_strategy():
            update_one_by_one(gradients, variables, learning_rate)
            return
        # On one device, the detour by way of a strategy takes longer to trace than the kernel itself.
        for gradient, variable in zip(gradients, variables, strict=True):
            update(gradient, variable.value, learning_rate)

    def update(gradient: Any, variable: Any, learning_rate: Any) -> None:
        place = optimizer._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=optimizer._momentums[place].value.handle,
            v=optimizer._velocities[place].value.handle,
            beta1_power=now["powers"][0],
            beta2_power=now["powers"][1],
            lr=now["rate"],
            beta1=now["betas"][0],
            beta2=now["betas"][1],
            epsilon=now["epsilon"],
            grad=gradient,
        )

    return {
        "apply": apply_once,
        "_apply_weight_decay": decay,
        "_backend_update_step": update_all,
        "update_step": update,
    }
