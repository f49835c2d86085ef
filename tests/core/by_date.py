"""A third application on the engine, outside of the package: images, copied under the day on which they changed."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batch_processing.core.coordinator import run_job
from batch_processing.core.model import ItemSpec, JobState
from batch_processing.core.processes import process_identity
from batch_processing.core.workers import LocalPool, Task, Written
from batch_processing.io import scan_directory
from batch_processing.io.publish import Claim, hash_file, write_part

if TYPE_CHECKING:
    from batch_processing.core.application import JobContext
    from batch_processing.core.coordinator import Interrupt, OnNews
    from batch_processing.core.model import Item, Job
    from batch_processing.core.workers import Progress
    from batch_processing.core.workspace import Workspace

KIND = "by date"
STEP_S = 0.15  # of each image: long enough for a person to say "pause" meanwhile


@dataclass(frozen=True)
class Copy:
    """The work of one item."""

    path: str
    part: str

    def run(self, progress: Progress) -> Written:
        progress(0, 1)
        time.sleep(STEP_S)
        return Written(write_part(Path(self.part), Path(self.path).read_bytes()))


class ByDate:
    """One job: its one input is a folder, its output another."""

    kind = KIND

    def __init__(self, workspace: Workspace) -> None:
        pass

    def pool(self, job: Job) -> LocalPool:
        return LocalPool(1)

    def plan(self, context: JobContext) -> None:
        job, specs = context.job, []
        for ordinal, path in enumerate(scan_directory(job.inputs[0])):
            name = Path(path).name
            day = time.strftime("%Y-%m-%d", time.gmtime(Path(path).stat().st_mtime))
            sha256, output = hash_file(Path(path)), f"{job.output}/{day} {name}"
            specs.append(ItemSpec(name, ordinal, sha256, f"{sha256} {output}", {"path": path}, output))
        context.ledger.plan(job.id, context.generation, specs)
        context.ledger.drop_old_items(job.id, context.generation)

    def task(self, job: Job, item: Item, part: Path) -> Task:
        return Task(item.token, Copy(item.work["path"], str(part)))

    def claim(self, job: Job, item: Item) -> Claim:
        return Claim(Path(job.output))

    def finish(self, context: JobContext) -> dict[str, Any]:
        return {"state": JobState.DONE}

    def cancelled(self, context: JobContext) -> None:
        pass


@dataclass(frozen=True)
class Ended:
    state: JobState
    exit_code: int


# The door (`core.applications.Door`), and how a job is entered.

application = ByDate


def submit(workspace: Workspace, folder: Path, output: Path) -> Job:
    return workspace.ledger.submit(KIND, [os.fspath(folder)], os.fspath(output), {}, owner=process_identity())


def run(
    workspace: Workspace, job_id: int, *, on_news: OnNews | None = None, interrupt: Interrupt | None = None
) -> Ended:
    quiet = lambda events, snapshot: None  # noqa: E731
    job = run_job(workspace, job_id, ByDate(workspace), on_news=on_news or quiet, interrupt=interrupt)
    return Ended(job.state, 0 if job.state == JobState.DONE else 4)
