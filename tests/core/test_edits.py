"""Edits in the ledger: nothing is lost, and undo and redo go back and forth by the pages that a person looks at."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as some

from batch_processing.core.edits import JOB, EditLog, Saying
from batch_processing.core.ledger import Ledger


def log() -> EditLog:
    return Ledger(":memory:").edits


def say(edits: EditLog, key: str, number: int, job: int = 1) -> int:
    return edits.add(job, [Saying(key, "region", {"number": number})])


def numbers(edits: EditLog, key: str, job: int = 1) -> list[int]:
    return [edit.data["number"] for edit in edits.of(job, key)]


def test_undo_goes_back_by_page_and_redo_forth_until_something_else_is_done() -> None:
    edits = log()
    for number in (1, 2, 3):
        say(edits, "a", number)
    say(edits, "b", 4)
    assert [edit.data["number"] for edit in edits.undo(1, "a")] == [3]
    assert edits.undo(1, "a")
    assert (numbers(edits, "a"), numbers(edits, "b")) == ([1], [4])
    assert edits.steps(1, "a") == (1, 2)
    edits.redo(1, "a")
    assert numbers(edits, "a") == [1, 2]
    say(edits, "a", 5)
    assert edits.redo(1, "a") == []
    assert numbers(edits, "a") == [1, 2, 5]


def test_what_is_done_to_several_pages_at_once_is_one_step_on_each_and_so_is_what_is_the_jobs() -> None:
    edits = log()
    edits.add(1, [Saying("a", "region", {"number": 1}), Saying("b", "region", {"number": 2})])
    say(edits, JOB, 3)
    assert {edit.key for edit in edits.undo(1, "b")} == {JOB}
    assert {edit.key for edit in edits.undo(1, "b")} == {"a", "b"}
    assert (numbers(edits, "a"), edits.undo(1, "a")) == ([], [])
    assert {edit.key for edit in edits.redo(1, "a")} == {"a", "b"}


def test_what_is_wished_for_twice_under_one_name_is_done_once() -> None:
    edits = log()
    both = [Saying("a", "region", {"number": 1}), Saying("b", "region", {"number": 2})]
    first = edits.add(1, both, "w1")
    assert edits.add(1, both, "w1") == first
    assert edits.add(2, [Saying("a", "region", {"number": 3})], "w1") != first  # another job's
    edits.add(1, [Saying("a", "region", {"number": 4})], "w2")
    say(edits, "a", 5)
    say(edits, "a", 6)  # without a name each is one of its own
    assert (numbers(edits, "a"), numbers(edits, "b"), edits.steps(1, "a")) == ([1, 4, 5, 6], [2], (4, 0))
    edits.undo(1, "a")
    edits.undo(1, "a")
    edits.undo(1, "a")
    assert edits.add(1, [Saying("a", "region", {"number": 4})], "w2")  # comes late, after it was undone
    assert (numbers(edits, "a"), edits.steps(1, "a")) == ([1], (1, 3))


def test_jobs_are_apart_and_go_with_their_edits(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "lote.db")
    say(ledger.edits, "a", 1, job=1)
    say(ledger.edits, "a", 2, job=2)
    assert ledger.edits.jobs() == [1, 2]
    ledger.forget(1)
    ledger.close()
    again = Ledger(tmp_path / "lote.db")
    assert (numbers(again.edits, "a", 1), numbers(again.edits, "a", 2)) == ([], [2])
    assert say(again.edits, "a", 3, job=2) > 2
    again.close()


STEPS = some.lists(some.one_of(some.just("undo"), some.just("redo"), some.integers(0, 99)), max_size=25)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_it_is_a_stack_with_a_way_back(steps: list[str | int]) -> None:
    """Against the plain model; and the mark tells states apart, and comes back with them."""
    edits, done, undone = log(), list[int](), list[int]()
    marks: dict[tuple[int, ...], str] = {}
    count = 0
    for step in steps:
        if step == "undo":
            assert bool(edits.undo(1, "a")) == bool(done)
            if done:
                undone.append(done.pop())
        elif step == "redo":
            assert bool(edits.redo(1, "a")) == bool(undone)
            if undone:
                done.append(undone.pop())
        else:
            count += 1
            say(edits, "a", count)
            done.append(count)
            undone.clear()
        assert numbers(edits, "a") == done
        assert edits.steps(1, "a") == (len(done), len(undone))
        assert marks.setdefault(tuple(done), edits.mark(1)) == edits.mark(1)
    assert len(set(marks.values())) == len(marks)
