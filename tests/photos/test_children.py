"""The lean children of a scan start, and bring in no more of Lote than they need."""

from __future__ import annotations

import subprocess
import sys

import pytest

from batch_processing.photos.reading import ALONE, FOLDERS


@pytest.mark.parametrize("module", ["reading", "counting"])
def test_a_child_has_its_module_and_no_package(module: str) -> None:
    code = (
        f"{ALONE}from lote.photos import {module}; {module}.serve; "
        "print(*sorted(name for name in sys.modules if name.partition('.')[0] in ('lote', 'sqlalchemy', 'PIL')))"
    )
    child = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, *FOLDERS],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (child.returncode, child.stderr) == (0, "")
    found = set(child.stdout.split())
    assert {"lote", "lote.photos", "lote.messages", f"lote.photos.{module}"} <= found
    assert found <= {"lote", "lote.json_types", "lote.messages", "lote.photos"} | {
        f"lote.photos.{name}" for name in ("counting", "kinds", "reading")
    }
