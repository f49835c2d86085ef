"""What all groups of commands share: the command itself, and the options that many take."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from ... import __version__
from ...i18n import N_
from .usage import Command, Commands

Options = TypeVar("Options")
Function = TypeVar("Function", bound=Callable[..., Any])


class Application(typer.Typer):
    """A group of commands whose help is written as `usage` has it."""

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Function], Function]:
        """As typer has it."""
        return super().command(name, **{"cls": Command, **settings})


COMICS = N_("Comics")
JOBS = N_("Jobs")
PHOTOS = N_("Photos")
PAGE = N_("Web page")
CARE = N_("Workspace")

# A group of options.
RUN = N_("The run")

EXAMPLES = """lote colorize chapter.cbz
lote colorize SERIES/ -o OUT/ --series
lote status
lote photos scan ~/Pictures"""

app = Application(
    name="lote",
    cls=Commands,
    help="Process large sets of images in batches: colour whole comics, keep whole photo libraries.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

WorkspaceOption = Annotated[
    str | None,
    typer.Option("--workspace", metavar="DIR", help="Folder that remembers the work (LOTE_WORKSPACE)."),
]
JobArgument = Annotated[
    int | None, typer.Argument(metavar="JOB", help="Number of the job; the current one if left out.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")]
QuietOption = Annotated[
    bool, typer.Option("--quiet", help="Print errors and warnings only, not even the output's path.")
]
MetricsOption = Annotated[
    str | None,
    typer.Option(
        "--metrics",
        metavar="FILE",
        help="Keep what lote metrics prints in this file meanwhile.",
        rich_help_panel=RUN,
    ),
]
InputsArgument = Annotated[
    list[str], typer.Argument(metavar="INPUT", help="Folders, books (CBZ, CBR, EPUB, PDF ...), images.")
]


def _version(value: bool) -> None:
    if value:
        typer.echo(f"lote {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def taking(kind: type[Options]) -> Callable[[Callable[[Options], None]], Callable[..., None]]:
    """Have a command take the fields of a dataclass as its options; a field without a default must be given. Its own
    come before those that it inherits."""

    def decorate(command: Callable[[Options], None]) -> Callable[..., None]:
        def called(**values: Any) -> None:
            command(kind(**values))

        hints = get_type_hints(kind, include_extras=True)
        called.__name__, called.__doc__, called.__module__ = (
            command.__name__,
            command.__doc__,
            command.__module__,
        )
        own = inspect.get_annotations(kind)
        ordered = sorted(fields(kind), key=lambda field: field.name not in own)  # type: ignore[arg-type]
        called.__annotations__ = {field.name: hints[field.name] for field in ordered}
        vars(called)["__signature__"] = inspect.Signature(
            [
                inspect.Parameter(
                    name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=getattr(kind, name, inspect.Parameter.empty),
                    annotation=annotation,
                )
                for name, annotation in called.__annotations__.items()
            ]
        )
        return called

    return decorate
