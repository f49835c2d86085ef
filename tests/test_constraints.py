"""The two files of pinned versions: alike but for Pillow, and nothing that Lote needs is left to chance."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def pinned(name: str) -> dict[str, str]:
    lines = (ROOT / "constraints" / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def names(requirements: list[str]) -> set[str]:
    found = [re.match(r"[A-Za-z0-9-]+", requirement) for requirement in requirements]
    return {match[0].lower() for match in found if match}


def test_without_extras_pillow_alone_is_another() -> None:
    core, everything = pinned("core.txt"), pinned("all.txt")
    assert {name for name in core if everything.get(name) != core[name]} == {"pillow"}
    assert int(core["pillow"].split(".")[0]) >= 13
    assert "gradio" not in core


def test_all_that_is_asked_for_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert names(project["dependencies"]) <= set(pinned("core.txt"))
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    # uv, which resolves the versions, does not pin itself.
    assert names(project["dependencies"] + extras) - {"uv"} <= set(pinned("all.txt"))
