"""What colours pages. `create(name)` gives the backend of that name; importing this is light."""

from __future__ import annotations

from importlib import import_module

from ..exceptions import ConfigurationError
from .base import Backend

__all__ = ["NAMES", "create"]

_CLASSES = {
    "flats": "flats:FlatsBackend",
    "cobra": "cobra:CobraBackend",
    "noop": "base:NoopBackend",
}
NAMES = tuple(_CLASSES)


def create(name: str) -> Backend:
    """The backend called `name`, not yet loaded. ConfigurationError for a name that is not in NAMES."""
    try:
        module, cls = _CLASSES[name].split(":")
    except KeyError:
        raise ConfigurationError(f"Unknown backend {name!r}: choose one of {', '.join(NAMES)}.") from None
    backend: Backend = getattr(import_module(f".{module}", __name__), cls)()
    return backend
