"""What colours pages. `create(name)` gives the backend of that name; importing this is light."""

from __future__ import annotations

from importlib import import_module

from ..exceptions import ConfigurationError
from .base import Backend

__all__ = ["NAMES", "create"]

_CLASSES = {
    "flats": "flats:FlatsBackend",
    "cobra": "cobra:CobraBackend",
    "diffusers": "edit_pipeline:DiffusersBackend",
    "noop": "base:NoopBackend",
}
NAMES = tuple(_CLASSES)
"""Those that a person chooses from."""
_CLASSES |= {"cobra-flats": "cobra.flats:CobraFlatsBackend"}  # Cobra, with the setting `flats`


def create(name: str) -> Backend:
    """The backend called `name`, not yet loaded. ConfigurationError for a name that there is none of."""
    try:
        module, cls = _CLASSES[name].split(":")
    except KeyError:
        raise ConfigurationError(
            "Unknown backend {name}: choose one of {known}.", name=repr(name), known=", ".join(NAMES)
        ) from None
    backend: Backend = getattr(import_module(f".{module}", __name__), cls)()
    return backend
