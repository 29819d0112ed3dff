"""What a model says of one picture: a verdict on a tile, or a map of the cracks in a whole photograph."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from cnnzoo.data.images import read_image, resize_image
from cnnzoo.deploy.classifier import Classifier, asking, load_model
from cnnzoo.deploy.exports.runtimes import READABLE, Exported, load_exported
from cnnzoo.deploy.photograph import CrackMap, CrackMapper
from cnnzoo.deploy.verdicts import Prediction, verdicts
from cnnzoo.errors import InputError, printable
from cnnzoo.evaluation.explain import grad_cam, overlay
from cnnzoo.evaluation.likeness import FEW_UNLIKE
from experiments.cli.asked import SHIPPED
from experiments.mapping.drawings import drawn, fitting_size
from experiments.mapping.measures import Photograph, measured

CHOOSE, TILE, PHOTOGRAPH = "Choose for me", "One tile", "Whole photograph"

SHOWN_SIDE = 1600  # pixels of a picture on the page, at most
SMALL_SIDE = 640  # pixels that a smaller one is enlarged to
MOST_TILES = 400  # of a photograph that are compared with the training images

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Answer:
    """What the page shows of a picture.

    Attributes:
        verdict: on the picture as one tile.
        width, height: of the picture, pixels.
        notes: what to know before one believes it.
        picture: where the model looked, or the photograph with outlined cracks; None where it can't say.
        photograph: the measures of a map; None for a tile.
    """

    verdict: Prediction
    width: int
    height: int
    notes: tuple[str, ...]
    picture: Picture | None
    photograph: Photograph | None = None


class Answerer:
    """A model of any kind that is asked about pictures.

    Attributes:
        known: the model and what is known of it.
        shipped: whether it is the one that comes with cnnzoo.
        no_maps: why it can't map cracks; empty where it can.
    """

    def __init__(
        self, model: Path | None = None, *, tile: int | None = None, threshold: float | None = None
    ) -> None:
        """Loads a model, as `cnnzoo predict` takes it; `tile` and `threshold` as `cnnzoo map` does.

        Raises:
            InputError: it can't be loaded, or has no class that these could be for.
        """
        self.shipped = model is None or (str(model) == SHIPPED and not model.exists())
        self.known: Classifier | Exported
        mapped_by: Classifier | Path  # of an exported one the mapper takes the file
        if model is not None and model.suffix in READABLE:
            self.known, mapped_by = load_exported(model), model
        else:
            self.known = mapped_by = load_model(model or SHIPPED)
        self._mapper: CrackMapper | None = None
        self.no_maps = ""
        try:
            self._mapper = CrackMapper(mapped_by, tile=tile, threshold=threshold)
        except InputError as error:
            if tile is not None or threshold is not None:
                raise
            self.no_maps = str(error)
        if threshold is not None and self._mapper is not None:
            decision = replace(self.known.decision, positive=self._mapper.positive, threshold=threshold)
            self.known = replace(self.known, decision=decision)
        self._size, self._ask = (
            (self.known.size, self.known.ask) if isinstance(self.known, Exported) else asking(self.known)
        )

    def answer(self, path: Path, way: str = CHOOSE, told: Callable[[float], None] | None = None) -> Answer:
        """Returns what the model says of the picture in a file.

        Args:
            path: of the file.
            way: how it is looked at.
            told: called with the share of a photograph's map that is done.

        Raises:
            InputError: it can't be read, or the model can't be asked about it; it names the file alone, not
                the folder that it was kept in.
        """
        try:
            return self._answer(path, way, told)
        except InputError as error:
            reason = str(error).removeprefix(f"{printable(path)}: ")
        except (MemoryError, cv2.error):
            reason = "not enough memory for it"
        raise InputError(f"{path.name}: {reason}")

    def _answer(self, path: Path, way: str, told: Callable[[float], None] | None) -> Answer:
        verdict = next(verdicts(self.known, self._size, self._ask, [path], 1))
        if verdict.error:
            raise InputError(verdict.error)
        # As `predict` warns: what is so much larger than the tiles of the training is no tile.
        whole = way == PHOTOGRAPH or (way == CHOOSE and verdict.times_larger > 0)
        if whole and self._mapper is not None:
            return self._mapped(path, verdict, self._mapper.map(path, told=told))
        return self._looked_at(path, verdict)

    def _looked_at(self, path: Path, verdict: Prediction) -> Answer:
        """The verdict on a tile, with the place that it rests on."""
        pixels = read_image(path)
        height, width = pixels.shape[:2]
        notes = [_unlike_note("This picture is", "its verdict on it is")] * verdict.unlike
        if verdict.times_larger:
            notes.append(
                f"The picture is {verdict.times_larger:.0f} times as large as those that the model learnt "
                "from. It was shrunk, and a crack in it too, which may be missed"
                + (f": look at it as a “{PHOTOGRAPH.lower()}”." if self._mapper else ".")
            )
        picture, reason = self._explained(pixels, verdict)
        notes += [reason] if reason else []
        return Answer(verdict, width, height, tuple(notes), picture)

    def _explained(self, pixels: Picture, verdict: Prediction) -> tuple[Picture | None, str]:
        """Grad-CAM of the verdict, laid over the picture; or why there is none."""
        if isinstance(self.known, Exported):
            return (
                None,
                "An exported model gives its answer alone: where it looked, only a .keras file tells.",
            )
        class_id = self.known.class_names.index(verdict.class_name)
        try:
            (found,) = grad_cam(self.known.model, resize_image(pixels, self._size)[None], class_id)
        except InputError as error:
            return None, f"Where it looked can't be shown: {error}"
        shown = cv2.resize(pixels, _shown_size(pixels), interpolation=cv2.INTER_CUBIC)
        return overlay(shown, cv2.resize(found, shown.shape[1::-1]).clip(0, 1)), ""

    def _mapped(self, path: Path, verdict: Prediction, found: CrackMap) -> Answer:
        """The map of a photograph, and its measures."""
        height, width = found.cracks.shape
        cracks = found.traced()
        measures = measured(Path(path.name), "", "", "", found, cracks)
        notes = []
        unlike = self._unlike_share(found)
        if unlike > FEW_UNLIKE:
            share = f"{100 * unlike:.0f} % of this photograph's tiles are"
            notes.append(_unlike_note(share, "its verdicts on them are"))
        return Answer(verdict, width, height, tuple(notes), drawn(found, SHOWN_SIDE), measures)

    def _unlike_share(self, found: CrackMap) -> float:
        """Share of tiles, side by side, that are unlike the training images."""
        if self.known.likeness is None:
            return 0.0
        height, width = found.cracks.shape
        tile = found.tile
        corners = [
            (y, x) for y in range(0, height - tile + 1, tile) for x in range(0, width - tile + 1, tile)
        ]
        corners = corners[:: -(-len(corners) // MOST_TILES)]
        tiles = [resize_image(found.photograph[y : y + tile, x : x + tile], self._size) for y, x in corners]
        return float((self.known.likeness.distances(np.stack(tiles)) > 1).mean())


def _unlike_note(what: str, verdict: str) -> str:
    return (
        f"{what} unlike those that this model was trained on, in light, colour or roughness; {verdict} not "
        "to be trusted."
    )


def _shown_size(pixels: Picture) -> tuple[int, int]:
    """Width and height on the page: a tile is enlarged, a photograph shrunk."""
    width, height = fitting_size(pixels, SHOWN_SIDE)
    scale = max(1.0, SMALL_SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))
