"""The command `lote`: one module for each group of commands; `app` puts them together."""

from .app import main

__all__ = ["main"]
