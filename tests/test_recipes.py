import keras
import pytest

import cnnzoo
from cnnzoo.config import Phase
from cnnzoo.errors import InputError
from experiments.recipes import RECIPES, find_recipes


def test_the_five_projects_are_there_by_name():
    assert list(RECIPES) == [
        "three_conv",
        "mobilenet_v2_160",
        "mobilenet_v2_160_finetuned",
        "mobilenet_v2_180",
        "resnet50_128",
    ]


def test_fine_tuning_starts_at_layer_100_of_the_keras_model():
    reference = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(160, 160, 3))
    tuned = RECIPES["mobilenet_v2_160_finetuned"].config.phases[1]
    assert tuned.trainable == reference.layers[100].name
    assert (tuned.optimizer, tuned.learning_rate) == ("rmsprop", 1e-5)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_a_recipes_arguments_are_its_models(recipe):
    assert set(recipe.arguments) <= set(cnnzoo.model_info(recipe.model).arguments)
    assert recipe.pretrained == cnnzoo.model_info(recipe.model).weights_available


def test_random_layers_are_never_frozen():
    recipe = RECIPES["mobilenet_v2_160_finetuned"].from_random_weights()
    assert {phase.trainable for phase in recipe.config.phases} == {"all"}


def test_capping_shortens_every_phase_and_lengthens_none():
    assert [phase.epochs for phase in RECIPES["resnet50_128"].capped(3).config.phases] == [3, 1]
    assert RECIPES["three_conv"].capped(None).config.phases == (Phase(epochs=15, patience=3),)


def test_an_unknown_recipe_lists_the_near_ones():
    with pytest.raises(InputError, match="mobilenet_v2_160"):
        find_recipes(["mobilenet_160"])
    with pytest.raises(InputError, match="twice"):
        find_recipes(["three_conv", "three_conv"])
