"""A finder of faces without networks, behind the contract of the real one: what it finds follows from the pixels alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from batch_processing.exceptions import ConfigurationError
from batch_processing.photos.people.face import DIMENSIONS, SCALE, Face
from drawn_photos import Pixels


@dataclass(frozen=True)
class FakeFaces:
    """Source and finder in one. `log`: a file that gets an "o" for each opening and an "f" for each picture; `fault`: what
    happens instead: "refuse" or "die" at opening, "crash" on a picture that is mostly red."""

    name: str = "fake"
    side: int = 1024
    log: str = ""
    fault: str = ""
    shift: float = 0.0  # how far each box lies from where it lies without

    def finder(self) -> FakeFaces:
        self._note("o")
        if self.fault == "refuse":
            raise ConfigurationError("these networks are no good")
        if self.fault == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        return self

    def faces(self, upright: Pixels) -> Sequence[Face]:
        self._note("f")
        blue, _, red = upright.reshape(-1, 3).mean(axis=0)
        if self.fault == "crash" and red > blue + 100:
            os.kill(os.getpid(), signal.SIGKILL)
        height, width = upright.shape[:2]
        return [self._face(upright, number, width, height) for number in range(int(upright.mean()) % 3)]

    def _face(self, upright: Pixels, number: int, width: int, height: int) -> Face:
        x, y = 0.1 + 0.3 * number + self.shift, 0.2 + 0.1 * number
        rng = np.random.default_rng([int(upright.astype(np.int64).sum()), number])
        vector = rng.normal(size=DIMENSIONS)
        embedding = (
            np.clip(np.rint(vector / np.linalg.norm(vector) * SCALE), -127, 127).astype(np.int8).tobytes()
        )
        points = tuple((x + 0.02 * point, y + 0.05) for point in range(5))
        return Face(x, y, 0.2, 0.3, 0.9, min(0.2 * width, 0.3 * height), points, embedding)

    def _note(self, what: str) -> None:
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(what)
