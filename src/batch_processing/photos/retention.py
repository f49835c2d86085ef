"""Forgetting what is told of old scans and looks: their rows and those of their batches.

Promises: no photo, no face and nothing that a scan needs goes: what has not finished, the latest of the same folders, and
the latest of them with batches or figures stay, however old. Photos keep what is known of them, but for the number of the
batch that found them. Short transactions: a scan that runs meanwhile waits for none of them long.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ..core.database import chunks
from .tables import FINISHED, batches, look_batches, look_runs, scans

if TYPE_CHECKING:
    from .store import Store

# So many batches, of up to 100 photos each, are forgotten in one commit: a fifth of a second.
AT_ONCE = 100


@dataclass(frozen=True)
class Forgotten:
    """How many scans and looks went, and how many batches with them."""

    runs: int
    batches: int


def forget_old(store: Store, before: datetime, *, dry_run: bool = False) -> Forgotten:
    """Forget scans and looks that finished before a moment; with `dry_run` only count them."""
    runs = gone = 0
    for table, parts, link, figures in (
        (scans, batches, batches.c.scan_id, scans.c.stats.is_not(None)),
        (look_runs, look_batches, look_batches.c.run_id, sa.false()),
    ):
        latest = sa.select(sa.func.max(table.c.id)).group_by(table.c.roots)
        kept = (
            latest,
            latest.where(figures),
            latest.where(table.c.state == FINISHED),
            latest.where(table.c.id.in_(sa.select(link))),
        )
        old = sa.select(table.c.id).where(
            table.c.state == FINISHED,
            table.c.finished_at < before,
            *(table.c.id.not_in(each) for each in kept),
        )
        with store.read() as connection:
            ids = list(connection.scalars(old))
            of_them: list[int] = []
            for chunk in chunks(ids, AT_ONCE):
                of_them += connection.scalars(sa.select(parts.c.id).where(link.in_(chunk)))
        runs, gone = runs + len(ids), gone + len(of_them)
        if dry_run:
            continue
        for rows, column in ((of_them, parts.c.id), (ids, table.c.id)):
            for chunk in chunks(rows, AT_ONCE):
                with store.write() as connection:
                    connection.execute(sa.delete(column.table).where(column.in_(chunk)))
    return Forgotten(runs, gone)
