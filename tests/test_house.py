"""The rules that the source keeps, read from its syntax: whoever breaks one is told which, and where."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from string import Formatter

import batch_processing
from batch_processing.core.model import ItemState, JobState
from extraction import TEMPLATES

SOURCE = Path(batch_processing.__file__).parent

LINES, FUNCTION_LINES, LONG_FUNCTIONS = 700, 90, 3
UNTYPED = 32  # it may only become less
JSON_OBJECTS = (
    67  # where keys are open: settings, what a backend or an application says, columns of the ledger
)


# Where any fault at all is answered for: the item fails, or the command ends with its exit code.
BORDERS = {
    ("core/cluster/slots.py", "Slots._send"): "of a thread: the parcel that it was to send ends with it",
    ("core/cluster/slots.py", "Slots._land"): "of a thread: the parcel that it was to take ends with it",
    ("core/workers.py", "run_tasks"): "tasks done together: each is done again by itself",
    ("core/overlap.py", "_Line._do"): "a part of tasks: they fail, or each is done again by itself",
    ("core/workers.py", "_alone"): "whatever a task does, its item fails and the run goes on",
    ("photos/headers.py", "answer"): "a header of any content: its photo fails",
    (
        "photos/ingest.py",
        "Scan._commit_singly",
    ): "a photo that cannot be written down fails, and not the scan",
    ("photos/store.py", "_Background._commit"): "of a thread: raised where its result is asked for",
    ("photos/walk.py", "Walk.__iter__"): "a folder that cannot be read fails, and not the scan",
    ("ui/cli/app.py", "main"): "the command line: an exit code",
}
# Where something is put right and the fault goes on: each ends in a `raise`.
CLEANUPS = {
    ("backends/cobra/conversion.py", "convert"): "half a file is removed",
    ("core/coordinator.py", "run_job"): "who waits for a job no longer holds a place in the queue",
    ("core/coordinator.py", "_Run.run"): "whatever stops a job is told to whoever follows it",
    ("core/processor.py", "BatchProcessor.start_processing"): "images that were not done stay in the queue",
    ("io/archives.py", "Archive.__init__"): "the archive is closed",
    ("io/archives.py", "extract_zip_file"): "what was unpacked is removed",
    ("io/publish.py", "_removed_on_error"): "half a file is removed",
    ("photos/copying.py", "copy_file"): "half a copy is removed",
    ("photos/removal.py", "aside"): "the copy gets its name back",
    ("photos/removal.py", "_check"): "the copy gets its name back",
    ("photos/removal.py", "remove"): "the copy gets its name back",
    ("photos/removal.py", "_link"): "the copy gets its name back",
    ("photos/steps.py", "take_name"): "the name is given back",
    ("reading.py", "open_regular"): "the file is closed",
}


@cache
def trees() -> dict[str, ast.Module]:
    """The syntax of every module, by its path below the package."""
    found = {
        path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(SOURCE.rglob("*.py"))
    }
    assert len(found) > 150
    return found


def functions(
    tree: ast.AST, within: str = ""
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function, by its name within the module."""
    for node in ast.iter_child_nodes(tree):
        name = within
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{within}.{node.name}" if within else node.name
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield name, node
        yield from functions(node, name)


def own(function: ast.AST) -> Iterator[ast.AST]:
    """What stands in a function, but not in one inside of it."""
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            yield from own(node)


def catches_all(node: ast.AST) -> bool:
    if not isinstance(node, ast.ExceptHandler):
        return False
    if node.type is None:
        return True
    return any(getattr(part, "id", "") in ("Exception", "BaseException") for part in ast.walk(node.type))


def compared_or_named(tree: ast.AST) -> Iterator[ast.Constant]:
    """Constants that something is compared with (also in a tuple), that a keyword is given, or that are matched."""
    for node in ast.walk(tree):
        given: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            given = [node.left, *node.comparators]
        elif isinstance(node, ast.keyword | ast.MatchValue):
            given = [node.value]
        while given:
            one = given.pop()
            if isinstance(one, ast.Constant):
                yield one
            elif isinstance(one, ast.Tuple | ast.List | ast.Set):
                given += one.elts
            elif isinstance(one, ast.IfExp):
                given += [one.body, one.orelse]


def test_states_are_named_by_their_members() -> None:
    words = {*JobState, *ItemState}
    found = [
        f"{module}:{constant.lineno}: {constant.value}"
        for module, tree in trees().items()
        for constant in compared_or_named(tree)
        if constant.value in words
    ]
    assert not found, "write JobState.DONE and the like"


def test_files_are_short() -> None:
    long = {}
    for module in trees():
        lines = (SOURCE / module).read_text(encoding="utf-8").count("\n")
        if lines > LINES:
            long[module] = lines
    assert not long, "a second subject becomes a second file"


def test_functions_are_short() -> None:
    long = {
        f"{module}: {name}": length
        for module, tree in trees().items()
        for name, node in functions(tree)
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES
    }
    assert len(long) <= LONG_FUNCTIONS, long


def test_any_fault_at_all_is_answered_for_at_the_borders_only() -> None:
    found = {
        (module, name)
        for module, tree in trees().items()
        for name, node in functions(tree)
        if any(map(catches_all, own(node)))
    }
    assert found - BORDERS.keys() - CLEANUPS.keys() == set(), "catch what you can answer for"
    assert (BORDERS.keys() | CLEANUPS.keys()) - found == set(), "no longer there: take it out of the list"
    outside = [module for module, tree in trees().items() if any(map(catches_all, own(tree)))]
    assert not outside, "catches everything at import"


def test_what_only_cleans_up_lets_the_fault_go_on() -> None:
    swallowed = [
        f"{module}:{handler.lineno}: {name}"
        for module, tree in trees().items()
        for name, node in functions(tree)
        if (module, name) in CLEANUPS
        for handler in own(node)
        if catches_all(handler) and isinstance(handler, ast.ExceptHandler)
        if not isinstance(handler.body[-1], ast.Raise)
        or any(isinstance(one, ast.Return | ast.Break | ast.Continue) for one in ast.walk(handler))
    ]
    assert not swallowed


def test_few_dictionaries_hold_anything() -> None:
    """By that spelling, or by the name that says so."""
    counted: Counter[str] = Counter()
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Subscript) and ast.unparse(node) == "dict[str, Any]":
                counted["dict[str, Any]"] += 1
            elif isinstance(node, ast.Name) and node.id == "JsonObject":
                counted["JsonObject"] += 1
    assert counted["dict[str, Any]"] <= UNTYPED
    assert counted["JsonObject"] <= JSON_OBJECTS


def test_every_module_says_what_it_is_for() -> None:
    assert [module for module, tree in trees().items() if not ast.get_docstring(tree)] == []


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def filled(tree: ast.AST) -> Iterator[tuple[ast.Call, list[ast.expr]]]:
    """Calls that give values to the places of texts, and the texts: of messages, and `_("...").format(...)`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = called(node)
        if name in TEMPLATES and name not in {"_", "N_"} and len(node.args) > TEMPLATES[name]:
            yield node, [node.args[TEMPLATES[name]]]
        elif (
            name == "format"
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Call)
        ):
            asked = node.func.value
            if called(asked) in {"_", "ngettext", "pgettext"}:
                yield node, asked.args[:2]


def places_of(text: ast.expr) -> set[str]:
    if not (isinstance(text, ast.Constant) and isinstance(text.value, str)):
        return set()
    try:
        return {place for _, place, _, _ in Formatter().parse(text.value) if place and place.isidentifier()}
    except ValueError:  # braces that are no places: shown as they are
        return set()


def test_a_text_has_a_value_for_each_of_its_places() -> None:
    """Else it is a KeyError, or shows its braces, where somebody needs it."""
    without = [
        f"{module}:{call.lineno}: {sorted(lacking)}"
        for module, tree in trees().items()
        for call, texts in filled(tree)
        if None not in (given := {keyword.arg for keyword in call.keywords})
        for text in texts
        if (lacking := places_of(text) - given)
    ]
    assert not without


# Names that say nothing of what stands there.
NAMELESS = {"value", "values", "what", "args", "arg", "data", "thing", "id"}
NAME = re.compile(r"[a-z]+(_[a-z]+)*")


def test_a_place_is_named_for_what_stands_there() -> None:
    """In words of the language, since translators read them: no digits, no constants, no names of attributes."""
    named = [
        (f"{module}:{text.lineno}", place)
        for module, tree in trees().items()
        for call, texts in filled(tree)
        if call.keywords
        for text in texts
        for place in places_of(text)
    ]
    assert len(named) > 500
    assert [(where, name) for where, name in named if name in NAMELESS or not NAME.fullmatch(name)] == []


def test_what_the_system_said_is_asked_for_in_one_place() -> None:
    """`reason(error)`: an OSError without a number has no `strerror`, and "None" tells nobody anything."""
    asked = [
        f"{module}:{node.lineno}"
        for module, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr == "strerror"
        and getattr(node.value, "id", "") != "os"
    ]
    assert not asked


def test_no_test_is_skipped_for_want_of_a_module() -> None:
    """`pytest.importorskip` hides a feature in CI, too: `needed_module` fails there."""
    tests = sorted(Path(__file__).parent.rglob("*.py"))
    hiding = [
        f"{path.name}:{node.lineno}"
        for path in tests
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "importorskip"
    ]
    assert len(tests) > 50
    assert not hiding
