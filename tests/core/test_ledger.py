"""The ledger: which moves it allows, what it counts, and what it remembers."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from batch_processing.core import ledger as ledger_module
from batch_processing.core import transitions
from batch_processing.core.database import Database
from batch_processing.core.edits import Saying
from batch_processing.core.ledger import Ledger
from batch_processing.core.model import Item, ItemSpec, Role, Settlement, Source
from batch_processing.core.processes import process_identity
from batch_processing.core.workspace import Workspace
from batch_processing.exceptions import QueueError, ResourceError, WorkspaceError
from batch_processing.messages import Message

NOBODY = {"pid": 2**22 + 1, "host": "nowhere", "started": 0.0}  # above the largest process id of Linux


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    ledger = Ledger(tmp_path / "lote.db")
    yield ledger
    ledger.close()


def spec(key: str, ordinal: int = 0, **changes: Any) -> ItemSpec:
    values = {"input_hash": "i", "fingerprint": f"f-{key}", "work": {"n": key}, "output": f"/out/{key}"}
    return ItemSpec(key, ordinal, **{**values, **changes})


def new_job(ledger: Ledger, *keys: str, **changes: Any) -> int:
    number = ledger.submit("comics", ["/in"], "/out", {}, owner=process_identity()).id
    ledger.plan(number, 1, [spec(key, ordinal, **changes) for ordinal, key in enumerate(keys)])
    return number


def states(ledger: Ledger, number: int) -> dict[str, str]:
    return {item.key: item.state for item in ledger.items(number)}


def done(item: Item, text: str = "h", **changes: Any) -> Settlement:
    return Settlement(item.id, str(item.token), "completed", text, {"d": 1}, 0.5, **changes)


def finish_all(ledger: Ledger, number: int) -> None:
    ledger.settle([done(item) for item in ledger.claim(number, 100)])


class TestItems:
    def test_a_page_goes_from_pending_through_processing_to_completed(self, ledger: Ledger) -> None:
        number = new_job(ledger, "a")
        (item,) = ledger.claim(number, 1)
        assert (item.state, item.attempts) == ("processing", 1)
        assert ledger.item(number, "a") == item
        ledger.settle([done(item, "hash")])
        after = ledger.item(number, "a")
        assert after is not None
        assert (after.state, after.output_hash, after.details, after.seconds) == (
            "completed",
            "hash",
            {"d": 1},
            0.5,
        )
        assert after.token is None
        assert after.intent is None
        assert after.finished_at is not None

    def test_each_page_is_leased_once(self, ledger: Ledger) -> None:
        number = new_job(ledger, *"abcde")
        first, second, third = ledger.claim(number, 2), ledger.claim(number, 2), ledger.claim(number, 2)
        assert [item.key for item in [*first, *second, *third]] == list("abcde")
        assert len({item.token for item in [*first, *second, *third]}) == 5

    def test_higher_priority_is_leased_first_and_order_decides_within_one(self, ledger: Ledger) -> None:
        number = ledger.submit("comics", ["/in"], "/out", {}).id
        ledger.plan(
            number,
            1,
            [spec(key, i, priority=p) for i, (key, p) in enumerate(zip("abcd", (0, 5, 0, 5), strict=True))],
        )
        assert [item.key for item in ledger.claim(number, 4)] == ["b", "d", "a", "c"]

    @pytest.mark.parametrize("state", ["completed", "failed", "cancelled", "pending"])
    def test_a_late_result_changes_nothing(self, ledger: Ledger, state: str) -> None:
        number = new_job(ledger, "a")
        (late,) = ledger.claim(number, 1)
        ledger.settle([Settlement(late.id, str(late.token), "pending")])  # its lease was lost
        (now,) = ledger.claim(number, 1)
        ledger.settle([Settlement(late.id, str(late.token), state, "stale")])
        assert ledger.item(number, "a") == now
        assert ledger.advance(number, intend=[done(late, "stale")])[0] == set()
        ledger.settle([done(now, "fresh")])
        ledger.settle([Settlement(late.id, str(late.token), state, "stale")])
        after = ledger.item(number, "a")
        assert after is not None
        assert (after.state, after.output_hash) == ("completed", "fresh")

    def test_settling_twice_counts_once(self, ledger: Ledger) -> None:
        number = new_job(ledger, "a")
        (item,) = ledger.claim(number, 1)
        ledger.settle([done(item), done(item)])
        assert ledger.counts(number)["completed"] == 1
        assert [event.key for event in ledger.events(number) if event.kind == "page"] == ["a"]

    def test_one_step_ends_intends_and_leases(self, ledger: Ledger) -> None:
        number = new_job(ledger, *"abc")
        a, b = ledger.claim(number, 2)
        holding, (c,) = ledger.advance(number, settle=[done(a)], intend=[done(b, "will be")], claim=5)
        assert holding == {b.id}
        assert c.key == "c"
        assert states(ledger, number) == {"a": "completed", "b": "processing", "c": "processing"}
        assert next(item.intent for item in ledger.items(number) if item.key == "b") == "will be"

    def test_a_step_that_fails_changes_nothing(self, ledger: Ledger) -> None:
        number = new_job(ledger, *"ab")
        (a,) = ledger.claim(number, 1)
        before = list(ledger.items(number))
        with pytest.raises(AttributeError):
            ledger.advance(number, settle=[done(a)], intend=[object()], claim=1)  # type: ignore[list-item]
        assert list(ledger.items(number)) == before

    def test_deaths_are_counted_until_somebody_asks_again(self, ledger: Ledger) -> None:
        number = new_job(ledger, "a")
        for expected in (0, 1, 2):
            (item,) = ledger.claim(number, 1)
            assert (item.deaths, item.attempts) == (expected, expected + 1)
            ledger.settle([Settlement(item.id, str(item.token), "pending", died=True)])
        (item,) = ledger.claim(number, 1)
        ledger.settle([Settlement(item.id, str(item.token), "failed", error_type="X", error="broke")])
        ledger.retry(number)
        (item,) = ledger.claim(number, 1)
        assert (item.deaths, item.attempts, item.error, item.error_type) == (0, 1, None, None)

    def test_cancel_ends_what_has_not_ended_and_voids_leases(self, ledger: Ledger) -> None:
        number = new_job(ledger, *"abc")
        a, b = ledger.claim(number, 2)
        ledger.settle([done(a)])
        assert ledger.cancel_pending(number) == 2
        ledger.settle([done(b)])
        assert states(ledger, number) == {"a": "completed", "b": "cancelled", "c": "cancelled"}


class TestRetry:
    def test_takes_failed_and_cancelled_pages(self, ledger: Ledger) -> None:
        number = new_job(ledger, *"abc")
        a, b = ledger.claim(number, 2)
        ledger.settle([done(a), Settlement(b.id, str(b.token), "failed", error="no")])
        ledger.cancel_pending(number)
        assert ledger.retry(number) == ["b", "c"]
        assert states(ledger, number) == {"a": "completed", "b": "pending", "c": "pending"}
        assert all(item.forced for item in ledger.items(number, "pending"))

    def test_everything_spares_what_was_approved(self, ledger: Ledger) -> None:
        number = new_job(ledger, *"ab")
        finish_all(ledger, number)
        ledger.approve(number, "a")
        assert ledger.retry(number, everything=True) == ["b"]
        assert ledger.retry(number, keys=["a"]) == ["a"]
        assert next(ledger.items(number)).approved is False

    def test_what_waits_or_is_at_work_is_left_alone(self, ledger: Ledger) -> None:
        number = new_job(ledger, *"ab")
        ledger.claim(number, 1)
        assert ledger.retry(number, keys=["a", "b"]) == []

    def test_only_finished_pages_can_be_approved(self, ledger: Ledger) -> None:
        number = new_job(ledger, "a")
        with pytest.raises(QueueError, match="no finished page a"):
            ledger.approve(number, "a")


class TestGenerations:
    def test_only_what_changed_is_done_again(self, ledger: Ledger) -> None:
        number = new_job(ledger, *"abc")
        finish_all(ledger, number)
        again = [spec("a", 0), spec("b", 1, fingerprint="other"), spec("c", 2, output="/else")]
        ledger.plan(number, 2, again)
        assert states(ledger, number) == {"a": "completed", "b": "pending", "c": "pending"}
        assert ledger.reused(number) == 1
        finish_all(ledger, number)
        assert ledger.reused(number) == 1

    def test_pages_that_left_the_input_are_forgotten(self, ledger: Ledger) -> None:
        number = new_job(ledger, *"abc")
        ledger.plan(number, 2, [spec("b")])
        ledger.drop_old_items(number, 2)
        assert states(ledger, number) == {"b": "pending"}
        assert ledger.counts(number)["pending"] == 1

    def test_a_missing_file_is_made_again_and_an_edited_one_kept(self, ledger: Ledger) -> None:
        number = new_job(ledger, *"ab")
        finish_all(ledger, number)
        ledger.plan(number, 2, [spec("a", 0, redo=True), spec("b", 1, fingerprint="other", keep=True)])
        assert states(ledger, number) == {"a": "pending", "b": "completed"}

    def test_what_was_approved_is_not_done_again_unasked(self, ledger: Ledger) -> None:
        number = new_job(ledger, "a")
        finish_all(ledger, number)
        ledger.approve(number, "a")
        ledger.plan(number, 2, [spec("a", fingerprint="other")])
        assert states(ledger, number) == {"a": "completed"}

    def test_failed_pages_of_an_earlier_run_begin_anew_when_the_job_is_submitted_again(
        self, ledger: Ledger
    ) -> None:
        number = new_job(ledger, "a")
        (a,) = ledger.claim(number, 1)
        ledger.settle([Settlement(a.id, str(a.token), "failed", error="no")])
        ledger.set_job(number, state="done")
        ledger.plan(number, 2, [spec("a")])
        assert states(ledger, number) == {"a": "failed"}
        ledger.submit("comics", ["/in"], "/out", {})
        ledger.plan(number, 3, [spec("a")])
        assert states(ledger, number) == {"a": "pending"}

    def test_what_is_held_back_is_neither_counted_nor_leased(self, ledger: Ledger) -> None:
        number = ledger.submit("comics", ["/in"], "/out", {}).id
        ledger.plan(number, 1, [spec("a", 0, held=True), spec("b", 1)])
        assert sum(ledger.counts(number).values()) == 1
        assert [item.key for item in ledger.waiting(number)] == ["b"]
        assert [item.key for item in ledger.claim(number, 5)] == ["b"]
        ledger.plan(number, 2, [spec("a", 0), spec("b", 1)])
        assert [item.key for item in ledger.waiting(number)] == ["a", "b"]


class TestCounts:
    def test_counts_are_those_of_the_rows_whatever_happens(self, ledger: Ledger) -> None:
        number = new_job(ledger, *"abcdefgh")

        def check() -> None:
            rows = Counter(item.state for item in ledger.items(number) if not item.held)
            assert {name: count for name, count in ledger.counts(number).items() if count} == dict(rows)

        check()
        items = ledger.claim(number, 4)
        check()
        ledger.settle([done(items[0]), Settlement(items[1].id, str(items[1].token), "failed", error="x")])
        check()
        ledger.plan(number, 2, [spec("a", fingerprint="new"), spec("i", held=True), spec("h", held=True)])
        check()
        ledger.drop_old_items(number, 2)
        check()
        ledger.cancel_pending(number)
        check()
        ledger.retry(number)
        ledger.drop_pending(number)
        check()

    def test_forgetting_a_job_leaves_no_row(self, ledger: Ledger, tmp_path: Path) -> None:
        number = new_job(ledger, "a")
        ledger.found(number, 1, [Source("a", "a", "/in/a", "input", "1")])
        ledger.forget(number)
        with sqlite3.connect(tmp_path / "lote.db") as connection:
            for table in ("job", "item", "source", "event", "tally"):
                assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)  # noqa: S608
        connection.close()
        assert ledger.submit("comics", ["/in"], "/out", {}).id > number


class TestEvents:
    def test_the_newest_are_kept(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transitions, "EVENTS_KEPT", 50)
        number = new_job(ledger)
        ledger.say(number, "note", "the first")
        with ledger.database.write() as connection:
            connection.exec_driver_sql("UPDATE sqlite_sequence SET seq = 930 WHERE name = 'event'")
        for _ in range(70):
            ledger.say(number, "note", "n")
        last = ledger.last_event(number)
        assert last == 1000
        kept = ledger.events(number)
        assert (len(kept), kept[-1].id) == (50, last)

    def test_each_is_told_once(self, ledger: Ledger) -> None:
        number = new_job(ledger)
        ledger.say(number, "warning", "one", "a")
        seen = ledger.events(number)
        ledger.say(number, "note", "two")
        (new,) = ledger.events(number, after=seen[-1].id)
        assert (new.kind, new.data) == ("note", {"text": Message("two")})
        assert [str(event.data["text"]) for event in ledger.warnings(number)] == ["one"]


class TestJobs:
    def test_the_same_request_is_the_same_number(self, ledger: Ledger) -> None:
        first = ledger.submit("comics", ["/in"], "/out", {"a": 1})
        assert ledger.submit("comics", ["/in"], "/out", {"a": 2}).id == first.id
        assert ledger.job(first.id).config == {"a": 2}
        assert ledger.submit("comics", ["/in"], "/else", {}).id == first.id + 1
        assert ledger.submit("photos", ["/in"], "/out", {}).id == first.id + 2
        assert ledger.submit("comics", ["/in", "/two"], "/out", {}).id == first.id + 3

    def test_a_job_that_somebody_awaits_stays_as_it_is(self, ledger: Ledger) -> None:
        first = ledger.submit("comics", ["/in"], "/out", {"a": 1}, owner=process_identity())
        again = ledger.submit("comics", ["/in"], "/out", {"a": 2}, owner=NOBODY)
        assert (again.config, again.owner) == ({"a": 1}, first.owner)

    def test_a_job_whose_process_died_is_interrupted(self, ledger: Ledger) -> None:
        number = ledger.submit("comics", ["/in"], "/out", {}, owner=NOBODY).id
        assert (ledger.job(number).state, ledger.job(number).alive) == ("interrupted", False)
        ledger.set_job(number, state="paused")
        assert ledger.job(number).state == "paused"

    def test_only_one_process_takes_a_dead_ones_place(self, ledger: Ledger) -> None:
        number = ledger.submit("comics", ["/in"], "/out", {}, owner=NOBODY).id
        ledger.want(number, "cancel")
        assert ledger.adopt(number, process_identity(), keep_wish=True)
        assert not ledger.adopt(number, {**process_identity(), "pid": 1})
        assert (ledger.job(number).owner, ledger.wanted(number)) == (process_identity(), "cancel")
        assert ledger.adopt(number, process_identity())
        assert ledger.wanted(number) == "run"

    def test_order_of_waiting_jobs(self, ledger: Ledger) -> None:
        me = process_identity()
        first = ledger.submit("comics", ["/1"], "/1", {}, owner=me).id
        second = ledger.submit("comics", ["/2"], "/2", {}, owner=me).id
        urgent = ledger.submit("comics", ["/3"], "/3", {}, owner=me, priority=1).id
        ledger.submit("comics", ["/4"], "/4", {}, owner=NOBODY, priority=9)
        ledger.submit("photos", ["/5"], "/5", {}, owner=me, priority=9)
        assert [ledger.is_next(number) for number in (first, second, urgent)] == [False, False, True]
        ledger.want(urgent, "pause")
        assert [ledger.is_next(number) for number in (first, second, urgent)] == [True, False, True]

    def test_an_unknown_number_is_told(self, ledger: Ledger) -> None:
        with pytest.raises(QueueError, match="no job 7"):
            ledger.job(7)
        with pytest.raises(QueueError, match="no job"):
            ledger.current_job("comics")
        with pytest.raises(QueueError, match="no job 7"):
            ledger.adopt(7, process_identity())


class TestSources:
    def test_what_did_not_change_stays_examined(self, ledger: Ledger) -> None:
        number = new_job(ledger)
        ledger.found(number, 1, [Source(key, key, f"/in/{key}", "input", "1") for key in "cab"])
        ids = {source.key: source.id for source in ledger.sources(number, unexamined=True)}
        assert list(ids) == list("abc")
        ledger.examined([(ids["a"], "hash", {"kind": "x"}), (ids["b"], "hash", {"kind": "y"})])
        ledger.found(
            number,
            2,
            [Source(key, key, f"/in/{key}", "input", new) for key, new in zip("ab", "12", strict=True)],
        )
        ledger.drop_old_sources(number, 2)
        assert [(s.key, s.facts) for s in ledger.sources(number)] == [("a", {"kind": "x"}), ("b", None)]

    def test_roles_filter(self, ledger: Ledger) -> None:
        number = new_job(ledger)
        ledger.found(number, 1, [Source(f"{n:04}", f"{n:04}", "/in", "input", "1") for n in range(1200)])
        ledger.assign([(s.id, "page" if int(s.key) % 3 else "copy") for s in ledger.sources(number)])
        assert len(list(ledger.sources(number, role="copy"))) == 400
        assert [s.key for s in ledger.sources(number, role="page")][:3] == ["0001", "0002", "0004"]

    def test_who_looks_on_while_a_run_looks_for_its_images_sees_the_book_of_the_last_one(
        self, ledger: Ledger
    ) -> None:
        number = new_job(ledger)
        images = [Source(key, key, f"/in/{key}", "input", "1") for key in "ab"]
        ledger.found(number, 1, images)
        ledger.assign([(source.id, Role.PAGE) for source in ledger.sources(number)])
        ledger.found(number, 2, [*images, Source("c", "c", "/in/c", "input", "1")])
        assert [source.key for source in ledger.sources(number, role=Role.PAGE)] == ["a", "b"]


class TestNames:
    def test_names_that_are_not_utf8_come_back_as_they_were(self, ledger: Ledger) -> None:
        name = os.fsdecode(b"p\xff\xe9.png")
        number = ledger.submit("comics", [f"/in/{name}"], f"/out/{name}", {}, owner=process_identity()).id
        ledger.found(number, 1, [Source(name, name, f"/in/{name}", "input", "1")])
        ledger.plan(number, 1, [spec(name, output=f"/out/{name}", fingerprint="f", work={"source": name})])
        (item,) = ledger.claim(number, 1)
        assert (item.key, item.output, item.work["source"]) == (name, f"/out/{name}", name)
        ledger.settle([Settlement(item.id, str(item.token), "failed", error=f"cannot read {name}")])
        ledger.set_job(number, state="failed", error=f"cannot read {name}")
        again = ledger.item(number, name)
        assert again is not None
        assert again.error == ledger.job(number).error == Message(f"cannot read {name}")
        assert list(ledger.owners_of([f"/out/{name}"])) == [f"/out/{name}"]
        assert [event.key for event in ledger.events(number) if event.kind == "page"] == [name]


class TestDatabase:
    # A scan of photos keeps its journal while a comic's coordinator cuts it off, on one database.
    @pytest.mark.parametrize("journals", [("truncate",), ("truncate", "persist"), ("wal",)])
    def test_many_processes_open_and_write_at_once(self, tmp_path: Path, journals: tuple[str, ...]) -> None:
        path = tmp_path / "lote.db"
        code = (
            "import sys; from batch_processing.core.ledger import Ledger\n"
            f"ledger = Ledger({str(path)!r}, journal=sys.argv[2])\n"
            "number = ledger.submit('comics', ['/in'], '/out', {}).id\n"
            "for i in range(20): ledger.say(number, 'note', f'{sys.argv[1]} {i}')"
        )
        writers = [
            subprocess.Popen([sys.executable, "-c", code, str(n), journals[n % len(journals)]])
            for n in range(4)
        ]
        assert [writer.wait(120) for writer in writers] == [0, 0, 0, 0]
        ledger = Ledger(path, journal=journals[0])
        number = ledger.submit("comics", ["/in"], "/out", {}).id
        notes = [event for event in ledger.events(number) if event.kind == "note"]
        assert sorted(str(event.data["text"]) for event in notes) == sorted(
            f"{n} {i}" for n in range(4) for i in range(20)
        )
        assert ledger.database.integrity_check() == "ok"
        ledger.close()

    def test_a_newer_ledger_is_refused(self, tmp_path: Path) -> None:
        ledger = Ledger(tmp_path / "lote.db")
        ledger.database.migrate("ledger", [*ledger_module.MIGRATIONS, ("9999_future", lambda _: None)])
        ledger.close()
        with pytest.raises(WorkspaceError, match="newer Lote"):
            Ledger(tmp_path / "lote.db")

    def test_a_ledger_of_the_first_schema_is_brought_up_to_date(self, tmp_path: Path) -> None:
        path = tmp_path / "lote.db"
        ledger = Ledger(path)
        number = new_job(ledger, *"ab")
        with ledger.database.write() as connection:
            for change in (
                "DROP INDEX item_claim",
                "ALTER TABLE item DROP COLUMN turn",
                "ALTER TABLE item DROP COLUMN place",
                "CREATE INDEX item_claim ON item (job_id, held, state, priority DESC, ordinal)",
                "DROP TABLE edit",
                "DELETE FROM migration WHERE name > '0001_initial'",
            ):
                connection.exec_driver_sql(change)
        ledger.close()
        ledger = Ledger(path)
        a, b = ledger.items(number)
        ledger.arrange(number, [[b.id], [a.id]])
        assert [item.key for item in ledger.claim(number, 2)] == ["b", "a"]
        assert ledger.edits.add(number, [Saying("a", "region", {})])
        ledger.close()

    def test_edits_of_an_older_version_count_and_new_ones_have_names(self, tmp_path: Path) -> None:
        path = tmp_path / "lote.db"
        ledger = Ledger(path)
        number = new_job(ledger)
        ledger.edits.add(number, [Saying("a", "region", {})])
        with ledger.database.write() as connection:
            connection.exec_driver_sql("DROP INDEX edit_wish")
            connection.exec_driver_sql("ALTER TABLE edit DROP COLUMN wish")
            connection.exec_driver_sql("DELETE FROM migration WHERE name > '0003_edits'")
        ledger.close()
        ledger = Ledger(path)
        for _ in range(2):
            ledger.edits.add(number, [Saying("a", "region", {})], "once")
        assert ledger.edits.steps(number, "a") == (2, 0)
        ledger.close()

    def test_what_is_no_database_is_told_and_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "lote.db"
        path.write_bytes(b"no database at all" * 100)
        with pytest.raises(WorkspaceError, match="damaged or no database"):
            Ledger(path)
        assert path.read_bytes() == b"no database at all" * 100

    def test_a_step_of_a_schema_is_whole_or_not_there(self, tmp_path: Path) -> None:
        database = Database(tmp_path / "x.db")

        def half(connection: Any) -> None:
            connection.exec_driver_sql("CREATE TABLE half (a)")
            raise RuntimeError("power off")

        with pytest.raises(RuntimeError):
            database.migrate("room", [("1", half)])
        database.migrate("room", [("1", lambda c: c.exec_driver_sql("CREATE TABLE half (a)"))])
        database.close()

    def test_all_steps_of_a_new_room_are_there_or_none(self, tmp_path: Path) -> None:
        """And one that stands there twice, as it may be done again at any time, is done once."""
        database = Database(tmp_path / "x.db")
        done: list[str] = []

        def first(connection: Any) -> None:
            connection.exec_driver_sql("CREATE TABLE first (a)")
            done.append("first")

        def off(_: Any) -> None:
            raise RuntimeError("power off")

        with pytest.raises(RuntimeError):
            database.migrate("room", [("1", first), ("2", off)])
        with database.read() as connection:
            assert not sa.inspect(connection).get_table_names()
        database.migrate("room", [("1", first), ("2", first)])
        assert done == ["first", "first"]
        later = [("1", first), ("2", first), ("3", lambda _: done.append("later"))]
        database.migrate("room", later)
        database.migrate("room", later)
        assert done == ["first", "first", "later"]
        database.close()

    def test_looking_needs_no_write_lock(self, tmp_path: Path) -> None:
        path = tmp_path / "lote.db"
        Ledger(path).close()
        busy = sqlite3.connect(path, isolation_level=None)
        busy.execute("BEGIN IMMEDIATE")
        looker = Ledger(path)
        assert looker.jobs() == []
        looker.close()
        busy.close()

    def test_a_database_that_cannot_be_written_is_a_sentence(self, tmp_path: Path) -> None:
        ledger = Ledger(tmp_path / "lote.db")
        number = new_job(ledger, "a")
        with ledger.database.read() as connection:
            connection.exec_driver_sql("PRAGMA query_only=ON")
        with pytest.raises(
            ResourceError, match=r"lote\.db cannot be used .*nothing that was recorded is lost"
        ):
            ledger.claim(number, 1)
        ledger.close()


class TestWorkspace:
    def test_making_one_touches_nothing(self, tmp_path: Path) -> None:
        Workspace(tmp_path / "ws")
        assert not (tmp_path / "ws").exists()

    def test_one_process_holds_a_kind_and_the_kernel_frees_it(self, tmp_path: Path) -> None:
        code = (
            "import sys; from batch_processing.core.workspace import Workspace;"
            f"lock = Workspace({str(tmp_path)!r}).lock('comics'); print(lock.acquire(), flush=True); sys.stdin.read()"
        )
        child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"True\n"
        comics, photos = Workspace(tmp_path).lock("comics"), Workspace(tmp_path).lock("photos")
        assert not comics.acquire()
        assert (comics.holder() or {})["pid"] == child.pid
        assert photos.acquire()
        photos.release()
        child.kill()
        child.communicate()
        assert comics.holder() is None
        assert comics.acquire()
        comics.release()

    def test_a_folder_that_cannot_be_made_is_a_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(WorkspaceError, match="cannot be made"):
            _ = Workspace(tmp_path / "file" / "ws").ledger
