"""The faces on one decoded picture, by two networks that OpenCV runs: one finds them, one describes each.

    finder = NetworkFinder(model)     opens the networks; once for each worker
    finder.faces(upright)             the faces, by their place

Promises: the same faces, to the bit, for the same picture on the same machine; in order of place. What is opened are the
bytes whose SHA-256 the model names. A face whose five points lie too near each other to set it straight has no embedding.
Does not guarantee the same bits on machines whose processors add in another order.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ...exceptions import ConfigurationError
from .face import DIMENSIONS, LEAST_PX, SCALE, Face
from .models import Description, FaceModel, content_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

# Two boxes of one pass, or of two, are one face if they share so much of their union, or if one covers so much of the
# other: on a close-up the large picture shows parts of a face that look like small ones.
SHARED, COVERED = 0.3, 0.7
MOST_FACES = 1000  # of one picture
# Pixels between the two points of a face that are farthest from each other: below, no line through them is certain.
LEAST_SPREAD = 6.0
DIGITS = 6  # of fractions and scores that are kept: a thousandth of a pixel
_ALIGNED = 112  # pixels a side of a face that OpenCV has set straight

# Columns of a row that the detector gives: box, five points, score.
_BOX, _POINTS, _SCORE = slice(0, 4), slice(4, 14), 14


class NetworkFinder:
    """A `FaceFinder` by the networks of `model`. ConfigurationError where they are no longer the ones that were named, or
    OpenCV cannot take them."""

    def __init__(self, model: FaceModel) -> None:
        import cv2

        self._model = model
        detector, recognizer = content_of(model.detector), content_of(model.recognizer)
        network = model.detector
        try:
            with _quietly():
                self._detector = cv2.FaceDetectorYN.create(
                    "onnx",
                    np.frombuffer(detector, np.uint8),
                    np.empty(0, np.uint8),
                    (320, 320),
                    model.detection.least_score,
                    SHARED,
                    MOST_FACES,
                )
                network = model.recognizer
                self._describer = _Describer(recognizer, model.description)
                self._try()
        except cv2.error as error:
            raise ConfigurationError(
                "{path} is no network that OpenCV {version} can use like this: {reason}",
                path=network.path,
                version=cv2.__version__,
                reason=" ".join(str(error).split()),
            ) from error

    def _try(self) -> None:
        """Find faces on nothing, and describe one: ConfigurationError for networks of another kind."""
        blank = np.zeros((_ALIGNED, _ALIGNED, 3), np.uint8)
        self._detector.setInputSize((_ALIGNED, _ALIGNED))
        self._detector.detect(blank)
        numbers = len(self._describer.said_of(blank))
        if numbers != DIMENSIONS:
            raise ConfigurationError(
                "{path} describes a face by {numbers} numbers, and Lote keeps {dimensions}: use another network.",
                path=self._model.recognizer.path,
                numbers=numbers,
                dimensions=DIMENSIONS,
            )

    @property
    def name(self) -> str:
        return self._model.name

    def faces(self, upright: NDArray[np.uint8]) -> Sequence[Face]:
        """As `FaceFinder.faces`. The picture is made smaller for each pass, never larger."""
        picture = within(upright, self._model.side)
        height, width = picture.shape[:2]
        rows = _distinct(np.concatenate(list(self._passes(picture))))
        found = []
        for row in sorted(rows, key=lambda row: (float(row[1]), float(row[0]), -float(row[_SCORE]))):
            x, y, w, h = (float(value) for value in row[_BOX])
            if min(w, h) < LEAST_PX:
                continue
            points = row[_POINTS].reshape(5, 2)
            found.append(
                Face(
                    round(x / width, DIGITS),
                    round(y / height, DIGITS),
                    round(w / width, DIGITS),
                    round(h / height, DIGITS),
                    round(min(1.0, float(row[_SCORE])), DIGITS),
                    round(min(w, h), 3),
                    tuple((float(px) / width, float(py) / height) for px, py in points),
                    self._describer.embedding(picture, row) if _spread(points) >= LEAST_SPREAD else None,
                )
            )
        return found

    def _passes(self, picture: NDArray[np.uint8]) -> Iterator[NDArray[np.float32]]:
        """What the detector finds in each size of the picture, in pixels of `picture`."""
        yield np.empty((0, _SCORE + 1), np.float32)
        last = None
        for side in self._model.detection.sides:
            smaller = within(picture, side)
            if smaller.shape == last:
                continue  # the whole picture is smaller than that
            last = smaller.shape
            height, width = smaller.shape[:2]
            self._detector.setInputSize((width, height))
            rows = self._detector.detect(smaller)[1]
            if rows is None:
                continue
            found: NDArray[np.float32] = np.array(rows, np.float32)
            found = found[np.isfinite(found).all(axis=1)]
            found[:, 0:14:2] *= picture.shape[1] / width
            found[:, 1:14:2] *= picture.shape[0] / height
            yield found


class _Describer:
    """Sets a face straight and describes it."""

    def __init__(self, network: bytes, description: Description) -> None:
        import cv2

        content = np.frombuffer(network, np.uint8)
        self._recognizer = cv2.FaceRecognizerSF.create("onnx", content, np.empty(0, np.uint8))
        # What OpenCV's recognizer gives its network; any other is asked by itself.
        self._own = None if description == Description() else cv2.dnn.readNetFromONNX(content)
        self._description = description

    def embedding(self, picture: NDArray[np.uint8], row: NDArray[np.float32]) -> bytes | None:
        """`DIMENSIONS` int8; None where the network has nothing to say of it."""
        vector = self.said_of(np.asarray(self._recognizer.alignCrop(picture, row), np.uint8))
        length = float(np.linalg.norm(vector))
        if not 0 < length < np.inf:
            return None
        return np.clip(np.rint(vector / length * SCALE), -127, 127).astype(np.int8).tobytes()

    def said_of(self, straight: NDArray[np.uint8]) -> NDArray[np.float64]:
        """What the network says of a face that was set straight, 112 x 112 pixels."""
        said = self._recognizer.feature(straight) if self._own is None else self._asked(straight)
        return np.asarray(said, np.float64).ravel()

    def _asked(self, straight: NDArray[np.uint8]) -> Any:
        import cv2

        how = self._description
        mean = (how.mean, how.mean, how.mean)
        blob = cv2.dnn.blobFromImage(straight, how.scale, (how.side, how.side), mean, swapRB=how.rgb)
        network: Any = self._own
        network.setInput(blob)
        return network.forward()


def within(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A picture, made smaller so that its longer side has `side` pixels at most."""
    import cv2

    height, width = picture.shape[:2]
    scale = side / max(width, height)
    if scale >= 1:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _distinct(rows: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Of what several passes have found, each face once: the surest row of it."""
    order = sorted(range(len(rows)), key=lambda at: (-float(rows[at, _SCORE]), at))
    kept: list[NDArray[np.float32]] = []
    for at in order:
        if not any(_are_one(rows[at], other) for other in kept):
            kept.append(rows[at])
    return kept


def _are_one(left: NDArray[np.float32], right: NDArray[np.float32]) -> bool:
    a, b = left[_BOX].astype(np.float64), right[_BOX].astype(np.float64)
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if across <= 0 or down <= 0:
        return False
    both, areas = across * down, (a[2] * a[3], b[2] * b[3])
    return bool(both > SHARED * (sum(areas) - both) or both > COVERED * min(areas))


def _spread(points: NDArray[np.float32]) -> float:
    between = points[:, None, :] - points[None, :, :]
    return float(np.sqrt((between**2).sum(axis=2)).max())


@contextmanager
def _quietly() -> Iterator[None]:
    """Meanwhile OpenCV says errors only: of every network that it opens it warns of a setting that is its own."""
    from cv2.utils import logging

    before = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        logging.setLogLevel(before)
