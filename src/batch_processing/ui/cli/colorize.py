"""`lote colorize`, and what else is asked of pages: `classify`, `evaluate`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...i18n import N_, _, language, ngettext, translate
from .common import (
    COMICS,
    RUN,
    InputsArgument,
    JsonOption,
    MetricsOption,
    QuietOption,
    WorkspaceOption,
    app,
    taking,
)
from .following import follow, follow_library, hand_over, refused, set_up_logging
from .tuning import how_tuned, warn_of_tuning

if TYPE_CHECKING:
    from ...comics.shelf import Shelf
    from ...config.effective import Effective
    from ...core.model import Job
    from ...core.workspace import Workspace
    from ...library import LibraryJobs

# Groups of options in the help.
IN_AND_OUT = N_("Input and output")
COLORS = N_("Colours")
KINDS = N_("What pages are")
DOCUMENTS = N_("Editable documents")
SETTINGS = N_("Settings and logs")

NameEncodingOption = Annotated[
    str | None,
    typer.Option(
        "--name-encoding",
        metavar="NAME",
        help="Encoding of names in archives that do not say it: cp932, gbk; found out if left out.",
        rich_help_panel=IN_AND_OUT,
    ),
]

EXAMPLES = """lote colorize chapter.cbz
lote colorize pages/ -o coloured.cbz --references cast/
lote colorize SERIES/ -o OUT/ --series
lote colorize *.cbz -o all.cbz --join"""


@dataclass(kw_only=True)
class BookOptions:
    """What is said of how books are coloured, by every command that does. A field that is named like a setting of
    `BatchConfig` is one; left out, None, it comes from the configuration file or is built in."""

    reference_images: Annotated[
        list[str] | None,
        typer.Option(
            "--references",
            metavar="PATH",
            help="Coloured references: image, folder or archive. Repeatable.",
            rich_help_panel=IN_AND_OUT,
        ),
    ] = None
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend", metavar="NAME", help="auto, flats, cobra, diffusers or noop.", rich_help_panel=COLORS
        ),
    ] = None
    style: Annotated[
        str | None,
        typer.Option("--style", metavar="STYLE", help='"line" or "line + shadow".', rich_help_panel=COLORS),
    ] = None
    seed: Annotated[
        str | None,
        typer.Option("--seed", metavar="N", help="Start of the random numbers.", rich_help_panel=COLORS),
    ] = None
    num_inference_steps: Annotated[
        str | None,
        typer.Option(
            "--steps", metavar="N", help="Denoising steps (cobra, diffusers).", rich_help_panel=COLORS
        ),
    ] = None
    top_k: Annotated[
        str | None,
        typer.Option(
            "--top-k",
            metavar="N",
            help="Reference patches for each quarter of a page (cobra).",
            rich_help_panel=COLORS,
        ),
    ] = None
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="png, jpg, webp, tif, or same as the input.",
            rich_help_panel=IN_AND_OUT,
        ),
    ] = None
    quality: Annotated[
        str | None,
        typer.Option(
            "--quality",
            metavar="N",
            help="Of jpg and webp: 1 (small) to 100; webp is then lossy.",
            rich_help_panel=IN_AND_OUT,
        ),
    ] = None
    recursive: Annotated[
        bool | None,
        typer.Option("--recursive", help="Take images from subfolders too.", rich_help_panel=IN_AND_OUT),
    ] = None
    overwrite: Annotated[
        bool | None,
        typer.Option(
            "--overwrite",
            help="Replace files in the output that this job did not write.",
            rich_help_panel=IN_AND_OUT,
        ),
    ] = None
    max_concurrent: Annotated[
        str | None,
        typer.Option(
            "--workers",
            metavar="N",
            help="Pages at the same time; auto (what doctor --tune found, else one a core) if left out.",
            rich_help_panel=RUN,
        ),
    ] = None
    pages: Annotated[
        str | None,
        typer.Option("--pages", metavar="LIST", help="Only these pages: 3-7,12.", rich_help_panel=IN_AND_OUT),
    ] = None
    layers: Annotated[
        list[str] | None,
        typer.Option(
            "--layers",
            metavar="KIND",
            help="Editable documents too: psd, ora, png (flats alone), json (regions). Repeatable.",
            rich_help_panel=DOCUMENTS,
        ),
    ] = None
    layers_by: Annotated[
        list[str] | None,
        typer.Option(
            "--layers-by",
            metavar="WHAT",
            help="Part their flats: a group for each panel, a layer for each color. Repeatable.",
            rich_help_panel=DOCUMENTS,
        ),
    ] = None
    right_to_left: Annotated[
        bool | None,
        typer.Option(
            "--right-to-left",
            help="Number panels from the upper right, whatever ComicInfo.xml says.",
            rich_help_panel=DOCUMENTS,
        ),
    ] = None
    output_as_zip: Annotated[
        bool | None,
        typer.Option(
            "--zip", help="Gather the pages of an output folder in a ZIP too.", rich_help_panel=IN_AND_OUT
        ),
    ] = None
    zip_output_name: Annotated[
        str | None,
        typer.Option("--zip-name", metavar="NAME", help="File name of that ZIP.", rich_help_panel=IN_AND_OUT),
    ] = None
    flats: Annotated[
        bool | None,
        typer.Option(
            "--flats",
            help="One colour for each region, taken from what the model paints: editable, in layers (cobra).",
            rich_help_panel=COLORS,
        ),
    ] = None
    keep_ink: Annotated[
        bool | None,
        typer.Option(
            "--keep-ink",
            help="Lay the page's own ink over what the model draws (cobra).",
            rich_help_panel=COLORS,
        ),
    ] = None
    drop_references: Annotated[
        bool | None,
        typer.Option(
            "--drop-references", help="Leave coloured pages out of the output.", rich_help_panel=IN_AND_OUT
        ),
    ] = None
    as_lineart: Annotated[
        list[str] | None,
        typer.Option(
            "--as-lineart", metavar="GLOB", help="Pages that are line art. Repeatable.", rich_help_panel=KINDS
        ),
    ] = None
    as_reference: Annotated[
        list[str] | None,
        typer.Option(
            "--as-reference",
            metavar="GLOB",
            help="Pages that are references. Repeatable.",
            rich_help_panel=KINDS,
        ),
    ] = None
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep",
            metavar="GLOB",
            help="Pages that stay as they are: credits. Repeatable.",
            rich_help_panel=KINDS,
        ),
    ] = None
    hints: Annotated[
        str | None,
        typer.Option("--hints", metavar="DIR", help="Folder of hint files.", rich_help_panel=COLORS),
    ] = None
    name_encoding: NameEncodingOption = None
    palette: Annotated[
        str | None,
        typer.Option(
            "--palette",
            metavar="FILE",
            help="palette.json of the series or of the last chapter.",
            rich_help_panel=COLORS,
        ),
    ] = None
    config_file: Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="JSON or TOML with defaults and settings of images.",
            rich_help_panel=SETTINGS,
        ),
    ] = None
    timeout: Annotated[
        str | None,
        typer.Option(
            "--timeout", metavar="SECONDS", help="Give a page up after so long.", rich_help_panel=RUN
        ),
    ] = None
    worker_memory: Annotated[
        str | None,
        typer.Option(
            "--worker-memory", metavar="SIZE", help="Memory one worker may use: 4G.", rich_help_panel=RUN
        ),
    ] = None
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            metavar="WHERE",
            help="local: this machine. ray: the machines of a Ray cluster.",
            rich_help_panel=RUN,
        ),
    ] = None
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address",
            metavar="HOST:PORT",
            help="Head of the cluster; auto is the one that this machine belongs to.",
            rich_help_panel=RUN,
        ),
    ] = None
    files: Annotated[
        str | None,
        typer.Option(
            "--files",
            metavar="HOW",
            help="bytes: sent to the machines. shared: they have the same paths.",
            rich_help_panel=RUN,
        ),
    ] = None
    priority: Annotated[
        int,
        typer.Option("--priority", metavar="N", help="Larger goes before other jobs.", rich_help_panel=RUN),
    ] = 0
    log_file: Annotated[
        str | None,
        typer.Option("--log-file", metavar="FILE", help="Log to this file too.", rich_help_panel=SETTINGS),
    ] = None
    log_json: Annotated[
        bool, typer.Option("--log-json", help="Log in JSON lines.", rich_help_panel=SETTINGS)
    ] = False
    log_level: Annotated[
        str,
        typer.Option(
            "--log-level", metavar="LEVEL", help="DEBUG, INFO, WARNING ...", rich_help_panel=SETTINGS
        ),
    ] = "INFO"
    metrics: MetricsOption = None
    as_json: JsonOption = False
    quiet: QuietOption = False
    workspace: WorkspaceOption = None

    def settings(self) -> dict[str, object]:
        """What was said of settings, by their names."""
        from ...config.settings import BatchConfig

        said = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in said.items() if name in BatchConfig.model_fields}


@dataclass(kw_only=True)
class ColorizeOptions(BookOptions):
    """What `lote colorize` takes."""

    inputs: InputsArgument
    output_dir: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="Folder, .zip or .cbz; <input>_colorized if left out.",
            rich_help_panel=IN_AND_OUT,
        ),
    ] = None
    join: Annotated[
        bool,
        typer.Option(
            "--join",
            help="Bind all inputs into one output, also where they are several books.",
            rich_help_panel=IN_AND_OUT,
        ),
    ] = False
    series: Annotated[
        bool,
        typer.Option(
            "--series",
            help="Each book takes palette and references from the books before it.",
            rich_help_panel=IN_AND_OUT,
        ),
    ] = False
    preview_mode: Annotated[
        bool,
        typer.Option(
            "--preview", help="Colour the first page only, and ask before the others.", rich_help_panel=RUN
        ),
    ] = False
    yes: Annotated[bool, typer.Option("--yes", help="Never ask.", rich_help_panel=RUN)] = False
    show_config: Annotated[
        bool,
        typer.Option(
            "--show-config",
            help="Print every setting, also for an image named after it, and do nothing.",
            rich_help_panel=SETTINGS,
        ),
    ] = False
    detach: Annotated[
        bool,
        typer.Option("--detach", help="Return at once; the job runs in the background.", rich_help_panel=RUN),
    ] = False

    def settings(self) -> dict[str, object]:
        return super().settings() | {
            "input_dir": self.inputs[0],
            "preview_mode": self.preview_mode or None,
        }


@app.command(rich_help_panel=COMICS, epilog=EXAMPLES)
@taking(ColorizeOptions)
def colorize(options: ColorizeOptions) -> None:
    """Colour the line-art pages of a comic from its coloured pages and references."""
    from ...config.effective import Settings
    from ...core.workspace import Workspace
    from ...library import shelf_of
    from ...monitoring import metrics_kept

    set_up_logging(options.log_file, options.log_level, as_json=options.log_json)
    settings = Settings(options.settings())
    force = settings.effective()
    workspace = Workspace(options.workspace)
    values, origins = in_force(workspace, force)
    target: Any = values.get("output_dir")
    shelf = shelf_of(workspace, options.inputs, None if options.join else target)
    if options.show_config:
        images = () if shelf else options.inputs[1:]
        for image in images or (None,):
            typer.echo(settings.describe(image, _resolved(workspace, force, options.inputs, shelf)))
        return
    if options.metrics and options.detach:
        raise typer.BadParameter(
            _(
                "--metrics writes as long as this command stays: with --detach, say lote metrics -o FILE --every 10"
            )
        )
    if not options.quiet and not options.as_json:
        warn_of_tuning(workspace)
    asked = _Asked(workspace, options, values, origins, options.inputs)
    with metrics_kept(workspace, options.metrics):
        raise typer.Exit(asked.code(shelf, target))


def heed_cluster(force: Mapping[str, Effective], *flags: str) -> None:
    """ConfigurationError where a flag was given that only the machines of a cluster heed, and none was asked for."""
    from ...exceptions import ConfigurationError

    given = next((flag for flag in flags for each in force.values() if each.origin == flag), None)
    if given is not None and force["engine"].value == "local":
        raise ConfigurationError(
            "{flag} is about the machines of a cluster: say --engine ray, too.", flag=given
        )


def in_force(
    workspace: Workspace, force: Mapping[str, Effective]
) -> tuple[dict[str, object], dict[str, str]]:
    """Settings as a job is given them, and where each was made."""
    from ...config.settings import ALL_SLOTS
    from ...core.tuning import tuned

    heed_cluster(force, "--ray-address", "--files")
    values = {name: effective.value for name, effective in force.items() if effective.value is not None}
    if is_automatic(force["max_concurrent"]):
        local = force["engine"].value == "local"
        values["max_concurrent"] = tuned(workspace).workers if local else ALL_SLOTS
    return values, {name: effective.origin for name, effective in force.items()}


def is_automatic(setting: Effective) -> bool:
    """Whether nobody has said how many, or somebody has said `auto`."""
    return setting.origin == "built-in" or setting.value is None


def _resolved(
    workspace: Workspace, force: dict[str, Effective], inputs: list[str], shelf: Shelf | None
) -> dict[str, Effective]:
    """The settings in force whose value is found out when the run begins."""
    from ...comics.application import choose_backend
    from ...comics.shelf import absolute, default_output
    from ...config.effective import Effective
    from ...core.tuning import tuned

    fits, how = tuned(workspace), how_tuned(workspace)
    resolved: dict[str, Effective] = {}
    if is_automatic(force["max_concurrent"]) and force["engine"].value != "local":
        resolved["max_concurrent"] = Effective(_("all"), _("built-in: every slot of the cluster"))
    elif is_automatic(force["max_concurrent"]):
        origin = how or _("one a core")
        resolved["max_concurrent"] = Effective(fits.workers, f"{force['max_concurrent'].origin}: {origin}")
    if force["output_dir"].value is None:
        place = default_output(absolute(inputs[0])) if shelf is None else shelf.output
        shown = place or _("each beside its input")
        resolved["output_dir"] = Effective(shown, _("built-in: named after the input"))
    if force["backend"].value == "auto":
        on_cluster = force["engine"].value == "ray"
        backend, why_not = choose_backend("auto", flats=force["flats"].value, on_cluster=on_cluster)
        asked = force["backend"].origin
        origin = f"{asked}: auto" + (f"; {translate(why_not)}" if why_not else "")
        resolved["backend"] = Effective(backend.name, origin)
    if is_automatic(force["worker_memory"]) and fits.worker_memory and not _on_gpu(force, resolved):
        resolved["worker_memory"] = Effective(fits.worker_memory, f"{force['worker_memory'].origin}: {how}")
    return resolved


def _on_gpu(force: dict[str, Effective], resolved: dict[str, Effective]) -> bool:
    """Whether the backend holds a device: its worker has no limit of address space."""
    from ...backends import create

    return create(resolved.get("backend", force["backend"]).value).exclusive


@dataclass
class _Asked:
    """What a command asks for: `values` are the settings in force, `origins` where each was made."""

    workspace: Workspace
    options: ColorizeOptions
    values: dict[str, Any]
    origins: dict[str, str]
    inputs: list[str]

    def code(self, shelf: Shelf | None, target: Any) -> int:
        """Do what is asked for; the exit code."""
        if shelf is None:
            return self.one_book(target)
        if not self.options.join:
            return self.books(shelf)
        self.inputs = [book.path for book in shelf.books]
        references = list(dict.fromkeys(path for book in shelf.books for path in book.references))
        said: Any = self.values.get("reference_images", ())
        self.values["reference_images"] = [*said, *references]
        return self.one_book(target)

    def one_book(self, target: object) -> int:
        """Have the inputs become one output; the exit code."""
        from ...colorize import submit
        from ...comics.shelf import absolute, default_output

        def submitted(values: dict[str, object]) -> Job:
            return submit(
                self.workspace,
                self.inputs,
                str(target or default_output(absolute(self.options.inputs[0]))),
                config=values,
                priority=self.options.priority,
                origins=self.origins,
                language=language(),
            )

        options = self.options
        job = submitted(self.values)
        if options.detach:
            hand_over(self.workspace, [job.id], as_json=options.as_json)
            return 0
        code = follow(self.workspace, job, as_json=options.as_json, quiet=options.quiet)
        if self.values["preview_mode"] and code == 0:
            left = self.workspace.ledger.held(job.id)
            question = ngettext(
                "Colour the other page like this?", "Colour the other {count} pages like this?", left
            )
            if not self._go_on(question.format(count=left)):
                return 0
            job = submitted(self.values | {"preview_mode": False})
            code = follow(self.workspace, job, as_json=options.as_json, quiet=options.quiet)
        return code

    def books(self, shelf: Shelf) -> int:
        """Have each book become an output of its own; the exit code."""
        options = self.options
        if self.values["preview_mode"]:
            code = self._preview(shelf)
            question = ngettext(
                "Colour the {count} book like this?", "Colour all {count} books like this?", len(shelf.books)
            )
            if code or options.detach or not self._go_on(question.format(count=len(shelf.books))):
                return code
        jobs = self._submitted(shelf, self.values | {"preview_mode": False})
        if options.detach:
            numbers = [one.job for one in jobs.books if one.job is not None]
            hand_over(self.workspace, numbers, as_json=options.as_json)
            refused(jobs, as_json=options.as_json)
            return 0 if len(numbers) == len(jobs.books) else 3
        return follow_library(self.workspace, jobs, as_json=options.as_json, quiet=options.quiet)

    def _preview(self, shelf: Shelf) -> int:
        """Colour one page of the first book that can be done."""
        code = 1
        for book in shelf.books:
            jobs = self._submitted(replace(shelf, books=[book]), self.values)
            if self.options.detach:
                numbers = [one.job for one in jobs.books if one.job is not None]
                hand_over(self.workspace, numbers, as_json=self.options.as_json)
                return 0
            code = follow_library(
                self.workspace, jobs, as_json=self.options.as_json, quiet=self.options.quiet
            )
            if code == 0:
                break
        return code

    def _submitted(self, shelf: Shelf, values: dict[str, object]) -> LibraryJobs:
        from ...library import submit_library

        return submit_library(
            self.workspace,
            shelf,
            config=values,
            priority=self.options.priority,
            origins=self.origins,
            language=language(),
            series=self.options.series,
        )

    def _go_on(self, question: str) -> bool:
        """Ask whether the preview is good; without a terminal, say how to go on."""
        import shlex

        if self.options.yes:
            return True
        if sys.stdin.isatty() and sys.stderr.isatty() and not self.options.as_json:
            return typer.confirm(question, err=True)
        command = shlex.join(["lote", *(word for word in sys.argv[1:] if word != "--preview")])
        typer.echo(_("go on with: {command}").format(command=command), err=True)
        return False


@app.command(rich_help_panel=COMICS)
def classify(
    inputs: InputsArgument,
    recursive: Annotated[bool, typer.Option("--recursive", help="Take images from subfolders too.")] = False,
    name_encoding: NameEncodingOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Tell line art from coloured pages: kind, confidence and metrics of each image."""
    from ...colorize import classify_inputs
    from ...core.processes import cores
    from ...formatting import safe
    from ..console import put_json

    unreadable = 0
    for key, facts in classify_inputs(
        inputs, recursive=recursive, name_encoding=name_encoding, workers=cores(), workspace=workspace
    ):
        unreadable += facts.error is not None
        if as_json:
            put_json("image", image=key, **facts.told())
        elif facts.error is not None:
            typer.echo(f"{_('unreadable'):10}  {'':>4}  {safe(key)}  ({safe(translate(facts.error))})")
        else:
            measures = _("saturation {saturation:.2f}, colours {color_count}, edges {edge_density:.2f}")
            unsure = _("not sure: see --as-lineart and --as-reference")
            typer.echo(
                f"{facts.kind:10}  {facts.confidence:>4.0%}  {safe(key)}  {measures.format(**facts.metrics)}"
                + ("" if facts.confidence >= 0.7 else f"  ({unsure})")
            )
    raise typer.Exit(3 if unreadable else 0)


@app.command(rich_help_panel=COMICS)
def evaluate(
    page: Annotated[Path, typer.Argument(metavar="PAGE", help="A coloured page.")],
    truth: Annotated[
        Path, typer.Option("--truth", metavar="IMAGE", help="The same page in its true colours.")
    ],
    line_art: Annotated[
        Path | None,
        typer.Option(
            "--lineart", metavar="IMAGE", help="The page's line art; looked for in the truth if left out."
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            "--sheet", metavar="PNG", help="Picture of the page, its errors marked, beside the truth."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how near a coloured page is to the truth."""
    from dataclasses import asdict

    from ...comics.evaluation import evaluate as measure
    from ...formatting import safe
    from ...io.images import encode
    from ...io.publish import SaveFile
    from ..console import put_json

    if sheet and any(sheet.exists() and sheet.samefile(path) for path in (page, truth, line_art) if path):
        raise typer.BadParameter(_("--sheet would replace a picture that is measured: name another file"))
    scores, picture, painted = measure(page, truth, line_art)
    if sheet:
        with SaveFile(sheet) as file:
            encode(picture, file, format="png")
    if as_json:
        put_json("evaluation", page=str(page), truth=str(truth), painted=painted, **asdict(scores))
        return
    kind = _("painted truth") if painted else _("flat truth")
    judged = ngettext(
        "{kind}, {count} region; {share:.0%} of the pixels lie off the lines and are judged",
        "{kind}, {count} regions; {share:.0%} of the pixels lie off the lines and are judged",
        scores.regions,
    )
    typer.echo(safe(judged.format(kind=kind, count=scores.regions, share=scores.share)))
    rows = (
        (_("regions right"), scores.region_accuracy, "{:.1%}"),
        (_("pixels right"), scores.pixel_accuracy, "{:.1%}"),
        (_("pixels right, without background"), scores.pixel_accuracy_without_background, "{:.1%}"),
        (_("mean IoU of the colours"), scores.mean_iou, "{:.3f}"),
        (_("median Delta-E 2000"), scores.median_delta_e_2000, "{:.2f}"),
    )
    width = max(len(words) for words, _value, _form in rows)
    for words, value, form in rows:
        typer.echo(f"{words:<{width}}  {'-' if value is None else form.format(value):>6}")
