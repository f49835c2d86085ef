"""The windows' JavaScript by itself: its unit tests under node, the one that Playwright brings."""

from __future__ import annotations

import subprocess
from pathlib import Path

import playwright

NODE = Path(playwright.__file__).parent / "driver" / "node"
SCRIPTS = Path(__file__).parent / "scripts"


def test_the_canvas_and_the_grid_are_right() -> None:
    done = subprocess.run(
        [NODE, "--test", "--test-reporter=tap", *SCRIPTS.glob("*.test.mjs")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert int(done.stdout.partition("# pass ")[2].split()[0]) >= 17
