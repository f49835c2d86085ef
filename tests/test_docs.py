"""The documentation is held to the program: commands, options, exit codes, examples and links.

Settings are compared in tests/config/test_docs.py."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from batch_processing import exceptions
from batch_processing.ui.cli import app
from command import environment
from pages import book, coloured, zipped

ROOT = Path(__file__).parents[1]
PAGES = {
    path.name: path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
}
# Groups with a page of their own; docs/cli.md names their commands.
OWN_PAGE = {"photos": "photos.md", "models": "cobra.md", "ui": "ui.md"}
EVERYWHERE = {"--help", "--version", "--install-completion", "--show-completion", "--workspace"}


def commands() -> Iterator[tuple[str, Any]]:
    """Every command as it is typed ("photos scan"), with what typer made of it."""

    def walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield name, command
        for word, child in (inner or {}).items():
            yield from walk(child, f"{name} {word}".strip())

    yield from walk(typer.main.get_command(app), "")


COMMANDS = dict(commands())


def section(name: str) -> str:
    """What the documentation says of one command, under the heading that names it."""
    page = PAGES.get(OWN_PAGE.get(name.split(maxsplit=1)[0], "cli.md"), "")
    if name.split(maxsplit=1)[0] in OWN_PAGE:
        return page
    parts = re.split(r"^## ", page, flags=re.MULTILINE)
    return next((part for part in parts if re.search(rf"lote {name}\b", part.splitlines()[0])), "")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_its_options_are_documented(name: str) -> None:
    text = section(name)
    assert text, f"docs: `lote {name}` has no section"
    for parameter in COMMANDS[name].params:
        long = [option for option in parameter.opts if option.startswith("--")]
        if long and not set(long) & EVERYWHERE:
            assert re.search(rf"{re.escape(long[0])}(?![\w-])", text), f"lote {name} {long[0]}"


def test_no_command_is_documented_that_is_not_there() -> None:
    groups = {name.split()[0] for name in COMMANDS}
    for heading in re.findall(r"^## (lote .*)$", PAGES["cli.md"], flags=re.MULTILINE):
        for word in re.findall(r"lote (\w+)", heading):
            assert word in groups, heading


@pytest.mark.parametrize("name", [name for name in COMMANDS if name.split()[0] not in OWN_PAGE])
def test_no_option_is_documented_that_is_not_there(name: str) -> None:
    head = section(name).splitlines()[0]
    there = set(EVERYWHERE)
    for word in re.findall(r"lote (\w+)", head):
        there |= {option for parameter in COMMANDS[word].params for option in parameter.opts}
    assert set(re.findall(r"`(--[a-z][a-z-]+)", section(name))) <= there


def test_the_exit_codes_are_those_of_the_errors() -> None:
    rows = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGES["cli.md"], flags=re.MULTILINE)}
    codes = {getattr(exceptions, name).exit_code for name in exceptions.__all__}
    assert rows == codes | {0, 13, 130}  # 13: photos.walk's guard; 130: Ctrl-C


def fenced(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES[page], flags=re.MULTILINE | re.DOTALL)


EXAMPLES = [(page, text) for page in PAGES for text in fenced(page, "python") if page != "configuration.md"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the examples name."""
    folder = tmp_path_factory.mktemp("docs")
    book(folder / "pages", 2)
    zipped(folder / "pages", folder / "chapter.cbz")
    coloured(folder / "cast.png", 5)
    coloured(folder / "Pictures" / "a.png", 6)
    return folder


@pytest.mark.parametrize(("page", "text"), EXAMPLES, ids=lambda value: value if value.endswith(".md") else "")
def test_an_example_runs(page: str, text: str, place: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=place, env=environment(place / "ws"), capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


LINES = sorted(
    {
        line.split("#")[0].strip().removeprefix("$ ").removeprefix(".venv/bin/")
        for page in PAGES
        for block in fenced(page, "console") + fenced(page, "sh")
        for line in block.splitlines()
        if re.match(r"(\$ )?(\.venv/bin/)?lote ", line)
    }
)


@pytest.mark.parametrize("line", LINES)
def test_a_command_line_is_understood(line: str) -> None:
    words = shlex.split(line.split("|", maxsplit=1)[0].split(">", maxsplit=1)[0])[1:]
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context("lote", words)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    folder = ROOT if page == "README.md" else ROOT / "docs"
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", PAGES[page]):
        if "://" not in link:
            assert (folder / link).exists(), link
