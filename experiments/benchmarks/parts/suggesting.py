"""`python -m experiments.benchmarks.parts.suggesting`: what labels teach, suggested ones and random ones.

The images of a folder are cut into halves, photographs whole. From one half images are labelled, as
`suggest` would have them or at random, in rounds: the network that comes with cnnzoo is trained with them as
the recipe crack_net_tuned does, and its successor suggests the next ones. The other half tests it.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cnnzoo.backend import import_keras
from cnnzoo.files import append_line
from experiments.cli.arguments import Parser, make_folders
from experiments.cli.process import exit_code, quiet_stderr
from experiments.cli.say import say
from experiments.recipes.published import crack_net_tuned

if TYPE_CHECKING:
    from cnnzoo.data.manifest import Manifest
    from cnnzoo.deploy.classifier import Classifier

SIZES = (10, 20, 40, 80, 160)
WAYS = ("suggested", "random")
FILE = "labels.jsonl"


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; argparse ends a wrong one with exit code 2."""
    parser = Parser(
        prog="python -m experiments.benchmarks.parts.suggesting",
        description="How many labels of a new surface the network in the package needs, as suggest chooses "
        "them and at random. The same command goes on where it stopped.",
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="a folder per class")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="halves to repeat it with")
    parser.add_argument("--out", type=Path, default=Path("suggested"), help="folder for the measurements")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Appends a line for each seed, way and number of labels to OUT/labels.jsonl. Returns the exit code."""
    options = parse_arguments(arguments)
    make_folders(options.out, [""])
    with quiet_stderr():
        import_keras()
        from cnnzoo.data.audit.examine import audit_manifest
        from cnnzoo.data.manifest import build_manifest
    from experiments.runs.environment import describe_environment

    manifest = build_manifest(options.data)
    groups = np.array(audit_manifest(manifest).groups)
    file = options.out / FILE
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    about = {"data": options.data.name, "environment": describe_environment()}
    made = {(line["seed"], line["way"]) for line in map(json.loads, lines) if line["labels"] == SIZES[-1]}
    for seed in range(options.seeds):
        for way in WAYS:
            if (seed, way) in made:
                continue
            for found in _rounds(manifest, groups, seed, way):
                append_line(file, json.dumps({**found, **about}))
                say(f"seed {seed}, {found['labels']} labels, {way}: {found['balanced_accuracy']:.4f}")
    return 0


def _rounds(manifest: "Manifest", groups: npt.NDArray, seed: int, way: str) -> Iterator[dict[str, Any]]:
    from sklearn.model_selection import StratifiedGroupKFold

    from cnnzoo.deploy.classifier import load_model

    labels = np.array([image.label for image in manifest.images])
    halves = StratifiedGroupKFold(2, shuffle=True, random_state=seed)
    pool, tested = next(halves.split(labels, labels, groups))
    classifier, labelled = load_model("crack_net"), np.empty(0, int)
    yield _measured(classifier, manifest, tested, labels) | {"seed": seed, "way": way, "labels": 0}
    for size in SIZES:
        left = np.setdiff1d(pool, labelled)
        more = _chosen(classifier, manifest, left, size - len(labelled), way, seed)
        labelled = np.concatenate([labelled, more])
        classifier = _trained(manifest, labelled, tested, seed)
        yield _measured(classifier, manifest, tested, labels) | {"seed": seed, "way": way, "labels": size}


def _chosen(
    classifier: "Classifier", manifest: "Manifest", left: npt.NDArray, count: int, way: str, seed: int
) -> npt.NDArray[np.int64]:
    from cnnzoo.deploy.suggesting import suggest

    if way == "random":
        return np.random.default_rng([seed, count]).permutation(left)[:count]
    places = {manifest.root / manifest.images[i].path: i for i in left.tolist()}
    chosen, _ = suggest(classifier, list(places), count=count)
    return np.array([places[verdict.path] for verdict in chosen])


def _trained(manifest: "Manifest", labelled: npt.NDArray, tested: npt.NDArray, seed: int) -> "Classifier":
    """The network in the package after training on the labelled images, a fifth of which choose the epoch."""
    import keras
    from sklearn.model_selection import train_test_split

    from cnnzoo.data.pipeline import load_datasets
    from cnnzoo.data.splits import Split
    from cnnzoo.deploy.classifier import Classifier
    from cnnzoo.models.shipped import shipped_file
    from cnnzoo.training.fit import fit

    recipe = crack_net_tuned()
    of = [manifest.images[i].label for i in labelled.tolist()]
    train, validation = train_test_split(labelled.tolist(), test_size=0.2, stratify=of, random_state=seed)
    split = Split(tuple(train), tuple(validation), tuple(tested.tolist()))
    data = load_datasets(
        manifest, image_size=recipe.image_size, batch_size=recipe.batch_size, split=split, progress=False
    )
    data = replace(data, train=data.train.repeated(-(-recipe.epoch_images // len(data.train))))
    keras.utils.set_random_seed(seed)
    positive = data.class_names.index("Positive")
    model = recipe.build_model(
        num_classes=2,
        weights_file=str(shipped_file(recipe.model)),
        positive=positive,
    )
    fit(model, data, replace(recipe.config, seed=seed), progress=False)
    return Classifier(model, data.class_names)


def _measured(
    classifier: "Classifier", manifest: "Manifest", tested: npt.NDArray, labels: npt.NDArray
) -> dict[str, Any]:
    from sklearn.metrics import balanced_accuracy_score

    from cnnzoo.deploy.classifier import predict

    files = [manifest.root / manifest.images[i].path for i in tested.tolist()]
    said = [classifier.class_names.index(verdict.class_name) for verdict in predict(classifier, files)]
    return {"balanced_accuracy": float(balanced_accuracy_score(labels[tested], said)), "tested": len(tested)}


if __name__ == "__main__":
    sys.exit(exit_code(main))
