"""Training on what frozen layers gave once, against training that computes them in every epoch."""

import keras
import numpy as np
import pytest
from keras import layers

import cnnzoo
from cnnzoo import Augmentation, Phase, TrainConfig
from cnnzoo.errors import InputError
from cnnzoo.models.transfer import transfer_model
from cnnzoo.training import views
from cnnzoo.training.checkpoint import Checkpoint
from tests.training.test_training import live_statistics

TURNED = Augmentation(horizontal_flip=True, rotation=0.2)


@pytest.fixture(scope="module")
def data(image_folder):
    return cnnzoo.load_datasets(image_folder, image_size=32, batch_size=12, progress=False)


def network():
    """Three convolutions with batch norms, the third around a shortcut, behind them a head."""
    keras.utils.set_random_seed(0)
    x = images = keras.Input((32, 32, 3))
    for i in (1, 2, 3):
        y = layers.Conv2D(16, 3, strides=2 if i < 3 else 1, padding="same", name=f"block_{i}_conv")(x)
        y = layers.ReLU()(layers.BatchNormalization()(y))
        x = layers.Add()([x, y]) if i == 3 else y
    backbone = keras.Model(images, x, name="backbone")
    live_statistics(backbone)
    return transfer_model(backbone, normalise=layers.Rescaling(1 / 127.5, -1.0), num_classes=2, dropout=0.3)


def config(number, *, epochs=2, augmentation=TURNED):
    head = Phase(epochs=epochs, optimizer="sgd", learning_rate=0.02, trainable="head", views=number)
    tuned = Phase(epochs=epochs, optimizer="sgd", learning_rate=1e-3, trainable="block_3_conv", views=number)
    return TrainConfig(phases=(head, tuned), augmentation=augmentation)


def trained(data, wanted, **options):
    model = network()
    return model, cnnzoo.fit(model, data, wanted, progress=False, **options)


def assert_close(one, other):
    """Up to what float16 rounds: a small part of what training changed; other draws change all of it."""
    start = network().get_weights()
    for before, a, b in zip(start, one.get_weights(), other.get_weights(), strict=True):
        assert np.linalg.norm(a - b) <= 0.05 * np.linalg.norm(a - before) + 1e-7


def test_with_a_view_an_epoch_the_training_is_the_plain_one(data):
    plain, slow = trained(data, config(0))
    once, fast = trained(data, config(4))
    assert_close(plain, once)
    assert [e.val_loss for e in fast.history] == pytest.approx([e.val_loss for e in slow.history], rel=2e-3)
    assert 0 < fast.frozen_seconds < fast.seconds
    assert slow.frozen_seconds == 0


def test_fewer_views_come_back_in_turn(data):
    _, two = trained(data, config(2, epochs=2))
    _, four = trained(data, config(4, epochs=2))
    first, later = slice(0, 2), slice(2, 4)
    losses = [np.array([epoch.loss for epoch in result.history]) for result in (two, four)]
    assert losses[0][first] == pytest.approx(losses[1][first], rel=1e-3)
    assert np.all(np.abs(losses[0][later] / losses[1][later] - 1) > 1e-3)


def test_where_nothing_is_augmented_one_view_is_all(data, monkeypatch):
    shapes = []
    array = views._array
    monkeypatch.setattr(views, "_array", lambda shape: shapes.append(shape) or array(shape))
    plain, _ = trained(data, config(0, augmentation=Augmentation()))
    once, _ = trained(data, config(3, augmentation=Augmentation()))
    assert_close(plain, once)
    assert {shape[0] for shape in shapes} == {1}


def test_a_stopped_training_goes_on_to_the_same_bits(data, tmp_path, monkeypatch):
    monkeypatch.setattr(Checkpoint, "due", lambda self, *, within_epoch: True)
    whole, result = trained(data, config(2))

    class Stopped(Exception):
        pass

    def stop(now):
        if now.phase == 1 and now.result is not None:
            raise Stopped

    file = tmp_path / "state.npz"
    with pytest.raises(Stopped):
        cnnzoo.fit(network(), data, config(2), checkpoint=file, progress=stop)
    again = network()
    rest = cnnzoo.fit(again, data, config(2), checkpoint=file, progress=False)
    assert [epoch.loss for epoch in rest.history] == [epoch.loss for epoch in result.history]
    for one, other in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_where_memory_is_short_they_are_in_a_file_that_is_gone_in_the_end(data, monkeypatch, tmp_path):
    in_memory, _ = trained(data, config(2))
    monkeypatch.setenv("CNNZOO_CACHE", str(tmp_path))
    monkeypatch.setattr(views, "free_memory", lambda: 0)
    kinds = []
    array = views._array
    monkeypatch.setattr(views, "_array", lambda shape: kinds.append(array(shape)) or kinds[-1])
    in_file, _ = trained(data, config(2))
    assert all(isinstance(kind, np.memmap) for kind in kinds)
    for one, other in zip(in_memory.get_weights(), in_file.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert list(tmp_path.iterdir()) == []


def test_how_far_the_frozen_layers_are_is_told(data, monkeypatch):
    monkeypatch.setattr("cnnzoo.training.part.REPORT_SECONDS", 0.0)
    seen = []
    cnnzoo.fit(network(), data, config(2), progress=seen.append)
    frozen = [now for now in seen if now.frozen]
    assert frozen[-1].place == "frozen layers 100%"
    assert all(0 <= now.share <= 1 for now in frozen)
    # Up to block 3, and from what that gave on to the pooled features.
    steps = [now.step for now in frozen if now.phase == 0]
    assert steps.count(2 * len(data.train) + len(data.validation)) == 2


@pytest.mark.parametrize(
    ("phase", "message"),
    [({"views": -1}, "views is -1"), ({"views": 2, "trainable": "all"}, "choose views=0")],
)
def test_views_without_frozen_layers_are_refused(phase, message):
    with pytest.raises(InputError, match=message):
        Phase(epochs=1, **phase)


def test_a_stage_before_which_nothing_is_frozen_has_no_views(data):
    phase = Phase(epochs=1, trainable=1.0, views=2)
    with pytest.raises(InputError, match="leaves no layers frozen; choose views=0"):
        cnnzoo.fit(network(), data, TrainConfig(phases=(phase,)), progress=False)
