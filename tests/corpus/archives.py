"""Archives that no honest program writes, built byte by byte (PKWARE APPNOTE 6.3.10)."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

UTF8 = 0x800
PAGE = b"not really a picture, but bytes are bytes"


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def deflated_zeros(mebibytes: int) -> bytes:
    """A deflate stream of that many MiB of zeros, made in milliseconds by repeating one block."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packer.compress(bytes(1 << 20))
    packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * mebibytes + b"\x03\x00"


@dataclass
class Entry:
    """One member; every field that is given is written as it is, true or not."""

    name: str | bytes
    data: bytes = PAGE
    method: int = 8
    flags: int | None = None
    packed: bytes | None = None
    size: int | None = None
    packed_size: int | None = None
    crc: int | None = None
    mode: int = 0o100644
    extra: bytes = b""
    local_name: bytes | None = None
    offset: int | None = None
    write_local: bool = True


def build(
    *entries: Entry,
    prefix: bytes = b"",
    comment: bytes = b"",
    count: int | None = None,
    directory_offset: int | None = None,
    directory_size: int | None = None,
    zip64: bool = False,
    between: bytes = b"",
) -> bytes:
    """The archive of these entries. Counts, offsets and sizes that are given replace the true ones."""
    body, directory = io.BytesIO(prefix), io.BytesIO()
    body.seek(0, io.SEEK_END)
    for entry in entries:
        name = entry.name.encode() if isinstance(entry.name, str) else entry.name
        flags = entry.flags if entry.flags is not None else UTF8 * isinstance(entry.name, str)
        packed = entry.packed
        if packed is None:
            packed = deflated(entry.data) if entry.method == 8 else entry.data
        crc = zlib.crc32(entry.data) if entry.crc is None else entry.crc
        size = len(entry.data) if entry.size is None else entry.size
        packed_size = len(packed) if entry.packed_size is None else entry.packed_size
        offset = body.tell() - len(prefix) if entry.offset is None else entry.offset
        fields = struct.pack("<HHHHHLLL", 20, flags, entry.method, 0, 33, crc, packed_size, size)
        if entry.write_local:
            local = name if entry.local_name is None else entry.local_name
            body.write(b"PK\3\4" + fields + struct.pack("<HH", len(local), 0) + local + packed)
        directory.write(b"PK\1\2" + struct.pack("<H", 0x0314) + fields)
        directory.write(
            struct.pack("<HHHHHLL", len(name), len(entry.extra), 0, 0, 0, entry.mode << 16, offset)
        )
        directory.write(name + entry.extra)
    body.write(between)
    start = body.tell() - len(prefix)
    listing = directory.getvalue()
    numbers = (
        len(entries) if count is None else count,
        len(listing) if directory_size is None else directory_size,
        start if directory_offset is None else directory_offset,
    )
    tail = b""
    if zip64:
        n, size, at = numbers
        tail = b"PK\6\6" + struct.pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, n, n, size, at)
        tail += b"PK\6\7" + struct.pack("<LQL", 0, start + len(listing), 1)
        numbers = (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    n, size, at = numbers
    end = b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, n & 0xFFFF, n & 0xFFFF, size, at, len(comment))
    return body.getvalue() + listing + tail + end + comment


def plain(**members: bytes) -> bytes:
    """What an honest program writes; `__` in a name stands for `/`, a last `_` for the dot."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), data)
    return buffer.getvalue()


def _overlapping() -> bytes:
    """Fifty entries that share one kernel of deflated zeros."""
    zeros = bytes(1 << 20)
    shared = (Entry(f"{n}.png", zeros, offset=0, write_local=False) for n in range(1, 50))
    return build(Entry("0.png", zeros), *shared)


def _quoted() -> bytes:
    """Two whole members, the second inside the data of the first: headers and names are consistent."""
    inner = build(Entry("b.png"))
    inner_local = inner[: inner.index(b"PK\1\2")]
    outer = Entry("a.png", inner_local, method=0)
    return build(outer, Entry("b.png", offset=30 + len("a.png"), write_local=False))


def _endless_directory() -> bytes:
    before = 30 + len("p.png") + len(deflated(PAGE))
    filler = 17 << 20
    return build(
        Entry("p.png"),
        between=bytes(filler),
        directory_offset=before,
        directory_size=filler + 46 + len("p.png"),
    )


def _patched_disk() -> bytes:
    data = bytearray(build(Entry("p.png")))
    data[data.rindex(b"PK\5\6") + 4] = 1
    return bytes(data)


# name: (how to build it, what the refusal must say)
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "parent folder": (lambda: build(Entry("ok.png"), Entry("../evil.png")), "'../evil.png'"),
    "parent folder deep inside": (lambda: build(Entry("a/b/../../../evil.png")), "leaves the folder"),
    "parent folder of a drive": (lambda: build(Entry("C:..\\evil.png")), "leaves the folder"),
    "parent folder of the root": (lambda: build(Entry("/../evil.png")), "leaves the folder"),
    "backslash parent": (lambda: build(Entry("a\\..\\..\\evil.png")), "leaves the folder"),
    "NUL": (lambda: build(Entry(b"ok.png\0.exe")), "control characters"),
    "escape sequence": (lambda: build(Entry("\x1b[2J.png")), "control characters"),
    "empty name": (lambda: build(Entry(b"")), "no name"),
    "only dots": (lambda: build(Entry("./.")), "no name"),
    "endless name": (lambda: build(Entry("a" * 5000 + ".png")), "1024 bytes"),
    "symbolic link": (lambda: build(Entry("link.png", b"/etc/passwd", mode=0o120777)), "link"),
    "device": (lambda: build(Entry("tty.png", b"", mode=0o020666)), "device"),
    "encrypted": (lambda: build(Entry("p.png", flags=1 | UTF8)), "encrypted"),
    "strongly encrypted": (lambda: build(Entry("p.png", flags=0x40 | UTF8)), "encrypted"),
    "AES": (lambda: build(Entry("p.png", method=99)), "encrypted"),
    "unknown compression": (lambda: build(Entry("p.png", method=10)), "method 10"),
    "all members one": (_overlapping, "overlaps"),
    "member inside a member": (_quoted, "overlaps"),
    "member inside the directory": (lambda: build(Entry("p.png", packed_size=500)), "overlaps the directory"),
    "points nowhere": (lambda: build(Entry("p.png", offset=7)), "nothing stands"),
    "points behind the end": (lambda: build(Entry("p.png", offset=1 << 31)), "nothing stands"),
    "stored with two sizes": (lambda: build(Entry("p.png", method=0, size=1 << 20)), "two different sizes"),
    "too many": (lambda: build(*(Entry(f"{n}.txt", b"", method=0) for n in range(10_001))), "10000"),
    "too many, declared": (lambda: build(Entry("p.png"), count=60_000), "10000"),
    "too many, declared in 64 bits": (lambda: build(Entry("p.png"), count=1 << 40, zip64=True), "10000"),
    "fewer than declared": (lambda: build(Entry("p.png"), count=2), "declares 2"),
    "more than declared": (lambda: build(Entry("p.png"), Entry("q.png"), count=1), "declares 1"),
    "8 GiB": (lambda: build(*(Entry(f"{n}.png", size=0xF0000000) for n in range(3))), "8 GiB"),
    "exabytes": (
        lambda: build(Entry("p.png", size=0xFFFFFFFF, extra=struct.pack("<HHQ", 1, 8, 1 << 60))),
        "8 GiB",
    ),
    "64 bits promised": (lambda: build(Entry("p.png", size=0xFFFFFFFF)), "64 bits"),
    "64-bit record missing": (lambda: build(Entry("p.png"), directory_offset=0xFFFFFFFF), "cut off"),
    "ratio": (
        lambda: build(Entry("p.png", packed=deflated_zeros(2100), size=2100 << 20, crc=0)),
        "200 times",
    ),
    "directory of nonsense": (lambda: build(Entry("p.png")).replace(b"PK\1\2", b"PK\1\3"), "unreadable"),
    "endless directory": (_endless_directory, "more than 16777216"),
    "extra field cut off": (lambda: build(Entry("p.png", extra=b"\1\0\xff\0")), "cut off"),
    "split over disks": (_patched_disk, "split"),
}

# What is refused only when it is read: the directory lies well.
LYING: dict[str, tuple[Callable[[], bytes], str]] = {
    "real bomb": (
        lambda: build(Entry("p.png", packed=deflated_zeros(4000), size=1 << 20, crc=0)),
        "1048576 bytes that it declares",
    ),
    "shorter than declared": (lambda: build(Entry("p.png", size=1000)), "cut off"),
    "longer than declared": (lambda: build(Entry("p.png", size=3)), "more than the 3 bytes"),
    "wrong checksum": (lambda: build(Entry("p.png", crc=7)), "checksum"),
    "no deflate stream": (lambda: build(Entry("p.png", packed=b"\xff" * 40)), "damaged"),
    "deflate stream cut off": (lambda: build(Entry("p.png", packed=deflated(PAGE)[:-3])), "cut off"),
    "no bzip2 stream": (lambda: build(Entry("p.png", method=12, packed=b"\xff" * 40)), "damaged"),
}
