"""What a worker does with a photo: decodes it once, and keeps of it what others need. Runs in the engine's pool
(`look_pool`), in processes that may be killed at any moment.

Promises: a hostile photo costs itself at most. The pixels of one photo are decoded once, whatever is made of them.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ...core.files import READ
from ...core.resources import Meter
from ...core.workers import LocalPool, Progress, Result, Task, in_pool, one_by_one
from ...exceptions import ConfigurationError, ResourceError
from ...messages import Message
from ..header_facts import ErrorKind
from ..header_pool import fault_of
from ..people.finding import within
from . import decoding, jpeg
from .decoding import NotDecodedError, Pixels
from .fingerprints import SIDE, is_flat, signature_of
from .look import PREVIEW_SIDE, Look, LookError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...core.workers import Pool
    from ..people.face import FaceFinder, FaceSource

# Address space of one worker: 256 million pixels in RGB, what its file holds, and the libraries.
MEMORY_LIMIT = 4 * 1024**3
# A photo takes 30 ms, one of 200 megapixels in the slowest format some seconds.
TIME_LIMIT_S = 120.0
# Photos that a worker is given at once: what one of them kills is done again.
HANDFUL = 8
# And so many bytes, unless one alone has more: they may have to be sent there.
HANDFUL_BYTES = 64 << 20
PHOTOS_PER_WORKER = 2000
PREVIEW_QUALITY = 80
# So much of the side that is asked for is enough: photos of 4000 and 4032 pixels, of which most phones and cameras make
# theirs, are decoded at a quarter, which takes half as long as at a half.
NEARLY = 0.95
# A larger colour profile is left out of a preview: those of cameras and phones have some hundred bytes.
MOST_PROFILE = 4096


def look_pool(processes: int) -> LocalPool:
    """Where photos are looked at; to be closed by its owner. Its children start when they are first needed."""
    return LocalPool(
        max(1, processes),
        memory_limit=MEMORY_LIMIT,
        tasks_per_child=PHOTOS_PER_WORKER,
        name="lote looks at photos",
    )


@dataclass(frozen=True)
class LookAt:
    """Work of the engine: one look at the photo at `path`, which had this size and time when it was hashed. `faces`: what
    finds faces on it, where they are wanted; opened once in each worker."""

    path: bytes = field(metadata=READ)
    size: int
    mtime_ns: int
    faces: FaceSource | None = None

    def run(self, progress: Progress) -> Look | LookError:
        meter = Meter()
        return replace(self._looked(), took=meter.took())

    def _looked(self) -> Look | LookError:
        _be_a_looker()
        finder = None if self.faces is None else _finder(self.faces)
        least = decoding.LEAST_SIDE
        if self.faces is not None:
            least = max(least, round(self.faces.side * NEARLY))
        try:
            found = decoding.decode(self.path, self.size, self.mtime_ns, least)
        except NotDecodedError as error:
            return error.error
        if self.faces is None or finder is None or found.bgr is None:
            return _look(found)
        picture = within(found.bgr, self.faces.side)
        return replace(_look(replace(found, bgr=picture)), faces=tuple(finder.faces(picture)))

    @classmethod
    def run_together(cls, progress: Progress, works: Sequence[LookAt]) -> list[Look | LookError]:
        return one_by_one(progress, works)


@dataclass(frozen=True)
class OpenFinder:
    """Work of the engine: open what finds faces, to see that it can be."""

    faces: FaceSource

    def run(self, progress: Progress) -> Opened:
        _be_a_looker()
        decoding.readers()
        return Opened(_finder(self.faces).name)


@dataclass(frozen=True)
class Opened:
    """What finds faces has this name."""

    name: str


def cluster_pool(address: str, slots: int, *, shared: bool) -> Pool:
    """The same on the machines of a Ray cluster: at most `slots` of them (0: all that there are); `shared`: they have the
    photos under the same paths as this one."""
    from ...core.cluster.pool import ClusterPool
    from ...core.cluster.slots import Wanted

    wanted = Wanted(slots, memory_limit=MEMORY_LIMIT, shared=shared, same_level=True)
    return ClusterPool(address, wanted, memory_limit=MEMORY_LIMIT)


def check_finder(pool: Pool, faces: FaceSource, stopped: Callable[[], bool]) -> None:
    """Open `faces` in a worker, once, unless `stopped` says True before. ConfigurationError if it cannot be, or kills the
    worker."""
    task = Task("faces", OpenFinder(faces), TIME_LIMIT_S, quiet_s=TIME_LIMIT_S)
    with closing(in_pool(pool, [task])) as running:
        for results in running:
            for result in results:
                if result.value is None:
                    _refuse_networks(result)
                    if fault_of(result) == ErrorKind.LOST and result.failure is not None:
                        raise ResourceError(result.failure.text)
                    raise ConfigurationError("The networks that find faces crash OpenCV: use others.")
            if stopped():  # there may be no machine for long
                return


def _refuse_networks(result: Result) -> None:
    """ConfigurationError if the networks for faces could not be opened: that is no photo's fault."""
    if result.failure is not None and result.failure.type == ConfigurationError.__name__:
        raise ConfigurationError(result.failure.text)


@cache
def _finder(faces: FaceSource) -> FaceFinder:
    return faces.finder()


@cache
def _be_a_looker() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _look(found: Pixels) -> Look:
    """What is kept of a decoded photo."""
    if found.bgr is None:
        return Look(
            damaged=found.damaged, picture=found.picture, quality=found.quality, lacking=found.lacking
        )
    import cv2

    height, width = found.bgr.shape[:2]
    scale = min(1.0, PREVIEW_SIDE / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = found.bgr
    if scale < 1:
        small = np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_AREA), np.uint8)
    luma = luma_of(small)
    return Look(
        width=found.width,
        height=found.height,
        signature=signature_of(luma),
        flat=is_flat(luma),
        damaged=found.damaged,
        picture=found.picture,
        quality=found.quality,
        preview=_preview(small, found.profile),
    )


def luma_of(bgr: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Brightness of a picture in 32 x 32 boxes, 0 to 255."""
    import cv2

    gray = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY).astype(np.float32)
    how = cv2.INTER_AREA if min(gray.shape) >= SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(gray, (SIDE, SIDE), interpolation=how), np.float64)


def _preview(bgr: NDArray[np.uint8], profile: bytes) -> bytes:
    """A JPEG, in the colours of the photo's own profile where that is one of RGB and small."""
    import cv2

    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, PREVIEW_QUALITY])
    if not done:
        raise MemoryError
    content = data.tobytes()
    if 128 < len(profile) <= MOST_PROFILE and profile[16:20] == b"RGB ":
        segment = jpeg.ICC_NAME + b"\1\1" + profile
        content = (
            content[:2]
            + bytes([0xFF, jpeg.ICC])
            + (len(segment) + 2).to_bytes(2, "big")
            + segment
            + content[2:]
        )
    return content


def understood(result: Result) -> Look | LookError:
    """What became of a task of `LookAt`. ResourceError where no worker can work, ConfigurationError where the networks for
    faces cannot be opened."""
    if result.value is not None:
        found: Look | LookError = result.value
        return found
    _refuse_networks(result)
    kind = fault_of(result)
    return LookError(kind, _FAULTS[kind])


_FAULTS = {
    ErrorKind.TIME: Message(
        "took longer than {seconds} seconds to be decoded", seconds=f"{TIME_LIMIT_S:.0f}"
    ),
    ErrorKind.MEMORY: Message("needs too much memory to be decoded"),
    ErrorKind.CRASH: Message("made its decoder crash"),
    ErrorKind.LOST: Message("was not looked at: the machines that began it were lost, one after the other"),
}
