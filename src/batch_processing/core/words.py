"""The words for states, in the one table that the command line, the page and the report share.

Promises: every state has its words, each marked for translation under what it is said of. Translates nothing
itself: whoever shows a word knows the language.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..messages import N_, P_
from .model import ItemState, JobState, Wish


@dataclass(frozen=True)
class JobWords:
    """`does` follows "job 3", `said` stands within a sentence ("Job 3 is done"), `named` by itself, and is
    translated in the context "job"."""

    does: str
    said: str
    named: str


@dataclass(frozen=True)
class PageWords:
    """`one` is said of a page, `many` of several; their contexts are "page" and "pages"."""

    one: str
    many: str


JOB_WORDS: Mapping[JobState, JobWords] = {
    JobState.QUEUED: JobWords(N_("waits"), N_("queued"), P_("job", "queued")),
    JobState.PLANNING: JobWords(N_("is being planned"), N_("planning"), P_("job", "planning")),
    JobState.RUNNING: JobWords(N_("runs"), N_("running"), P_("job", "running")),
    JobState.PAUSED: JobWords(N_("is paused"), N_("paused"), P_("job", "paused")),
    JobState.FINISHING: JobWords(N_("is being finished"), N_("finishing"), P_("job", "finishing")),
    JobState.DONE: JobWords(N_("is done"), N_("done"), P_("job", "done")),
    JobState.FAILED: JobWords(N_("failed"), N_("failed"), P_("job", "failed")),
    JobState.CANCELLED: JobWords(N_("was cancelled"), N_("cancelled"), P_("job", "cancelled")),
    JobState.INTERRUPTED: JobWords(N_("was interrupted"), N_("interrupted"), P_("job", "interrupted")),
}

PAGE_WORDS: Mapping[ItemState, PageWords] = {
    ItemState.PENDING: PageWords(P_("page", "pending"), P_("pages", "pending")),
    ItemState.PROCESSING: PageWords(P_("page", "processing"), P_("pages", "processing")),
    ItemState.COMPLETED: PageWords(P_("page", "completed"), P_("pages", "completed")),
    ItemState.FAILED: PageWords(P_("page", "failed"), P_("pages", "failed")),
    ItemState.CANCELLED: PageWords(P_("page", "cancelled"), P_("pages", "cancelled")),
}

# What a sentence says that there is nothing left to do.
WISH_WORDS: Mapping[Wish, str] = {Wish.PAUSE: N_("pause"), Wish.CANCEL: N_("cancel")}
