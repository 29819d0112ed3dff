"""The five public projects that this comparison grew out of, each as a model and a TrainConfig, and our own.

A public recipe keeps its project's model, input size, augmentation, head, optimiser and schedule, but for the
brightness that three_conv takes out. Data, split and test set are the comparison's own, the same for all.
"""

from dataclasses import replace

from cnnzoo.data.augment import Augmentation
from cnnzoo.training.config import Phase, TrainConfig
from experiments.recipes.recipe import Recipe

VIEWS = 3  # of each training image, where frozen layers are computed once

FLIP_AND_ROTATION = Augmentation(horizontal_flip=True, rotation=0.2)


def three_conv() -> Recipe:
    """The three-conv-layer sigmoid CNN, from scratch; its figure is of before the brightness was taken out.

    `--recipes three_conv` on METU's half: test 0.9742 in 2 min 21 s (results/metu_half).
    """
    return Recipe(
        name="three_conv",
        model="three_conv",
        image_size=128,
        batch_size=64,
        config=TrainConfig(phases=(Phase(epochs=15, patience=3),)),
        arguments={"brightness": 0.1},
        pretrained=False,
    )


def mobilenet_v2_160() -> Recipe:
    """MobileNetV2 at 160 pixels, frozen; its project reports 0.9975 on a 70/20/10 split.

    `--recipes mobilenet_v2_160` on METU's half: test 0.9957 in 2 min 04 s (results/metu_half).
    """
    return Recipe(
        name="mobilenet_v2_160",
        model="mobilenet_v2",
        image_size=160,
        batch_size=32,
        config=TrainConfig(
            phases=(Phase(epochs=5, learning_rate=1e-4, trainable="head", patience=5),),
            augmentation=FLIP_AND_ROTATION,
        ),
        arguments={"dropout": 0.3},
    )


def mobilenet_v2_160_finetuned() -> Recipe:
    """MobileNetV2 at 160 pixels, frozen, then fine-tuned from layer 100 of the Keras model on.

    That layer is `block_11_expand_relu`; the first one with weights behind it is `block_11_depthwise`.
    `--recipes mobilenet_v2_160_finetuned` on METU's half: test 0.9985 in 11 min 32 s (results/metu_half).
    """
    frozen = Phase(epochs=10, learning_rate=1e-4, trainable="head", patience=2)
    tuned = Phase(
        epochs=10, optimizer="rmsprop", learning_rate=1e-5, trainable="block_11_expand_relu", patience=2
    )
    return Recipe(
        name="mobilenet_v2_160_finetuned",
        model="mobilenet_v2",
        image_size=160,
        batch_size=32,
        config=TrainConfig(phases=(frozen, tuned), augmentation=FLIP_AND_ROTATION),
        arguments={"dropout": 0.3},
    )


def mobilenet_v2_180() -> Recipe:
    """MobileNetV2 at 180 pixels, frozen; its project took 12,363 s for the five epochs on its machine.

    `--recipes mobilenet_v2_180` on METU's half: test 0.9938 in 2 min 21 s (results/metu_half).
    """
    return Recipe(
        name="mobilenet_v2_180",
        model="mobilenet_v2",
        image_size=180,
        batch_size=64,
        config=TrainConfig(
            phases=(Phase(epochs=5, learning_rate=1e-4, trainable="head"),), augmentation=FLIP_AND_ROTATION
        ),
        arguments={"dropout": 0.3},
    )


def resnet50_128() -> Recipe:
    """ResNet50 at 128 pixels, five epochs frozen, then one epoch of the whole base.

    Its project names neither optimiser nor rates: Adam at Keras' default for the head and 1e-5 for the base.
    No pretrained file was at hand to measure it; from random weights it takes hours on 2 cores.
    """
    return Recipe(
        name="resnet50_128",
        model="resnet50",
        image_size=128,
        batch_size=32,
        config=TrainConfig(
            phases=(Phase(epochs=5, trainable="head"), Phase(epochs=1, learning_rate=1e-5)),
            augmentation=Augmentation(horizontal_flip=True, vertical_flip=True, rotation=0.2),
        ),
        arguments={"dropout": 0.0},
    )


def crack_net() -> Recipe:
    """The small network of this project, from scratch: 129 k parameters at 160 pixels.

    Rate, decay, dropout and augmentation are those of the best of a search with `experiments.tune` on METU's
    half; its stem was then made coarser, which takes half of the time.

    `--recipes crack_net` on METU's half: test 0.9977 in 3 min 38 s (results/metu_half).
    """
    return Recipe(
        name="crack_net",
        model="crack_net",
        image_size=160,
        batch_size=32,
        config=TrainConfig(
            phases=(
                Phase(epochs=10, optimizer="adamw", learning_rate=1e-2, schedule="cosine", weight_decay=4e-3),
            ),
            augmentation=Augmentation(horizontal_flip=True, quarter_turns=True, light=0.4, blur=1.0),
        ),
        pretrained=False,
    )


def crack_net_drawn() -> Recipe:
    """crack_net for surfaces that it was not trained on: drawn ones too, and images changed a great deal.

    Scale, light, contrast, colour and grain are thrown about, so that little but the crack is left to learn;
    the maximum over all places finds a crack in a corner, and a stem finer than crack_net's a fine one.
    results/surfaces compares it and says how it was chosen. The last epoch is kept, since validation images
    are of the one surface that it is not for alone.
    """
    return Recipe(
        name="crack_net_drawn",
        model="crack_net",
        image_size=160,
        batch_size=32,
        config=TrainConfig(
            phases=(
                Phase(
                    epochs=8,
                    optimizer="adamw",
                    learning_rate=4e-3,
                    schedule="cosine",
                    weight_decay=1e-3,
                    keep="last",
                ),
            ),
            augmentation=Augmentation(
                horizontal_flip=True,
                quarter_turns=True,
                zoom=1.0,
                light=0.6,
                gamma=0.65,
                colour=0.2,
                blur=1.0,
                noise=15.0,
            ),
        ),
        pretrained=False,
        arguments={"stem_stride": 3, "max_pooling": True, "dropout": 0.1},
        drawn=22_000,
        several_views=True,
    )


def crack_net_tuned() -> Recipe:
    """The trained crack_net that comes with cnnzoo, trained on with images of one's own."""
    drawn = crack_net_drawn()
    phase = Phase(epochs=10, optimizer="adamw", learning_rate=1e-3, schedule="cosine", weight_decay=1e-3)
    return replace(
        drawn,
        name="crack_net_tuned",
        arguments={"max_pooling": True, "dropout": 0.1},
        config=replace(drawn.config, phases=(phase,)),
        pretrained=True,
        drawn=0,
        epoch_images=1000,
    )


USUAL = {
    recipe.name: recipe
    for recipe in (
        three_conv(),
        crack_net(),
        mobilenet_v2_160(),
        mobilenet_v2_160_finetuned(),
        mobilenet_v2_180(),
        resnet50_128(),
    )
}

# Twins of those that freeze layers: a few views of each image are sent through these once.
FAST = {twin.name: twin for recipe in USUAL.values() if (twin := recipe.with_views(VIEWS)) is not None}

# For surfaces that differ from those that a network was trained on.
OTHER_SURFACES = {recipe.name: recipe for recipe in (crack_net_drawn(), crack_net_tuned())}

RECIPES = USUAL | FAST | OTHER_SURFACES
