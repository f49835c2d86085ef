"""What a person is told: a template and its values, through every store that holds it."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from batch_processing.core.ledger import ItemSpec, Ledger, Settlement
from batch_processing.core.model import EventKind, ItemState, JobState
from batch_processing.exceptions import (
    ImageProcessingError,
    QueueError,
    ResourceError,
    ValidationError,
    beside,
    incident,
    reason,
)
from batch_processing.messages import Message, joined, stored
from batch_processing.photos.tables import errors as photo_errors

ODD = os.fsdecode(b"p\xff\xe9 {0} {path}.png")  # not UTF-8, and full of braces

texts = st.text(st.characters(exclude_categories=[]))  # lone surrogates, too
values = st.recursive(
    texts | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | inner.map(lambda one: Message("{one}", one=one)),
    max_leaves=6,
)


@given(template=texts, path=values, error=values)
def test_a_message_survives_json_and_pickling(template: str, path: object, error: object) -> None:
    for message in (Message("{path}: {error}", path=path, error=error), Message(template)):
        assert Message.from_json(stored(message)) == message
        assert Message.from_json(json.loads(json.dumps(message.to_json()))) == message
        assert pickle.loads(pickle.dumps(message)) == message  # noqa: S301 - our own bytes
        assert hash(Message.from_json(stored(message))) == hash(message)


@given(texts)
def test_a_text_of_an_earlier_version_is_a_message_without_values(text: str) -> None:
    assert str(Message.from_json(text)) == text
    assert Message.from_json(text).values == {}


def test_braces_of_a_text_without_values_are_left_alone() -> None:
    assert str(ValidationError("{path} is {")) == "{path} is {"
    assert str(ValidationError("{path} is empty", path="{name}")) == "{name} is empty"


def test_numbers_keep_their_format_and_lists_have_commas() -> None:
    assert str(Message("{share:.0%} of {names}", share=0.25, names=["a", Path("b")])) == "25% of a, b"


def test_messages_in_messages_are_translated_inside_out() -> None:
    inner = Message("the archive {path} is empty", path="x")
    outer = Message("{what}, twice", what=(inner, "y"))
    spanish = {
        "the archive {path} is empty": "el archivo {path} está vacío",
        "{what}, twice": "dos veces: {what}",
    }
    assert outer.render(lambda text: spanish[text]) == "dos veces: el archivo x está vacío, y"
    assert str(outer) == "the archive x is empty, y, twice"


def test_texts_are_those_of_all_levels() -> None:
    message = Message("{a} {b}", a=Path("/u/a"), b=[Message("{c}", c="/u/b"), 3])
    assert list(message.texts()) == ["/u/a", "/u/b"]
    assert str(message.mapped(lambda text: text.removeprefix("/u/"))) == "a b, 3"


def test_joined_needs_no_template() -> None:
    assert joined([Message("one")]) == Message("one")
    assert str(joined(["a", Message("{n} b", n=2)], ": ")) == "a: 2 b"
    assert not joined([])


class TestErrors:
    def test_an_error_as_a_value_is_what_it_says(self) -> None:
        inner = ValidationError("{path} is empty", path=Path("x"))
        outer = ResourceError("The job stopped: {error}", error=inner)
        assert outer.sentence.values["error"] == inner.sentence
        assert str(outer) == "The job stopped: x is empty"

    def test_what_the_system_says_has_no_number(self) -> None:
        error = FileNotFoundError(2, "No such file", "x")
        assert (str(reason(error)), str(incident(error))) == ("No such file", "x: No such file")
        ours = OSError(40, Message("a link leads out of {root}", root="r"), "x")
        assert reason(ours) == Message("a link leads out of {root}", root="r")
        assert str(incident(ours)) == "x: a link leads out of r"

    def test_the_name_of_an_image_is_left_out_beside_it(self) -> None:
        error = ImageProcessingError(ODD, "the file is empty")
        assert beside(error.sentence) == Message("the file is empty")
        assert beside(Message.from_json(stored(error.sentence))) == Message("the file is empty")
        other = Message("Error processing x: y")  # of an earlier version: nothing takes it apart
        assert beside(other) == other


class TestStored:
    @pytest.fixture
    def ledger(self, tmp_path: Path) -> Ledger:
        ledger = Ledger(tmp_path / "ledger.db")
        ledger.plan(
            ledger.submit("comics", ["/in"], "/out", {}).id, 1, [ItemSpec("a", 0, "h", "f", {}, "/out/a")]
        )
        return ledger

    def test_template_and_values_come_back_from_the_ledger(self, ledger: Ledger) -> None:
        (item,) = ledger.claim(1, 1)
        error = ImageProcessingError(ODD, "the image has {width} pixels", width=7)
        ledger.settle([Settlement(item.id, str(item.token), ItemState.FAILED, error=error.sentence)])
        ledger.set_job(1, state=JobState.FAILED, error=error.sentence)
        ledger.say(1, EventKind.WARNING, "{path} is left out", "a", path=ODD)
        (again,) = ledger.items(1)
        assert again.error == ledger.job(1).error == error.sentence
        told = [
            value for event in ledger.events(1) for value in event.data.values() if isinstance(value, Message)
        ]
        assert told == [error.sentence, Message("{path} is left out", path=ODD)]

    def test_rows_of_an_earlier_version_are_read(self, ledger: Ledger) -> None:
        old = f"Error processing {ODD}: it is torn"
        with ledger.database.write() as connection:
            connection.exec_driver_sql("UPDATE item SET error = ?", (os.fsencode(old),))  # bytes: not UTF-8
            connection.exec_driver_sql("UPDATE job SET error = ?", ("no {line} art",))
            connection.exec_driver_sql(
                "INSERT INTO event (job_id, at, kind, data) VALUES (1, 0, 'note', ?)",
                ('{"text": "told {once}"}',),
            )
        (item,) = ledger.items(1)
        assert str(item.error) == old
        assert str(ledger.job(1).error) == "no {line} art"
        assert str(ledger.events(1)[-1].data["text"]) == "told {once}"

    def test_photos_hold_old_and_new_texts(self) -> None:
        table = sa.Table("texts", sa.MetaData(), sa.Column("text", photo_errors.c.text.type))
        engine = sa.create_engine("sqlite://")
        with engine.begin() as connection:
            table.create(connection)
            connection.execute(table.insert().values(text=Message("{a} b", a=ODD)))
            connection.exec_driver_sql("INSERT INTO texts VALUES ('is empty')")
            found = connection.execute(sa.select(table.c.text)).scalars().all()
        engine.dispose()
        assert found == [Message("{a} b", a=ODD), Message("is empty")]


def test_an_error_says_its_kind_to_programs() -> None:
    assert (ValidationError("x").code, QueueError("x").code) == ("validation", "queue")
