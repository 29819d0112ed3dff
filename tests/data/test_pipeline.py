import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cnnzoo
from cnnzoo import limits
from cnnzoo.data import pipeline
from cnnzoo.data.augment import Augmentation
from cnnzoo.data.images import load_images, read_image, resize_image
from cnnzoo.data.manifest import build_manifest
from cnnzoo.errors import InputError
from cnnzoo.training.config import Phase, TrainConfig

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(image_folder):
    return cnnzoo.load_datasets(image_folder, image_size=32, batch_size=9, progress=False)


def batches(images, **arguments):
    return [(x.copy(), y.copy()) for x, y in images.training_dataset(**arguments).as_numpy_iterator()]


def same(some, others):
    return len(some) == len(others) and all(
        np.array_equal(a, c) and np.array_equal(b, d) for (a, b), (c, d) in zip(some, others, strict=True)
    )


def test_every_side_holds_the_files_of_its_paths(data, image_folder):
    assert data.class_names == ("crack", "plain")
    assert (len(data.train), len(data.validation), len(data.test)) == (56, 16, 8)
    for side in (data.train, data.validation, data.test):
        for image, label, path in zip(side.images, side.labels, side.paths, strict=True):
            assert path.split("/")[0] == data.class_names[label]
            assert np.array_equal(image, resize_image(read_image(image_folder / path), 32))


def test_evaluation_goes_through_every_image_once_in_order(data):
    x, y = zip(*data.validation.dataset().as_numpy_iterator(), strict=True)
    assert np.array_equal(np.concatenate(x), data.validation.images)
    assert np.array_equal(np.concatenate(y), data.validation.labels)
    assert x[0].dtype == np.uint8


def test_nobody_waits_for_a_dataset_that_tunes_itself(data):
    training = data.train.training_dataset(epochs=1, seed=0)
    for dataset in (training, data.train.dataset(), data.train.dataset(labels=False)):
        assert dataset.options().autotune.enabled is False


def test_an_epoch_has_every_training_image_once_and_an_order_of_its_own(data):
    both = batches(data.train, epochs=2, seed=0)
    assert len(both) == 2 * data.train.steps
    orders = []
    for epoch in (both[: data.train.steps], both[data.train.steps :]):
        images = np.concatenate([x for x, _ in epoch])
        orders.append([int(np.flatnonzero((data.train.images == i).all(axis=(1, 2, 3)))[0]) for i in images])
        assert sorted(orders[-1]) == list(range(len(data.train)))
        labels = np.concatenate([y for _, y in epoch])
        assert np.array_equal(labels, data.train.labels[orders[-1]])
    assert orders[0] != orders[1]


def test_the_same_seed_repeats_bit_for_bit_and_another_does_not(data):
    augmentation = Augmentation(horizontal_flip=True, rotation=0.2)
    first = batches(data.train, epochs=2, seed=5, augmentation=augmentation)
    assert same(first, batches(data.train, epochs=2, seed=5, augmentation=augmentation))
    assert not same(first, batches(data.train, epochs=2, seed=6, augmentation=augmentation))


def test_a_stopped_run_goes_on_in_mid_epoch_with_the_batches_it_has_not_seen(data):
    arguments = {"seed": 1, "augmentation": Augmentation(rotation=0.1)}
    whole = batches(data.train, epochs=3, **arguments)
    rest = batches(data.train, epochs=2, first_epoch=1, first_batch=4, **arguments)
    assert same(rest, whole[data.train.steps + 4 :])


READ = """
import sys
from cnnzoo import limits
from cnnzoo.data import pipeline, resized
from cnnzoo.data.manifest import build_manifest
limits.share_memory(3)
made = resized.load_images
resized.load_images = lambda *given, **named: print("made", flush=True) or made(*given, **named)
data = pipeline.load_image_set(build_manifest(sys.argv[1], limit=8, progress=False), image_size=12)
print(type(data.images).__name__, data.images.sum())
"""


def test_processes_side_by_side_share_one_file_that_one_of_them_makes(tmp_path, image_folder):
    environment = {**os.environ, "CNNZOO_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", READ, str(image_folder)]
    started = [
        subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [process.communicate(timeout=60)[0].splitlines() for process in started]
    assert sorted(map(len, said)) == [1, 1, 2]
    manifest = build_manifest(image_folder, limit=8, progress=False)
    pixels = load_images([manifest.root / image.path for image in manifest.images], 12, progress=False)
    assert {lines[-1] for lines in said} == {f"memmap {pixels.sum()}"}


def test_processes_side_by_side_share_cores_and_memory(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(4, 11)))
    monkeypatch.setattr(limits, "_own_folders", lambda controller: ())
    assert limits.core_shares(2) == [{4, 5, 6}, {7, 8, 9}]
    assert limits.core_shares(7) == [{core} for core in range(4, 11)]
    assert limits.core_shares(9) == [{core} for core in (*range(4, 11), 4, 5)]
    whole = limits.free_memory()
    monkeypatch.setattr(limits, "_sharing", 4)
    assert limits.free_memory() == pytest.approx(whole / 4, rel=0.3)


def test_images_too_large_for_ram_come_from_a_file_alike(data, image_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("CNNZOO_CACHE", str(tmp_path))

    monkeypatch.setattr(pipeline, "free_memory", lambda: 1000)
    mapped = cnnzoo.load_datasets(image_folder, image_size=32, batch_size=9, progress=False)
    assert "too large for RAM" in mapped.storage
    assert isinstance(mapped.train.images, np.memmap)
    assert same(batches(mapped.train, epochs=1, seed=0), batches(data.train, epochs=1, seed=0))
    file = next((tmp_path / "resized").iterdir())
    before = file.stat().st_mtime_ns
    cnnzoo.load_datasets(image_folder, image_size=32, progress=False)
    assert [path.stat().st_mtime_ns for path in (tmp_path / "resized").iterdir()] == [before]


def test_impossible_sizes_are_refused(image_folder):
    with pytest.raises(InputError, match="image_size"):
        cnnzoo.load_datasets(image_folder, image_size=0)


@pytest.mark.parametrize(
    "arguments",
    [
        {"epochs": 0},
        {"epochs": 1, "optimizer": "adamm"},
        {"epochs": 1, "learning_rate": 0},
        {"epochs": 1, "patience": 0},
    ],
)
def test_a_phase_refuses_what_it_cannot_do(arguments):
    with pytest.raises(InputError):
        Phase(**arguments)
    with pytest.raises(InputError):
        TrainConfig(phases=())
