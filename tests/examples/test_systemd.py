"""The units of systemd that are shipped: their command lines are understood, and what they promise is set."""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from batch_processing.ui.cli.app import complete

UNITS = Path(__file__).parents[2] / "examples" / "systemd"


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((UNITS / name).read_text(encoding="utf-8"))
    return parser


@pytest.mark.parametrize("name", sorted(path.name for path in UNITS.glob("*.service")))
def test_the_command_of_a_service_is_understood(name: str) -> None:
    service = unit(name)["Service"]
    program, *arguments = shlex.split(service["ExecStart"].replace("%h", "/home/ana"))
    assert program == "/home/ana/.local/bin/lote"
    command: Any = typer.main.get_command(complete())
    while hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
    context = command.make_context("lote", arguments)  # which reads the options, and runs nothing
    assert context.params["quiet"]
    assert (
        service["KillMode"] == "mixed"
    )  # else the workers are ended before the pages in flight are finished


def test_the_timer_starts_a_service_that_is_there() -> None:
    timer = unit("lote-scan.timer")
    assert timer["Timer"]["Persistent"] == "true"
    assert (UNITS / "lote-scan.service").exists()
    assert unit("lote-scan.service")["Service"]["Type"] == "oneshot"
    assert unit("lote-watch.service")["Service"]["Restart"] == "on-failure"
