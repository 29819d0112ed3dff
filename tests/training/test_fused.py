"""Training with TensorFlow's fused kernels against the same training as Keras writes it out."""

from contextlib import nullcontext

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import cnnzoo
from cnnzoo import Phase, TrainConfig
from cnnzoo.models.folding import foldable_pairs
from cnnzoo.training import fit as training
from cnnzoo.training.fused import fused_kernels

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's kernels")

ADAMW = Phase(epochs=2, optimizer="adamw", learning_rate=0.01, schedule="cosine", weight_decay=0.1)


@pytest.fixture(scope="module")
def data(image_folder):
    return cnnzoo.load_datasets(image_folder, image_size=32, batch_size=12, progress=False)


def network():
    """Batch norms of every kind: in a backbone, without scale, without offset, of vectors, frozen."""
    inner = keras.Input((16, 16, 8))
    x = layers.Conv2D(8, 3, use_bias=False)(inner)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9, scale=False)(x))
    backbone = keras.Model(inner, x, name="backbone")
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(
        layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    )
    x = layers.ReLU()(layers.BatchNormalization(epsilon=1e-5)(x))
    x = backbone(x)
    x = layers.BatchNormalization(center=False, momentum=0.5)(layers.Conv2D(4, 3, use_bias=False)(x))
    x = layers.BatchNormalization(trainable=False)(x)
    x = fixed(layers.BatchNormalization(name="fixed"), layers.Conv2D(6, 3), x)
    x = fixed(layers.BatchNormalization(scale=False), layers.DepthwiseConv2D(3, use_bias=False), x)
    x = layers.BatchNormalization()(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(x))


def fixed(norm, convolution, x):
    """A batch norm as fine-tuning leaves it: its statistics stay, scale and offset train."""
    x = norm(convolution(x))
    rng = np.random.default_rng(3)
    norm.moving_mean.assign(rng.normal(0, 0.5, norm.moving_mean.shape))
    norm.moving_variance.assign(rng.uniform(0.3, 3, norm.moving_mean.shape))
    chosen, norm.trainable = norm.trainable_weights, False
    for weight in chosen:
        weight.trainable = True
    return x


def trained(data, phase):
    keras.utils.set_random_seed(1)
    model = network()
    start = model.get_weights()
    cnnzoo.fit(model, data, TrainConfig(phases=(phase,)), progress=False)
    return start, model.get_weights()


@pytest.mark.parametrize("phase", [ADAMW, Phase(epochs=1, learning_rate=0.01)], ids=["adamw", "adam"])
def test_adams_steps_are_those_of_keras_own_operations(phase):
    def after_steps(fuse):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((5,)), layers.Dense(4), layers.Dense(2)])
        training.compile_phase(model, phase, steps=20)
        rng, variables = np.random.default_rng(0), model.trainable_variables
        gradients = [[rng.normal(size=v.shape).astype(np.float32) for v in variables] for _ in range(6)]
        with fused_kernels(model) if fuse else nullcontext():
            step = tf.function(lambda grads: model.optimizer.apply(grads, variables))
            for each in gradients:
                step([tf.constant(gradient) for gradient in each])
        return [np.array(v) for v in [*variables, *model.optimizer.variables]]

    for ours, keras_own in zip(after_steps(True), after_steps(False), strict=True):
        np.testing.assert_allclose(ours, keras_own, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("parts", [{}, {"scale": False}, {"center": False, "momentum": 0.5}])
def test_a_batch_norm_computes_what_keras_own_computes(parts, policy):
    def of_one_batch(fuse):
        inputs = keras.Input((6, 5, 3))
        norm = layers.BatchNormalization(epsilon=1e-2, dtype=policy, **parts)
        model = keras.Model(inputs, norm(inputs))
        model.compile("sgd", "mse")
        norm.set_weights([np.linspace(0.5, 2, 3) + i for i in range(len(norm.weights))])
        with fused_kernels(model) if fuse else nullcontext(), tf.GradientTape() as tape:
            tape.watch(images)
            outputs = norm(images, training=True)
            total = tf.reduce_sum(tf.cast(outputs, tf.float32) ** 3)
        wanted = [images, *norm.trainable_weights]
        return [outputs, *tape.gradient(total, wanted), *norm.weights]

    images = tf.constant(np.random.default_rng(0).normal(2, 3, (4, 6, 5, 3)), tf.float32)
    for ours, keras_own in zip(of_one_batch(True), of_one_batch(False), strict=True):
        assert ours.dtype == keras_own.dtype
        np.testing.assert_allclose(np.array(ours, np.float32), np.array(keras_own, np.float32), 1e-3, 1e-3)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_convolution_in_front_of_a_maximum_pooling_computes_what_keras_own_computes(policy):
    def of_one_batch(fuse):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((13, 12, 3))
        x = layers.Conv2D(8, 3, activation="relu", bias_initializer="normal", dtype=policy)(inputs)
        x = layers.MaxPooling2D(padding="same", dtype=policy)(x)
        x = layers.Conv2D(6, 3, padding="same", activation="relu", use_bias=False, dtype=policy)(x)
        x = layers.MaxPooling2D(dtype=policy)(x)
        model = keras.Model(inputs, x)
        model.compile("sgd", "mse")
        with fused_kernels(model) if fuse else nullcontext(), tf.GradientTape() as tape:
            assert sum("call" in vars(layer) for layer in model.layers) == (4 if fuse else 0)
            outputs = model(images, training=True)
            total = tf.reduce_sum(tf.cast(outputs, tf.float32) ** 2)
        return outputs, tape.gradient(total, model.trainable_weights)

    images = tf.constant(np.random.default_rng(0).normal(0, 2, (5, 13, 12, 3)), tf.float32)
    (ours, our_gradients), (keras_own, gradients) = of_one_batch(True), of_one_batch(False)
    assert np.mean(np.array(ours, np.float32) == 0) < 0.9
    np.testing.assert_array_equal(np.array(ours, np.float32), np.array(keras_own, np.float32))
    tolerance = 1e-4 if policy == "float32" else 0.03
    for one, other in zip(our_gradients, gradients, strict=True):
        np.testing.assert_allclose(one, other, tolerance, tolerance * np.abs(other).max())


class OtherPooling(layers.MaxPooling2D):
    """What a subclass computes need not be a maximum."""


def convolution(inputs, **how):
    return layers.Conv2D(4, 3, **({"activation": "relu"} | how))(inputs)


def two_uses(inputs):
    x = convolution(inputs)
    return [x, layers.MaxPooling2D()(x)]


def one_pooling_for_two(inputs):
    pooling = layers.MaxPooling2D()
    return [pooling(convolution(inputs)), pooling(convolution(inputs))]


def in_two_models(inputs):
    first = keras.Input((8, 8, 3))
    x = convolution(first)
    parts = keras.Model(first, layers.MaxPooling2D()(x)), keras.Model(first, x)
    return [part(inputs) for part in parts]


@pytest.mark.parametrize(
    "outputs",
    [
        two_uses,
        one_pooling_for_two,
        in_two_models,
        lambda inputs: OtherPooling()(convolution(inputs)),
        lambda inputs: layers.MaxPooling2D()(convolution(inputs, activation="tanh")),
        lambda inputs: layers.MaxPooling2D()(convolution(inputs, activity_regularizer="l2")),
        lambda inputs: layers.MaxPooling2D()(convolution(inputs, data_format="channels_first")),
    ],
)
def test_a_convolution_keeps_its_relu_where_something_else_needs_it(outputs):
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, outputs(inputs))
    model.compile("sgd", "mse")
    with fused_kernels(model):
        assert not any("call" in vars(layer) for layer in model._flatten_layers())
    assert not any("call" in vars(layer) for layer in model._flatten_layers())


def test_one_batch_norm_behind_two_convolutions_stays_keras_own():
    inputs = keras.Input((8, 8, 3))
    norm = layers.BatchNormalization(trainable=False)
    model = keras.Model(inputs, [norm(layers.Conv2D(4, 3)(inputs)), norm(layers.Conv2D(4, 3)(inputs))])
    model.compile("sgd", "mse")
    assert foldable_pairs(model) == {}
    with fused_kernels(model):
        assert not any("call" in vars(layer) for layer in model.layers)


def test_a_convolution_that_is_an_output_too_is_not_folded():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(inputs)
    assert foldable_pairs(keras.Model(inputs, [x, layers.BatchNormalization()(x)])) == {}
    assert len(foldable_pairs(keras.Model(inputs, layers.BatchNormalization()(x)))) == 1


@pytest.mark.parametrize("rate", [0.2, 0.5, 1e-6])
def test_dropout_keeps_the_share_and_the_mean_and_draws_anew(rate):
    layer = layers.Dropout(rate, seed=3)
    inputs = keras.Input((5, 7, 9))
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", "mse")
    images = tf.ones((499, 5, 7, 9))
    with fused_kernels(model), tf.GradientTape(persistent=True) as tape:
        tape.watch(images)
        first, second = layer(images, training=True), layer(images, training=True)
        assert np.array_equal(layer(images, training=False), images)
    values = np.unique(first)
    np.testing.assert_allclose(values[-1], 1 / (1 - rate), rtol=2e-5)
    assert set(values[:-1]) <= {0.0}
    deviation = (rate * (1 - rate) / images.numpy().size) ** 0.5
    assert abs(np.mean(first == 0) - rate) < 4 * deviation + 1 / 65_536
    assert (
        rate < 0.1
        or 0.3 < np.mean((np.array(first) == 0) != (np.array(second) == 0)) / (2 * rate * (1 - rate)) < 1.7
    )
    # What was left out gets no gradient.
    np.testing.assert_array_equal(tape.gradient(first, images), first)
    again = keras.layers.Dropout(rate, seed=3)
    model = keras.Model(inputs, again(inputs))
    model.compile("sgd", "mse")
    with fused_kernels(model):
        np.testing.assert_array_equal(again(images, training=True), first)


def test_a_network_trains_as_keras_trains_it(data, monkeypatch):
    # Not with Adam, whose first steps have the sign of the gradient alone: rounding may turn it.
    phase = Phase(epochs=2, optimizer="sgd", learning_rate=0.01)
    start, fused = trained(data, phase)
    monkeypatch.setattr(training, "fused_kernels", lambda model: nullcontext())
    _, written_out = trained(data, phase)
    names = [weight.path for weight in network().trainable_weights]
    assert {"fixed/gamma", "fixed/beta"} <= set(names)
    for before, ours, keras_own in zip(start, fused, written_out, strict=True):
        assert np.abs(ours - keras_own).max() <= 0.01 * np.abs(keras_own - before).max() + 1e-7


def test_a_run_with_batch_norms_repeats_bit_for_bit(data):
    for first, second in zip(trained(data, ADAMW)[1], trained(data, ADAMW)[1], strict=True):
        np.testing.assert_array_equal(first, second)


def test_model_and_optimiser_are_keras_own_again_afterwards():
    model = network()
    training.compile_phase(model, ADAMW, steps=10)
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, layers.BatchNormalization)]
    with fused_kernels(model):
        # All but that of vectors and the one behind another.
        assert sum("call" in vars(norm) for norm in norms) == 5
        assert sum("call" in vars(layer) for layer in model.layers) == 4 + 2, "two convolutions too"
        assert {"apply", "update_step"} <= set(vars(model.optimizer))
    assert not any("call" in vars(layer) for layer in model._flatten_layers())
    assert not {"apply", "update_step", "_apply_weight_decay"} & set(vars(model.optimizer))


def test_the_training_step_is_traced_once(data):
    traced = []

    class Counted(layers.Layer):
        def call(self, inputs, training=False):
            if training:
                traced.append(inputs)
            return inputs

    inputs = keras.Input((32, 32, 3))
    x = layers.GlobalAveragePooling2D()(Counted()(inputs))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(x))
    traced.clear()
    # The last batch of an epoch is smaller.
    assert len(data.train) % data.train.batch_size
    cnnzoo.fit(model, data, TrainConfig(phases=(Phase(epochs=3),)), progress=False)
    assert len(traced) == 1
    cnnzoo.fit(model, data, TrainConfig(phases=(ADAMW, Phase(epochs=1))), progress=False)
    assert len(traced) == 3, "once a phase"


def test_one_function_a_batch_trains_and_validates_to_the_bit_as_the_two_of_keras(data, monkeypatch):
    def history_and_weights():
        keras.utils.set_random_seed(1)
        model = network()
        done = cnnzoo.fit(model, data, TrainConfig(phases=(ADAMW,)), progress=False)
        losses = [(epoch.loss, epoch.val_loss, epoch.val_accuracy) for epoch in done.history]
        return model, [done.val_loss_before, losses], model.get_weights()

    model, losses, weights = history_and_weights()
    assert model.train_function.experimental_get_tracing_count() == 1
    assert model.test_function.experimental_get_tracing_count() == 1, "before training and after each epoch"
    monkeypatch.setattr(training, "single_functions", lambda model: None)
    keras_own, losses_there, weights_there = history_and_weights()
    assert not hasattr(keras_own.train_function, "experimental_get_tracing_count"), "Keras' own is in the way"
    assert losses == losses_there
    for ours, theirs in zip(weights, weights_there, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_prediction_is_traced_once_whatever_the_sizes_of_batches(data):
    model = network()
    cnnzoo.evaluate(model, data.test)
    cnnzoo.evaluate(model, data.validation)
    for size in (1, 5, 7):
        model.predict_on_batch(data.test.images[:size])
    assert model.predict_function.experimental_get_tracing_count() == 1
