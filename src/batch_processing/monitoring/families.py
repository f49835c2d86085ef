"""An observation as OpenMetrics text, which Prometheus reads.

Promises: names begin with `lote_`, end with their unit, and stay as they are; `docs/monitoring.md` has all of them. Labels
have few values that do not grow with time: no path, no number of a job, no process. What is not known is left out, never 0.
The text is also good as Prometheus' own format 0.0.4, which node_exporter's textfile collector reads: no type that only
OpenMetrics knows is used, and no sample has a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from .. import __version__
from ..core.model import ItemState, JobState
from .watch import JobView, Observation, Run

# Media type of the text, for whoever serves it.
MEDIA_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
# With what a file of ours begins: nothing else is ever replaced.
BEGINNING = b"# HELP lote_"

Sample = tuple[dict[str, str], float]


class Type(StrEnum):
    """How a family counts."""

    GAUGE = "gauge"
    COUNTER = "counter"


@dataclass(frozen=True)
class Family:
    """A name with what it means. `unit` is the end of the name, or ""."""

    name: str
    help: str
    unit: str = ""
    type: Type = Type.GAUGE


BUILD = Family("lote_build_info", "The version of Lote; always 1.")
OBSERVED = Family("lote_observed_timestamp_seconds", "When these numbers were taken, since 1970.", "seconds")
JOBS = Family("lote_jobs", "Jobs that the workspace knows, by kind and state.")
RUNNING = Family("lote_job_running", "Whether a living process is at the job of this kind: 1 or 0.")
NUMBER = Family("lote_job_number", "Number of the job that the other lote_job_ families are about.")
DONE = Family("lote_job_done", "How much of the job is done, in the unit that the label stage names.")
TOTAL = Family("lote_job_expected", "How much the job has to do in all, where that is known.")
RATE = Family("lote_job_speed", "How much of it is done in a second now.")
LEFT = Family("lote_job_left_seconds", "How long it will still take, as far as that can be told.", "seconds")
PAGES = Family("lote_job_pages", "Pages of the comics job, by state.")
PHOTOS = Family("lote_job_photos", "Photos of the scan or the look, by what became of them.")
BATCHES = Family("lote_job_batches", "Batches of the scan or the look so far.")
READ = Family("lote_job_read_bytes", "Bytes of photos that the scan has read and hashed.", "bytes")
STARTED = Family("lote_job_started_timestamp_seconds", "When the job began to run, since 1970.", "seconds")
ENDED = Family("lote_job_ended_timestamp_seconds", "When the job ended, since 1970.", "seconds")
EXIT = Family("lote_job_exit_code", "The exit code of the command that ran the job to its end.")
PROCESSES = Family("lote_processes", "Processes of the run: the one that runs the job, and its workers.")
CPU = Family(
    "lote_cpu_seconds", "Processor time of all processes of the run, since it began.", "seconds", Type.COUNTER
)
MEMORY = Family(
    "lote_resident_memory_bytes", "Memory of all processes of the run; what they share counts twice.", "bytes"
)
LARGEST = Family("lote_largest_process_memory_bytes", "Memory of the largest process of the run.", "bytes")
DISK_READ = Family(
    "lote_disk_read_bytes", "Bytes that the processes of the run had from disks.", "bytes", Type.COUNTER
)
DISK_WRITTEN = Family(
    "lote_disk_written_bytes", "Bytes that the processes of the run gave to disks.", "bytes", Type.COUNTER
)
CPUS = Family("lote_machine_cpus", "Processors that Lote may use here.")
CPU_SHARE = Family("lote_machine_cpu_usage_ratio", "Share of all processors in use by anybody.", "ratio")
MEMORY_TOTAL = Family(
    "lote_machine_memory_bytes", "Memory that Lote may use: the container's limit.", "bytes"
)
MEMORY_FREE = Family("lote_machine_memory_available_bytes", "Memory that is still to be had.", "bytes")
DISK = Family("lote_filesystem_size_bytes", "Size of a file system with the workspace or an output.", "bytes")
DISK_FREE = Family("lote_filesystem_free_bytes", "Free bytes of that file system.", "bytes")
GPU_SHARE = Family("lote_gpu_usage_ratio", "Share of the last moment in which the GPU computed.", "ratio")
GPU_USED = Family("lote_gpu_memory_used_bytes", "Memory of the GPU in use by anybody.", "bytes")
GPU_TOTAL = Family("lote_gpu_memory_bytes", "Memory of the GPU.", "bytes")


def openmetrics(observation: Observation) -> str:
    """The text, which ends with "# EOF"."""
    lines: list[str] = []
    for family, samples in _families(observation):
        rows = list(samples)
        if not rows:
            continue
        lines.append(f"# HELP {family.name} {family.help}")
        lines.append(f"# TYPE {family.name} {family.type}")
        if family.unit:
            lines.append(f"# UNIT {family.name} {family.unit}")
        name = f"{family.name}_total" if family.type is Type.COUNTER else family.name
        for labels, value in rows:
            told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
            lines.append(f"{name}{{{told}}} {_number(value)}" if told else f"{name} {_number(value)}")
    return "\n".join([*lines, "# EOF", ""])


def _families(observation: Observation) -> Iterator[tuple[Family, Iterable[Sample]]]:
    yield BUILD, [({"version": __version__}, 1)]
    yield OBSERVED, [({}, observation.at)]
    yield (
        JOBS,
        [
            ({"kind": kind, "state": state}, counts.get(state, 0))
            for kind, counts in observation.states.items()
            for state in JobState
        ],
    )
    yield from _of_jobs(observation.latest)
    yield from _of_runs(observation.runs)
    machine = observation.machine
    yield CPUS, [({}, machine.cpus)]
    yield CPU_SHARE, _known([({}, machine.cpu)])
    yield MEMORY_TOTAL, [({}, machine.memory_total)]
    yield MEMORY_FREE, [({}, machine.memory_available)]
    yield DISK, [({"mountpoint": disk.mount}, disk.total) for disk in observation.disks]
    yield DISK_FREE, [({"mountpoint": disk.mount}, disk.free) for disk in observation.disks]
    gpus = [({"gpu": str(gpu.index)}, gpu) for gpu in observation.gpus]
    yield GPU_SHARE, _known([(labels, gpu.utilization) for labels, gpu in gpus])
    yield GPU_USED, [(labels, gpu.memory_used) for labels, gpu in gpus]
    yield GPU_TOTAL, [(labels, gpu.memory_total) for labels, gpu in gpus]


def _of_jobs(jobs: Iterable[JobView]) -> Iterator[tuple[Family, Iterable[Sample]]]:
    each = [({"kind": job.kind}, job) for job in jobs]
    staged = [({"kind": job.kind, "stage": str(job.stage)}, job) for job in jobs]
    yield NUMBER, [(labels, job.job) for labels, job in each]
    yield RUNNING, [(labels, job.is_running) for labels, job in each]
    yield DONE, [(labels, job.done) for labels, job in staged]
    yield TOTAL, _known([(labels, job.total) for labels, job in staged])
    yield RATE, _known([(labels, job.rate) for labels, job in staged])
    yield LEFT, _known([(labels, job.eta) for labels, job in each])
    yield PAGES, [(labels | {"state": state}, job.pages.get(state, 0)) for labels, job in each if job.pages for state in ItemState]  # fmt: skip
    yield (
        PHOTOS,
        [(labels | {"result": result}, count) for labels, job in each for result, count in _photos(job)],
    )
    yield BATCHES, [(labels, found.batches) for labels, job in each if (found := job.scan or job.look)]
    yield READ, [(labels, job.scan.bytes_read) for labels, job in each if job.scan]
    yield STARTED, _known([(labels, job.started_at) for labels, job in each])
    yield ENDED, _known([(labels, job.finished_at) for labels, job in each])
    yield EXIT, _known([(labels, job.exit_code) for labels, job in each])


def _photos(job: JobView) -> Iterator[tuple[str, int]]:
    """What became of the photos of a scan or a look."""
    if scan := job.scan:
        yield "seen", scan.files_seen
        yield "new", scan.registered
        yield "known", scan.already_processed
        yield "copy", scan.duplicates
        yield "error", scan.errors
    if look := job.look:
        yield "looked_at", look.looks_done
        yield "damaged", look.damaged
        yield "without_pixels", look.no_pixels
        yield "gone", look.gone
        yield "error", look.errors


def _of_runs(runs: Iterable[Run]) -> Iterator[tuple[Family, Iterable[Sample]]]:
    each = [({"kind": run.kind}, run.processes) for run in runs]
    yield PROCESSES, [(labels, len(uses)) for labels, uses in each]
    yield CPU, [(labels, sum(use.cpu_seconds for use in uses)) for labels, uses in each]
    yield MEMORY, [(labels, sum(use.memory for use in uses)) for labels, uses in each]
    yield LARGEST, [(labels, max(use.memory for use in uses)) for labels, uses in each]
    yield DISK_READ, _known([(labels, _sum(use.read_bytes for use in uses)) for labels, uses in each])
    yield DISK_WRITTEN, _known([(labels, _sum(use.written_bytes for use in uses)) for labels, uses in each])


def _sum(values: Iterable[int | None]) -> int | None:
    """None where one of them is not known: a part of a sum would go up and down."""
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)


def _known(samples: Iterable[tuple[dict[str, str], float | None]]) -> list[Sample]:
    return [(labels, value) for labels, value in samples if value is not None]


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _escaped(text: str) -> str:
    shown = text.encode("utf-8", "backslashreplace").decode()  # a name that is no Unicode
    return shown.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
