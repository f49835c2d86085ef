"""The places of a book, as the ledger knows them: a row for each, and the regions of them that are in doubt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ...classification.classifier import ASK_BELOW
from ...core.model import Item, ItemState, Role, Source
from ..model import ImageFacts, facts_of
from . import view
from .view import Fate, PageState

# Below this share of its area that is believed right, a page is shown among the unsure ones.
UNSURE_BELOW = 0.7


@dataclass(frozen=True)
class Row:
    """One place of the book: its number from 1, and the pictures of it before and after."""

    number: int
    source: Source
    item: Item | None
    before: Path | None
    after: Path | None

    @property
    def fate(self) -> Fate:
        if self.item is None:
            return Fate.REFERENCE if self.source.role == Role.COPY else Fate.KEPT
        fates = {
            ItemState.COMPLETED: Fate.COLORED,
            ItemState.FAILED: Fate.FAILED,
            ItemState.CANCELLED: Fate.CANCELLED,
        }
        return fates.get(self.item.state, Fate.WAITING)

    @property
    def state(self) -> PageState:
        return view.state_of(self.fate)

    @property
    def details(self) -> Mapping[str, Any]:
        """What the backend told of a page that is coloured."""
        return (self.item.details or {}) if self.item is not None and self.fate == Fate.COLORED else {}

    @cached_property
    def facts(self) -> ImageFacts:
        return facts_of(self.source)

    @property
    def confidence(self) -> float:
        """The share of a coloured page that is believed right."""
        return float(self.details.get("confidence", 1.0))

    @property
    def unsure(self) -> bool:
        return self.facts.confidence < ASK_BELOW or self.confidence < UNSURE_BELOW


@dataclass(frozen=True)
class Doubt:
    """A region to review: `told` is its entry in review.json, `box` its (left, top, right, bottom) in pixels."""

    told: Mapping[str, Any]
    box: tuple[int, int, int, int]
    number: int
    output: str
    picture: Path
