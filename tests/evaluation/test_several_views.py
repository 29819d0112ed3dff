import cv2
import keras
import numpy as np
import pytest

import cnnzoo
from cnnzoo.deploy.classifier import asking
from cnnzoo.deploy.photograph import CrackMapper
from cnnzoo.deploy.suggesting import _with_features
from cnnzoo.evaluation.calibration import Decision
from cnnzoo.evaluation.several_views import one_view, several_views

DECISION = Decision(positive="crack", threshold=0.5)


def network(head, side=64):
    """A trained one says nearly the same of all views; these weights make the differences large."""
    keras.utils.set_random_seed(3)
    model = cnnzoo.create_model("crack_net", input_shape=(side, side, 3), num_classes=2, head=head)
    last = model.layers[-1]
    last.set_weights([30 * weight for weight in last.get_weights()])
    return model


@pytest.fixture(scope="module")
def images():
    ramps = np.add.outer(np.arange(64) * 3, np.arange(64))[None, ..., None] % 256
    return np.concatenate([np.broadcast_to(ramps, (1, 64, 64, 3)), 255 - np.tile(ramps, 3)]).astype(np.uint8)


@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
def test_its_log_odds_are_the_mean_of_those_of_nine_views(head, images):
    floats = images.astype(np.float32)
    small = np.stack([cv2.resize(image, (32, 32), interpolation=cv2.INTER_LINEAR) for image in floats])
    large = np.stack([cv2.resize(image, (90, 90), interpolation=cv2.INTER_LINEAR) for image in floats])
    views = [small, np.flip(small, 1), np.flip(small, 2), np.flip(floats, 1), np.flip(floats, (1, 2))]
    views += [large, np.flip(large, 1), np.flip(large, 2), np.flip(large, (1, 2))]
    each = {side: network(head, side) for side in (32, 64, 90)}
    single = np.array([each[view.shape[1]].predict_on_batch(view)[:, -1] for view in views], np.float64)
    odds = np.log(single) - np.log1p(-single)
    assert odds.std(axis=0).min() > 1e-3  # or else any view would do
    found = several_views(each[64]).predict_on_batch(images)
    np.testing.assert_allclose(found[:, -1], 1 / (1 + np.exp(-odds.mean(axis=0))), rtol=1e-3)
    assert found.shape == (2, each[64].output_shape[-1])


def test_a_network_of_one_size_looks_at_four_mirrored_views(images):
    keras.utils.set_random_seed(3)
    model = cnnzoo.create_model("three_conv", input_shape=(64, 64, 3), num_classes=2)
    whole = several_views(model)
    for axes in (1, 2, (1, 2)):
        np.testing.assert_allclose(whole(images), whole(np.flip(images, axes)), atol=1e-6)
    assert np.abs(model(images) - whole(images)).max() > 1e-5
    assert one_view(whole) is model


@pytest.mark.parametrize("name", ["mobilenet_v2", "three_conv"])
def test_networks_that_take_one_size_are_not_asked_at_others(name):
    model = cnnzoo.create_model(name, input_shape=(64, 64, 3), num_classes=2)
    assert [layer for layer in several_views(model).layers if layer is model]


def test_a_network_that_mixes_images_at_other_sizes_is_not_asked_at_them():
    images = keras.Input((64, 64, 1))
    rows = keras.ops.reshape(images, (-1, 64 * 64))
    model = keras.Model(images, keras.layers.Dense(2, activation="softmax")(rows))
    assert several_views(model).predict(np.zeros((3, 64, 64, 1)), verbose=0).shape == (3, 2)


def test_it_shares_its_weights_and_can_be_taken_apart(saved):
    model = network("softmax")
    whole = several_views(model)
    assert whole.count_params() == model.count_params()
    assert one_view(whole) is model
    assert one_view(model) is model
    loaded = cnnzoo.load_model(saved).model
    single = one_view(loaded)
    assert single.input_shape == model.input_shape
    assert one_view(loaded) is single
    assert all(a is b for a, b in zip(single.weights, loaded.weights, strict=True))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("views") / "model.keras"
    cnnzoo.save_model(
        several_views(network("softmax")), path, class_names=("plain", "crack"), decision=DECISION
    )
    return path


def test_it_is_saved_and_explained_as_any_other(saved, images):
    loaded = cnnzoo.load_model(saved)
    whole = several_views(network("softmax"))
    np.testing.assert_allclose(asking(loaded)[1](images), whole.predict_on_batch(images), atol=1e-6)
    np.testing.assert_allclose(
        cnnzoo.grad_cam(loaded.model, images, 1), cnnzoo.grad_cam(network("softmax"), images, 1), atol=1e-4
    )


def test_a_map_looks_once_at_each_tile(saved, images):
    """Its tiles overlap, so that each place is seen in four of them already."""
    look = CrackMapper(saved)._looker.look
    found = look(images)[0]
    single = network("softmax").predict_on_batch(images)
    np.testing.assert_allclose(found, np.log(single[:, 1]) - np.log(single[:, 0]), rtol=1e-3, atol=1e-3)


def test_images_are_suggested_by_its_features(saved, images, tmp_path):
    from cnnzoo.data.images import encode_jpeg

    for number, image in enumerate((*images, *images[:, ::-1])):
        (tmp_path / f"{number}.jpg").write_bytes(encode_jpeg(image, 95))
    chosen, bad = cnnzoo.suggest(saved, sorted(tmp_path.iterdir()), count=2)
    assert len(chosen) == 2
    assert not bad
    single = network("softmax")
    wanted = keras.Model(single.inputs[0], single.layers[-1].input).predict_on_batch(images)
    found, answers = _with_features(several_views(single)).predict_on_batch(images)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    np.testing.assert_allclose(answers, several_views(single).predict_on_batch(images), atol=1e-6)


def test_the_state_of_an_optimiser_inside_is_not_saved(saved, tmp_path):
    model = network("softmax")
    model.compile("adamw", "sparse_categorical_crossentropy")
    model.fit(np.zeros((2, 64, 64, 3)), np.zeros(2), verbose=0)
    path = tmp_path / "trained.keras"
    cnnzoo.save_model(several_views(model), path, class_names=("plain", "crack"), decision=DECISION)
    assert path.stat().st_size < 1.1 * saved.stat().st_size
    assert model.optimizer is not None and model.compiled
