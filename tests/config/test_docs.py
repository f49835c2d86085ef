"""docs/configuration.md: every setting is there with its default, variable and flag; every example runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from batch_processing.config import BatchConfig, ConfigurationHandler, photo_settings
from batch_processing.config.settings import FLAGS, built_in, env_name

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
ROWS = {
    cells[0].strip("`"): cells
    for line in PAGE.splitlines()
    if line.startswith("| `") and len(cells := [cell.strip() for cell in line.strip("|").split("|")]) >= 5
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_every_setting_is_documented() -> None:
    assert set(ROWS) == {*BatchConfig.model_fields, *photo_settings({}, None, {})}


@pytest.mark.parametrize("name", BatchConfig.model_fields)
def test_a_setting_is_documented_as_it_is(name: str) -> None:
    _, _, default, variable, flag, *_ = ROWS[name]
    assert variable == f"`{env_name(name)}`"
    assert flag == (f"`{FLAGS[name]}`" if name in FLAGS else "")
    value = built_in(name)
    if value is None or value in ([], ()):
        assert default in {"required", "none", "all", "automatic", "`<output dir>_colorized.zip`"}
    else:
        assert default == f"`{value if isinstance(value, str) else json.dumps(value)}`"


def test_the_two_example_files_are_right_and_say_the_same() -> None:
    from_toml, from_json = tomllib.loads(blocks("toml")[0]), json.loads(blocks("json")[0])
    assert from_toml == from_json
    assert ConfigurationHandler().validate_config(from_json) is True


@pytest.mark.parametrize("example", blocks("python"))
def test_an_example_runs(example: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
