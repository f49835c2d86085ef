"""The command `lote`, run as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Run:
    """What a run of the command gave."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The lines of `--json`."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def summary(self) -> dict[str, Any]:
        last = self.events[-1]
        assert last["event"] == "summary"
        return last


def lote(*args: str | Path, workspace: Path, cwd: Path | None = None, **env: str) -> Run:
    """Run `lote ARGS` with its own workspace; output as text."""
    done = subprocess.run(
        command(*args),
        capture_output=True,
        text=True,
        env=environment(workspace) | env,
        cwd=cwd,
        timeout=240,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return Run(done.returncode, done.stdout, done.stderr)


def command(*args: str | Path) -> list[str]:
    return [sys.executable, "-P", "-m", "batch_processing", *map(str, args)]


def environment(workspace: Path) -> dict[str, str]:
    """This environment without a person's own settings of Lote, in English."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOTE_")}
    return kept | {"LOTE_WORKSPACE": str(workspace), "LANG": "C.UTF-8", "COLUMNS": "100"}
