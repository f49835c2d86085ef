"""`lote models` from the outside: what it prints, where, and with which exit code."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from batch_processing.exceptions import ValidationError
from batch_processing.ui.cli.models import models_app


def test_path_prints_commands_sizes_and_licences(tmp_path: Path) -> None:
    done = CliRunner().invoke(models_app, ["path"], env={"LOTE_COBRA_MODEL": str(tmp_path / "absent")})
    assert done.exit_code == 0
    assert f"nothing at {tmp_path / 'absent'}" in done.stdout
    for said in (
        "hf download JunhaoZhuang/Cobra --revision ee2fd07574c9ea8582a7045620b9901998b42bce",
        "4.83 GB",
        "2.78 GB",
        "PixArt-XL-2-1024-MS",
        "GB",
        "Licence",
        "lote models convert",
    ):
        assert said in done.stdout


def test_check_of_a_sound_folder(small_model: Path) -> None:
    done = CliRunner().invoke(models_app, ["check", str(small_model)])
    assert done.exit_code == 0, done.output
    assert 'style "line": ready' in done.stdout
    assert 'style "line + shadow": ready' in done.stdout
    assert "wrong:" not in done.stdout


def test_check_says_which_style_remains(small_model: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(small_model, tmp_path / "model"))
    (model / "line_ckpt" / "controlnet.bin").unlink()
    done = CliRunner().invoke(models_app, ["check"], env={"LOTE_COBRA_MODEL": str(model)})
    assert done.exit_code == 3
    assert f"wrong: {model / 'line_ckpt' / 'controlnet.bin'} is missing." in done.stdout
    assert 'style "line": cannot be used' in done.stdout
    assert 'style "line + shadow": ready' in done.stdout
    (model / "LE" / "erika.pth").unlink()
    assert CliRunner().invoke(models_app, ["check", str(model)]).exit_code == 1


def test_check_of_another_folder_is_an_error(tmp_path: Path) -> None:
    done = CliRunner().invoke(models_app, ["check", str(tmp_path)])
    assert isinstance(done.exception, ValidationError)
    assert "is no Cobra model" in str(done.exception)


def test_convert_prints_the_folder_it_wrote(small_model: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "converted"
    done = CliRunner().invoke(models_app, ["convert", str(small_model), "--to", str(target)])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [str(target)]
    assert CliRunner().invoke(models_app, ["check", str(target)]).exit_code == 0


def test_a_converted_folder_is_found_without_being_named(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("LOTE_COBRA_MODEL", raising=False)
    done = CliRunner().invoke(models_app, ["convert", str(small_model)])
    assert done.exit_code == 0, done.output
    assert f"found at {done.stdout.strip()}" in CliRunner().invoke(models_app, ["path"]).stdout
