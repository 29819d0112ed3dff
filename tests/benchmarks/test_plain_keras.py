"""cnnzoo beside plain Keras: the same networks, in turns; that it is faster is a slow test.

`pytest -m slow tests/benchmarks/test_plain_keras.py -s` prints images/s of both and the ratio.
"""

from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from cnnzoo.data.manifest import build_manifest
from cnnzoo.models.transfer import set_trainable
from cnnzoo.training.progress import Progress
from experiments.benchmarks import side_by_side
from experiments.benchmarks.clock import Lap, Timing
from experiments.benchmarks.parts import inference, training
from experiments.benchmarks.registry import Request
from experiments.benchmarks.rivals import plain_keras
from experiments.benchmarks.side_by_side import plain_epochs, train_in_turns, train_on_views, weights_of
from experiments.recipes.published import RECIPES, USUAL

DIFFERENT = [
    (RECIPES[name], RECIPES[name].config.phases[number])
    for name, number in (
        ("three_conv", 0),
        ("crack_net", 0),
        ("mobilenet_v2_160_finetuned", 0),
        ("mobilenet_v2_160_finetuned", 1),
        ("resnet50_128", 1),
    )
]
SIZE = 32  # pixels


def small(recipe):
    return replace(recipe, image_size=SIZE, batch_size=16)


def parameters(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights)


@pytest.mark.parametrize(
    ("recipe", "phase"),
    DIFFERENT,
    ids=lambda part: getattr(part, "name", str(getattr(part, "trainable", ""))),
)
def test_plain_keras_trains_the_same_parameters(recipe, phase):
    recipe = small(recipe)
    with weights_of(recipe, "") as weights:
        ours = recipe.build_model(num_classes=2, weights_file=weights)
    set_trainable(ours, phase.trainable)
    plain = plain_keras.model(recipe, phase, num_classes=2)
    assert plain.count_params() == ours.count_params()
    assert parameters(plain.trainable_weights) == parameters(ours.trainable_weights)
    assert type(plain.optimizer).__name__.lower() == phase.optimizer
    assert float(plain.optimizer.learning_rate) == pytest.approx(phase.learning_rate)


def test_rivals_have_their_turn_after_each_epoch(image_folder):
    recipe = small(RECIPES["crack_net"])
    manifest = build_manifest(image_folder, limit=16, progress=False)
    seconds = count(1)
    rival = lambda: Lap(float(next(seconds)), 0.0)  # noqa: E731
    speeds = train_in_turns(recipe, recipe.config.phases[0], manifest, {"rival": rival}, weights="", rounds=3)
    assert next(seconds) == 5
    assert speeds.rivals["rival"].seconds * 32 == 3.0  # of 2, 3 and 4: the first warms up
    assert speeds.ours.seconds > 0 and speeds.limit > 0 and speeds.once == 0


def test_a_plain_epoch_trains(image_folder):
    recipe = small(RECIPES["three_conv"])
    epoch = plain_epochs(recipe, recipe.config.phases[0], image_folder, num_classes=2, weights="")
    assert 0 < epoch().seconds < 60


def test_inference_is_measured_beside_plain_keras():
    request = Request("synthetic", 32, ("crack_net",), {}, None, rounds=1)
    row = inference.measure_model(small(RECIPES["crack_net"]), request)
    assert row.value > 0 and row.rival > 0 and row.limit > row.value / 10


def test_phases_with_views_share_what_is_computed_once(image_folder):
    recipe = small(RECIPES["mobilenet_v2_160_finetuned_fast"])
    manifest = build_manifest(image_folder, limit=40, progress=False)
    phases = recipe.config.phases
    with weights_of(recipe, "") as weights:
        head, tuned = train_on_views(recipe, phases, manifest, weights=weights, rounds=2)
    assert head.ours.seconds > 0 and tuned.ours.seconds > 0
    assert tuned.once == 0 and head.rivals == {}


def test_frozen_layers_are_timed_by_their_pace_pass_by_pass(monkeypatch):
    clock = iter([10.0, 11.0, 12.0, 50.0, 50.5])
    monkeypatch.setattr(side_by_side.time, "perf_counter", lambda: next(clock))
    frozen = side_by_side.Frozen()
    for step in (100, 200, 300, 50, 100):
        frozen.heard(Progress(0, 1, 0, 3, step, 400, frozen=True))
    assert frozen.seconds == 400 / 100 + 400 / 100


def test_a_training_is_reckoned_from_its_phases():
    recipe = RECIPES["mobilenet_v2_160_finetuned"]
    phases = recipe.config.phases
    timing = Timing(0.01, 2.0, 0.0)
    plain = {plain_keras.NAME: replace(timing, seconds=0.02)}
    speeds = [side_by_side.Speeds(timing, plain, None, once) for once in (0.05, 0.0)]
    ours, theirs = training._seconds(recipe, speeds)
    epochs = sum(phase.epochs for phase in phases)
    assert ours == pytest.approx(14_000 * (0.05 + 0.01 * epochs))
    assert theirs == pytest.approx(14_000 * 0.02 * epochs)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in USUAL if name != training.OWN])
def test_a_recipe_is_faster_than_plain_keras(name, shared):
    weights = shared / "weights" / "mobilenet_v2_1.0_224_no_top_from_int8_ptq.weights.h5"
    folder = shared / "data" / "metu_half"
    request = Request(str(folder), 450, (name,), {"mobilenet_v2": str(weights)}, None)
    session = training.Session(request, build_manifest(folder, limit=450, progress=False))
    for phase, speeds in zip(USUAL[name].config.phases, session.speeds(USUAL[name]), strict=True):
        ours, plain = 1 / speeds.ours.seconds, 1 / speeds.rivals[plain_keras.NAME].seconds
        print(f"\n{name}, {phase.trainable}: plain Keras {plain:.0f} images/s, cnnzoo {ours:.0f}")
        assert ours > plain
