"""What the command says of settings, outputs and itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from batch_processing.ui.cli import app, photos
from batch_processing.ui.cli.app import complete
from command import Run, lote
from pages import book


def test_a_wrong_option_is_called_as_it_was_given(tmp_path: Path) -> None:
    done = lote(
        "colorize", "x", "--workers", "many", "--layers", "kra", "--style", "ink", workspace=tmp_path / "ws"
    )
    assert done.code == 2
    said = done.err.replace("\n ", "")
    assert "--workers must be a whole number, got 'many'" in said
    assert "Invalid --layers 'kra': choose 'psd', 'ora', 'png' or 'json'" in said
    assert "max_concurrent" not in said
    assert "[0]" not in said


def test_help_has_groups_and_examples_and_no_types_of_python(tmp_path: Path) -> None:
    whole = lote("--help", workspace=tmp_path / "ws")
    assert [
        line for line in whole.out.splitlines() if line in ("Comics:", "Jobs:", "Photos:", "Workspace:")
    ] == [
        "Comics:",
        "Jobs:",
        "Workspace:",
        "Photos:",
    ]
    for command in (
        ["colorize"],
        ["classify"],
        ["status"],
        ["retry"],
        ["photos", "duplicates"],
        ["models", "check"],
    ):
        told = lote(*command, "--help", workspace=tmp_path / "ws").out
        assert "<str>" not in told
        assert "list[" not in told
    told = lote("colorize", "--help", workspace=tmp_path / "ws").out
    assert (
        told.index("Input and output:")
        < told.index("--series")
        < told.index("Colours:")
        < told.index("--backend")
    )
    assert "\n  lote colorize SERIES/ -o OUT/ --series\n" in told
    spanish = lote("colorize", "--help", workspace=tmp_path / "ws", LANG="es_ES.UTF-8").out
    assert "\n  lote colorize SERIES/ -o OUT/ --series\n" in spanish


def test_every_group_and_command_has_a_help(tmp_path: Path) -> None:
    """Of a group, with all of its commands."""

    def walk(command: Any, words: list[str]) -> Iterator[list[str]]:
        context = command.make_context(words[-1] if words else "lote", [], resilient_parsing=True)
        told = command.get_help(context)
        assert "--help" in told, words
        for name, child in getattr(command, "commands", {}).items():
            assert child.hidden or f"\n  {name} " in told, [*words, name]
            yield from walk(child, [*words, name])
        yield words

    assert len(list(walk(typer.main.get_command(complete()), []))) > 40
    for group in ("photos", "models", "people"):
        words = ("photos", group) if group == "people" else (group,)
        told = lote(*words, "--help", workspace=tmp_path / "ws", LANG="es_ES.UTF-8")
        assert (told.code, told.err) == (0, "")
        assert f"Uso: lote {' '.join(words)}" in told.out


def test_each_command_is_found_where_it_is_said_to_be() -> None:
    """The tables of modules, by which a command loads no more than it needs."""
    groups = {group.name: group.typer_instance for group in complete().registered_groups}
    for application, modules in ((complete(), app.MODULES), (groups["photos"], photos.MODULES)):
        assert application is not None
        found: dict[str, set[str]] = {}
        for command in application.registered_commands:
            assert command.callback is not None
            module = command.callback.__module__.rpartition(".")[2]
            found.setdefault(module, set()).add(command.name or command.callback.__name__)
        if "people" in found:
            found["people"].add("people")  # a group of its own
        assert found == {module: set(names) for module, names in modules.items()}


def test_show_config_says_what_the_run_will_use(tmp_path: Path) -> None:
    source = book(tmp_path / "in", 1)
    done = lote("colorize", source, "--show-config", workspace=tmp_path / "ws")
    told = {line.split()[0]: line.split(maxsplit=1)[1] for line in done.out.splitlines()}
    cores = len(os.sched_getaffinity(0))
    assert told["max_concurrent"] == f"{cores}  (built-in: one a core)"
    assert told["output_dir"] == f"{tmp_path / 'in_colorized'}  (built-in: named after the input)"
    assert told["backend"].startswith("flats  (built-in: auto; ")
    done = lote(
        "colorize", source, "-o", "out", "--workers", "7", "--backend", "noop", "--show-config",
        workspace=tmp_path / "ws",
    )  # fmt: skip
    told = {line.split()[0]: line.split(maxsplit=1)[1] for line in done.out.splitlines()}
    assert told["max_concurrent"] == "7  (--workers)"
    assert told["output_dir"] == "out  (--output)"
    assert told["backend"] == "noop  (--backend)"


@pytest.mark.parametrize("output", ["/proc/x", "/sys/x.cbz", "dangling", "dangling/out", "file/out/book.cbz"])
def test_an_output_that_cannot_be_is_said_before_the_first_page(output: str, tmp_path: Path) -> None:
    book(tmp_path / "in", 1)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "at all")
    (tmp_path / "file").write_text("x")
    done = lote("colorize", "in", "-o", output, "--backend", "noop", workspace=tmp_path / "ws", cwd=tmp_path)
    assert done.code == 1
    assert "choose another" in done.err.replace("\n", " ")
    assert "job 1" not in done.err


def test_one_page_is_one_page(tmp_path: Path) -> None:
    done = lote("colorize", book(tmp_path / "in", 1), "--backend", "noop", workspace=tmp_path / "ws")
    assert "pages to colour: 1; about" in done.err


def test_without_a_desktop_open_is_one_sentence(tmp_path: Path) -> None:
    assert (
        lote("colorize", book(tmp_path / "in", 1), "--backend", "noop", workspace=tmp_path / "ws").code == 0
    )
    done: Run = lote("open", workspace=tmp_path / "ws", DISPLAY="", WAYLAND_DISPLAY="")
    assert done.code == 1
    assert done.out.strip() == str(tmp_path / "in_colorized")
    assert done.err.replace("\n", " ").strip() == (
        f"lote: There is no desktop here with a program that opens {tmp_path / 'in_colorized'}: open it from another one."
    )


@pytest.mark.parametrize(
    ("command", "flag", "value"),
    [
        (["colorize", "in"], "--ray-address", "head:6379"),
        (["colorize", "in"], "--files", "shared"),
        (["photos", "look", "in"], "--workers", "2"),
        (["photos", "faces", "in"], "--files", "shared"),
    ],
)
def test_what_only_a_cluster_heeds_is_not_passed_over(
    command: list[str], flag: str, value: str, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    run = lote(*command, flag, value, workspace=tmp_path / "ws", cwd=tmp_path)
    assert run.code == 2
    assert run.err.splitlines()[-1].endswith(
        f"{flag} is about the machines of a cluster: say --engine ray, too."
    )
