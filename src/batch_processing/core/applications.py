"""The applications that stand on the engine: which there are, and the door of each.

Promises: this room names none. An application is a module, its `Door`; the package has a table of them
(`batch_processing.applications`), and a door is imported when somebody first asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..applications import APPLICATIONS
from ..exceptions import QueueError

if TYPE_CHECKING:
    from .application import Application
    from .coordinator import Interrupt, OnNews
    from .workspace import Kind, Workspace


class Ended(Protocol):
    """What became of a job."""

    @property
    def state(self) -> str: ...

    @property
    def exit_code(self) -> int: ...


class Door(Protocol):
    """What the module of an application has, whatever it does. How its jobs are entered is its own business."""

    application: Callable[[Workspace], Application]
    """What runs, or cancels, one job of this kind."""

    def run(
        self,
        workspace: Workspace,
        job_id: int,
        *,
        on_news: OnNews | None = None,
        interrupt: Interrupt | None = None,
    ) -> Ended:
        """Run, go on with, or follow a job until it ends."""
        ...


def kinds() -> Iterable[Kind]:
    """The kinds of jobs that there are, in the order of the table."""
    return tuple(APPLICATIONS)


def door(kind: Kind) -> Door:
    """The door of a kind. QueueError for a job of an application that is not installed."""
    try:
        return cast("Door", import_module(APPLICATIONS[kind]))
    except KeyError:
        raise QueueError(
            "Jobs of the kind {kind} are unknown to this version of Lote: use the version that made them.",
            kind=kind,
        ) from None


def first() -> Any:
    """The module of the first application: the one of those who name none."""
    return import_module(next(iter(APPLICATIONS.values())))
