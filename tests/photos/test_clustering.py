"""Which faces are one person's, on vectors of faces that nobody has."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from batch_processing.photos.people.clustering import LEAST_MEAN, Before, Faces, Grouped, Said, partition
from batch_processing.photos.people.nearest import (
    LEAST_DOT,
    NEIGHBOURS,
    NOBODY,
    Near,
    nothing_near,
    updated,
)
from faces_help import Crowd, crowd, like_lfw, quality

NOTHING = np.zeros(0, np.int64)


def core_faces(people: Crowd, core: NDArray[np.bool_] | None = None) -> Faces:
    return Faces(people.vectors, people.photos, np.ones(len(people), bool) if core is None else core)


def near(faces: Faces, block: tuple[int, int] = (1024, 2048)) -> Near:
    return updated(nothing_near(0), NOTHING, faces.vectors, faces.core, block=block).near


def said(faces: Faces, pins: dict[int, int] | None = None, apart: dict[int, set[int]] | None = None) -> Said:
    found = np.zeros(len(faces), np.int64)
    for face, person in (pins or {}).items():
        found[face] = person
    return Said(found, {face: frozenset(persons) for face, persons in (apart or {}).items()})


def groups(found: Grouped) -> set[frozenset[int]]:
    members: dict[int, set[int]] = {}
    for face, label in enumerate(found.labels.tolist()):
        if label != NOBODY:
            members.setdefault(label, set()).add(face)
    return {frozenset(one) for one in members.values()}


def by_definition(faces: Faces) -> NDArray[np.int64]:
    """The nearest core faces of each, as the definition has it: all products, sorted."""
    dots = faces.vectors.astype(np.int64) @ faces.vectors.astype(np.int64).T
    found = np.full((len(faces), NEIGHBOURS), NOBODY)
    for face in range(len(faces)):
        wanted = [
            (-int(dots[face, other]), other)
            for other in range(len(faces))
            if other != face and faces.core[other] and dots[face, other] >= LEAST_DOT
        ]
        nearest = [other for _, other in sorted(wanted)[:NEIGHBOURS]]
        found[face, : len(nearest)] = nearest
    return found


@st.composite
def people(draw: st.DrawFn) -> Crowd:
    sizes = draw(st.lists(st.integers(1, 25), min_size=1, max_size=6))
    found = crowd(sizes, seed=draw(st.integers(0, 1000)), spread=0.05)
    if draw(st.booleans()):  # copies of a face, which are equally near to all: ties
        found.vectors[: len(found) // 2] = found.vectors[0]
    photos = found.photos // draw(st.integers(1, 3))
    return Crowd(found.vectors, found.persons, photos)


@given(people(), st.data())
@settings(max_examples=40, deadline=None)
def test_the_nearest_are_those_of_the_definition_in_blocks_of_any_size(
    some: Crowd, data: st.DataObject
) -> None:
    core = np.array(data.draw(st.lists(st.booleans(), min_size=len(some), max_size=len(some))), bool)
    faces = core_faces(some, core)
    wanted = by_definition(faces)
    for block in (
        (1, 1),
        (7, 3),
        (1024, 2048),
        (data.draw(st.integers(1, 50)), data.draw(st.integers(1, 50))),
    ):
        found = near(faces, block)
        assert (found.places == wanted).all()
        there = found.places != NOBODY
        ones = np.repeat(np.arange(len(faces)), there.sum(axis=1))
        products = (faces.vectors[ones].astype(int) * faces.vectors[found.places[there]].astype(int)).sum(
            axis=1
        )
        assert (found.dots[there] == products).all()


@given(people(), st.data())
@settings(max_examples=40, deadline=None)
def test_what_comes_and_goes_ends_as_if_it_had_always_been_so(some: Crowd, data: st.DataObject) -> None:
    """Faces come in any order and number, and go again: each time the groups are those of a grouping anew."""
    count = len(some)
    core = np.array(data.draw(st.lists(st.integers(0, 5), min_size=count, max_size=count)), int) > 0
    there = np.zeros(count, bool)
    faces, lists, grouped = core_faces(some, core), nothing_near(0), None
    was = NOTHING
    for _ in range(data.draw(st.integers(1, 4))):
        change = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=40))
        there[change] = ~there[change] | data.draw(st.booleans())
        here = np.flatnonzero(there)
        place = np.full(count, NOBODY)
        place[here] = np.arange(len(here))
        faces = Faces(some.vectors[here], some.photos[here], core[here])
        found = updated(lists, place[was], faces.vectors, faces.core)
        scratch = near(faces)
        assert (found.near.places == scratch.places).all()
        assert (found.near.dots == scratch.dots).all()
        before = None
        if grouped is not None:
            moved = np.append(place[was], NOBODY)
            labels, components = np.full(len(here), NOBODY), np.full(len(here), NOBODY)
            stays = place[was] != NOBODY
            labels[place[was][stays]] = moved[grouped.labels][stays]
            components[place[was][stays]] = moved[grouped.components][stays]
            before = Before(labels, components, found.dirty)
        grouped = partition(faces, found.near, said(faces), before)
        anew = partition(faces, scratch, said(faces))
        assert (grouped.labels == anew.labels).all()
        assert (grouped.components == anew.components).all()
        lists, was = found.near, here


@given(people(), st.data())
@settings(max_examples=60, deadline=None)
def test_what_a_person_has_said_binds(some: Crowd, data: st.DataObject) -> None:
    count = len(some)
    some = Crowd(some.vectors, some.persons, np.arange(count) // 2)
    core = np.array(data.draw(st.lists(st.integers(0, 5), min_size=count, max_size=count)), int) > 0
    faces = core_faces(some, core)
    chosen = data.draw(st.lists(st.integers(0, count - 1), max_size=12, unique=True))
    pins = {face: data.draw(st.integers(1, 3)) for face in chosen}
    taken = set[tuple[int, int]]()
    for face, person in sorted(pins.items()):  # two faces of one photo are no person's
        if (place := (int(some.photos[face]), person)) in taken:
            del pins[face]
        taken.add(place)
    apart = {
        face: {data.draw(st.integers(1, 3))}
        for face in data.draw(st.lists(st.integers(0, count - 1), max_size=8, unique=True))
        if face not in pins
    }
    found = partition(faces, near(faces), said(faces, pins, apart))
    for members in groups(found):
        photos = [int(some.photos[face]) for face in members]
        assert len(photos) == len(set(photos)), "two faces of one photo"
        persons = {pins[face] for face in members if face in pins}
        assert len(persons) <= 1, "told apart"
        for face in members:
            assert not persons & apart.get(face, set()), "said not to be"
    for one, other in combinations(sorted(face for face in pins if core[face]), 2):
        if pins[one] == pins[other]:
            assert found.labels[one] == found.labels[other], "said to be one"
    assert (found.labels[core] != NOBODY).all()
    firsts = found.labels[found.labels != NOBODY]
    assert core[firsts].all(), "weak faces make nobody"


def test_groups_are_alike_to_the_last_pair() -> None:
    """No two neighbouring groups are left that are alike enough, and none was joined that is not."""
    some = like_lfw(600)
    faces = core_faces(some)
    lists = near(faces)
    found = partition(faces, lists, said(faces))
    vectors = some.vectors.astype(np.int64)
    joined = set[tuple[int, int]]()
    for face, label in enumerate(found.labels.tolist()):
        for other in lists.places[face][lists.places[face] != NOBODY].tolist():
            if found.labels[other] != label:
                joined.add(tuple(sorted((label, int(found.labels[other])))))  # type: ignore[arg-type]
    for one, other in joined:
        left, right = vectors[found.labels == one], vectors[found.labels == other]
        assert (left @ right.T).mean() < LEAST_MEAN
    assert quality(found.labels.tolist(), some.persons.tolist()).pair_precision == 1.0


@pytest.mark.parametrize(("count", "precision", "b_cubed"), [(4000, 0.998, 0.98)])
def test_people_are_told_as_well_as_is_aimed_at(count: int, precision: float, b_cubed: float) -> None:
    some = like_lfw(count, seed=3)
    faces = core_faces(some)
    found = partition(faces, near(faces), said(faces))
    reached = quality(found.labels.tolist(), some.persons.tolist())
    assert reached.pair_precision >= precision
    assert reached.b_cubed >= b_cubed
