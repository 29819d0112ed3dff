"""A training that is stopped goes on within itself, and ends as if nobody had stopped it."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import keras
import numpy as np
import pytest

import cnnzoo
from cnnzoo import Augmentation, Phase, TrainConfig
from cnnzoo.data.sources.synthetic import synthetic_concrete
from cnnzoo.errors import Diverged, InputError
from cnnzoo.models.families.mobilenet_v2 import mobilenet_v2_backbone
from cnnzoo.models.transfer import transfer_model
from cnnzoo.training import checkpoint as checkpoints
from cnnzoo.training import recorder as recorders


@pytest.fixture(scope="module")
def data(image_folder):
    return cnnzoo.load_datasets(image_folder, image_size=32, batch_size=16, progress=False)


class Killed(BaseException):
    """What ends a training from outside."""


def killed_at(places):
    """A report that is killed when the training first comes to each of these (epoch, step)."""
    left = list(places)

    def report(now):
        if left and (now.epoch, now.step) == left[0] and now.loss is not None:
            left.pop(0)
            raise Killed

    return report


def bits(model):
    return [np.asarray(variable).tobytes() for variable in model.variables]


def without_times(history):
    return [replace(epoch, seconds=0, validation_seconds=0, tracing_seconds=0) for epoch in history]


@pytest.fixture
def saves_always(monkeypatch):
    monkeypatch.setattr(checkpoints, "MOST_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(recorders, "REPORT_SECONDS", 0.0)


def dropping_model():
    keras.utils.set_random_seed(0)
    return cnnzoo.create_model("three_conv", input_shape=(32, 32, 3), dropout=0.5)


def interrupted(build, data, config, places, file):
    """Trains with kills at some places, each time in what a new process would have; returns the last."""
    report = killed_at(places)
    for _ in places:
        with pytest.raises(Killed):
            cnnzoo.fit(build(), data, config, checkpoint=file, progress=report)
    model = build()
    return model, cnnzoo.fit(model, data, config, checkpoint=file, progress=report)


@pytest.mark.parametrize(
    "places",
    [
        [(0, 3)],
        pytest.param([(1, 4), (3, 2), (3, 3)], marks=pytest.mark.slow),
        pytest.param([(2, 4), (4, 1)], marks=pytest.mark.slow),
    ],
)
def test_a_training_that_was_killed_ends_with_the_same_bits(data, places, tmp_path, saves_always):
    """A training that is killed, within an epoch too, goes on from there and ends with the same bits."""
    config = TrainConfig(
        phases=(
            Phase(epochs=3, optimizer="adamw", weight_decay=0.1, schedule="cosine", learning_rate=3e-3),
            Phase(epochs=3, optimizer="sgd", learning_rate=0.01, patience=1),
        ),
        augmentation=Augmentation(horizontal_flip=True, noise=5.0),
    )
    whole_model = dropping_model()
    whole = cnnzoo.fit(whole_model, data, config, progress=False)
    model, result = interrupted(dropping_model, data, config, places, tmp_path / "state.npz")
    assert bits(model) == bits(whole_model)
    assert without_times(result.history) == without_times(whole.history)
    assert (result.best_epoch, result.val_loss_before) == (whole.best_epoch, whole.val_loss_before)


@pytest.mark.slow
def test_a_head_trained_on_a_frozen_backbone_goes_on_too(data, tmp_path, saves_always):
    """So does one of a head on a frozen backbone, and the fine-tuning after it."""

    def build():
        keras.utils.set_random_seed(0)
        backbone = mobilenet_v2_backbone(input_shape=(32, 32, 3), alpha=0.35)
        for layer in backbone.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                # With the initial ones, features vanish, and every backbone is as good as another.
                layer.moving_variance.assign(np.random.default_rng(0).uniform(0.3, 1, layer.gamma.shape))
        return transfer_model(
            backbone, normalise=keras.layers.Rescaling(1 / 127.5, -1.0), num_classes=2, dropout=0.5
        )

    config = TrainConfig(phases=(Phase(epochs=2, trainable="head"), Phase(epochs=2, trainable=0.25)))
    whole_model = build()
    cnnzoo.fit(whole_model, data, config, progress=False)
    model, _ = interrupted(build, data, config, [(1, 2), (2, 2)], tmp_path / "state.npz")
    assert bits(model) == bits(whole_model)


@pytest.mark.slow
def test_a_state_of_another_training_or_a_damaged_one_is_not_used(data, tmp_path, saves_always):
    """The state of another training, or a damaged one, is not used: it starts anew."""
    config = TrainConfig(phases=(Phase(epochs=2),))
    first = cnnzoo.fit(dropping_model(), data, config, checkpoint=tmp_path / "state.npz", progress=False)
    whole = (tmp_path / "state.npz").read_bytes()
    again = cnnzoo.fit(dropping_model(), data, config, checkpoint=tmp_path / "state.npz", progress=False)
    assert again.history == first.history  # to the second: nothing was trained again
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (b"", whole[: len(whole) // 2], bytes(flipped), b"no archive", b"PK\3\4" + whole[4:99]):
        (tmp_path / "state.npz").write_bytes(damaged)
        anew = cnnzoo.fit(dropping_model(), data, config, checkpoint=tmp_path / "state.npz", progress=False)
        assert anew.history != first.history
        assert without_times(anew.history) == without_times(first.history)
    other = TrainConfig(phases=(Phase(epochs=2),), seed=1)
    shuffled = cnnzoo.fit(dropping_model(), data, other, checkpoint=tmp_path / "state.npz", progress=False)
    assert without_times(shuffled.history) != without_times(first.history)


def test_a_training_that_diverges_says_where_and_keeps_what_went_before(data):
    """A training whose loss is no number any more ends with its epoch and learning rate, history kept."""
    config = TrainConfig(
        phases=(Phase(epochs=1, learning_rate=1e-3), Phase(epochs=3, optimizer="sgd", learning_rate=1e30))
    )
    with pytest.raises(Diverged, match=r"diverged in epoch [23] at a learning rate of 1e\+30") as caught:
        cnnzoo.fit(dropping_model(), data, config, progress=False)
    assert np.isfinite(caught.value.history[0].loss)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "epochs"), [("three_conv", 96, 15), ("crack_net", 96, 15), ("mobilenet_v2", 96, 6)]
)
def test_saving_costs_little(name, size, epochs, monkeypatch, record_property):
    """Saving the state costs under 2 % of the time of a training."""
    data = cnnzoo.load_datasets(synthetic_concrete(450, progress=False), image_size=size, progress=False)
    seconds = []
    save = checkpoints.Checkpoint.save

    def timed(self, state):
        start = perf_counter()
        save(self, state)
        seconds.append(perf_counter() - start)

    monkeypatch.setattr(checkpoints.Checkpoint, "save", timed)
    model = cnnzoo.create_model(name, input_shape=(size, size, 3))
    with TemporaryDirectory(dir=Path(__file__).parents[2]) as folder:  # /tmp may be in memory
        file = Path(folder, "state.npz")
        result = cnnzoo.fit(
            model, data, TrainConfig((Phase(epochs=epochs),)), checkpoint=file, progress=False
        )
        megabytes = file.stat().st_size / 1e6
    share = sum(seconds) / (sum(seconds) + result.seconds)
    record_property(
        "measured", f"{name}: {share:.1%} for {len(seconds)} of {epochs} epochs, {megabytes:.1f} MB each"
    )
    assert seconds and share < 0.02


def test_a_model_that_gives_no_numbers_is_not_scored(data):
    """A model whose outputs are no numbers is refused with the reason, and not scored."""
    model = dropping_model()
    model.weights[-1].assign(np.full(model.weights[-1].shape, np.nan))
    with pytest.raises(InputError, match="gives no numbers"):
        cnnzoo.evaluate(model, data.test)
