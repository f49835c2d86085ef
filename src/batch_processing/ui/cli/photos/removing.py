"""How `lote photos duplicates` and `similar` get rid of photos: one deed after the other, each in the log before the next."""

from __future__ import annotations

import json
import os
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

import typer

from ....exceptions import ConfigurationError
from ....messages import Message
from .common import Stop, folders_given, print_json, print_line, print_note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ....photos.duplicates import Deed
    from ....photos.removal import How, KeepBy
    from ....photos.removals import Line
    from ....photos.steps import Recovered
    from ....photos.store import Store

    Deeds = Iterator[tuple[Deed, bytes, int]]
    """What was done, with the SHA-256 of the photo, and how many bytes that has made free."""


R = TypeVar("R", bound=StrEnum)


def rules_of(texts: Sequence[str], known: type[R], under: R) -> list[KeepBy[R]]:
    """What `--keep` says, in its order: a rule of `known`, with `under` its folder. ConfigurationError for any other."""
    from ....photos.removal import KeepBy

    rules = []
    for text in texts:
        name, _, folder = text.partition(" ")
        try:
            rule = known(name)
        except ValueError:
            raise ConfigurationError(
                "--keep must be one of {known}, not {text}.",
                known=", ".join(rule.value for rule in known),
                text=repr(text),
            ) from None
        rules.append(KeepBy(rule, _kept_folder(folder, is_needed=rule is under)))
    return rules


def _kept_folder(folder: str, *, is_needed: bool) -> bytes | None:
    """The folder of `--keep under FOLDER`, absolute. ConfigurationError where it is lacking, or not there."""
    if is_needed != bool(folder) or folder.startswith("--"):
        raise ConfigurationError("--keep under needs a folder, and only that does: --keep under FOLDER.")
    path = folders_given([folder])[0] if folder else None
    if path is not None and not os.path.isdir(path):  # noqa: PTH112 - bytes
        raise ConfigurationError("--keep under {folder}: there is no such folder.", folder=folder)
    return path


class Removal:
    """Does it, writing each deed to the log before the next."""

    def __init__(self, store: Store, how: How, path: Path, *, as_json: bool) -> None:
        self._store, self._how, self._path, self._json = store, how, path, as_json
        self._done = self._failed = self._gain = 0

    def run(self, work: Callable[[], Deeds]) -> int:
        """`work` begins once what a killed run has left is put in order. Returns how many could not be done."""
        from ....photos.steps import recover

        self._path.parent.mkdir(parents=True, exist_ok=True)
        stop = Stop()
        with self._path.open("a", encoding="utf-8") as file, stop.listening():
            self._tell(recover(self._store))
            for deed, digest, gain in work():
                file.write(json.dumps(self._say(deed, digest, gain)) + "\n")
                file.flush()
                if stop.asked:
                    break
        self._sum_up()
        if stop.asked:
            raise typer.Exit(130)
        return self._failed

    def _tell(self, found: Sequence[Recovered]) -> None:
        """Of photos that have another name since a run that was killed, and cannot have their own back."""
        from ....photos.steps import Outcome

        for step in found:
            if step.outcome in (Outcome.BOTH, Outcome.FAILED):
                self._failed += 1
                spare = os.fsdecode(os.path.basename(step.spare))  # noqa: PTH119 - bytes
                why = step.problem or Message("another file has its name: rename one of them")
                print_note(
                    "lote: {path}: is called {spare} since a run that was killed; {why}",
                    path=os.fsdecode(step.path),
                    spare=spare,
                    why=why,
                )

    def _say(self, deed: Deed, digest: bytes, gain: int) -> Line:
        from ....photos.removals import line_of

        entry = line_of(deed, digest)
        if deed.refusal is None:
            self._done += 1
            self._gain += max(0, gain)
        else:
            self._failed += 1
            print_note(
                "lote: {path}: left alone, because it {problem}.", path=entry["path"], problem=deed.problem
            )
        if self._json:
            print_json("deed", **entry)
        return entry

    def _sum_up(self) -> None:
        from ....formatting import size

        done, failed, gain = self._done, self._failed, size(self._gain)
        if self._json:
            print_json("summary", done=done, failed=failed, gain=self._gain, log=str(self._path))
        elif self._how == "trash":
            print_line(
                "moved to the trash: {done} ({gain} gained), left alone: {failed}; log: {log}",
                done=done,
                gain=gain,
                failed=failed,
                log=self._path,
            )
        elif self._how == "hardlink":
            print_line(
                "replaced by hard links: {done} ({gain} gained), left alone: {failed}; log: {log}",
                done=done,
                gain=gain,
                failed=failed,
                log=self._path,
            )
        else:
            print_line(
                "share the bytes of another now: {done} ({gain} gained), left alone: {failed}; log: {log}",
                done=done,
                gain=gain,
                failed=failed,
                log=self._path,
            )
