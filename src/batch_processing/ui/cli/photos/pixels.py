"""`lote photos look` and `lote photos faces`: one look at the pixels of each photo."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ....core.model import EventKind, JobState
from ....exceptions import ConfigurationError
from ....i18n import N_, _, ngettext
from ....messages import NOTHING, Message
from ..common import MetricsOption
from ..tuning import warn_of_tuning
from . import words
from .common import (
    BatchSizeOption,
    BottomLine,
    DatabaseOption,
    EngineOption,
    FilesOption,
    JsonOption,
    QuietOption,
    RayAddressOption,
    SlotsOption,
    WorkspaceOption,
    folders_given,
    open_store,
    photos_app,
    print_facts,
    print_json,
    print_line,
    print_note,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ....core.model import Event, Job
    from ....core.status import Snapshot
    from ....core.workspace import Workspace
    from ....photos.pixels.looks_job import Cluster, LookFigures, LookResult, Looks
    from ....photos.pixels.stage import LookBatch, Looking, LookStats
    from ....photos.store import Store

# Errors shown at the end; `lote photos errors` has them all.
ERRORS_SHOWN = 10

_Folders = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FOLDER...]", help="Only below these; all that was scanned if left out."),
]
_NoWait = Annotated[
    bool, typer.Option("--no-wait", help="End with exit code 11 if photos are being looked at already.")
]


@photos_app.command()
def look(
    folders: _Folders = None,
    batch_size: BatchSizeOption = None,
    no_wait: _NoWait = False,
    engine: EngineOption = None,
    ray_address: RayAddressOption = None,
    files: FilesOption = None,
    workers: SlotsOption = None,
    database: DatabaseOption = None,
    metrics: MetricsOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Look at the pixels of scanned photos, once for each content: previews, fingerprints, and damage inside of files.

    New photos are looked at for faces, too, if lote photos faces was ever given.

    Exit codes: 0 done, 3 some photos could not be looked at, 11 somebody else is at it (--no-wait), 130 interrupted; run the
    same command again and it goes on."""
    from ....config.effective import photo_settings
    from ....core.tuning import tuned
    from ....monitoring import metrics_kept

    size = photo_settings({"batch_size": batch_size}, None)["batch_size"].value
    cluster = _cluster(engine, ray_address, files, workers)
    with open_store(database, workspace) as (store, opened), metrics_kept(opened, metrics):
        if not quiet and not as_json and cluster is None:
            warn_of_tuning(opened)
        code = run_look(
            store,
            opened,
            folders_given(folders or []),
            database or str(opened.database),
            batch_size=size or tuned(opened).batch_size,
            wait=not no_wait,
            as_json=as_json,
            quiet=quiet,
            cluster=cluster,
        )
    raise typer.Exit(code)


@photos_app.command()
def faces(
    folders: _Folders = None,
    face_model: Annotated[
        str | None,
        typer.Option(
            "--face-model",
            metavar="DIR",
            help="Other networks than Lote's own, with a faces.json beside them.",
        ),
    ] = None,
    batch_size: BatchSizeOption = None,
    no_wait: _NoWait = False,
    engine: EngineOption = None,
    ray_address: RayAddressOption = None,
    files: FilesOption = None,
    workers: SlotsOption = None,
    database: DatabaseOption = None,
    metrics: MetricsOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Find the faces on scanned photos, within the same look at their pixels, and tell whose they are.

    Nothing about faces is computed before this is first given; from then on every look at new photos finds their faces, too.
    The networks that find them are not part of Lote: lote models path faces says how to get them. Nothing leaves this machine,
    but for those of a cluster where --engine ray asks for one.

    Exit codes: 0 done, 2 the networks are not here, 3 some photos could not be looked at, 11 somebody else is at it (--no-wait), 130 interrupted;
    run the same command again and it goes on."""
    from ....config.effective import photo_settings
    from ....core.tuning import tuned
    from ....monitoring import metrics_kept
    from .people import tell_apart

    size = photo_settings({"batch_size": batch_size}, None)["batch_size"].value
    cluster = _cluster(engine, ray_address, files, workers)
    with open_store(database, workspace) as (store, opened), metrics_kept(opened, metrics):
        if not quiet and not as_json and cluster is None:
            warn_of_tuning(opened)
        code = run_look(
            store,
            opened,
            folders_given(folders or []),
            database or str(opened.database),
            batch_size=size or tuned(opened).batch_size,
            wait=not no_wait,
            as_json=as_json,
            quiet=quiet,
            cluster=cluster,
            faces=True,
            face_model=face_model,
        )
        if code in (0, 3):
            tell_apart(store, opened, quiet=quiet or as_json)
    raise typer.Exit(code)


def run_look(
    store: Store,
    opened: Workspace,
    folders: Sequence[bytes],
    database: str,
    *,
    batch_size: int = 100,
    wait: bool = True,
    as_json: bool = False,
    quiet: bool = False,
    brief: bool = False,
    faces: bool = False,
    face_model: str | None = None,
    cluster: Cluster | None = None,
) -> int:
    """Look at the photos below `folders`, or at all that were scanned, and say what became of it; the exit code.
    `brief`: it serves something else: nothing is said but how far it is, and what went wrong. `faces`, `face_model`,
    `cluster`: as `LookRequest` has them."""
    from ....photos.pixels.looks_job import LookRequest, Looks
    from ....photos.pixels.looks_job import look as begin

    roots = list(folders) or scanned(store)
    view = _LookView(as_json=as_json, quiet=quiet, brief=brief)
    paths = tuple(os.fsdecode(root) for root in roots)
    named = None if face_model is None else os.path.abspath(face_model)  # noqa: PTH100 - no resolving
    request = LookRequest(paths, database, batch_size, faces, named, cluster)
    looks = Looks(opened, store, on_batch=view.batch, on_wait=print_note, wait=wait)
    return _run(looks, store, view, partial(begin, opened, request, looks, store))


def _cluster(
    engine: str | None, ray_address: str | None, files: str | None, workers: str | None
) -> Cluster | None:
    """Whose machines are to look, as flags and environment have it; None: this one."""
    from ....config.effective import Settings
    from ....photos.pixels.looks_job import Cluster
    from ..colorize import heed_cluster, is_automatic

    given = {"engine": engine, "ray_address": ray_address, "files": files, "max_concurrent": workers}
    force = Settings(given).effective()
    heed_cluster(force, "--ray-address", "--files", "--workers")
    if force["engine"].value != "ray":
        return None
    slots = 0 if is_automatic(force["max_concurrent"]) else force["max_concurrent"].value
    return Cluster(force["ray_address"].value, slots, force["files"].value == "shared")


def scanned(store: Store) -> list[bytes]:
    """The folders that were ever scanned. ConfigurationError if there is none."""
    from ....photos.audit import scanned_roots

    if not (roots := scanned_roots(store)):
        raise ConfigurationError("No photo is known yet: scan a folder first, with lote photos scan FOLDER.")
    return roots


def follow(opened: Workspace, job: Job, *, as_json: bool, quiet: bool) -> int:
    """Go on with a look, or wait for its end, and print what became of it; the exit code. For `lote resume`."""
    from ....photos.pixels.looks_job import LookRequest, Looks, run

    view = _LookView(as_json=as_json, quiet=quiet)
    with open_store(LookRequest.of(job).database, str(opened.root)) as (store, _):
        looks = Looks(opened, store, on_batch=view.batch, on_wait=print_note)
        return _run(looks, store, view, partial(run, opened, job.id, looks=looks))


def _run(looks: Looks, store: Store, view: _LookView, begin: Callable[..., LookResult]) -> int:
    from ....core.coordinator import Interrupt, Interrupted
    from ....photos.audit import recent_errors
    from ....photos.pixels.stage import STAGE, LookStats

    interrupt = Interrupt()
    result = None
    try:
        with interrupt.signals():
            result = begin(on_news=view.news, interrupt=interrupt)
    except Interrupted:
        pass  # said below
    finally:
        view.end()
    done = looks.begun
    stats = done.stats if done else result.stats if result else LookStats()
    failures = (
        recent_errors(store, done.roots, ERRORS_SHOWN, stages=(STAGE,)) if done and stats.errors else []
    )
    shown = [(path, text) for path, _, text in failures]
    view.summary(result.state if result else "stopped", stats, shown, _faces_known(store, done))
    return result.exit_code if result else 130


def _faces_known(store: Store, looking: Looking | None) -> tuple[int, int] | None:
    """How many faces the library has, and on how many photos; None where nobody looks for any."""
    from ....photos.people import recording

    if looking is None or not looking.finds_faces:
        return None
    with store.read() as connection:
        return recording.totals(connection)


class _LookView:
    """What a person, a log or a program sees of a look."""

    def __init__(self, *, as_json: bool, quiet: bool, brief: bool = False) -> None:
        self._json, self._quiet, self._brief = as_json, quiet, brief
        self._bottom = BottomLine(wanted=not quiet and not as_json)

    def batch(self, batch: LookBatch, figures: LookFigures) -> None:
        if self._quiet or self._brief:
            return
        if self._json:
            print_json(
                "batch",
                number=batch.number,
                photos=len(batch.photos),
                faces=batch.faces,
                errors=batch.errors,
                first_path=batch.first_path,
                last_path=batch.last_path,
                bytes=batch.bytes,
                seconds=round(batch.seconds, 3),
                again=batch.again,
                done=figures.looks_done,
                total=figures.looks_total,
                eta_seconds=figures.eta_seconds,
            )
            return
        self.end()
        line = Message(
            "batch {number}: {photos}{faces}, {done} of {total}{left}",
            number=batch.number,
            photos=words.photos(len(batch.photos)),
            faces=NOTHING if batch.faces is None else Message(", {faces}", faces=words.faces(batch.faces)),
            done=f"{figures.looks_done:,}",
            total=f"{figures.looks_total:,}",
            left=_left(figures),
        )
        if batch.again:
            line = Message("{line}  (found before, not taken then)", line=line)
        print_note(line)

    def news(self, events: list[Event], snapshot: Snapshot) -> None:
        """How far it is, as the ledger has it, whichever process looks."""
        from ....photos.pixels.looks_job import LookFigures

        for event in events:
            if event.kind == EventKind.WARNING:
                print_note("warning: {text}", text=event.data["text"])
            elif event.kind == EventKind.NOTE and not self._brief:
                print_note(event.data["text"])
        job = snapshot.job
        if job.state == JobState.PAUSED and self._bottom.is_due:
            self._bottom.say("paused; lote resume {job} goes on", job=job.id)
        elif job.state == JobState.RUNNING and self._bottom.is_due and job.phase:
            self._bottom.say(_(job.phase))
        elif job.state == JobState.RUNNING and self._bottom.is_due:
            figures = LookFigures.of(job)
            self._bottom.say(
                "{done} of {total} photos looked at{left}  {memory}",
                done=f"{figures.looks_done:,}",
                total=f"{figures.looks_total:,}",
                left=_left(figures),
                memory=_memory(),
            )

    def end(self) -> None:
        self._bottom.clear()

    def summary(
        self,
        state: str,
        stats: LookStats,
        failures: Sequence[tuple[str, Message]],
        faces_known: tuple[int, int] | None,
    ) -> None:
        from ....formatting import seconds

        if not self._brief:
            for path, text in failures:
                print_note("lote: {path}: {text}", path=path, text=text)
        if self._brief:
            pass
        elif self._json:
            known = (
                {}
                if faces_known is None
                else dict(zip(("all_faces", "all_with_faces"), faces_known, strict=True))
            )
            print_json("summary", state=state, **vars(stats), **known)
        elif not self._quiet:
            rows: list[tuple[str, object]] = [
                (N_("looked at"), stats.looked),
                (N_("damaged"), stats.damaged),
                (N_("without pixels"), stats.no_pixels),
                (N_("errors"), stats.errors),
                (N_("batches"), stats.batches),
                (N_("time"), seconds(stats.seconds)),
            ]
            if faces_known is not None:
                rows[1:1] = [(N_("with faces"), stats.with_faces), (N_("faces"), stats.faces)]
            print_facts(rows)
            if faces_known is not None:
                on_all = _("{faces} on {photos} are known in the library.")
                faces, contents = faces_known
                print_line(on_all.format(faces=words.faces(faces), photos=words.photos(contents)))
            for library, number in stats.lacking.items():
                lacking = ngettext(
                    "{count} photo has no pixels here: {library} would read it, and is not installed.",
                    "{count} photos have no pixels here: {library} would read them, and is not installed.",
                    number,
                )
                print_line(lacking.format(count=number, library=library))
            if stats.damaged:
                print_line("`lote photos errors --damaged` lists what is damaged.")
            if stats.errors > len(failures):
                print_line("`lote photos errors` lists what could not be read.")
        if stats.gone:
            away = ngettext(
                "lote: {count} photo is not there now: plug in its drive, or scan its folder again.",
                "lote: {count} photos are not there now: plug in their drive, or scan their folder again.",
                stats.gone,
            )
            print_note(away.format(count=stats.gone))
        if state == JobState.CANCELLED:
            print_note("lote: cancelled; what was done is kept. The same command goes on.")
        if state == "stopped":
            print_note("lote: stopped; what was done is kept. Run the same command again and it goes on.")


def _left(figures: LookFigures) -> Message:
    """The time that is left, with the space before it."""
    from ....formatting import seconds

    to_go = figures.eta_seconds
    return NOTHING if to_go is None else Message("  {to_go} left", to_go=seconds(to_go))


def _memory() -> str:
    from ....formatting import size
    from ...console import memory_now

    return size(memory_now())


def facts(job: Job) -> list[tuple[str, Message | str]]:
    """What `lote status` says of a look: names, marked with `N_`, and values."""
    from ....formatting import seconds
    from ....photos.pixels.looks_job import LookFigures

    figures = LookFigures.of(job)
    faces = [] if figures.faces is None else [(N_("faces"), str(figures.faces))]
    return [
        (N_("looked at"), f"{figures.looks_done} / {figures.looks_total}"),
        *faces,
        (N_("damaged"), str(figures.damaged)),
        (N_("without pixels"), str(figures.no_pixels)),
        (N_("errors"), str(figures.errors)),
        (N_("batches"), str(figures.batches)),
        (N_("time"), seconds(figures.seconds)),
    ]
