"""A method of Babel's for Lote's Python files: what is said to people, with the place of the text in each call.

Beside the usual `_`, `ngettext` and `pgettext` these are the errors, the calls that take a template and its
values, and, of typer's commands, docstrings and `help`. Named in babel.cfg, run by `make messages`. Babel's own
method sees nothing inside of f-strings before Python 3.12, and knows no `help=`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

# By the name that is called: the place of its template, from 0 on.
TEMPLATES = {
    "BatchProcessingError": 0, "Cancelled": 0, "ConfigurationError": 0, "Interrupted": 0, "JobFailed": 0,
    "OutputExistsError": 0, "QueueError": 0, "ResourceError": 0, "ScanGuardError": 0, "ValidationError": 0,
    "WorkspaceError": 0, "NameTakenError": 0, "ZIPExtractionError": 0, "NoArchiveError": 0, "MemberError": 2, "UnsafeError": 1, "damaged": 1, "refused": 1, "ClassificationError": 1, "ImageProcessingError": 1, "Unreadable": 1,
    "Message": 0, "N_": 0, "_": 0, "note": 0, "phase": 0, "print_line": 0, "print_note": 0, "warn": 0,
    "_bad": 1, "_damaged": 0, "_member": 1, "_refusal": 1, "_refused": 0, "_say_once": 0,
}  # fmt: skip
PAIRS = {"ngettext", "pgettext", "P_"}
HELPS = {"help", "short_help", "epilog"}

Found = tuple[int, str, str | tuple[str, str], list[str]]


def extract(file: BinaryIO, keywords: Any, comment_tags: Any, options: Mapping[str, Any]) -> Iterator[Found]:
    """Line, function, text or texts, and comments, of each text of a module."""
    for node in ast.walk(ast.parse(file.read())):
        if isinstance(node, ast.Call):
            yield from _of_call(node)
        elif isinstance(node, ast.FunctionDef) and any(map(_is_command, node.decorator_list)):
            yield from ((node.lineno, "_", text, []) for text in (ast.get_docstring(node),) if text)


def _of_call(node: ast.Call) -> Iterator[Found]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in PAIRS:
        pairs = [(one, two) for one in _texts(node.args[0]) for two in _texts(node.args[1])]
        yield from ((node.lineno, name.replace("P_", "pgettext"), pair, []) for pair in pairs)
    elif name in ("say", "text_in"):  # of the page: a text, and what it is said of
        of = [text for keyword in node.keywords if keyword.arg == "of" for text in _texts(keyword.value)]
        for text in _texts(node.args[0]):
            yield (node.lineno, "pgettext", (of[0], text), []) if of else (node.lineno, "_", text, [])
    elif name in TEMPLATES and len(node.args) > TEMPLATES[name]:
        yield from ((node.lineno, "_", text, []) for text in _texts(node.args[TEMPLATES[name]]))
    for keyword in node.keywords:
        if keyword.arg in HELPS:
            yield from ((node.lineno, "_", text, []) for text in _texts(keyword.value))


def _texts(node: ast.expr) -> list[str]:
    """The constant texts that an expression can be."""
    if isinstance(node, ast.IfExp):
        return _texts(node.body) + _texts(node.orelse)
    return (
        [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value else []
    )


def _is_command(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and getattr(decorator.func, "attr", "") in ("command", "callback")
