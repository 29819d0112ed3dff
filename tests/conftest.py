"""What several test files use. Nothing here needs the network, and the user's cache is not touched."""

import gc
import json
import os
import random
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np
import pytest

from experiments.runs.environment import describe_environment

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory):
    """A cache of the session's own."""
    os.environ["CNNZOO_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def shared():
    """The folder of real images and weights beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED}: no real images and weights here")
    return SHARED


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory):
    """Two classes of 40 noisy grey tiles, 48 x 40; those of `crack` have a dark line across."""
    folder = tmp_path_factory.mktemp("tiles")
    rng = np.random.default_rng(0)
    for name in ("crack", "plain"):
        (folder / name).mkdir()
        for i in range(40):
            tile = rng.normal(150, 12, (40, 48, 1)).repeat(3, axis=2)
            if name == "crack":
                ends = rng.integers(0, 40, 2)
                cv2.line(tile, (0, int(ends[0])), (47, int(ends[1])), (40, 40, 40), 3)
            cv2.imwrite(str(folder / name / f"{i:02}.png"), tile.clip(0, 255).astype(np.uint8))
    return folder


def seed_everything():
    """Starts from a fixed seed: an unseeded network fails a test by chance."""
    random.seed(0)  # Keras seeds what it initialises from here
    np.random.seed(0)
    if keras := sys.modules.get("keras"):
        keras.utils.set_random_seed(0)


# Hooks, not a fixture: one of a test comes too late for a network that a fixture of its module makes.
@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup():
    seed_everything()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call():
    seed_everything()


def pytest_collection_modifyitems(items):
    # What runs whole commands comes first: at the end, one worker would wait long for the other.
    items.sort(
        key=lambda item: item.path.parent not in (Path(__file__).parent, Path(__file__).parent / "search")
    )


def pytest_collection_finish():
    # Looking for garbage among TensorFlow's millions of objects takes a seventh of the tests' time.
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


def pytest_runtest_teardown(item, nextitem):
    if nextitem is None or item.path != nextitem.path:
        gc.collect()  # the models of a file go with it


def pytest_addoption(parser):
    parser.addoption("--record", metavar="FILE.jsonl", type=Path, help="append what slow tests measure")


@pytest.fixture
def record(request):
    """Prints a measurement and, with --record, appends it to a file with its environment."""

    def write(**values):
        print("\n" + ", ".join(f"{key} {value}" for key, value in values.items()))
        if path := request.config.getoption("--record"):
            environment = describe_environment()
            line = {"test": request.node.name, **values, "environment": environment}
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    return write
