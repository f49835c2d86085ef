"""The networks that find and describe faces: which are known, where they lie, and whether they are the ones.

    own()                those of Lote's data folder, whose contents are known
    of_folder(folder)    others, which a person names, with a manifest beside them
    find(folder)         either

Promises: a network is handed to OpenCV only if its SHA-256 is known here, or if it lies in a folder that a person named,
and then as the very bytes whose SHA-256 was taken. Nothing is downloaded, and nothing is opened at import. How they come
into Lote's data folder is `bringing`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.files import SHARED
from ...core.plain import from_plain
from ...core.workspace import data_folder
from ...exceptions import ConfigurationError, reason
from ...messages import Message
from ...reading import json_of, read_whole
from .face import LEAST_SCORE

if TYPE_CHECKING:
    from .face import FaceFinder

MANIFEST = "faces.json"
MANIFEST_LIMIT = 64 * 1024  # bytes
# Of a network in a folder that a person names: the largest that describe faces have 250 MB.
NETWORK_LIMIT = 1 << 30
NAME_LENGTH = 20  # with a digest behind it, it fits into the tables
ZOO = "https://github.com/opencv/opencv_zoo/raw/main/models"


@dataclass(frozen=True)
class KnownNetwork:
    """A network whose content is known. `size` in bytes; `sha256` in hex; `address`: where its authors publish it."""

    file: str
    size: int
    sha256: str
    licence: str
    address: str


YUNET = KnownNetwork(
    "face_detection_yunet_2023mar.onnx",
    232_589,
    "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    "MIT",
    f"{ZOO}/face_detection_yunet/face_detection_yunet_2023mar.onnx",
)
SFACE = KnownNetwork(
    "face_recognition_sface_2021dec.onnx",
    38_696_353,
    "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
    "Apache-2.0",
    f"{ZOO}/face_recognition_sface/face_recognition_sface_2021dec.onnx",
)
KNOWN = (YUNET, SFACE)
OWN_NAME = "yunet-2023mar sface-2021dec"


@dataclass(frozen=True)
class Network:
    """A network on this machine: its file, and the SHA-256 (hex) of what may be opened."""

    path: str = field(metadata=SHARED)
    sha256: str


@dataclass(frozen=True)
class Detection:
    """How faces are looked for. `sides`: the longer side of the picture, in pixels, for each pass, the largest first;
    `least_score`: what is less sure (0 to 1) is no face."""

    sides: tuple[int, ...] = (1024, 320)
    least_score: float = LEAST_SCORE


@dataclass(frozen=True)
class Description:
    """What a network is given that describes a face: a square of `side` pixels, each (value - mean) * scale, in the order
    RGB or BGR."""

    side: int = 112
    scale: float = 1.0
    mean: float = 0.0
    rgb: bool = True


@dataclass(frozen=True)
class FaceModel:
    """A pair of networks with all that decides what they find: plain values, which are sent to workers. `folder`: the one
    that a person named; None is Lote's own."""

    name: str
    detector: Network
    recognizer: Network
    detection: Detection = Detection()
    description: Description = Description()
    folder: str | None = None

    @property
    def side(self) -> int:
        return max(self.detection.sides)

    def finder(self) -> FaceFinder:
        from .finding import NetworkFinder

        return NetworkFinder(self)


def own_folder() -> Path:
    """Where the known networks lie, once they were brought there."""
    return data_folder() / "faces"


def find(folder: Path | None = None) -> FaceModel:
    """The networks in a folder that a person names, or Lote's own. ConfigurationError where they are not, or not these."""
    return own() if folder is None else of_folder(folder)


def own() -> FaceModel:
    """Lote's own. ConfigurationError where one is lacking or damaged."""
    if (text := lacking()) is not None:
        raise ConfigurationError(text)
    folder = own_folder()
    detector, recognizer = (Network(str(folder / network.file), network.sha256) for network in (YUNET, SFACE))
    return FaceModel(OWN_NAME, detector, recognizer)


def lacking() -> Message | None:
    """Why faces cannot be looked for with Lote's own networks, in a sentence; None: they can."""
    folder = own_folder()
    for network in KNOWN:
        path = folder / network.file
        try:
            content = read_whole(path, network.size)
        except FileNotFoundError:
            return Message(
                "the networks that find faces are not here ({path} is missing): `lote models path faces` says how to get them",
                path=path,
            )
        except OSError as error:
            return Message(
                "{path} cannot be read ({reason}): `lote models path faces` says how to get it again",
                path=path,
                reason=reason(error),
            )
        if hashlib.sha256(content).hexdigest() != network.sha256:
            return Message(
                "{path} is not the network that it should be: `lote models path faces` says how to get it again",
                path=path,
            )
    return None


def content_of(network: Network) -> bytes:
    """The bytes of a network, which are those whose SHA-256 was taken. ConfigurationError for any others."""
    path = Path(network.path)
    try:
        content = read_whole(path, NETWORK_LIMIT)
    except OSError as error:
        raise ConfigurationError(
            "{path} cannot be read: {reason}", path=path, reason=reason(error)
        ) from error
    if hashlib.sha256(content).hexdigest() != network.sha256:
        raise ConfigurationError("{path} was changed meanwhile: run the same command again.", path=path)
    return content


# -- other networks, in a folder that a person names -------------------------------------------------------


@dataclass(frozen=True)
class _DetectorManifest:
    file: str
    sides: list[int] = field(default_factory=lambda: list(Detection().sides))
    least_score: float = Detection().least_score


@dataclass(frozen=True)
class _RecognizerManifest:
    file: str
    side: int = Description().side
    scale: float = Description().scale
    mean: float = Description().mean
    rgb: bool = Description().rgb


@dataclass(frozen=True)
class _Manifest:
    """What `faces.json` says."""

    name: str
    detector: _DetectorManifest
    recognizer: _RecognizerManifest


def of_folder(folder: Path) -> FaceModel:
    """The networks that the manifest in `folder` names. ConfigurationError where it makes no sense, or a file is missing."""
    path = folder / MANIFEST
    try:
        written = read_whole(path, MANIFEST_LIMIT)
        manifest = from_plain(_Manifest, json_of(written))
        _check(manifest)
    except OSError as error:
        raise ConfigurationError(
            "{path} cannot be read ({reason}): a folder of networks for faces has a manifest of that name.",
            path=path,
            reason=reason(error),
        ) from error
    except ValueError as error:
        raise ConfigurationError(
            "{path} is no manifest of networks for faces: {reason}", path=path, reason=reason(error)
        ) from error
    detector, recognizer = (
        _named(folder, path, file) for file in (manifest.detector.file, manifest.recognizer.file)
    )
    digest = hashlib.sha256(written + (detector.sha256 + recognizer.sha256).encode()).hexdigest()
    return FaceModel(
        f"{manifest.name} {digest[:16]}",
        detector,
        recognizer,
        Detection(tuple(sorted(set(manifest.detector.sides), reverse=True)), manifest.detector.least_score),
        Description(
            manifest.recognizer.side,
            manifest.recognizer.scale,
            manifest.recognizer.mean,
            manifest.recognizer.rgb,
        ),
        str(folder.absolute()),
    )


def _check(manifest: _Manifest) -> None:
    """ValueError for values that no network takes."""
    if not re.fullmatch(rf"[\w.+-]{{1,{NAME_LENGTH}}}", manifest.name):
        raise ValueError(
            Message("name must have 1 to {limit} letters, digits and . + - _", limit=NAME_LENGTH)
        )
    sides = manifest.detector.sides
    if not 1 <= len(sides) <= 3 or not all(64 <= side <= 4096 for side in sides):
        raise ValueError(Message("detector.sides must be one to three numbers from 64 to 4096"))
    if not 0 < manifest.detector.least_score < 1:
        raise ValueError(Message("detector.least_score must lie between 0 and 1"))
    if not 32 <= manifest.recognizer.side <= 1024:
        raise ValueError(Message("recognizer.side must be a number from 32 to 1024"))
    for file in (manifest.detector.file, manifest.recognizer.file):
        if not file or Path(file).name != file:
            raise ValueError(Message("{file} must be the name of a file beside it", file=repr(file)))


def _named(folder: Path, manifest: Path, file: str) -> Network:
    path = folder / file
    try:
        content = read_whole(path, NETWORK_LIMIT)
    except OSError as error:
        raise ConfigurationError(
            "{path}, which {manifest} names, cannot be read: {reason}",
            path=path,
            manifest=manifest,
            reason=reason(error),
        ) from error
    return Network(str(path.absolute()), hashlib.sha256(content).hexdigest())


def how_to_get() -> Message:
    """The commands that fetch the networks, with sizes and licences, to be run by the user."""
    return Message(
        """\
The networks that find and describe faces are not part of Lote and are never downloaded by it. These commands fetch them:

  curl -L -O {yunet}
      YuNet, finds faces: {yunet_size} bytes. Licence: {yunet_licence}.
      SHA-256 {yunet_digest}
  curl -L -O {sface}
      SFace, tells faces apart: {sface_size} bytes. Licence: {sface_licence}, as the OpenCV Zoo says; which
      pictures it was trained on is not documented.
      SHA-256 {sface_digest}

Then:  lote models import {yunet_file} {sface_file}

`lote models import` takes a wheel or ZIP that holds them, too, and nothing but these two files, which it checks by their
SHA-256. It puts them into {folder}.""",
        yunet=YUNET.address,
        yunet_size=f"{YUNET.size:,}",
        yunet_licence=YUNET.licence,
        yunet_digest=YUNET.sha256,
        yunet_file=YUNET.file,
        sface=SFACE.address,
        sface_size=f"{SFACE.size:,}",
        sface_licence=SFACE.licence,
        sface_digest=SFACE.sha256,
        sface_file=SFACE.file,
        folder=own_folder(),
    )
