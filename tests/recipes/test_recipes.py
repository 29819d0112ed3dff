import json
from dataclasses import asdict, replace

import keras
import pytest

import cnnzoo
from cnnzoo.errors import InputError
from cnnzoo.training.config import Phase
from experiments.recipes.lookup import find_recipes
from experiments.recipes.published import RECIPES


def test_fine_tuning_starts_at_layer_100_of_the_keras_model():
    reference = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(160, 160, 3))
    tuned = RECIPES["mobilenet_v2_160_finetuned"].config.phases[1]
    assert tuned.trainable == reference.layers[100].name
    assert (tuned.optimizer, tuned.learning_rate) == ("rmsprop", 1e-5)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_a_recipes_arguments_are_its_models(recipe):
    assert set(recipe.arguments) <= set(cnnzoo.model_info(recipe.model).arguments)
    published = cnnzoo.model_info(recipe.model).weights_available
    assert recipe.pretrained == (published or recipe.name == "crack_net_tuned")


def test_random_layers_are_never_frozen_and_train_as_long_as_the_recipe():
    recipe = RECIPES["mobilenet_v2_160_finetuned"].from_random_weights()
    (phase,) = recipe.config.phases
    assert (phase.trainable, phase.epochs, phase.patience) == ("all", 20, None)
    # No head's 1e-4.
    assert (phase.optimizer, phase.schedule, phase.learning_rate) == ("adamw", "cosine", 4e-3)
    assert recipe.config.augmentation == RECIPES["mobilenet_v2_160_finetuned"].config.augmentation


def test_capping_shortens_every_phase_and_lengthens_none():
    assert [phase.epochs for phase in RECIPES["resnet50_128"].capped(3).config.phases] == [3, 1]
    assert RECIPES["three_conv"].capped(None).config.phases == (Phase(epochs=15, patience=3),)


def test_an_unknown_recipe_lists_the_near_ones():
    with pytest.raises(InputError, match="mobilenet_v2_160"):
        find_recipes(["mobilenet_160"])
    with pytest.raises(InputError, match="twice"):
        find_recipes(["three_conv", "three_conv"])


def test_a_recipe_survives_its_file(tmp_path):
    recipe = replace(RECIPES["three_conv"], name="mine", arguments={"filters": (8, 16), "dropout": 0.1})
    phases = (Phase(epochs=2, trainable=0.25, patience=2), Phase(epochs=1, schedule="cosine"))
    recipe = replace(recipe, config=replace(recipe.config, phases=phases))
    recipe.save(tmp_path / "mine.json")
    assert find_recipes([str(tmp_path / "mine.json")]) == [recipe]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.json"]


def test_a_models_name_is_a_recipe_for_it():
    (recipe,) = find_recipes(["mobilenet_v2"])
    assert recipe.pretrained and recipe.image_size == 160
    assert {phase.trainable for phase in recipe.from_random_weights().config.phases} == {"all"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.update(batchsize=3), "no field is named batchsize; there are name, model"),
        (lambda r: r.pop("model"), "missing required field model"),
        (lambda r: r.update(image_size="64"), "image_size: Expected int, got str"),
        (lambda r: r.update(name="a/b"), "name is 'a/b'"),
        (lambda r: r.update(batch_size=0), "at least 1"),
        (lambda r: r.pop("config"), "missing required field config"),
        (lambda r: r["config"].update(phases=[]), "at least one Phase"),
        (
            lambda r: r["config"]["phases"][0].update(epochs=2.5),
            r"config\.phases\[0\]\.epochs: Expected int, got float",
        ),
        (lambda r: r["config"]["phases"][0].update(epoch=2), "named config.phases.epoch; there"),
        (lambda r: r["config"]["phases"][0].update(learning_rate=float("nan")), "learning_rate is nan"),
        (lambda r: r["config"]["phases"][0].update(optimizer="adm"), "unknown optimizer 'adm'"),
        (lambda r: r["config"]["augmentation"].update(light=2), "light is 2"),
        (lambda r: r["config"]["augmentation"].update(vertical_flip=1), "vertical_flip: Expected bool"),
    ],
)
def test_a_recipe_file_that_is_wrong_is_named_with_what_is_wrong(tmp_path, change, message):
    values = json.loads(json.dumps(asdict(RECIPES["three_conv"])))
    change(values)
    (tmp_path / "mine.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match=message) as caught:
        find_recipes([str(tmp_path / "mine.json")])
    assert str(caught.value).startswith(str(tmp_path / "mine.json"))


def test_a_recipe_file_that_is_no_recipe_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.json: No such file"):
        find_recipes([str(tmp_path / "none.json")])
    (tmp_path / "text.json").write_text("{'a': 1}")
    with pytest.raises(InputError, match=r"text\.json: Expecting property name"):
        find_recipes([str(tmp_path / "text.json")])
