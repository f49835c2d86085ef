"""The documentation is held to the program: commands, options, exit codes, examples and links.

Also the READMEs of the source's rooms: every room has one, and what it shows runs. What the pages about the source
call a module, class or function is there.

Settings are compared in tests/config/test_docs.py."""

from __future__ import annotations

import ast
import pkgutil
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from batch_processing import exceptions
from batch_processing.core.schema import metadata
from batch_processing.ui.cli.app import complete
from command import environment
from pages import book, colored, zipped

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "batch_processing"
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [
        *sorted(ROOT.glob("*.md")),
        *sorted(ROOT.glob("docs/*.md")),
        *sorted(SOURCE.glob("*/README.md")),
    ]
}
# Groups with a page of their own; docs/cli.md names their commands.
OWN_PAGE = {"photos": "docs/photos.md", "models": "docs/cobra-setup.md", "ui": "docs/ui.md"}
EVERYWHERE = {"--help", "--version", "--install-completion", "--show-completion", "--workspace"}


def commands() -> Iterator[tuple[str, Any]]:
    """Every command as it is typed ("photos scan"), with what typer made of it."""

    def walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield name, command
        for word, child in (inner or {}).items():
            yield from walk(child, f"{name} {word}".strip())

    yield from walk(typer.main.get_command(complete()), "")


COMMANDS = dict(commands())


def section(name: str) -> str:
    """What the documentation says of one command, under the heading that names it."""
    page = PAGES.get(OWN_PAGE.get(name.split(maxsplit=1)[0], "docs/cli.md"), "")
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
    for heading in re.findall(r"^## (lote .*)$", PAGES["docs/cli.md"], flags=re.MULTILINE):
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
    rows = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGES["docs/cli.md"], flags=re.MULTILINE)}
    codes = {getattr(exceptions, name).exit_code for name in exceptions.__all__}
    assert rows == codes | {0, 13, 130}  # 13: photos.walk's guard; 130: Ctrl-C


def fenced(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES[page], flags=re.MULTILINE | re.DOTALL)


EXAMPLES = [
    (page, text) for page in PAGES for text in fenced(page, "python") if page != "docs/configuration.md"
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the examples name."""
    folder = tmp_path_factory.mktemp("docs")
    book(folder / "pages", 2)
    zipped(folder / "pages", folder / "chapter.cbz")
    for number in (1, 2):
        (folder / "series").mkdir(exist_ok=True)
        zipped(folder / "pages", folder / "series" / f"{number}.cbz")
    colored(folder / "cast.png", 5)
    colored(folder / "Pictures" / "a.png", 6)
    return folder


@pytest.mark.parametrize(
    ("page", "text"), EXAMPLES, ids=lambda value: value if value.endswith(".md") and "\n" not in value else ""
)
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
    command: Any = typer.main.get_command(complete())
    while hasattr(command, "commands") and (words or not command.invoke_without_command):
        command = command.commands[words.pop(0)]
    command.make_context("lote", words)


def anchors(page: Path) -> set[str]:
    """The names under which the headings of a page are reached: `#one-palette` for "One palette"."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link, _, anchor in re.findall(r"\]\(([^)#\s]*)(#([^)]*))?\)", PAGES[page]):
        if "://" not in link:
            target = (ROOT / page).parent / link if link else ROOT / page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), f"{link}#{anchor}"


def test_every_room_has_a_readme_with_an_example() -> None:
    rooms = {path.parent for path in SOURCE.glob("*/__init__.py")}
    assert rooms
    for room in rooms:
        assert fenced(f"src/batch_processing/{room.name}/README.md", "python"), room.name


def test_every_version_of_python_that_is_named_is_one_that_is_tried() -> None:
    """The classifiers promise no version that the hosted checks leave out."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        classifiers = tomllib.load(file)["project"]["classifiers"]
    named = {text.rsplit(" ", maxsplit=1)[1] for text in classifiers if re.search(r"Python :: 3\.\d+$", text)}
    tried = re.search(r"python: \[(.*)\]", (ROOT / ".github/workflows/check.yml").read_text(encoding="utf-8"))
    assert tried
    assert named
    assert named <= set(re.findall(r"3\.\d+", tried[1]))


# -- names of the source ------------------------------------------------------------------------------

# Pages about the source itself: what they call a module, class or function has to be one.
INSIDE = [
    page
    for page in PAGES
    if page in ("docs/design.md", "docs/ledger.md", "CONTRIBUTING.md") or page.startswith("src/")
]
# What commands make is in no checkout.
MADE = ("build/", ".venv", "jobs/")
FILES = r"[\w./*-]+/[\w./*-]*|[\w-]+\.(?:py|md|toml|txt|js|css|cfg)"
OTHERS = r".*\.(?:db|lock|part|png|xmp|xml)"  # files of a person's, not of the source


@cache
def nodes() -> list[ast.AST]:
    return [node for path in SOURCE.rglob("*.py") for node in ast.walk(ast.parse(path.read_bytes()))]


@cache
def defined() -> set[str]:
    """Every name that the source gives to a module, class, function, parameter, attribute or value."""
    names = {path.stem for path in SOURCE.rglob("*.py")} | {path.parent.name for path in SOURCE.rglob("*.py")}
    for node in nodes():
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.arg(arg=name):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                names.add(name)
    return names


def members(name: str) -> set[str]:
    """What the classes of a name define."""
    found: set[str] = set()
    for owner in nodes():
        if isinstance(owner, ast.ClassDef) and owner.name == name:
            for node in owner.body:
                match node:
                    case ast.FunctionDef(name=member) | ast.AnnAssign(target=ast.Name(id=member)):
                        found.add(member)
                    case ast.Assign(targets=[ast.Name(id=member)]):
                        found.add(member)
    return found


def is_there(page: str, word: str) -> bool:
    """Whether the source has what a page calls `word`: a path, "name()", "module.name", "Class.member" or a name."""
    if re.fullmatch(FILES, word):
        folders = (
            ROOT,
            SOURCE,
            SOURCE.parent,
            (ROOT / page).parent,
            ROOT / "tests",
            SOURCE / "backends/flats",
        )
        return any(next(folder.glob(word.rstrip("/")), None) is not None for folder in folders)
    name = word.split("(", maxsplit=1)[0]
    if "." not in name:
        return name in defined()
    room = (ROOT / page).parent.name
    for prefix in ("", "batch_processing.", f"batch_processing.{room}."):
        with suppress(ImportError, AttributeError, ValueError):
            pkgutil.resolve_name(prefix + name)
            return True
    first, last = name.split(".", maxsplit=1)
    if first in metadata.tables:
        return last in metadata.tables[first].c
    return last in members(first)


def names_in(page: str) -> set[str]:
    """The words in code letters that can only be names of the source; in tables of doors and rooms, all words. On pages
    for those who use Lote, files of the source and members of classes."""
    text = re.sub(r"^```.*?^```", "", PAGES[page], flags=re.MULTILINE | re.DOTALL)
    shaped = (
        rf"{FILES}|[A-Za-z_][\w.]*\(.*\)|[a-zA-Z_]\w*(?:\.\w+)+|[A-Z]\w*[a-z]\w*|[a-z]+(?:_[a-z]+)+|[A-Z]+"
    )
    if page not in INSIDE:
        shaped = r"(?:[\w-]+/)*[\w-]+\.py|(?:src|tests|benchmarks|examples)/[\w./]+|[A-Z]\w*\.[a-z_]+"
    words = {word for word in re.findall(r"`([^`\n]+)`", text) if re.fullmatch(shaped, word)}
    if page in INSIDE and page not in (
        "docs/ledger.md",
        "CONTRIBUTING.md",
    ):  # whose tables are of other things
        for cell in re.findall(r"^\| (`[^|]*) \|", text, flags=re.MULTILINE):
            words |= {word for word in re.findall(r"`([^`]+)`", cell) if word.isidentifier()}
    return {word for word in words if not word.startswith(MADE) and not re.fullmatch(OTHERS, word)}


@pytest.mark.parametrize("page", sorted(PAGES.keys() - {"CHANGELOG.md"}))  # which tells of what was
def test_what_a_page_names_is_in_the_source(page: str) -> None:
    assert [word for word in sorted(names_in(page)) if not is_there(page, word)] == []


def test_a_name_that_is_gone_is_noticed() -> None:
    gone = ("core/nowhere.py", "Desktop", "run_away()", "ledger.Nothing", "Ledger.nothing", "job.nothing")
    assert not [word for word in gone if is_there("src/batch_processing/core/README.md", word)]
    there = ("core/ledger.py", "Ledger", "run_job()", "ledger.Ledger", "Ledger.submit", "job.result")
    assert [word for word in there if is_there("src/batch_processing/core/README.md", word)] == list(there)


def test_design_names_every_room_and_every_file_beside_them() -> None:
    beside = {path.name for path in SOURCE.glob("*.py") if not path.name.startswith("_")}
    rooms = {f"{path.parent.name}/" for path in SOURCE.glob("*/__init__.py")}
    rows = set(re.findall(r"^\| `([^`]+)`", PAGES["docs/design.md"], flags=re.MULTILINE))
    assert (beside | rooms) - rows == set()
