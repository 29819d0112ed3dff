"""The training of a recipe as tutorials write it: `image_dataset_from_directory`, augmentation and a backbone
of keras.applications in the model, `fit`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
from keras import layers

from cnnzoo.data.augment import Augmentation
from cnnzoo.models.transfer import set_trainable
from cnnzoo.training.config import Phase
from cnnzoo.training.fit import loss_for
from experiments.recipes.recipe import Recipe

NAME = "plain Keras"


def dataset(folder: Path, recipe: Recipe) -> Any:
    """Returns the images of a folder, resized, shuffled and in batches, as a tf.data.Dataset."""
    size = (recipe.image_size, recipe.image_size)
    return keras.utils.image_dataset_from_directory(
        folder, image_size=size, batch_size=recipe.batch_size, seed=0, verbose=False
    )


def model(recipe: Recipe, phase: Phase, *, num_classes: int, weights_file: str = "") -> keras.Model:
    """Returns the compiled model of a phase.

    A network that keras.applications has is its; any other is the one of cnnzoo. Random weights where
    `weights_file` is empty.
    """
    inputs = keras.Input((recipe.image_size, recipe.image_size, 3))
    x = inputs
    for layer in _augmentation_layers(recipe.config.augmentation):
        x = layer(x)
    network = _APPLICATIONS.get(recipe.model)
    if network is not None:
        outputs = _on_backbone(network(recipe, phase, weights_file), x, recipe, num_classes)
    elif recipe.model == "three_conv":
        outputs = _three_conv(x, recipe, num_classes)
    else:
        ours = recipe.build_model(num_classes=num_classes, weights_file=weights_file)
        set_trainable(ours, phase.trainable)
        outputs = ours(x)
    plain = keras.Model(inputs, outputs)
    plain.compile(_optimizer(phase), loss_for(plain), metrics=["accuracy"])
    return plain


def _augmentation_layers(augmentation: Augmentation) -> list[layers.Layer]:
    """What tutorials have for it: flips both ways for quarter turns, and neither blur nor colour."""
    down = augmentation.vertical_flip or augmentation.quarter_turns
    across = augmentation.horizontal_flip
    found: list[layers.Layer] = []
    if across or down:
        both = "horizontal_and_vertical"
        found.append(layers.RandomFlip(both if across and down else "horizontal" if across else "vertical"))
    if augmentation.rotation:
        found.append(layers.RandomRotation(augmentation.rotation))
    if augmentation.zoom:
        found.append(layers.RandomZoom(augmentation.zoom))
    if augmentation.light:
        found += [layers.RandomContrast(augmentation.light), layers.RandomBrightness(augmentation.light / 2)]
    if augmentation.noise:
        found.append(layers.GaussianNoise(augmentation.noise))
    return found


def _mobilenet_v2(recipe: Recipe, phase: Phase, weights_file: str) -> Callable[[Any], Any]:
    shape = (recipe.image_size, recipe.image_size, 3)
    backbone = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=shape)
    _prepare(backbone, phase, weights_file)
    return lambda x: backbone(layers.Rescaling(1 / 127.5, offset=-1)(x), training=False)


def _resnet50(recipe: Recipe, phase: Phase, weights_file: str) -> Callable[[Any], Any]:
    shape = (recipe.image_size, recipe.image_size, 3)
    backbone = keras.applications.ResNet50(include_top=False, weights=None, input_shape=shape)
    _prepare(backbone, phase, weights_file)
    return lambda x: backbone(keras.applications.resnet50.preprocess_input(x), training=False)


_APPLICATIONS = {"mobilenet_v2": _mobilenet_v2, "resnet50": _resnet50}


def _prepare(backbone: keras.Model, phase: Phase, weights_file: str) -> None:
    if weights_file:
        backbone.load_weights(weights_file)
    if phase.trainable == "head":
        backbone.trainable = False
        return
    names = [layer.name for layer in backbone.layers]
    first = 0 if phase.trainable == "all" else names.index(str(phase.trainable))
    for layer in backbone.layers[:first]:
        layer.trainable = False


def _on_backbone(backbone: Callable[[Any], Any], x: Any, recipe: Recipe, num_classes: int) -> Any:
    x = layers.GlobalAveragePooling2D()(backbone(x))
    if dropout := recipe.arguments.get("dropout"):
        x = layers.Dropout(dropout)(x)
    return layers.Dense(num_classes, activation="softmax")(x)


def _three_conv(x: Any, recipe: Recipe, num_classes: int) -> Any:
    x = layers.Rescaling(1 / 255)(x)
    for filters in recipe.arguments.get("filters", (16, 32, 32)):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.Dropout(0.2)(layers.MaxPooling2D()(x))
    x = layers.Dense(64, activation="relu")(layers.Flatten()(x))
    if num_classes == 2:
        return layers.Dense(1, activation="sigmoid")(x)
    return layers.Dense(num_classes, activation="softmax")(x)


def _optimizer(phase: Phase) -> keras.optimizers.Optimizer:
    if phase.optimizer == "adamw":
        return keras.optimizers.AdamW(phase.learning_rate, weight_decay=phase.weight_decay)
    known = {
        "adam": keras.optimizers.Adam,
        "rmsprop": keras.optimizers.RMSprop,
        "sgd": keras.optimizers.SGD,
    }
    return known[phase.optimizer](phase.learning_rate)
