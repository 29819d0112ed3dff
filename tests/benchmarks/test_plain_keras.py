"""The recipe mobilenet_v2_160 against the same training written with plain Keras, on real images, in one run.

`pytest -m slow tests/benchmarks/test_plain_keras.py -s` prints images/s of both and the ratio.
"""

import statistics
from dataclasses import replace
from time import perf_counter

import keras
import pytest

import cnnzoo
from cnnzoo.training.config import Phase
from experiments.recipes.published import RECIPES

IMAGES_PER_CLASS, ROUNDS, EPOCHS = 600, 3, 3


class _EpochSeconds(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(perf_counter() - self.start)


def plain_keras(weights):
    """As tutorials write it: augmentation and a keras.applications backbone in the model."""
    backbone = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(160, 160, 3))
    backbone.load_weights(weights)
    backbone.trainable = False
    inputs = keras.Input((160, 160, 3))
    x = keras.layers.RandomRotation(0.2)(keras.layers.RandomFlip("horizontal")(inputs))
    x = backbone(keras.layers.Rescaling(1 / 127.5, offset=-1)(x), training=False)
    x = keras.layers.Dropout(0.3)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.slow
def test_the_recipe_is_faster_than_plain_keras(shared, tmp_path):
    weights = shared / "weights" / "mobilenet_v2_1.0_224_no_top_from_int8_ptq.weights.h5"
    for name in ("Negative", "Positive"):
        (tmp_path / name).mkdir()
        for path in sorted((shared / "data" / "metu_half" / name).iterdir())[:IMAGES_PER_CLASS]:
            (tmp_path / name / path.name).symlink_to(path)
    # All images train on the plain side, 70 % on ours: images/s are compared.
    tutorial = keras.utils.image_dataset_from_directory(tmp_path, image_size=(160, 160), verbose=False)
    plain, clock = plain_keras(weights), _EpochSeconds()
    data = cnnzoo.load_datasets(tmp_path, image_size=160, batch_size=32, progress=False)
    ours = cnnzoo.create_model("mobilenet_v2", input_shape=(160, 160, 3), weights=weights)
    config = RECIPES["mobilenet_v2_160"].config
    config = replace(config, phases=(Phase(EPOCHS, learning_rate=1e-4, trainable="head"),))
    rates = []
    for _ in range(ROUNDS):
        plain.fit(tutorial, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[clock])
        slow = 2 * IMAGES_PER_CLASS / statistics.median(clock.seconds[1:])
        fast = cnnzoo.fit(ours, data, config, progress=False).images_per_second
        rates.append((slow, fast, fast / slow))
        print(f"plain Keras {slow:.0f} images/s, cnnzoo {fast:.0f} images/s, ratio {fast / slow:.2f}")
    assert statistics.median(ratio for _, _, ratio in rates) > 1.5
