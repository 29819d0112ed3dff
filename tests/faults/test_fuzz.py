"""Random damage, for a stated time: what is read either makes sense or is refused by a sentence."""

import io
import json
from dataclasses import asdict
from itertools import count
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from cnnzoo.data.audit.groups_csv import read_groups
from cnnzoo.data.images import read_image
from cnnzoo.data.manifest import ImageRecord, Manifest
from cnnzoo.errors import InputError
from experiments.recipes.lookup import find_recipes
from experiments.recipes.published import RECIPES
from experiments.runs.records import RUNS_FILE, read_records

pytestmark = pytest.mark.slow

SECONDS = 20  # for each kind
ROOT_RESULTS = Path(__file__).parents[2] / "results"

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["", "ok", "failed: x", "../x", 10**400, -1, 0, float("nan")])
)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=9)


def for_seconds(strategy, check, seconds=SECONDS):
    """Checks examples until the time is up; returns how many."""
    end, tried = perf_counter() + seconds, 0

    def counted(value):
        nonlocal tried
        tried += 1
        check(value)

    for number in count():
        if perf_counter() > end:
            return tried
        run = given(strategy)(counted)
        run = settings(
            max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )(run)
        seed(number)(run)()


@st.composite
def damaged(draw, wholes):
    """One of some files with bytes changed, cut out, doubled or put in, or cut off at an end."""
    data = bytearray(draw(st.sampled_from(wholes)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.integers(1, 40))
        kind = draw(st.sampled_from(["change", "cut", "double", "put in", "end"]))
        if kind == "change":
            data[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
        elif kind == "cut":
            del data[place : place + length]
        elif kind == "double":
            data[place:place] = data[place : place + length]
        elif kind == "put in":
            data[place:place] = draw(st.binary(max_size=length))
        else:
            del data[place:]
    return bytes(data)


@st.composite
def damaged_json(draw, whole):
    """A JSON value with some parts replaced, left out or put in."""
    value = json.loads(json.dumps(whole))
    for _ in range(draw(st.integers(1, 3))):
        place = value
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and draw(st.booleans()):
                place = place[key]
                continue
            if draw(st.booleans()):
                place[key] = draw(JSON)
            else:
                del place[key]
            break
    return value


@pytest.fixture(scope="module")
def pictures():
    noise = np.random.default_rng(0).integers(0, 256, (24, 31, 3), np.uint8)
    found = []
    for kind, options in (
        *(("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("BMP", {}), ("GIF", {})),
        *(("WEBP", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})),
        *(("AVIF", {}),),
    ):
        file = io.BytesIO()
        Image.fromarray(noise).save(file, kind, **options)
        found.append(file.getvalue())
    return found


def test_damaged_images(pictures, tmp_path, record_property):
    """A damaged image is decoded or refused by a sentence, in bounded time."""
    longest = 0.0

    def check(data):
        nonlocal longest
        (tmp_path / "image").write_bytes(data)
        start = perf_counter()
        try:
            image = read_image(tmp_path / "image")
            assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        except InputError as error:
            assert "\n" not in str(error)
        longest = max(longest, perf_counter() - start)

    tried = for_seconds(damaged(pictures), check)
    record_property("tried", tried)
    record_property("measured", f"{SECONDS} s, at most {longest:.2f} s an image")
    assert longest < 5


@pytest.fixture
def manifest(tmp_path):
    images = [ImageRecord(f"a/{i}.jpg", i % 2, 9, 9, "RGB", f"{i:064x}") for i in range(4)]
    return Manifest(tmp_path, ("a", "b"), tuple(images))


def test_damaged_manifests(manifest, tmp_path, record_property):
    """A damaged manifest is read or refused by a sentence."""
    file = tmp_path / "manifest.json"
    manifest.save(file)
    whole = json.loads(file.read_text())

    def check(value):
        file.write_text(json.dumps(value))
        try:
            Manifest.load(file)
        except InputError as error:
            assert str(file) in str(error)

    record_property("tried", for_seconds(damaged_json(whole), check))
    record_property("measured", f"{SECONDS} s")


def test_damaged_recipes(tmp_path, record_property):
    """A damaged recipe file is read or refused by a sentence that names it."""
    file = tmp_path / "recipe.json"
    whole = json.loads(json.dumps(asdict(RECIPES["mobilenet_v2_160_finetuned"])))
    bytes_of_it = [json.dumps(whole).encode()]

    def check(value):
        file.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
        try:
            find_recipes([str(file)])
        except InputError as error:
            assert "\n" not in str(error)

    record_property("tried", for_seconds(damaged_json(whole) | damaged(bytes_of_it), check))
    record_property("measured", f"{SECONDS} s")


def test_damaged_records(tmp_path, record_property):
    """A damaged line of results is read, or passed over with a sentence; the others are read."""
    file = tmp_path / RUNS_FILE
    sample = next((ROOT_RESULTS / "metu_half" / "grouped").glob(RUNS_FILE)).read_text().splitlines()[0]
    whole = json.loads(sample)

    def check(value):
        line = value if isinstance(value, bytes) else json.dumps(value).encode()
        file.write_bytes(
            sample.encode() + b"\n" + line.replace(b"\n", b" ") + b"\n" + sample.encode() + b"\n"
        )
        said = []
        assert len(read_records(tmp_path, said.append)) in (2, 3)
        assert all("\n" not in text for text in said)

    record_property("tried", for_seconds(damaged_json(whole) | damaged([sample.encode()]), check))
    record_property("measured", f"{SECONDS} s")


def test_damaged_groups(manifest, tmp_path, record_property):
    """A damaged file of groups is read or refused by a sentence."""
    file = tmp_path / "groups.csv"
    wholes = [
        separator.join(["path", "group"]).encode()
        + b"".join(f"\na/{i}.jpg{separator}wall {i}".encode() for i in range(4))
        for separator in ",;\t"
    ]

    def check(data):
        file.write_bytes(data)
        try:
            assert len(read_groups(file, manifest)) == 4
        except InputError as error:
            assert "\n" not in str(error)

    record_property("tried", for_seconds(damaged(wholes), check))
    record_property("measured", f"{SECONDS} s")
