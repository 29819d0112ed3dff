import re
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import cnnzoo
from cnnzoo import Augmentation, Phase, TrainConfig
from cnnzoo.errors import InputError
from cnnzoo.models.families.mobilenet_v2 import mobilenet_v2_backbone
from cnnzoo.models.folding import fold_batch_norm, frozen_and_trained, joined
from cnnzoo.models.transfer import set_trainable, transfer_model
from cnnzoo.training import recorder as recorders
from cnnzoo.training.checkpoint import Position
from cnnzoo.training.fit import compile_phase


@pytest.fixture(scope="module")
def data(image_folder):
    return cnnzoo.load_datasets(image_folder, image_size=32, batch_size=16, progress=False)


def live_statistics(model, seed=0):
    """Gives batch norms the statistics of some images: with the initial ones, all images look the same."""
    rng = np.random.default_rng(seed)
    norms = [each for each in model._flatten_layers() if isinstance(each, keras.layers.BatchNormalization)]
    for norm in norms:
        norm.gamma.assign(rng.uniform(0.8, 1.2, norm.gamma.shape))
        norm.beta.assign(rng.normal(0, 0.1, norm.gamma.shape))
        norm.momentum = 0.0
    smooth = rng.uniform(-1, 1, (32, 4, 4, 1)) + rng.uniform(-0.1, 0.1, (32, 4, 4, 3))
    model(keras.ops.image.resize(smooth.astype(np.float32), model.input_shape[1:3]), training=True)
    for norm in norms:
        norm.momentum = 0.99


@pytest.fixture
def transfer():
    keras.utils.set_random_seed(0)
    backbone = mobilenet_v2_backbone(input_shape=(32, 32, 3), alpha=0.35)
    live_statistics(backbone)
    normalise = keras.layers.Rescaling(1 / 127.5, offset=-1.0)
    return transfer_model(backbone, normalise=normalise, num_classes=2)


def small_model():
    keras.utils.set_random_seed(0)
    return cnnzoo.create_model("three_conv", input_shape=(32, 32, 3), dropout=0.0)


def test_a_line_across_a_tile_is_learned(data):
    model = small_model()
    result = cnnzoo.fit(
        model, data, TrainConfig(phases=(Phase(epochs=25, learning_rate=3e-3),)), progress=False
    )
    assert cnnzoo.evaluate(model, data.test).accuracy == 1
    assert result.history[-1].loss < result.history[0].loss
    assert [epoch.epoch for epoch in result.history] == list(range(len(result.history)))
    assert result.seconds == pytest.approx(sum(epoch.seconds for epoch in result.history))


def test_tracing_is_no_part_of_the_seconds_of_training(data):
    config = TrainConfig(phases=(Phase(epochs=3), Phase(epochs=2)))
    result = cnnzoo.fit(small_model(), data, config, progress=False)
    assert [epoch.tracing_seconds > 0 for epoch in result.history] == [True, False, False, True, False]
    assert result.tracing_seconds == pytest.approx(sum(epoch.tracing_seconds for epoch in result.history))
    # What comes before the second batch of a phase holds its tracing.
    traced = [epoch.tracing_seconds for epoch in result.history if epoch.tracing_seconds]
    assert all(start > tracing for start, tracing in zip(result.phase_start_seconds, traced, strict=True))
    whole = replace(data, train=replace(data.train, batch_size=len(data.train)))
    one_batch = cnnzoo.fit(small_model(), whole, config, progress=False).history
    assert [epoch.tracing_seconds > 0 for epoch in one_batch] == [True, False, False, True, False]


def test_accuracy_and_loss_before_training_are_those_of_the_untrained_model(data):
    before = cnnzoo.evaluate(small_model(), data.validation)
    result = cnnzoo.fit(small_model(), data, TrainConfig(phases=(Phase(epochs=1),)), progress=False)
    assert result.val_accuracy_before == pytest.approx(before.accuracy)
    assert result.val_loss_before == pytest.approx(before.loss, rel=1e-3)


def test_a_run_repeats_bit_for_bit(data):
    config = TrainConfig(
        phases=(Phase(epochs=2),), augmentation=Augmentation(horizontal_flip=True, rotation=0.2), seed=3
    )
    losses = [
        [epoch.loss for epoch in cnnzoo.fit(small_model(), data, config, progress=False).history]
        for _ in range(2)
    ]
    assert losses[0] == losses[1]


def test_the_model_ends_with_its_best_weights(data):
    model = small_model()
    # So high a rate that the loss goes up and down.
    config = TrainConfig(phases=(Phase(epochs=6, optimizer="sgd", learning_rate=0.3),))
    result = cnnzoo.fit(model, data, config, progress=False)
    best = min(epoch.val_loss for epoch in result.history)
    assert result.history[result.best_epoch].val_loss == best
    assert cnnzoo.evaluate(model, data.validation).loss == pytest.approx(best, rel=1e-4)


def test_patience_stops_early(data):
    config = TrainConfig(phases=(Phase(epochs=40, optimizer="sgd", learning_rate=5.0, patience=1),))
    assert len(cnnzoo.fit(small_model(), data, config, progress=False).history) < 40


def test_a_frozen_phase_leaves_the_backbone_and_fine_tuning_its_statistics(data, transfer):
    backbone = transfer.get_layer("mobilenet_v2")
    before = {weight.path: weight.numpy() for weight in backbone.weights}
    head = transfer.get_layer("predictions").get_weights()[0]

    frozen = TrainConfig(phases=(Phase(epochs=1, trainable="head"),))
    result = cnnzoo.fit(transfer, data, frozen, progress=False)
    assert all(np.array_equal(before[weight.path], weight.numpy()) for weight in backbone.weights)
    assert not np.array_equal(head, transfer.get_layer("predictions").get_weights()[0])
    assert result.trainable_params == 1280 * 2 + 2

    tuned = TrainConfig(phases=(Phase(epochs=1, learning_rate=1e-3, trainable="block_11_expand_relu"),))
    cnnzoo.fit(transfer, data, tuned, progress=False)
    changed = [w.path for w in backbone.weights if not np.array_equal(before[w.path], w.numpy())]
    assert any("block_11_depthwise" in path for path in changed)
    assert not any("block_10" in path or "block_11_expand" in path for path in changed)
    assert not any("moving" in path for path in changed)


@pytest.mark.parametrize(
    "trainable",
    [
        "head",
        "block_11_expand_relu",
        *(pytest.param(part, marks=pytest.mark.slow) for part in ("block_1", 0.25)),
    ],
)
def test_the_folded_parts_compute_what_the_model_computes(transfer, trainable):
    set_trainable(transfer, trainable)
    frozen, trained = frozen_and_trained(transfer)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    backbone = transfer.get_layer("mobilenet_v2")
    features = backbone.predict(images / 127.5 - 1, verbose=0)
    assert features.std(axis=0).mean() > 0.1, "features that are the same for all images would equal anything"
    folded = fold_batch_norm(backbone).predict(images / 127.5 - 1, verbose=0)
    assert np.abs(folded - features).max() < 1e-4 * np.abs(features).max()
    expected = pytest.approx(transfer.predict(images, verbose=0), abs=1e-4)
    assert joined(frozen, trained).predict(images, verbose=0) == expected
    assert trained.predict(frozen.predict(images, verbose=0), verbose=0) == expected
    assert {id(weight) for weight in trained.trainable_weights} == {
        id(weight) for weight in transfer.trainable_weights
    }
    assert frozen.count_params() > 0 and not frozen.trainable_weights


def test_a_model_of_which_all_trains_has_no_frozen_part(transfer):
    set_trainable(transfer, "all")
    assert frozen_and_trained(transfer) is None
    assert frozen_and_trained(small_model()) is None


def test_training_the_twins_head_is_training_the_head(data, transfer):
    config = TrainConfig(
        phases=(Phase(epochs=1, optimizer="sgd", learning_rate=0.1, trainable="head"),), seed=1
    )
    start = transfer.get_weights()
    start_head = transfer.get_layer("predictions").get_weights()[0]
    cnnzoo.fit(transfer, data, config, progress=False)
    fast = transfer.get_layer("predictions").get_weights()[0]

    transfer.set_weights(start)
    set_trainable(transfer, "head")
    transfer.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", jit_compile=False)
    for x, y in data.train.training_dataset(epochs=1, seed=1):
        transfer.train_on_batch(x, y)
    slow = transfer.get_layer("predictions").get_weights()[0]
    assert np.abs(fast - slow).max() < 1e-3 * np.abs(slow - start_head).max()


def test_folding_leaves_other_batch_norms_alone():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.BatchNormalization(name="first")(inputs)
    x = keras.layers.Conv2D(4, 3, name="conv")(x)
    x = keras.layers.BatchNormalization(name="second")(x)
    model = keras.Model(inputs, x)
    live_statistics(model)
    folded = fold_batch_norm(model)
    images = np.random.default_rng(0).random((2, 8, 8, 3), dtype=np.float32)
    assert np.allclose(model.predict(images, verbose=0), folded.predict(images, verbose=0), atol=1e-5)
    assert isinstance(folded.get_layer("first"), keras.layers.BatchNormalization)
    assert not isinstance(folded.get_layer("second"), keras.layers.BatchNormalization)


def test_a_model_for_other_classes_is_refused(data):
    model = cnnzoo.create_model("three_conv", input_shape=(32, 32, 3), num_classes=3)
    with pytest.raises(InputError, match="3 outputs"):
        cnnzoo.fit(model, data, TrainConfig(phases=(Phase(epochs=1),)), progress=False)


class Images:
    """100 images in 10 batches, as far as a recorder asks."""

    steps = batch_size = 10

    def __len__(self):
        return 100


@pytest.mark.parametrize(("keep", "kept"), [("best", 1), ("last", 3)])
def test_the_best_epoch_is_kept_or_the_last(keep, kept):
    phases = (Phase(epochs=5, patience=3, keep=keep),)
    watch = recorders.Watch(Images(), phases, lambda report: None, checkpoint=None, whole=None)
    recorder = recorders.Recorder(watch, Position(0, (), (), {}))
    weights = iter(range(9))
    recorder.set_model(SimpleNamespace(get_weights=lambda: next(weights), jax_state_sync=lambda: None))
    taken = []
    for number, loss in enumerate([3, 1, 2, 4]):
        recorder.on_epoch_begin(number)
        recorder.on_train_batch_end(0, {"loss": 1})
        recorder.on_epoch_end(number, {"loss": 1, "accuracy": 0.5, "val_loss": loss, "val_accuracy": 0.5})
        taken.append(recorder.best)
    assert recorder.best_epoch == kept
    assert taken == ([0, 1, 1, 1] if keep == "best" else [0, 1, 2, 3])
    assert not recorder.done  # two epochs without a lower loss are fewer than three
    recorder.on_epoch_end(4, {"loss": 1, "accuracy": 0.5, "val_loss": 5, "val_accuracy": 0.5})
    assert recorder.done


def test_reports_by_hand(monkeypatch):
    """Two phases of 3 and 2 epochs: 5 s for the first batch, 0.25 s for each other, 1 s of validation."""
    clock, reports = [0.0], []
    monkeypatch.setattr(recorders, "perf_counter", lambda: clock[0])
    phases = (Phase(epochs=3), Phase(epochs=2))
    watch = recorders.Watch(Images(), phases, reports.append, checkpoint=None, whole=None)
    recorder = recorders.Recorder(watch, Position(0, (), (), {}))
    recorder.set_model(SimpleNamespace(get_weights=list, jax_state_sync=lambda: None))
    recorder.on_epoch_begin(0)
    for batch in range(10):
        clock[0] += 0.25 if batch else 5
        recorder.on_train_batch_end(batch, {"loss": 10 - batch})
    clock[0] += 1
    recorder.on_epoch_end(0, {"loss": 1, "accuracy": 0.5, "val_loss": 1, "val_accuracy": 0.75})
    # As the phase starts, after the slow first batch, then not before 0.4 s have passed, at the end.
    assert [report.step for report in reports] == [0, 1, 3, 5, 7, 9, 10]
    assert {(report.phase, report.phases, report.epoch, report.epochs) for report in reports} == {
        (0, 2, 0, 5)
    }
    start, first, later, end = (reports[i] for i in (0, 1, 3, -1))
    assert (start.loss, start.images_per_second, start.seconds_left) == (None, None, None)
    assert (first.loss, first.images_per_second, first.seconds_left) == (10, None, None)
    # 40 images in the second after the first batch; 5 batches of 0.25 s, then 4 epochs of 2.5 s.
    assert (later.loss, later.images_per_second, later.seconds_left) == (6, 40, 1.25 + 4 * 2.5)
    # 7.25 s for 100 images, of which the first batch took 4.75 longer than another. 1 s of validation.
    assert (end.result.seconds, end.result.tracing_seconds) == (2.5, 4.75)
    assert end.result.validation_seconds == 1
    assert (end.images_per_second, end.best_val_accuracy) == (40, 0.75)
    assert end.seconds_left == 4 * (2.5 + 1)
    recorder.on_epoch_begin(1)
    for batch in range(4):
        clock[0] += 0.5
        recorder.on_train_batch_end(batch, {"loss": 1})
    # 4 batches of 0.5 s and 10 of 0.25 s: their mean for the 6 left and those of 3 epochs.
    mean = (4 * 0.5 + 10 * 0.25) / 14
    assert (reports[-1].step, reports[-1].images_per_second) == (4, 20)
    assert reports[-1].seconds_left == pytest.approx(6 * mean + 1 + 3 * (10 * mean + 1))


def test_a_function_gets_the_progress_of_all_phases(data, capfd):
    reports = []
    config = TrainConfig(
        phases=(Phase(epochs=9, optimizer="sgd", learning_rate=5.0, patience=1), Phase(epochs=2))
    )
    result = cnnzoo.fit(small_model(), data, config, progress=reports.append)
    assert capfd.readouterr().err == ""
    ends = [report for report in reports if report.result is not None]
    assert [report.result for report in ends] == list(result.history)
    assert [report.epoch for report in ends] == [epoch.epoch for epoch in result.history]
    best = [max(epoch.val_accuracy for epoch in result.history[: i + 1]) for i in range(len(ends))]
    assert [report.best_val_accuracy for report in ends] == best
    # The first phase stopped early, so fewer epochs are planned than before.
    early = sum(epoch.phase == 0 for epoch in result.history)
    assert early < 9
    assert (ends[0].epochs, ends[-1].epochs, ends[-1].seconds_left) == (11, early + 2, 0)
    assert ends[-1].share == 1


def test_the_progress_on_a_terminal_and_without_one(data, monkeypatch, capfd):
    config = TrainConfig(phases=(Phase(epochs=1),))
    line = r"epoch 1: loss [\d.]+, accuracy [\d.]+, validation loss [\d.]+, accuracy [\d.]+, [\d,]+ images/s"
    cnnzoo.fit(small_model(), data, config)
    assert re.fullmatch(f"{line}\n", capfd.readouterr().err)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    cnnzoo.fit(small_model(), data, config)
    shown = capfd.readouterr().err
    assert re.search(line, shown) and "epoch 1/1" in shown and "━" in shown


def test_tensorboard_gets_its_files(data, tmp_path):
    cnnzoo.fit(small_model(), data, TrainConfig(phases=(Phase(epochs=1),)), log_dir=tmp_path, progress=False)
    assert list((tmp_path / "train").glob("events.*"))
    assert list((tmp_path / "validation").glob("events.*"))


def test_a_cosine_schedule_rises_then_falls_to_nothing():
    model = small_model()
    compile_phase(model, Phase(epochs=2, optimizer="adamw", learning_rate=0.1, schedule="cosine"), steps=100)
    rates = [float(model.optimizer._learning_rate(step)) for step in range(101)]
    assert rates[0] == pytest.approx(0.001)
    assert int(np.argmax(rates)) == 5 and max(rates) == pytest.approx(0.1)
    # Half way down a cosine: half of the top.
    assert rates[5 + 47] == pytest.approx(0.05, rel=0.03)
    assert rates[100] == pytest.approx(0, abs=1e-6)


def test_weight_decay_shrinks_kernels_and_leaves_offsets():
    model = small_model()
    compile_phase(model, Phase(epochs=1, optimizer="adamw", learning_rate=0.1, weight_decay=0.5), steps=10)
    before = [weight.numpy().copy() for weight in model.trainable_weights]
    model.optimizer.build(model.trainable_variables)
    model.optimizer.apply([np.zeros_like(weight) for weight in before])
    for old, weight in zip(before, model.trainable_weights, strict=True):
        share = 1 if weight.path.endswith("bias") else 1 - 0.1 * 0.5
        np.testing.assert_allclose(weight.numpy(), old * share, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": "linear"}, "unknown schedule 'linear'; known: constant, cosine"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0"),
        ({"weight_decay": 0.1}, "adam has none: choose optimizer='adamw'"),
    ],
)
def test_bad_schedules_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Phase(epochs=1, **arguments)
