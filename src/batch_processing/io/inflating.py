"""How members of a ZIP are packed, and what unpacks them: a step at a time, in bounded memory.

Stored, deflate, bzip2, LZMA and xz are read by Python itself; Deflate64 and Zstandard by packages of the extra
`[archives]`. Numbers are those of PKWARE APPNOTE 6.3.10, 4.4.5.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Final, Protocol

from ..messages import Message

__all__ = ["CHUNK", "FAULTS", "INSTALL", "Decoder", "decoder_of", "zstandard"]

CHUNK: Final = 1 << 16
"""Bytes read and inflated at a time."""
_DICTIONARY: Final = 256 << 20  # bytes of memory that a packed member may ask for

FAULTS = (zlib.error, OSError, EOFError, ValueError, lzma.LZMAError, RuntimeError, MemoryError)
"""What decoders raise over damaged bytes."""


class Decoder(Protocol):
    """One member being unpacked."""

    @property
    def eof(self) -> bool:
        """Whether the stream says that it has ended."""
        ...

    @property
    def needs_input(self) -> bool:
        """Whether the next step needs more packed bytes."""
        ...

    def step(self, packed: bytes) -> bytes:
        """Some unpacked bytes: at most a few MiB."""
        ...


class _Stored:
    eof = False
    needs_input = True

    def step(self, packed: bytes) -> bytes:
        return packed


class _Inflate:
    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(-15)

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def needs_input(self) -> bool:
        return not self._decoder.unconsumed_tail

    def step(self, packed: bytes) -> bytes:
        return self._decoder.decompress(packed or self._decoder.unconsumed_tail, CHUNK)


class _Standard:
    """The decoders that Python's bz2 and lzma and those of Zstandard have in common."""

    def __init__(self, decoder: Any, error: type[Exception] = ValueError) -> None:
        """`error`: what the decoder raises that no other does."""
        self._decoder, self._error = decoder, error

    @property
    def eof(self) -> bool:
        return bool(self._decoder.eof)

    @property
    def needs_input(self) -> bool:
        return bool(self._decoder.needs_input)

    def step(self, packed: bytes) -> bytes:
        try:
            data: bytes = self._decoder.decompress(packed, CHUNK)
        except self._error as fault:
            raise ValueError(str(fault)) from fault
        return data


class _Lzma:
    """LZMA as ZIP has it (4.4.5, method 14): two bytes of version, two of length, five that say how it was packed."""

    def __init__(self) -> None:
        self._head = b""
        self._decoder: lzma.LZMADecompressor | None = None

    @property
    def eof(self) -> bool:
        return self._decoder is not None and self._decoder.eof

    @property
    def needs_input(self) -> bool:
        return self._decoder is None or self._decoder.needs_input

    def step(self, packed: bytes) -> bytes:
        if self._decoder is None:
            self._head += packed
            if len(self._head) < 9:
                return b""
            length = int.from_bytes(self._head[2:4], "little")
            how, dictionary = self._head[4], int.from_bytes(self._head[5:9], "little")
            if length != 5 or how >= 9 * 5 * 5 or dictionary > _DICTIONARY:
                raise ValueError(Message("its LZMA header is wrong, or asks for too much memory"))
            chosen = {
                "id": lzma.FILTER_LZMA1,
                "dict_size": max(dictionary, 4096),
                "lc": how % 9,
                "lp": how // 9 % 5,
                "pb": how // 45,
            }
            self._decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[chosen])
            packed = self._head[9:]
        return self._decoder.decompress(packed, CHUNK)


class _Deflate64:
    """The package takes what it is given whole: in small pieces, since a byte can become thousands."""

    _PIECE = 512  # bytes: at most some 10 MiB unpacked

    def __init__(self) -> None:
        from inflate64 import Inflater

        self._decoder = Inflater()
        self._waiting = b""

    @property
    def eof(self) -> bool:
        return bool(self._decoder.eof)

    @property
    def needs_input(self) -> bool:
        return not self._waiting

    def step(self, packed: bytes) -> bytes:
        self._waiting += packed
        piece, self._waiting = self._waiting[: self._PIECE], self._waiting[self._PIECE :]
        data: bytes = self._decoder.inflate(piece)
        return data


def _xz() -> Decoder:
    return _Standard(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_DICTIONARY))


def zstandard() -> ModuleType | None:
    """Python's module for Zstandard, or its backport; None where neither is installed."""
    for name in _PACKAGES[93]:
        if _is_there(name):
            return import_module(name)
    return None


def _zstandard() -> Decoder:
    zstd: Any = zstandard()
    window = zstd.DecompressionParameter.window_log_max
    return _Standard(zstd.ZstdDecompressor(options={window: _DICTIONARY.bit_length() - 1}), zstd.ZstdError)


_DECODERS: Final[dict[int, Callable[[], Decoder]]] = {
    0: _Stored,
    8: _Inflate,
    9: _Deflate64,
    12: lambda: _Standard(bz2.BZ2Decompressor()),
    14: _Lzma,
    93: _zstandard,
    95: _xz,
}
_PACKAGES: Final = {9: ("inflate64",), 93: ("compression.zstd", "backports.zstd")}


def decoder_of(method: int) -> Callable[[], Decoder]:
    """What makes a decoder for members packed by that method. LookupError, with the rest of a sentence, for one that
    nothing here reads."""
    if method not in _DECODERS:
        raise LookupError(
            Message(
                "is compressed in a way that Lote does not read (method {method}); pack it again as ZIP",
                method=method,
            )
        )
    if method in _PACKAGES and not any(map(_is_there, _PACKAGES[method])):
        raise LookupError(
            Message(
                "is compressed in a way (method {method}) that needs more packages: {command} in Lote's folder",
                method=method,
                command=INSTALL,
            )
        )
    return _DECODERS[method]


INSTALL: Final = "pip install '.[archives]'"
"""The command that installs what some kinds of books need."""


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of the package around it
        return False
