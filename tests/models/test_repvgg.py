"""RepVGG: the form that trains and the plain one compute the same."""

import keras
import numpy as np
import pytest
from parity import difference, predict, settle

from cnnzoo.errors import InputError
from cnnzoo.models.catalogue import create_model
from cnnzoo.models.families.repvgg import reparameterised
from cnnzoo.models.transfer import backbone_of


def repvgg_a0_parameters():
    """By hand from table 2 of the paper: channels of a stage, its blocks; two values a channel and norm."""
    trained = deployed = 0
    before = 3
    for channels, blocks in ((48, 1), (48, 2), (96, 4), (192, 14), (1280, 1)):
        for number in range(blocks):
            norms = 2 if number == 0 else 3
            trained += (9 + 1) * before * channels + norms * 2 * channels
            deployed += 9 * before * channels + channels
            before = channels
    head = (1280 + 1) * 1000
    return trained + head, deployed + head


def test_the_hand_count_of_repvgg_agrees_with_the_paper():
    trained, deployed = repvgg_a0_parameters()
    assert trained == 9_108_968
    # Table 4 says 8.30 million, cut off rather than rounded; the authors' page 9.11 before the merger.
    assert (round(trained / 1e6, 2), int(deployed / 1e4) / 100) == (9.11, 8.30)


@pytest.mark.parametrize("shape", [(64, 64, 3), (45, 33, 3), (32, 48, 1)])
def test_reparameterised_repvgg_has_the_same_outputs_and_fewer_weights(shape, tmp_path):
    keras.utils.set_random_seed(0)
    model = create_model("repvgg_a0", input_shape=shape, blocks=(2, 2, 3, 1), num_classes=3, dropout=0.2)
    x = np.random.default_rng(1).integers(0, 256, (4, *shape)).astype(np.uint8)
    backbone = backbone_of(model)
    settle(backbone, np.random.default_rng(0).normal(size=(8, *shape)).astype(np.float32))
    before = model.get_weights()
    plain = reparameterised(model)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in backbone_of(plain).layers)
    assert plain.count_params() < model.count_params()
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    inner = keras.Model(model.input, backbone._inbound_nodes[-1].input_tensors[0])
    assert difference(backbone_of(plain), backbone, predict(inner, x)) < 1e-4
    np.testing.assert_allclose(predict(plain, x), predict(model, x), atol=1e-4)
    plain.save(tmp_path / "plain.keras")
    loaded = keras.models.load_model(tmp_path / "plain.keras")
    np.testing.assert_array_equal(predict(loaded, x), predict(plain, x))


def test_reparameterised_repvgg_a0_has_the_published_size():
    plain = reparameterised(create_model("repvgg_a0", input_shape=(32, 32, 3), num_classes=1000))
    assert plain.count_params() == repvgg_a0_parameters()[1]
    with pytest.raises(InputError, match="has no branches to merge"):
        reparameterised(plain)
    with pytest.raises(InputError, match="has no branches to merge"):
        reparameterised(create_model("lenet5"))
