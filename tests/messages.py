"""What Lote shows to people, gathered from its source: the msgids of the catalogues in `src/batch_processing/locale`.

Run by `make messages`: updates each `.po` (what is new is left untranslated and named) and compiles it.
Three kinds of text are gathered: arguments of `_()` and `ngettext()`; help texts of commands and options;
and the sentences of errors, warnings, notes and phases, which stay English until they are shown. The
last are found by the calls that take them; a name or a function of the same module that such a call is
given is followed. `f"{path} is empty"` becomes the msgid "{path} is empty".
"""

from __future__ import annotations

import ast
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "batch_processing"
LOCALE = SOURCE / "locale"

# Calls whose text a person may read. Names ending in "Error" are added when they are errors of Lote.
TAKES_SENTENCES = {
    "warn", "note", "phase", "Failure", "Finding", "Cancelled", "say",
    "Unreadable", "HeaderError", "Refused",  # photos: clauses about one file
    "_bad", "_member", "_damaged", "_refused",  # io/archives.py: the same with the archive's name around it
    "print_note", "print_line", "print_table",  # ui/photos
}  # fmt: skip
OUR_ERRORS = {
    "BatchProcessingError", "ImageProcessingError", "ClassificationError", "ConfigurationError", "ResourceError",
    "QueueError", "WorkspaceError", "ValidationError", "OutputExistsError", "ZIPExtractionError", "ScanGuardError",
    "WalkError",
}  # fmt: skip
# Modules whose ValueErrors and OSErrors become part of a sentence.
WORDED = {"settings.py", "effective.py", "images.py", "palette.py"}
PROBLEMS = {"problems", "remarks", "wrong", "missing"}  # lists of sentences
RETURN_SENTENCES = {
    "_problem",
    "all_problems",
    "suggestion",
    "unavailable",
    "_why_not_cobra",
    "_no_gpu",
    "how_to_get",
    "_how_to_go_on",
}
HELPS = {"help", "short_help", "epilog"}
# Single words that are shown: states, the topics of `lote doctor`, why a region has its colour. Others are names of things.
WORDS = {
    "pending", "processing", "completed", "failed", "cancelled", "queued", "planning", "running", "paused",
    "finishing", "done", "interrupted", "examining", "pause", "cancel", "coloured", "ready", "free", "none", "text",
    "libraries", "memory", "cores", "workspace", "ledger", "integrity", "jobs", "page", "reference", "copy",
    "non-negative", "hint", "guess", "paper",
}  # fmt: skip
# What typer says: through gettext, and in sentences of its own (in every place of `{}` it puts a value).
TYPER = (
    "Usage:", "Options", "Arguments", "Commands", "[required]", "[default: {}]", "[env var: {}]", "required",
    "default: {default}", "env var: {var}", "(deprecated) ", "Missing command.",
    "Show this message and exit.", "Install completion for the current shell.",
    "Show completion for the current shell, to copy it or customize the installation.",
    "No such command {name}.", "No such command {name}. Did you mean {names}?",
    "No such option: {name}", "No such option: {name}. Did you mean {names}?",
    "Missing argument {name}.", "Missing option {name}.", "Option {name} requires an argument.",
    "Option {name} does not take a value.", "Got unexpected extra argument ({name})",
    "Got unexpected extra arguments ({names})", "Invalid value for {name}: {text}", "Input should be a valid integer, unable to parse string as an integer",
    "{value} is not a valid integer.", "{value} is not a valid float.",
)  # fmt: skip
WORD = re.compile(r"[^\W\d_]{2}")
PLACE = re.compile(r"\{(\w*)\}")


class Gatherer(ast.NodeVisitor):
    """The msgids of one module, as (line, singular, plural)."""

    def __init__(self, path: Path) -> None:
        self.tree = tree = ast.parse(path.read_text(encoding="utf-8"))
        self.name, self.web = path.name, path.parent.name == "web"  # the page has texts of its own
        self.found: dict[tuple[str | None, str | tuple[str, str]], int] = {}
        self.functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        self.scopes: list[ast.AST] = [tree]
        self.followed: set[int] = set()
        self.visit(tree)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if any("command" in ast.unparse(decorator) for decorator in node.decorator_list):
            self.add(node, ast.get_docstring(node))
        self.scopes.append(node)
        if node.name in RETURN_SENTENCES:
            self.returns(node)
        self.generic_visit(node)
        self.scopes.pop()

    def visit_Assign(self, node: ast.Assign) -> None:
        if isinstance(node.value, ast.Dict) and getattr(node.targets[0], "id", "").endswith("_WORDS"):
            for value in node.value.values:
                self.shown(value, ast.literal_eval(value))
        elif isinstance(node.value, ast.Dict) and getattr(node.targets[0], "id", "").endswith("SENTENCES"):
            self.sentence(node.value)
        elif isinstance(node.value, ast.List) and getattr(node.targets[0], "id", "") == "rows":
            self.table(node.value)
        self.generic_visit(node)

    def table(self, node: ast.List) -> None:
        """The first column of a table of facts, and the second where it is a sentence."""
        for row in node.elts:
            if isinstance(row, ast.Tuple) and isinstance(row.elts[0], ast.Constant):
                self.shown(row, row.elts[0].value)
                self.sentence(row.elts[1])

    def returns(self, function: ast.FunctionDef) -> None:
        for inner in ast.walk(function):
            if isinstance(inner, ast.Return):
                self.sentence(inner.value)

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called == "_" and isinstance(node.args[0], ast.Constant):
            self.shown(node, node.args[0].value)
        elif called in {"ngettext", "pgettext"} and isinstance(node.args[0], ast.Constant):
            first, second = (ast.literal_eval(argument) for argument in node.args[:2])
            key = (None, (first, second)) if called == "ngettext" else (first, second)
            self.found.setdefault(key, node.lineno)
        elif (
            (called in TAKES_SENTENCES and not (self.web and called == "say"))
            or called in OUR_ERRORS
            or (called in {"ValueError", "TypeError", "OSError"} and self.name in WORDED)
            or (called == "__init__" and self.name == "exceptions.py")
        ):
            if called == "print_table" and isinstance(node.args[0], ast.Tuple):
                for word in node.args[0].elts:
                    self.shown(word, ast.literal_eval(word))
            for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                self.sentence(argument)
        elif called == "append" and getattr(getattr(node.func, "value", None), "id", "") in PROBLEMS:
            self.sentence(node.args[0])
        for keyword in node.keywords:
            if keyword.arg in HELPS and isinstance(keyword.value, ast.Constant):
                self.add(node, keyword.value.value)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name) and node.target.id in PROBLEMS:
            self.sentence(node.value)
        self.generic_visit(node)

    def sentence(self, node: ast.AST | None) -> None:
        """Gather every text that the expression can be."""
        if node is None or id(node) in self.followed:
            return
        self.followed.add(id(node))
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if " " in node.value or node.value in WORDS:
                self.add(node, node.value.replace("{", "{{").replace("}", "}}"))
        elif isinstance(node, ast.JoinedStr):
            if " " in PLACE.sub("", template(node)):
                self.add(node, template(node))
            for part in node.values:
                if isinstance(part, ast.FormattedValue):
                    self.sentence(part.value)
        elif isinstance(node, ast.IfExp):
            self.sentence(node.body)
            self.sentence(node.orelse)
        elif isinstance(node, ast.BoolOp):
            for value in node.values:
                self.sentence(value)
        elif isinstance(node, ast.BinOp):
            self.sentence(node.left)
            self.sentence(node.right)
        elif isinstance(node, ast.List | ast.Tuple):
            for value in node.elts:
                self.sentence(value)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "join":
            self.sentence(node.args[0])
        elif isinstance(node, ast.ListComp | ast.GeneratorExp):
            self.sentence(node.elt)
        elif isinstance(node, ast.Subscript | ast.Starred):
            self.sentence(node.value)
        elif isinstance(node, ast.Dict):
            for value in node.values:
                self.sentence(value)
        elif isinstance(node, ast.Name):
            for value in self.values_of(node.id):
                self.sentence(value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            function = self.functions.get(node.func.id)
            if function is not None:
                self.scopes.append(function)
                self.returns(function)
                self.scopes.pop()

    def values_of(self, name: str) -> Iterator[ast.AST]:
        for scope in (self.scopes[-1], self.tree):
            nodes = ast.walk(scope) if scope is not self.tree else iter(self.tree.body)
            for node in nodes:
                if isinstance(node, ast.Assign):
                    targets = node.targets
                    targets = targets[0].elts if isinstance(targets[0], ast.Tuple) else targets
                elif isinstance(node, ast.AugAssign | ast.NamedExpr):
                    targets = [node.target]
                else:
                    continue
                if any(getattr(target, "id", "") == name for target in targets):
                    yield node.value

    def add(self, node: ast.AST, text: str | None) -> None:
        """A text, unless nothing in it is a word."""
        if text and WORD.search(PLACE.sub("", text)):
            self.shown(node, text)

    def shown(self, node: ast.AST, text: str) -> None:
        self.found.setdefault((None, text), getattr(node, "lineno", 0))


def template(node: ast.JoinedStr) -> str:
    """An f-string as a msgid: each value as `{name}`, the name taken from its expression."""
    parts, names = [], {}
    for part in node.values:
        if isinstance(part, ast.Constant):
            parts.append(str(part.value).replace("{", "{{").replace("}", "}}"))
            continue
        assert isinstance(part, ast.FormattedValue)
        expression = ast.unparse(part.value) + str(part.conversion)
        if expression not in names:
            name = base = name_of(part.value)
            number = 1
            while name in names.values():
                number += 1
                name = f"{base}{number}"
            names[expression] = name
        parts.append(f"{{{names[expression]}}}")
    return "".join(parts)


def name_of(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id.strip("_")
    if isinstance(node, ast.Attribute):
        return node.attr
    if (
        isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
    ):
        return node.slice.value
    if isinstance(node, ast.Subscript | ast.BoolOp | ast.Call):
        inner = (
            node.value
            if isinstance(node, ast.Subscript)
            else (node.values if isinstance(node, ast.BoolOp) else node.args)
        )
        first = inner if isinstance(inner, ast.AST) else next(iter(inner), None)
        if first is not None:
            return name_of(first)
    return "value"


def gather() -> Catalog:
    """Every msgid of the package, with the modules it stands in."""
    catalog = Catalog(project="Lote", charset="utf-8", fuzzy=False)
    for text in (*TYPER, *sorted(WORDS)):
        catalog.add(text)
    for path in sorted(SOURCE.rglob("*.py")):
        found = Gatherer(path).found
        for context, text in sorted(found, key=lambda key: found[key]):
            catalog.add(text, context=context, locations=[(path.relative_to(SOURCE).as_posix(), 0)])
    return catalog


def compiled(po: Path) -> bytes:
    """The bytes of the `.mo` of a `.po`."""
    buffer = io.BytesIO()
    with po.open("rb") as file:
        write_mo(buffer, read_po(file))
    return buffer.getvalue()


def update(po: Path, gathered: Catalog) -> list[str]:
    """Bring a `.po` up to date with the source and compile it; the msgids that wait for a translation."""
    with po.open("rb") as file:
        catalog = read_po(file, locale=po.parents[1].name)
    catalog.update(gathered, no_fuzzy_matching=True, update_creation_date=False)
    catalog.obsolete.clear()
    with po.open("wb") as file:
        write_po(file, catalog, width=110, include_lineno=False)
    po.with_suffix(".mo").write_bytes(compiled(po))
    return [str(message.id) for message in catalog if message.id and not all(forms(message))]


def forms(message: Message) -> tuple[str, ...]:
    """The translations of a message: one, or one for each plural form."""
    string = message.string or ""
    return (string,) if isinstance(string, str) else tuple(string)


if __name__ == "__main__":
    left = [
        f"{po.relative_to(LOCALE)}: {text}" for po in LOCALE.rglob("*.po") for text in update(po, gather())
    ]
    sys.exit("\n".join(["Not translated yet:", *left]) if left else 0)
