"""Training and scoring from images on the device equal what they are through tf.data.

Run with the backend that the tests run with; `tests/test_jax.py` runs this file again on JAX.
"""

import keras
import numpy as np
import pytest

import cnnzoo
from cnnzoo import Augmentation, Phase, TrainConfig
from cnnzoo.errors import InputError
from cnnzoo.gpu import keep_compiled
from cnnzoo.training import checkpoint as checkpoints
from cnnzoo.training import fit as fitting
from cnnzoo.training import views
from cnnzoo.training.recorder import Board, Callbacks

CONFIG = TrainConfig((Phase(epochs=2),), Augmentation(horizontal_flip=True, quarter_turns=True), seed=3)


def load(folder, *, on_device):
    data = cnnzoo.load_datasets(folder, image_size=32, batch_size=12, progress=False)
    for side in (data.train, data.validation, data.test):
        vars(side)["on_device"] = on_device  # decided, as at first use
    return data


def small_model():
    keras.utils.set_random_seed(0)
    return cnnzoo.create_model("three_conv", input_shape=(32, 32, 3), filters=(4, 4), dense_units=8)


def weights_after(data, **arguments):
    model = small_model()
    cnnzoo.fit(model, data, CONFIG, progress=False, **arguments)
    return model.get_weights()


def equal(some, others):
    return all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))


@pytest.fixture(scope="module")
def on_device(image_folder):
    return load(image_folder, on_device=True)


def test_training_and_scores_are_those_of_tf_data(image_folder, on_device):
    assert len(on_device.train) % on_device.train.batch_size, "the last batch is smaller"
    from_host = load(image_folder, on_device=False)
    model, other = small_model(), small_model()
    result = cnnzoo.fit(model, on_device, CONFIG, progress=False)
    wanted = cnnzoo.fit(other, from_host, CONFIG, progress=False)
    assert [epoch.loss for epoch in result.history] == [epoch.loss for epoch in wanted.history]
    assert equal(model.get_weights(), other.get_weights())
    scores = cnnzoo.evaluate(model, on_device.test)
    assert np.array_equal(scores.probabilities, cnnzoo.evaluate(model, from_host.test).probabilities)


def test_a_stopped_training_goes_on_to_the_same_weights(on_device, tmp_path, monkeypatch):
    wanted = weights_after(on_device)
    monkeypatch.setattr(checkpoints, "MOST_SECONDS", 0.0)  # the state is saved after each batch

    class Stopped(Exception):
        pass

    saves = []
    save = checkpoints.Checkpoint.save

    def save_and_stop(self, state):
        save(self, state)
        saves.append(state.position)
        if len(saves) == 3:
            raise Stopped

    monkeypatch.setattr(checkpoints.Checkpoint, "save", save_and_stop)
    with pytest.raises(Stopped):
        weights_after(on_device, checkpoint=tmp_path / "state.npz")
    assert saves[-1].batch == 3
    assert equal(weights_after(on_device, checkpoint=tmp_path / "state.npz"), wanted)


def test_what_frozen_layers_gave_comes_from_the_device_as_by_tf_data(on_device, monkeypatch):
    count = len(on_device.train)
    maps = np.random.default_rng(0).normal(size=(3, count, 2, 2, 5)).astype(np.float16)

    def batches():
        shuffled = views.shuffled(maps, on_device.train, epochs=3, seed=1, first_epoch=1, first_batch=2)
        return [
            tuple(map(keras.ops.convert_to_numpy, batch))
            for part in (shuffled, views.in_order(maps, on_device.train))
            for batch in part
        ]

    wanted = batches()
    monkeypatch.setattr(views, "room_on_device", lambda needed: True)
    found = batches()
    assert len(found) == len(wanted) == 4 * on_device.train.steps - 2
    assert all(equal(batch, other) for batch, other in zip(found, wanted, strict=True))


def test_no_batch_waits_for_its_numbers(on_device):
    """What callbacks get of a batch is still a tensor; of an epoch, numbers."""
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(type(logs["loss"]))

        def on_test_batch_end(self, batch, logs=None):
            seen.append(type(logs["loss"]))

        def on_epoch_end(self, epoch, logs=None):
            self.epoch_logs = logs

    model, watch = small_model(), Watch()
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    model.fit(
        on_device.train.dataset(),
        validation_data=on_device.validation.dataset(),
        callbacks=Callbacks(model, [watch]),
        verbose=0,
    )
    assert seen
    assert float not in seen
    assert {type(value) for value in watch.epoch_logs.values()} == {float}


def test_tensorboard_does_not_read_the_numbers_of_a_batch(tmp_path):
    pytest.importorskip("tensorflow")
    for kind in (Board, keras.callbacks.TensorBoard):
        board = kind(tmp_path, write_graph=False)
        board.set_model(small_model())
        board.on_train_begin()
        unreadable = {"loss": object()}
        if kind is Board:
            board.on_train_batch_end(0, unreadable)
        else:
            with pytest.raises(Exception, match="object"):
                board.on_train_batch_end(0, unreadable)


def test_without_tensorflow_files_for_tensorboard_are_refused(on_device, tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "has_tensorflow", lambda: False)
    with pytest.raises(InputError, match="log_dir is given, but TensorFlow"):
        weights_after(on_device, log_dir=tmp_path)


def test_a_smaller_last_batch_that_is_compiled_anew_is_no_part_of_the_seconds(on_device):
    result = cnnzoo.fit(small_model(), on_device, CONFIG, progress=False)
    first, second = result.history
    assert first.tracing_seconds > 0
    if keras.backend.backend() == "jax":
        assert first.seconds < 5 * second.seconds + 0.05


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="tests/test_jax.py runs it on JAX")
def test_what_jax_compiles_is_kept_in_the_cache(tmp_path, monkeypatch):
    import jax

    monkeypatch.setenv("CNNZOO_CACHE", str(tmp_path))
    always = jax.config.jax_persistent_cache_min_compile_time_secs
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    try:
        keep_compiled()
        jax.jit(lambda x: x * 3 + 1)(1.0)
    finally:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", always)
        jax.config.update("jax_compilation_cache_dir", None)
    assert list((tmp_path / "jax").iterdir())
