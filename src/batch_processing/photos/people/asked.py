"""Whether faces were ever asked for in a library, and by which networks: from then on new photos are looked at for faces,
too.

Promises: nothing is computed before the first time. Whoever deletes all faces deletes this, too (`forget_asking`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ...exceptions import ConfigurationError
from ...messages import Message
from ..tables import face_models
from .models import FaceModel, find

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..store import Store


@dataclass(frozen=True)
class Asked:
    """By what faces were asked for last. `name`: of the model, as `photo_faces` has it; `folder`: in which a person keeps
    its networks, None for Lote's own."""

    name: str
    folder: Path | None


def asked(connection: sa.Connection) -> Asked | None:
    """None: nobody has asked for faces, or all are forgotten."""
    row = connection.execute(sa.select(face_models).order_by(face_models.c.asked_at.desc())).first()
    return None if row is None else Asked(row.name, None if row.folder is None else Path(row.folder))


def ask(store: Store, model: FaceModel) -> None:
    """Remember that faces are wanted, by this model from now on."""
    with store.write() as connection:
        forget_asking(connection)
        row = {"name": model.name, "folder": model.folder, "asked_at": datetime.now(UTC)}
        connection.execute(face_models.insert().values(row))


def forget_asking(connection: sa.Connection) -> None:
    """Nobody has asked for faces."""
    connection.execute(face_models.delete())


def wanted(store: Store, warn: Callable[[Message], None]) -> FaceModel | None:
    """What looks for faces on new photos: None where nobody has asked, and, with a warning, where the networks are not
    here any more, or are others now."""
    with store.read() as connection:
        before = asked(connection)
    if before is None:
        return None
    try:
        model = find(before.folder)
    except ConfigurationError as error:
        warn(Message("new photos are not looked at for faces: {reason}", reason=error.sentence))
        return None
    if model.name != before.name:
        text = Message(
            "new photos are not looked at for faces: the networks in {folder} are others now; run lote photos faces with "
            "--face-model again",
            folder=before.folder,
        )
        warn(text)
        return None
    return model
