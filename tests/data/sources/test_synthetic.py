import cv2
import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

import cnnzoo
from cnnzoo.data.images import read_image
from cnnzoo.data.sources.concrete import TILE as METU_TILE
from cnnzoo.data.sources.concrete import draw_tile
from cnnzoo.data.sources.synthetic import TILE, synthetic_concrete
from cnnzoo.errors import InputError

COUNT = 200


def draw(label, number, seed=0, size=METU_TILE):
    return draw_tile(np.random.default_rng([seed, label, number]), crack=bool(label), size=size)


@pytest.fixture(scope="module", params=[METU_TILE, TILE])
def tiles(request):
    return {label: [draw(label, number, size=request.param) for number in range(COUNT)] for label in (0, 1)}


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.jpg")}


def test_more_images_keep_the_earlier_ones_bit_for_bit(tmp_path):
    few = files(synthetic_concrete(3, root=tmp_path, progress=False))
    more = files(synthetic_concrete(5, root=tmp_path, progress=False))
    assert (len(few), len(more)) == (6, 10)
    assert few.items() <= more.items()
    assert files(synthetic_concrete(3, root=tmp_path / "elsewhere", progress=False)) == few
    assert not files(synthetic_concrete(3, root=tmp_path, seed=1, progress=False)).items() & few.items()
    assert read_image(tmp_path / "v2-seed0-3" / "Positive" / "00001.jpg").shape == (TILE, TILE, 3)
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
        assert len(mask) < mask.sum() < 0.5 * mask.size
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
    # In a small tile a crack is so much of it that its contrast can't be made up for elsewhere.
    limits = dict.fromkeys(cues, 0.65) | ({"contrast": 0.8} if len(grays[0]) == TILE else {})
    half = np.random.default_rng(0).permutation(2 * COUNT) < COUNT
    for name, values in cues.items():
        threshold = DecisionTreeClassifier(max_depth=1).fit(np.reshape(values, (-1, 1))[half], labels[half])
        assert threshold.score(np.reshape(values, (-1, 1))[~half], labels[~half]) < limits[name], name


def test_three_conv_leaves_chance_within_an_epoch_and_learns_it():
    def load(seed, count):
        items = [(label, number) for number in range(count) for label in (0, 1)]
        return np.stack([draw(*item, seed, TILE)[0] for item in items]), np.array([y for y, _ in items])

    train, test = load(1, 400), load(2, 100)
    model = cnnzoo.create_model("three_conv", input_shape=(TILE, TILE, 3))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"], jit_compile=False)
    losses = model.fit(*train, epochs=4, batch_size=64, verbose=0).history["loss"]
    assert losses[1] < 0.62, "chance is 0.69"
    assert model.evaluate(*test, verbose=0)[1] > 0.8


def test_no_images_are_refused():
    with pytest.raises(InputError, match="at least 1"):
        synthetic_concrete(0)
