"""The command `lote`, put together.

Thin: each command reads its arguments, calls the application, and prints. Results go to stdout,
everything else to stderr; the exit code says what happened (docs/cli.md). This is the one place where
an unforeseen error ends: it becomes a sentence and a log file, never a traceback on the screen.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer

from ...exceptions import BatchProcessingError
from ...i18n import _, translate, translate_command
from .common import COMICS, PHOTOS, Application, app
from .photos import only
from .usage import USAGE_ERRORS, locate, told

# Which module adds which commands, in the order of the help. Loading all of them takes as long as `lote status` does
# without; a command that is named nowhere is found, too, for then all are loaded.
MODULES = {
    "colorize": ("colorize", "classify", "evaluate"),
    "watch": ("watch",),
    "jobs": ("list", "status", "pause", "cancel", "resume", "retry", "recolor", "approve", "open"),
    "top": ("top", "metrics"),
    "care": ("doctor", "verify", "backup", "restore", "clean"),
    "page": ("ui",),
}
GROUPS = ("models", "photos")


def complete() -> Application:
    """The command with everything in it."""
    for module in MODULES:
        import_module(f".{module}", __package__)
    for name in GROUPS:
        _add(name, ())
    return app


def sufficient(words: Sequence[str]) -> Application:
    """The command with all that is needed for this command line (the words after `lote`)."""
    name = words[0] if words else ""
    if name in GROUPS:
        _add(name, words[1:])
        return app
    if name == "--version":
        return app
    for module, names in MODULES.items():
        if name in names:
            import_module(f".{module}", __package__)
            return app
    return complete()


def _add(name: str, words: Sequence[str]) -> None:
    """Add a group of commands, once."""
    if any(group.name == name for group in app.registered_groups):
        return
    if name == "models":
        from .models import models_app

        app.add_typer(models_app, name=name, rich_help_panel=COMICS)
    else:
        app.add_typer(only(words), name=name, rich_help_panel=PHOTOS)


def main() -> None:
    """Entry point of the command: runs it and exits with the documented code."""
    from ..console import patient_streams

    # What `lote photos` prints is what was asked for: there a full disk is said. Elsewhere the work is.
    patient_streams(results=sys.argv[1:2] == ["photos"])
    # Arithmetic is done in workers, a core each. Where a user may have no more threads (`ulimit -u`), OpenBLAS
    # interrupts the process that loads it, as Ctrl-C would.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    command = typer.main.get_command(sufficient(sys.argv[1:]))
    try:
        translate_command(command)
        code = command.main(prog_name="lote", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except BatchProcessingError as error:
        _say(translate(error.sentence))
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - the border: see the text of this module
        if not isinstance(error, USAGE_ERRORS):
            sys.exit(_unforeseen(error))
        locate(error, command, sys.argv[1:])
        sys.exit(_misused(error))


def _say(text: str) -> None:
    from ...formatting import safe
    from ..console import fit

    for number, line in enumerate(text.splitlines()):
        typer.echo(fit(f"lote: {safe(line)}" if number == 0 else safe(line)), err=True)


def _misused(error: Any) -> int:
    """Say what is wrong with a command line, what was likely meant, and where to read on."""
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(error.message, err=True)
        return int(error.exit_code)
    if error.ctx is not None:
        typer.echo(error.ctx.get_usage(), err=True)
    _say(translate(told(error)))
    if error.ctx is not None:
        typer.echo(_("`{command} --help` says more.").format(command=error.ctx.command_path), err=True)
    return int(error.exit_code)


def _unforeseen(error: Exception) -> int:
    """Keep the traceback for whoever mends it, and tell the person where."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile(
        "w", prefix="lote-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        file.write("".join(traceback.format_exception(error)))
    text = _("unexpected {name}: {error} (a fault of Lote; the details are in {file})")
    _say(text.format(name=type(error).__name__, error=error, file=file.name))
    return 1


if __name__ == "__main__":
    main()
