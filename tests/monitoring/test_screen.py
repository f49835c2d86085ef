"""What is drawn of an observation fits the screen, whatever there is to see."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from batch_processing.core.model import ItemState, JobState, Wish
from batch_processing.core.usage import MachineUse, ProcessUse
from batch_processing.memory import Gpu
from batch_processing.monitoring import JobView, Observation, Run, Stage, openmetrics
from batch_processing.monitoring.watch import DiskView
from batch_processing.ui.top import lines

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12) | st.just("/книга/漫画 第十二話.cbz")
SIZE = st.integers(0, 10**15)
RATE = st.none() | st.floats(0, 1e12)

JOB = st.builds(
    JobView,
    job=st.integers(1, 10**6), kind=st.sampled_from(["comics", "photos", "looks", "other"]),
    state=st.sampled_from(JobState), wanted=st.sampled_from(Wish), phase=TEXT, inputs=st.tuples(TEXT), output=TEXT,
    pid=st.none() | st.integers(1, 10**6), stage=st.sampled_from(Stage), done=SIZE, total=st.none() | SIZE, failed=SIZE,
    rate=RATE, bytes_rate=RATE, eta=RATE, submitted_at=st.floats(0, 2e9), started_at=st.none(), finished_at=st.none(),
    exit_code=st.none(), pages=st.just(dict.fromkeys(ItemState, 1)), scan=st.none(), look=st.none(),
)  # fmt: skip
PROCESS = st.builds(
    ProcessUse, pid=st.integers(1, 4_000_000), name=TEXT, memory=SIZE, cpu_seconds=st.floats(0, 1e9),
    read_bytes=st.none() | SIZE, written_bytes=st.none() | SIZE, cpu=RATE, read_rate=RATE, write_rate=RATE,
)  # fmt: skip
OBSERVATION = st.builds(
    Observation,
    at=st.floats(0, 2e9), workspace=TEXT, jobs=st.lists(JOB, max_size=5).map(tuple), latest=st.lists(JOB, max_size=2, unique_by=lambda job: job.kind).map(tuple),
    states=st.just({}),
    runs=st.lists(
        st.builds(
            Run, kind=st.just("comics"), jobs=st.tuples(st.integers(1, 99)),
            processes=st.lists(PROCESS, min_size=1, max_size=8).map(tuple),
        ),
        max_size=1,
    ).map(tuple),
    machine=st.builds(MachineUse, st.integers(1, 512), st.none() | st.floats(0, 1), SIZE, SIZE),
    disks=st.lists(st.builds(DiskView, TEXT, SIZE, SIZE), max_size=3, unique_by=lambda disk: disk.mount).map(tuple),
    gpus=st.lists(
        st.builds(Gpu, st.integers(0, 7), TEXT, SIZE, SIZE, st.none() | st.floats(0, 1)),
        max_size=3, unique_by=lambda gpu: gpu.index,
    ).map(tuple),
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(OBSERVATION, st.integers(20, 200), st.integers(1, 24))
def test_nothing_is_wider_or_higher_than_the_screen(seen: Observation, width: int, height: int) -> None:
    drawn = lines(seen, width, height)
    assert len(drawn) <= height
    assert all(cell_len(line) <= width for line in drawn)
    assert all(line.isprintable() for line in drawn)


def test_what_has_no_room_is_counted() -> None:
    processes = tuple(
        ProcessUse(pid, "lote worker", 1, 0.0, 0, 0, 1.0, 0.0, 0.0) for pid in range(1000, 1064)
    )
    machine = MachineUse(64, 0.5, 64 * 2**30, 2**30)
    seen = Observation(0.0, "/ws", (), (), {}, (Run("comics", (1,), processes),), machine, (), ())
    drawn = lines(seen, 80, 24)
    assert len(drawn) == 24
    shown = sum("lote worker" in line for line in drawn)
    assert drawn[-1] == f"and {64 - shown} more"
    assert sum("lote worker" in line for line in lines(seen, 80)) == 64


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(OBSERVATION)
def test_metrics_are_text_of_whatever_is_seen(seen: Observation) -> None:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    assert list(text_string_to_metric_families(openmetrics(seen)))
