"""A very small application on the engine: each item is a text that is written to a file.

    python -m core.tiny WORKSPACE OUTPUT CONFIG-AS-JSON

submits the job, runs or follows it to its end, and exits like `lote` would.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from batch_processing.core.application import JobContext
from batch_processing.core.cluster.pool import ClusterPool
from batch_processing.core.cluster.slots import Wanted
from batch_processing.core.coordinator import Interrupt, run_job
from batch_processing.core.model import Item, ItemSpec, Job
from batch_processing.core.processes import process_identity
from batch_processing.core.workers import LocalPool, Pool, Task
from batch_processing.core.workspace import Kind, Workspace
from batch_processing.exceptions import BatchProcessingError
from core.engine_tasks import Write


class Tiny:
    """`Job.config`: "items" (name -> text, priority, cost, and what `engine_tasks.write` takes), "slots",
    "timeout", "learn" (seconds that planning takes), "fail" (a sentence with which planning fails),
    "batches" (lists of names that go together, in their order), "cluster" (the address of one, to work there)."""

    kind: Kind = "comics"

    def pool(self, job: Job) -> Pool:
        if "cluster" in job.config:
            return ClusterPool(job.config["cluster"], Wanted(job.config.get("slots", 0)))
        return LocalPool(job.config.get("slots", 2))

    def plan(self, context: JobContext) -> None:
        config = context.job.config
        if "fail" in config:
            raise BatchProcessingError(config["fail"])
        context.phase("learning")
        until = time.monotonic() + config.get("learn", 0.0)
        while time.monotonic() < until:
            context.check()
            time.sleep(0.02)
        specs = [
            ItemSpec(
                name,
                ordinal,
                "",
                hashlib.sha256(json.dumps(item).encode()).hexdigest(),
                item,
                str(Path(context.job.output) / name),
                priority=item.get("priority", 0),
                cost=item.get("cost", 0),
            )
            for ordinal, (name, item) in enumerate(config["items"].items())
        ]
        context.ledger.plan(context.job.id, context.generation, specs)
        context.ledger.drop_old_items(context.job.id, context.generation)
        fresh = {item.key: item.id for item in context.ledger.items(context.job.id) if not item.turn}
        batches = [[fresh[name] for name in names if name in fresh] for names in config.get("batches", ())]
        context.ledger.arrange(context.job.id, [batch for batch in batches if batch])

    def task(self, job: Job, item: Item, part: Path) -> Task:
        args = {name: value for name, value in item.work.items() if name not in ("priority", "cost")}
        work = Write(args=args, part=str(part))
        return Task(str(item.token), work, job.config.get("timeout", 600.0))

    def claim(self, job: Job, item: Item) -> None:
        """What stands there is replaced."""

    def finish(self, context: JobContext) -> dict[str, Any]:
        return {"state": "done", "generation": context.generation}

    def cancelled(self, context: JobContext) -> None:
        context.note(f"{context.ledger.counts(context.job.id)['completed']} done before")


def submit(workspace: Workspace, output: Path, config: dict[str, Any], **options: Any) -> Job:
    return workspace.ledger.submit(
        "comics", ["tiny"], str(output), config, owner=process_identity(), **options
    )


def main() -> int:
    workspace = Workspace(sys.argv[1])
    job = submit(workspace, Path(sys.argv[2]), json.loads(sys.argv[3]))
    interrupt = Interrupt()
    print(job.id, flush=True)
    try:
        with interrupt.signals():
            ended = run_job(workspace, job.id, Tiny(), interrupt=interrupt)
    except BatchProcessingError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 4 if ended.state == "cancelled" else 0


if __name__ == "__main__":
    sys.exit(main())
