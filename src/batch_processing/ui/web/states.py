"""States that the page alone knows, and the words that it has for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

from ...core.model import JobState
from ...core.words import JOB_WORDS
from ...messages import P_


class Turn(StrEnum):
    """States of a job that the page alone names: what a person asked for, and is not so yet."""

    STARTING = "starting"
    PAUSING = "pausing"
    CANCELLING = "cancelling"


Shown: TypeAlias = JobState | Turn
# Something goes on of which nothing can be counted.
MOVING = (Turn.STARTING, JobState.PLANNING, JobState.FINISHING)
# Each by itself; in the context "job".
SHOWN_WORDS: Mapping[Shown, str] = {
    **{state: words.named for state, words in JOB_WORDS.items()},
    Turn.STARTING: P_("job", "starting"),
    Turn.PAUSING: P_("job", "pausing"),
    Turn.CANCELLING: P_("job", "cancelling"),
}


class TrialState(StrEnum):
    """How trying a page goes."""

    TRYING = "trying"
    FAILED = "failed"
    DONE = "done"
