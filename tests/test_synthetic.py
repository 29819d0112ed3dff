import cv2
import keras
import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

import cnnzoo
from cnnzoo.data.concrete import draw_tile
from cnnzoo.data.images import read_image
from cnnzoo.data.synthetic import synthetic_concrete
from cnnzoo.errors import InputError

COUNT = 200


def draw(label, number, seed=0):
    return draw_tile(np.random.default_rng([seed, label, number]), crack=bool(label))


@pytest.fixture(scope="module")
def tiles():
    return {label: [draw(label, number) for number in range(COUNT)] for label in (0, 1)}


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.jpg")}


def test_more_images_keep_the_earlier_ones_bit_for_bit(tmp_path):
    few = files(synthetic_concrete(3, root=tmp_path, progress=False))
    more = files(synthetic_concrete(5, root=tmp_path, progress=False))
    assert (len(few), len(more)) == (6, 10)
    assert few.items() <= more.items()
    assert files(synthetic_concrete(3, root=tmp_path / "elsewhere", progress=False)) == few
    assert not files(synthetic_concrete(3, root=tmp_path, seed=1, progress=False)).items() & few.items()
    assert read_image(tmp_path / "v1-seed0-3" / "Positive" / "00001.jpg").shape == (227, 227, 3)
    assert not list(tmp_path.glob(".drawing-*"))


def test_what_is_drawn_is_not_drawn_again(tmp_path):
    folder = synthetic_concrete(2, root=tmp_path, progress=False)
    marked = folder / "Negative" / "00001.jpg"
    marked.write_bytes(b"mine")
    assert synthetic_concrete(2, root=tmp_path, progress=False) == folder
    assert marked.read_bytes() == b"mine"


def test_the_mask_is_where_the_crack_is(tiles):
    assert not any(mask.any() for _, mask in tiles[0])
    darker = []
    for tile, mask in tiles[1]:
        assert 100 < mask.sum() < 0.4 * mask.size
        near = cv2.dilate(mask.astype(np.uint8), np.ones((15, 15))).astype(bool) & ~mask
        darker.append(np.median(tile[near]) - np.median(tile[mask]))
    assert np.median(darker) > 20
    assert np.mean(np.array(darker) > 0) > 0.95


def test_no_single_cue_tells_the_classes_apart(tiles):
    grays = [tile.mean(axis=2, dtype=np.float32) for label in (0, 1) for tile, _ in tiles[label]]
    labels = np.repeat([0, 1], COUNT)
    sobel = [np.hypot(cv2.Sobel(g, cv2.CV_32F, 1, 0), cv2.Sobel(g, cv2.CV_32F, 0, 1)).mean() for g in grays]
    cues = {
        "brightness": [gray.mean() for gray in grays],
        "contrast": [gray.std() for gray in grays],
        "edge energy": sobel,
        "sharpness": [cv2.Laplacian(gray, cv2.CV_32F).var() for gray in grays],
    }
    half = np.random.default_rng(0).permutation(2 * COUNT) < COUNT
    for name, values in cues.items():
        threshold = DecisionTreeClassifier(max_depth=1).fit(np.reshape(values, (-1, 1))[half], labels[half])
        assert threshold.score(np.reshape(values, (-1, 1))[~half], labels[~half]) < 0.65, name


@pytest.mark.slow
def test_three_conv_learns_it():
    def load(seed, count):
        drawn = [(draw(label, number, seed)[0], label) for number in range(count) for label in (0, 1)]
        small = [cv2.resize(tile, (64, 64), interpolation=cv2.INTER_AREA) for tile, _ in drawn]
        return np.stack(small), np.array([label for _, label in drawn])

    keras.utils.set_random_seed(0)
    model = cnnzoo.create_model("three_conv", input_shape=(64, 64, 3))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"], jit_compile=False)
    model.fit(*load(1, 600), epochs=25, batch_size=16, verbose=0)
    accuracy = model.evaluate(*load(2, 200), verbose=0)[1]
    print(f"three_conv on fresh tiles: {accuracy:.3f}")
    assert accuracy > 0.8


def test_no_images_are_refused():
    with pytest.raises(InputError, match="at least 1"):
        synthetic_concrete(0)
