"""`lote models`: where Cobra's weights are, whether they are right, and their conversion.

Mounted by the main command line. Nothing here downloads anything: `path` prints the commands that do.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from ..exceptions import ConfigurationError
from ..i18n import sentence

models_app = typer.Typer(
    name="models",
    help="Cobra's weights: how to get them, whether they are right, their conversion.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

FolderArgument = Annotated[
    Path | None, typer.Argument(metavar="[DIR]", help="Folder of the weights; the one in use if left out.")
]


@models_app.command()
def path() -> None:
    """Print where the weights are looked for, and the commands that fetch them, with sizes and licences."""
    from ..backends.cobra import folder

    for place in folder.candidates():
        _line(f"found at {place}" if place.is_dir() else f"nothing at {place}")
    typer.echo()
    _line(folder.how_to_get())


@models_app.command()
def check(directory: FolderArgument = None) -> None:
    """Look at every file of a model folder and say everything that is missing or wrong."""
    _need_packages()
    from ..backends.cobra import conversion, folder

    place = directory or folder.find()
    report = conversion.check(place)
    styles = folder.STYLE_FOLDERS
    _line(f"{place}: a {report.kind} Cobra model")
    for part in ("shared", *styles.values()):
        for problem in report.problems[part]:
            _line(f"wrong: {problem}")
    for remark in report.remarks:
        _line(f"note: {remark}")
    working = [style for style, part in styles.items() if report.works(part)]
    for style in styles:
        _line(f'style "{style}": ready' if style in working else f'style "{style}": cannot be used')
    if len(working) < len(styles):
        raise typer.Exit(3 if working else 1)


@models_app.command()
def convert(
    directory: FolderArgument = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="New folder; Lote's own, where it is found, if left out."),
    ] = None,
) -> None:
    """Write the weights anew, in 16 bit and with each style's adapters merged: half the size, quick to load."""
    _need_packages()
    from ..backends.cobra import conversion, folder

    target = to or folder.converted_folder()
    parts = conversion.convert(directory or folder.find(), target, lambda text: _line(text, err=True))
    for style, part in folder.STYLE_FOLDERS.items():
        if part not in parts:
            _line(f'style "{style}" was left out: `lote models check` says why', err=True)
    typer.echo(target)


def _line(text: str, *, err: bool = False) -> None:
    typer.echo(sentence(text), err=err)


def _need_packages() -> None:
    from ..backends.cobra.backend import PACKAGES

    absent = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        raise ConfigurationError(f"{', '.join(absent)} not installed: pip install 'lote[cobra]'.")
