"""What tests need to show that a network of ours computes what another implementation of it computes."""

import keras
import numpy as np
import pytest

from cnnzoo.models.catalogue import list_models

# The models that are written here; those of keras.applications have tests of their own.
OURS = [name for name in list_models() if not name.startswith("keras/")]

# Those that take long to build and run, and have a smaller sibling that shares their code.
SLOW = {
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_v2_b0", "mobilenet_v3_large"),
    *("resnet34", "resnet50_v2", "resnet101", "resnet152", "vgg11", "vgg13", "vgg16"),
}


def models():
    """Every registered model; the heavy ones are slow tests."""
    return [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in OURS]


def images(count, size=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


def predict(model, x):
    return keras.ops.convert_to_numpy(model(x, training=False))


def weighted(model):
    return [layer.name for layer in model.layers if layer.weights]


def settle(model, x, seed=0):
    """Draws gamma and beta and makes mean and variance roughly those of `x`: features of the order of 1."""
    rng = np.random.default_rng(seed)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    probe = keras.Model(model.input, [norm.input for norm in norms])
    for norm in norms:
        if norm.gamma is not None:
            norm.gamma.assign(rng.uniform(0.5, 2.0, norm.gamma.shape))
        norm.beta.assign(rng.normal(0.5, 1.0, norm.beta.shape))
        norm.momentum = 0.0
    model(x, training=True)
    for norm, values in zip(norms, probe(x, training=True), strict=True):
        # Apart from what training mode would use, and different in each channel.
        spread = np.asarray(values).std(axis=(0, 1, 2))
        norm.moving_mean.assign(np.asarray(norm.moving_mean) + rng.normal(0, 0.2, spread.shape) * spread)
        norm.moving_variance.assign(spread**2 * rng.uniform(0.5, 1.5, spread.shape) + 1e-3)


def difference(mine, theirs, x):
    """Largest difference of the pooled features, relative to the largest."""
    a, b = (predict(model, x).mean(axis=(1, 2)) for model in (mine, theirs))
    assert 0.1 < np.abs(b).max() < 1e3
    assert b.std() > 0.05, "features that say nothing"
    return np.abs(a - b).max() / np.abs(b).max()


def spread_out(model, seed=0):
    """Draws weights that keep the order of magnitude of pixels, up to scores of the order of 1."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        fan_in = int(np.prod(weight.shape[:-1]))
        deviation = (2 / fan_in) ** 0.5 if len(weight.shape) > 1 else 1.0
        weight.assign(rng.normal(0, deviation, weight.shape))
    last = model.layers[-1]
    last.kernel.assign(np.asarray(last.kernel) / 50)
