"""How values are said to people: names from outside, durations, sizes."""

from __future__ import annotations


def safe(text: str) -> str:
    """Text from outside, with control characters and undecodable bytes made visible."""
    if text.isprintable():
        return text
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown.encode("utf-8", "backslashreplace").decode()


def seconds(value: float | None) -> str:
    """A duration as people say it: 45 s, 3:20, 2:05:00."""
    if value is None:
        return "–"
    if round(value) < 60:
        return f"{value:.0f} s" if round(value, 1) >= 10 else f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def size(value: float) -> str:
    """Bytes in the units people buy disks in: 1.2 GB."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if round(value) < 1000 or unit == "TB":
            whole = unit in ("B", "kB") or round(value, 1) >= 100
            return f"{value:.0f} {unit}" if whole else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def percent(share: float) -> str:
    """A share from 0 to 1: 85%."""
    return f"{share:.0%}"
