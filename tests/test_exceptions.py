"""The tree of errors: one root, exit codes, and that every error travels between processes."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_processing import exceptions
from batch_processing.exceptions import BatchProcessingError, ClassificationError, ImageProcessingError

ERRORS = [getattr(exceptions, name) for name in exceptions.__all__]


def test_the_tree_drawn_in_the_module_is_the_tree() -> None:
    drawn: list[tuple[int, str]] = []
    for line in (exceptions.__doc__ or "").splitlines():
        name = line.strip(" │├└─").split(" ")[0]
        if name in exceptions.__all__:
            drawn.append((len(line) - len(line.lstrip(" │├└─")), name))
    assert sorted(name for _, name in drawn) == sorted(exceptions.__all__)
    for number, (depth, name) in enumerate(drawn[1:], 1):
        parent = next(other for above, other in reversed(drawn[:number]) if above < depth)
        assert getattr(exceptions, name).__bases__ == (getattr(exceptions, parent),)


def test_all_lists_every_error() -> None:
    found = [
        name
        for name, value in vars(exceptions).items()
        if inspect.isclass(value) and issubclass(value, Exception)
    ]
    assert sorted(found) == sorted(exceptions.__all__)


@pytest.mark.parametrize("cls", ERRORS, ids=lambda cls: cls.__name__)
@given(text=st.text(), path=st.text())
def test_every_error_survives_pickling(cls: type[BatchProcessingError], text: str, path: str) -> None:
    error = cls(Path("a") / "p", text) if issubclass(cls, ImageProcessingError) else cls(text)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - our own bytes
        assert (type(again), str(again), vars(again)) == (cls, str(error), vars(error))
    image = ImageProcessingError(path, text)
    assert str(image) == f"Error processing {path}: {text}"


@pytest.mark.parametrize("cls", ERRORS, ids=lambda cls: cls.__name__)
def test_every_error_says_when_and_has_an_exit_code_of_its_kind(cls: type[BatchProcessingError]) -> None:
    assert cls.__doc__
    assert cls.exit_code in {1, 2, 3, 4, 11, 12}  # the documented ones; 13 and 130 are no errors
    assert isinstance(cls.retryable, bool)


def test_a_classification_error_keeps_its_parts() -> None:
    error = pickle.loads(pickle.dumps(ClassificationError("p.png", "too small")))  # noqa: S301 - our own bytes
    assert (error.image_path, error.message, error.exit_code) == ("p.png", "too small", 3)
