"""People with names: what is decided of faces binds, can be undone, and is forgotten without a trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from batch_processing.core.database import Database
from batch_processing.exceptions import ValidationError
from batch_processing.photos import FaceRepository, PersonRepository
from batch_processing.photos.people import forgetting, grouping, recording, remembered
from batch_processing.photos.people.asked import asked
from batch_processing.photos.people.face import Face, FaceKind
from batch_processing.photos.people.naming import folded, kept
from batch_processing.photos.people.people import NameTakenError
from batch_processing.photos.store import Store, open_database
from batch_processing.photos.tables import face_decisions, face_models, faces, people, people_actions
from command import lote
from faces_help import MODEL, Crowd, crowd, face_of, parts, person_of, put
from photos_help import Library, write


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "photos.db")
    yield opened
    opened.close()


def anew(database: Database) -> set[frozenset[tuple[str, int]]]:
    """The groups that a grouping from the beginning makes, with what is decided."""
    store = Store(database)
    for file in remembered.files_of(store, None):
        file.unlink(missing_ok=True)
    grouping.group(store)
    return parts(database)


def known_people(database: Database) -> dict[int, tuple[str | None, bool]]:
    with database.read() as connection:
        rows = connection.execute(sa.select(people.c.id, people.c.label, people.c.hidden))
        return {person: (name, hidden) for person, name, hidden in rows}


# -- grouping ------------------------------------------------------------------------------------------


def test_the_same_people_for_any_order_and_batches(tmp_path: Path) -> None:
    some = crowd([18, 12, 5, 5, 2, *[1] * 8], seed=5)
    some = Crowd(some.vectors, some.persons, some.photos // 2)
    weak = frozenset(range(0, len(some), 9))
    rng = np.random.default_rng(1)
    found = []
    for number, batch in enumerate([100, 1, 7, 20, 7]):
        (tmp_path / str(number)).mkdir()
        database = open_database(tmp_path / str(number) / "photos.db")
        order = rng.permutation(len(some))
        for start in range(0, len(some), batch):
            put(database, some, order[start : start + batch].tolist(), weak=weak)
            grouping.group(Store(database))
        found.append(parts(database))
        assert anew(database) == found[-1]
        database.close()
    assert len(found[0]) > 8
    assert all(one == found[0] for one in found)


def test_a_person_keeps_the_number_when_others_come_and_go(database: Database) -> None:
    some = crowd([30, 20], seed=2)
    put(database, some, range(40))
    people_of = PersonRepository(Store(database))
    first = people_of.group()
    assert first.new_people == first.people
    before = {face: person_of(database, some, face) for face in range(40)}
    put(database, some, range(40, 50))
    assert people_of.group().moved >= 10
    assert {face: person_of(database, some, face) for face in range(40)} == before
    with database.write() as connection:
        connection.execute(faces.delete().where(faces.c.id <= 20))
    people_of.group()
    assert {face: person_of(database, some, face) for face in range(20, 40)} == {
        face: before[face] for face in range(20, 40)
    }


def test_a_file_of_another_library_or_a_damaged_one_is_as_good_as_none(
    database: Database, tmp_path: Path
) -> None:
    some, other = crowd([9, 7, 3], seed=3), crowd([5, 5, 9], seed=4)
    put(database, some)
    store = Store(database)
    grouping.group(store)
    right = parts(database)
    (file,) = remembered.files_of(store, None)
    assert file.stat().st_mode & 0o077 == 0
    whole = file.read_bytes()
    for damaged in (b"", b"PK\3\4 no", whole[: len(whole) // 2], whole[:900] + b"\xff" + whole[901:]):
        file.write_bytes(damaged)
        grouping.group(store)
        assert parts(database) == right
    with_others = open_database(tmp_path / "other.db")
    put(with_others, Crowd(other.vectors, other.persons, other.photos + 1000))
    grouping.group(Store(with_others))  # leaves its own in the same folder
    assert len(parts(with_others)) == len(anew(with_others))
    assert anew(with_others) == parts(with_others)
    grouping.group(store)
    assert parts(database) == right
    with_others.close()


@given(data=st.data())
@settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.generate], derandomize=True)
def test_whatever_is_done_groups_are_those_of_the_beginning_and_all_is_undone(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    database = open_database(tmp_path_factory.mktemp("deeds") / "photos.db")
    file = tmp_path_factory.mktemp("file") / "faces.npz"
    some = crowd([9, 6, 4, 2, 1, 1], seed=data.draw(st.integers(0, 50)), spread=0.1)
    some = Crowd(some.vectors, some.persons, some.photos // 2)
    weak = frozenset(range(0, len(some), 7))
    put(database, some, range(18), weak=weak)
    known = PersonRepository(Store(database))
    known.group()
    at_first, rows_at_first = parts(database), known_people(database)
    done = 0
    for step in range(data.draw(st.integers(2, 5))):
        with database.read() as connection:
            owned = connection.execute(
                sa.select(faces.c.id, faces.c.person_id)
                .where(faces.c.person_id.is_not(None))
                .order_by(faces.c.id)
            ).all()
        persons = sorted({person for _, person in owned})
        one, other = data.draw(st.sampled_from(persons)), data.draw(st.sampled_from(persons))
        face, whose = data.draw(st.sampled_from(owned))
        try:
            match data.draw(
                st.sampled_from(["name", "merge", "reject", "assign", "hide", "ignore", "ignore all", "heed"])
            ):
                case "name":
                    known.name(one, f"Ana {step}")
                case "merge":
                    known.merge(one, other)
                case "reject":
                    known.reject(whose, face)
                case "assign":
                    known.assign(one, face)
                case "ignore":
                    known.ignore(face)
                case "ignore all":
                    known.ignore_person(one)
                case "heed":
                    if not known.heed(
                        *(each.id for each in FaceRepository(Store(database)).ignored(limit=1))
                    ):
                        continue
                case _:
                    known.hide(one)
        except ValidationError:
            continue
        done += 1
        assert not shared_photos(database)
        (now,) = remembered.files_of(Store(database), None)
        match data.draw(
            st.sampled_from(["as it is", "kept", "old", "gone"])
        ):  # as after kills and restorings
            case "kept" if now.exists():
                file.write_bytes(now.read_bytes())
            case "old" if file.exists():
                now.write_bytes(file.read_bytes())
            case "gone":
                now.unlink(missing_ok=True)
    known.group()
    grown = parts(database)
    assert anew(database) == grown
    assert len(known.history()) == done
    while known.undo() is not None:
        done -= 1
    assert done == 0
    known.group()
    assert parts(database) == at_first
    assert {
        person: row for person, row in known_people(database).items() if person in rows_at_first
    } == rows_at_first
    with database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(face_decisions)) == 0
    database.close()


def shared_photos(database: Database) -> list[tuple[int, str]]:
    """People who are twice on a photo."""
    with database.read() as connection:
        query = sa.select(faces.c.person_id, faces.c.hash).where(faces.c.person_id.is_not(None))
        twice = query.group_by(faces.c.person_id, faces.c.hash).having(sa.func.count() > 1)
        return [(person, photo) for person, photo in connection.execute(twice)]


# -- names, and what is said ---------------------------------------------------------------------------


def test_names_that_read_alike_are_one() -> None:
    assert kept("  Jose\u0301   Luis ") == "Jos\u00e9 Luis"
    assert folded("JOSÉ luis") == folded("Jose\u0301  Luis") == folded(kept("jos\u00e9 Luis"))
    assert folded("Straße") == folded("STRASSE")
    for wrong in ("", "   ", "12", "a\0b", "x" * 201, "\udcff"):
        with pytest.raises(ValidationError):
            kept(wrong)


def test_what_a_person_says_stays_when_photos_come(database: Database) -> None:
    """A face that is not somebody never comes back to them, and those that were split never flow together."""
    some = crowd([30, 20], seed=8)
    put(database, some, range(35))
    known = PersonRepository(Store(database))
    known.group()
    ana = person_of(database, some, 0)
    assert ana is not None
    known.name(ana, "Ana")
    out = face_of(database, some, 0)
    known.reject(ana, out)
    assert person_of(database, some, 0) != ana
    with pytest.raises(ValidationError, match="is not taken for person"):
        known.reject(ana, out)
    put(database, some, range(35, 50))
    known.group()
    assert person_of(database, some, 0) != ana
    assert known.find("ANA").id == ana
    known.assign(ana, out)
    known.group()
    assert person_of(database, some, 0) == ana


def test_an_ignored_face_is_nobodys_whatever_comes_until_it_is_taken_back(database: Database) -> None:
    some = crowd([30, 20], seed=8)
    put(database, some, range(35))
    known, listed = PersonRepository(Store(database)), FaceRepository(Store(database))
    known.group()
    ana = known_at(database, some, 0)
    known.name(ana, "Ana")
    poster = face_of(database, some, 0)
    assert known.ignore(poster) == 1
    assert known.ignore(poster) == 0  # it is
    with pytest.raises(ValidationError, match="There is no face 999"):
        known.ignore(999)
    put(database, some, range(35, 50))
    known.group()
    assert anew(database) == parts(database)
    assert person_of(database, some, 0) is None
    assert [face.id for face in listed.ignored()] == [poster]
    assert poster not in [face.id for face in listed.of_nobody()]
    assert known.heed(poster) == 1
    known.group()
    assert person_of(database, some, 0) == ana
    assert listed.ignored() == []

    known.ignore(poster)
    known.assign(ana, poster)  # whoever says whose it is looks for it
    assert listed.ignored() == []
    known.group()
    assert person_of(database, some, 0) == ana

    hers = {face.id for face in listed.of_person(ana)}
    assert known.ignore_person(ana) == len(hers)
    assert {face.id for face in listed.ignored()} == hers
    assert ana not in {person.id for person in known.list_all(hidden=True)}
    known.undo()
    assert {face.id for face in listed.of_person(ana)} == hers
    assert listed.count_ignored() == 0


def test_a_face_that_hangs_together_with_nobody_is_somebodys_again(database: Database) -> None:
    some = crowd([6, 1], seed=3)
    put(database, some)
    known = PersonRepository(Store(database))
    known.group()
    alone = int(np.flatnonzero(some.persons == 1)[0])
    face = face_of(database, some, alone)
    known.ignore(face)
    known.heed(face)
    known.group()
    assert person_of(database, some, alone) is not None
    assert anew(database) == parts(database)


def test_another_model_finds_an_ignored_face_and_it_stays_so(database: Database) -> None:
    some = crowd([8, 8], seed=4)
    put(database, some)
    known = PersonRepository(Store(database))
    known.group()
    poster = FaceRepository(Store(database)).get(face_of(database, some, 3))
    assert poster is not None
    known.ignore(poster.id)
    box = Face(poster.x, poster.y, poster.w, poster.h, 0.9, 60.0, ((0.5, 0.5),) * 5, bytes([7] * 128))
    with database.write() as connection:
        recording.record(connection, "another", {bytes.fromhex(poster.hash): [box]})
    known.group()
    again = FaceRepository(Store(database)).get(poster.id)
    assert again is not None
    assert (again.kind, again.person_id) == (FaceKind.IGNORED, None)


def test_a_face_that_is_ignored_while_faces_are_grouped_is_nobodys(database: Database) -> None:
    some = crowd([20, 10], seed=9)
    put(database, some)
    known = PersonRepository(Store(database))
    known.group()
    for file in remembered.files_of(Store(database), None):
        file.unlink()
    done: list[int] = []

    def meanwhile(share: float) -> None:
        if not done:
            done.append(PersonRepository(Store(database)).ignore(face_of(database, some, 0)))

    grouping.group(Store(database), progress=meanwhile)
    assert done == [1]
    assert person_of(database, some, 0) is None


def test_a_weak_face_goes_back_to_who_has_not_changed(database: Database) -> None:
    """Whoever it joins again has nothing new: the number comes from their faces."""
    some = crowd([9, 6, 4, 2, 1, 1], seed=11, spread=0.1)
    put(
        database,
        Crowd(some.vectors, some.persons, some.photos // 2),
        range(18),
        weak=frozenset(range(0, 18, 7)),
    )
    known = PersonRepository(Store(database))
    known.group()
    before = parts(database)
    known.assign(6, 8)
    assert parts(database) != before
    known.undo()
    assert parts(database) == before


def test_two_people_taken_for_one_are_split_by_one_photo(tmp_path: Path) -> None:
    """Whoever is like the one on the photo goes, too; nobody else does; and they never flow together again."""
    database = open_database(tmp_path / "lote.db")
    some = crowd([20, 15], seed=6)
    for number in range(35):
        write(tmp_path / "photos" / f"{number}.jpg", b"photo %d" % number)
    with Library(tmp_path / "lote.db") as library:
        library.scan(tmp_path / "photos")
        digests = {int(Path(path).stem): bytes.fromhex(digest) for path, digest in library.hashes().items()}
    put(database, some, range(30), digests=digests)
    known = PersonRepository(Store(database))
    known.group()
    pair = [int(np.flatnonzero(some.persons == one)[0]) for one in (0, 1)]
    left, right = (known_at(database, some, face, digests) for face in pair)
    both = [face for face in range(30) if known_at(database, some, face, digests) in (left, right)]
    assert len(both) > 25
    with database.write() as connection:  # as a weaker model might have had it
        connection.execute(faces.update().where(faces.c.person_id == right).values(person_id=left))
    made = known.split(left, f"{pair[1]}.jpg").id
    put(database, some, range(30, 35), digests=digests)
    known.group()
    for face in both:
        assert known_at(database, some, face, digests) == (left, made)[int(some.persons[face])]
    assert known.undo() is not None
    with pytest.raises(ValidationError, match="is not on nowhere"):
        known.split(left, "nowhere.jpg")
    database.close()


# -- kills ---------------------------------------------------------------------------------------------

KILL = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from batch_processing.photos.people import forgetting, grouping, remembered
from batch_processing.photos.store import Store, open_database

def die(*_args, **_options):
    os.kill(os.getpid(), signal.SIGKILL)

database = open_database({database!r})
store = Store(database)
{code}
"""


def killed(database: Path, code: str) -> None:
    text = KILL.format(
        tests=str(Path(__file__).parents[1]), database=str(database), code=textwrap.dedent(code)
    )
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "grouping.group(store, then=die)",  # all is written, and not committed
        "remembered.save = die; grouping.group(store)",  # committed, and not remembered
        "from pathlib import Path; Path.replace = die; grouping.group(store)",  # a file is left beside its place
    ],
)
def test_a_grouping_that_is_killed_is_done_by_the_next(tmp_path: Path, code: str) -> None:
    path = tmp_path / "photos.db"
    database = open_database(path)
    some = crowd([20, 10, 5, 1], seed=9)
    put(database, some, range(20))
    grouping.group(Store(database))
    put(database, some, range(20, 36))
    database.close()
    killed(path, "(remembered.files_of(store, None)[0]).unlink()\n" + code)
    database = open_database(path)
    store = Store(database)
    grouping.group(store)
    assert parts(database) == anew(database)
    assert not list(tmp_path.glob(".*.part"))
    database.close()


def vectors_in(folder: Path, some: Crowd) -> dict[str, int]:
    """In which files how many of the vectors stand, or eight bytes of one."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            number = sum(
                vector.tobytes()[:64] in content or vector.tobytes()[64:] in content
                for vector in some.vectors
            )
            if number:
                found[path.name] = number
    return found


def used_library(folder: Path) -> Crowd:
    """A library in which faces came and went, and somebody has a name."""
    database = open_database(folder / "photos.db")
    some = crowd([60, 40, 30, *[1] * 70], seed=11)
    put(database, some)
    with database.write() as connection:
        connection.execute(face_models.insert().values(name=MODEL, folder=None, asked_at=sa.func.now()))
    known = PersonRepository(Store(database))
    known.group()
    known.name(known_at(database, some, 0), "Ana")
    with (
        database.write() as connection
    ):  # deleted as everything is: its bytes stay in the pages and the journal
        connection.execute(faces.delete().where(faces.c.id.in_(range(150, 180))))
    database.close()
    return some


def known_at(database: Database, some: Crowd, face: int, digests: dict[int, bytes] | None = None) -> int:
    person = person_of(database, some, face, digests)
    assert person is not None
    return person


@pytest.mark.parametrize("journal", ["persist", "wal"])
def test_no_byte_of_a_face_is_left(tmp_path: Path, journal: str) -> None:
    some = used_library(tmp_path)
    path = tmp_path / "photos.db"
    if journal == "wal":
        own = sa.create_engine(f"sqlite:///{path}")
        with own.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        own.dispose()
    before = vectors_in(tmp_path, some)
    assert before["photos.db"] > 100
    assert before["faces.npz"] > 100
    database = Database(path, journal=journal)
    store = Store(database)
    done = forgetting.forget(store, None)
    assert done.is_complete
    assert done.faces == 170
    assert vectors_in(tmp_path, some) == {}
    with database.read() as connection:
        assert asked(connection) is None
        for table in (faces, people, face_decisions, people_actions):
            assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == 0
    assert not FaceRepository(store).are_known()
    database.close()
    assert vectors_in(tmp_path, some) == {}


def test_one_person_is_forgotten_and_the_others_stay(tmp_path: Path) -> None:
    some = used_library(tmp_path)
    database = open_database(tmp_path / "photos.db")
    known = PersonRepository(Store(database))
    ana = known.find("Ana").id
    with database.read() as connection:
        query = sa.select(faces.c.embedding)
        hers = connection.scalars(query.where(faces.c.person_id == ana)).all()
        others = connection.scalars(query.where(faces.c.person_id != ana)).all()
    done = forgetting.forget(Store(database), None, [ana])
    assert done.is_complete
    assert done.faces == len(hers)
    database.close()
    left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not [vector for vector in hers if vector in left]
    assert b"Ana" not in left
    assert all(vector in left for vector in others)
    database = open_database(tmp_path / "photos.db")
    known = PersonRepository(Store(database))
    with pytest.raises(ValidationError):
        known.find("Ana")
    assert known.undo() is None
    with database.read() as connection:
        assert asked(connection) is not None
    database.close()
    assert some.vectors.shape


@pytest.mark.parametrize("step", ["_forget_file", "_delete", "_wipe", "_put_aside"])
def test_a_forgetting_that_is_killed_is_ended_by_the_next_command(tmp_path: Path, step: str) -> None:
    some = used_library(tmp_path)
    killed(tmp_path / "photos.db", f"forgetting.{step} = die\nforgetting.forget(store, None)")
    database = open_database(tmp_path / "photos.db")
    PersonRepository(Store(database)).group()
    assert vectors_in(tmp_path, some) == {}
    assert not FaceRepository(Store(database)).are_known()
    database.close()


def test_somebody_who_uses_the_database_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = used_library(tmp_path)
    monkeypatch.setattr(forgetting, "BUSY_TIMEOUT_S", 0.2)
    database, other = (open_database(tmp_path / "photos.db") for _number in range(2))
    store = Store(database)
    real = forgetting._wipe

    def wipe_while_read(store: Store) -> object:
        with other.read() as connection:
            connection.execute(sa.select(faces.c.id)).first()
            return real(store)

    monkeypatch.setattr(forgetting, "_wipe", wipe_while_read)
    done = forgetting.forget(store, None)
    assert not done.is_complete
    assert "give the same command again" in str(next(done.sentences()))
    monkeypatch.setattr(forgetting, "_wipe", real)
    assert forgetting.go_on(store, None).is_complete
    assert vectors_in(tmp_path, some) == {}
    other.close()
    database.close()


# -- commands ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str, str]:
    """A workspace, its photos, and the numbers of who is on them: Ana on 0 to 5, Beto on 4 to 9."""
    root = tmp_path_factory.mktemp("album")
    workspace, photos = root / "workspace", root / "photos"
    for number in range(9):
        write(photos / f"IMG_{number}.jpg", b"photo %d" % number)
    odd = os.fsencode(photos) + b"/\xff\n.jpg"
    with open(odd, "wb") as file:  # noqa: PTH123 - bytes
        file.write(b"photo 9")
    run = lote("photos", "people", workspace=workspace)
    assert run.code == 2
    assert run.err.count("\n") == 1
    assert "lote photos faces FOLDER" in run.err
    with Library(workspace / "lote.db") as library:
        library.scan(photos)
        by_name = {os.fsencode(path).rpartition(b"/")[2]: digest for path, digest in library.hashes().items()}
        names = [*(b"IMG_%d.jpg" % number for number in range(9)), b"\xff\n.jpg"]
        digests = {number: bytes.fromhex(by_name[name]) for number, name in enumerate(names)}
        pair = crowd([6, 6], seed=21)
        order = np.argsort(pair.persons, kind="stable")
        some = Crowd(pair.vectors[order], pair.persons[order], np.array([*range(6), *range(4, 10)]))
        put(library.database, some, digests=digests)
        with library.database.write() as connection:
            connection.execute(face_models.insert().values(name=MODEL, folder=None, asked_at=sa.func.now()))
        PersonRepository(Store(library.database)).group()
        ana, beto = (str(known_at(library.database, some, face, digests)) for face in (0, 6))
    return workspace, photos, ana, beto


def test_faces_are_ignored_listed_and_taken_back_by_commands(album: tuple[Path, Path, str, str]) -> None:
    workspace, photos, ana, beto = album

    def people_command(*words: str) -> tuple[int, str, str]:
        run = lote("photos", "people", *words, workspace=workspace)
        return run.code, run.out, run.err

    run = lote("photos", "people", "show", ana, "--json", workspace=workspace)
    first, second = (str(event["id"]) for event in run.events[:2])
    assert people_command("ignore", "--face", first, "--face", second) == (0, "2 faces are ignored now\n", "")
    assert people_command("ignore", beto) == (0, "6 faces are ignored now\n", "")
    run = lote("photos", "people", "--json", workspace=workspace)
    assert [(str(row["id"]), row["faces"]) for row in run.events if row["event"] == "person"] == [(ana, 4)]
    run = lote("photos", "people", "ignored", "--json", workspace=workspace)
    listed = [event for event in run.events if event["event"] == "face"]
    assert len(listed) == 8
    assert {first, second} <= {str(face["id"]) for face in listed}
    assert all(face["path"].startswith(f"{photos}/") and not face["said"] for face in listed)

    assert people_command("ignore", "--back", "--face", second) == (0, "1 face taken back\n", "")
    code, out, _ = people_command("undo", "--list")
    assert [line[18:] for line in out.splitlines()] == [
        "ignored faces were taken back: 1",
        f"the faces of person {beto} were ignored: 6",
        "faces were ignored: 2",
    ]
    for wrong in ((), (ana, "--face", first), (ana, "--back"), ("--back",)):
        code, _, err = people_command("ignore", *wrong)
        assert code == 2
        assert "lote photos people ignore 12" in err
    assert people_command("ignore", "--face", "88123")[::2] == (1, "lote: There is no face 88123.\n")
    assert people_command("undo", "--steps", "3")[0] == 0
    assert people_command("ignored", "--json")[1] == '{"event": "summary", "faces": 0}\n'
    run = lote("photos", "people", "--json", workspace=workspace)
    assert {str(row["id"]): row["faces"] for row in run.events if row["event"] == "person"} == {
        ana: 6,
        beto: 6,
    }


def test_people_are_listed_named_found_and_forgotten(album: tuple[Path, Path, str, str]) -> None:
    workspace, photos, ana, beto = album

    def people_command(*words: str) -> tuple[int, str, str]:
        run = lote("photos", *words, workspace=workspace)
        return run.code, run.out, run.err

    run = lote("photos", "people", "--json", workspace=workspace)
    assert run.code == 0, run.err
    rows = [event for event in run.events if event["event"] == "person"]
    assert [(row["faces"], row["photos"], row["name"]) for row in rows] == [(6, 6, None), (6, 6, None)]
    assert {str(row["id"]) for row in rows} == {ana, beto}
    assert people_command("people", "name", ana, "Ana")[0] == 0
    code, _, err = people_command("people", "name", beto, "ANA")
    assert code == 1
    assert f"lote photos people merge {ana} {beto}" in err
    assert people_command("people", "name", beto, "Beto")[1] == f"person {beto} is Beto now\n"
    code, _, err = people_command("people", "merge", "Ana", "Beto")
    assert code == 1
    assert "two faces of one photo are never one person" in err
    code, out, _ = people_command("people")
    assert code == 0
    assert out.splitlines()[0].split() == ["number", "name", "faces", "photos", "from", "to"]
    listed = sorted(line.split() for line in out.splitlines()[1:])
    assert listed == sorted([[ana, "Ana", "6", "6"], [beto, "Beto", "6", "6"]])

    run = lote("photos", "find", "--person", "ana", "--person", beto, "--style", "csv", workspace=workspace)
    assert [line.rpartition(",")[2] for line in run.out.splitlines()[1:]] == [
        f"{photos}/IMG_4.jpg",
        f"{photos}/IMG_5.jpg",
    ]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "batch_processing", "photos", "find", "--person", "Beto", "-0"],
        env=os.environ | {"LOTE_WORKSPACE": str(workspace)},
        capture_output=True,
        check=True,
    )
    found = done.stdout.split(b"\0")
    assert found[-1] == b""
    assert os.fsencode(photos) + b"/\xff\n.jpg" in found
    assert len(found) == 7

    run = lote("photos", "people", "show", "Beto", "--json", workspace=workspace)
    face = run.events[0]["id"]
    assert people_command("people", "not", "Beto", "--face", str(face))[0] == 0
    assert people_command("people", "split", "Ana", "--photo", "IMG_1.jpg")[0] == 0
    assert people_command("people", "hide", "Ana")[0] == 0
    code, out, _ = people_command("people", "undo", "--steps", "99")
    assert code == 0
    assert out.count("undone: ") == 5
    run = lote("photos", "people", "--json", workspace=workspace)
    assert [event for event in run.events if event["event"] == "person"] == rows

    people_command("people", "name", ana, "Ana")
    assert (
        "6 faces would be forgotten; add --yes" in people_command("forget", "--faces", "--person", "Ana")[1]
    )
    code, out, err = people_command("forget", "--faces", "--person", "Ana", "--yes")
    assert (code, out) == (0, "6 faces forgotten\n")
    assert "lote backup" in err
    assert people_command("forget", "--faces", "--yes")[1] == "6 faces forgotten\n"
    assert people_command("people")[0] == 2


def test_somebody_without_a_name_is_not_named_by_somebody_elses(database: Database) -> None:
    some = crowd([8, 5], seed=14)
    put(database, some)
    known = PersonRepository(Store(database))
    known.group()
    ids = sorted(one for one in known_people(database))[:2]
    known.name(ids[0], "Ana")
    with pytest.raises(NameTakenError) as refused:
        known.name(ids[1], " ána".replace("á", "A"))
    assert refused.value.person_id == ids[0]
    assert known.get(ids[1]) is not None
    assert known.get(10**6) is None
