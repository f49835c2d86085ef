"""What telling people apart costs, in a process of its own: `python benchmarks/people.py FOLDER` prints a line of figures.

Faces are drawn vectors that lie as SFace's do on LFW (`tests/faces_help.py`); `benchmarks/photos.py --only people` makes
rows of them. All times are CPU time of this process; memory is its peak.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads that wait for each other would count as work

import sqlalchemy as sa

from batch_processing.photos import PersonRepository
from batch_processing.photos.store import Store, open_database
from batch_processing.photos.tables import faces

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from faces_help import like_lfw, put, quality  # type: ignore[import-not-found]

COUNT, MORE = 100_000, 100


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    database = open_database(Path(sys.argv[1]) / "people.db")
    crowd = like_lfw(COUNT + MORE)
    put(database, crowd, range(COUNT))
    people = PersonRepository(Store(database))
    figures = {"anew": seconds(people.group)}
    figures["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    figures["nothing"] = seconds(people.group)
    put(database, crowd, range(COUNT, COUNT + MORE))
    figures["more"] = seconds(people.group)
    with database.read() as connection:
        query = sa.select(faces.c.person_id, faces.c.hash).order_by(faces.c.id)
        labels = [person for person, _ in connection.execute(query)]
        count = sa.func.count()
        largest = (
            sa.select(faces.c.person_id).group_by(faces.c.person_id).order_by(count.desc(), faces.c.person_id)
        )
        first, second = connection.scalars(largest.limit(2)).all()
    reached = quality(labels, crowd.persons.tolist())
    figures |= {
        "precision": reached.pair_precision,
        "recall": reached.pair_recall,
        "b_cubed": reached.b_cubed,
    }
    figures["name"] = seconds(lambda: people.name(first, "Ana"))
    figures["merge"] = seconds(lambda: people.merge(first, second))
    figures["undo"] = seconds(people.undo)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
