"""What is wrong with a command line, as a message: typer's own errors are finished English.

Knows typer's errors by their kind and what they hold. What it does not know is shown as typer says it.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from ...i18n import N_, _
from ...messages import Message

# typer brings its own copy of click, whose errors have one public name: BadParameter < UsageError < ...
USAGE_ERRORS: tuple[type[Exception], ...] = typer.BadParameter.__mro__[1:3]

# What typer asks gettext for, and what it says of values.
SAID_BY_TYPER = (
    N_("Usage:"), N_("Options"), N_("Arguments"), N_("Commands"), N_("[required]"), N_("[default: {}]"),
    N_("[env var: {}]"), N_("required"), N_("default: {default}"), N_("env var: {var}"), N_("(deprecated) "),
    N_("Missing command."), N_("Show this message and exit."), N_("Install completion for the current shell."),
    N_("Show completion for the current shell, to copy it or customize the installation."),
    N_("Input should be a valid integer, unable to parse string as an integer"),
)  # fmt: skip


class Command(TyperCommand):
    """A command whose help has its options in groups (`rich_help_panel`) and its examples as they are written."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        write_options(self, ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        write_examples(self, formatter)


def write_options(command: Any, ctx: Any, formatter: Any) -> None:
    """The arguments and options of a command, each group under its name."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        if (record := parameter.get_help_record(ctx)) is None:
            continue
        is_argument = parameter.param_type_name == "argument"
        # Of an argument typer says the type of Python behind its name.
        name = parameter.display_name_raw if is_argument else record[0]
        group = getattr(parameter, "rich_help_panel", None) or ("Arguments" if is_argument else "Options")
        groups.setdefault(group, []).append((name, record[1]))
    for group in sorted(groups, key=lambda name: (name != "Arguments", name == "Options")):
        with formatter.section(_(group)):
            formatter.write_dl(groups[group])


def write_examples(command: Any, formatter: Any) -> None:
    """The examples of a command, a line each."""
    if command.epilog:
        with formatter.section(_("Examples")):
            for line in command.epilog.splitlines():
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


class Commands(TyperGroup):
    """A group of commands, in its help in groups of their own; it says in one message which command there is not, and
    which was likely meant."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        write_options(self, ctx, formatter)
        groups: dict[str, list[tuple[str, Any]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                group = getattr(command, "rich_help_panel", None) or "Commands"
                groups.setdefault(group, []).append((name, command))
        widest = max((len(name) for rows in groups.values() for name, _command in rows), default=0)
        limit = formatter.width - 6 - widest
        for group, rows in groups.items():
            with formatter.section(_(group)):
                formatter.write_dl(
                    [(f"{name:<{widest}}", one.get_short_help_str(limit)) for name, one in rows]
                )

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        write_examples(self, formatter)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            near = get_close_matches(name, list(self.commands))
            error = USAGE_ERRORS[0](name, ctx)
            error.sentence = (  # type: ignore[attr-defined]
                Message(
                    "No such command {name}. Did you mean {names}?",
                    name=repr(name),
                    names=tuple(map(repr, near)),
                )
                if near
                else Message("No such command {name}.", name=repr(name))
            )
            raise error
        return super().resolve_command(ctx, args)


def locate(error: Any, command: Any, words: Sequence[str]) -> None:
    """Say of an error of the parser, which knows no command, in which of the tree `command` these words were."""
    if error.ctx is not None:
        return
    context = command.context_class(command, info_name="lote")
    for word in words:
        inner = getattr(context.command, "commands", {}).get(word)
        if inner is None:
            break
        context = inner.context_class(inner, info_name=word, parent=context)
    error.ctx = context


def told(error: Any) -> Message:
    """What is wrong, of an error of `USAGE_ERRORS`."""
    kind = type(error).__name__
    if isinstance(sentence := getattr(error, "sentence", None), Message):
        return sentence
    if kind == "NoSuchOption" and error.possibilities:
        names = tuple(error.possibilities)
        return Message("No such option: {name}. Did you mean {names}?", name=error.option_name, names=names)
    if kind == "NoSuchOption":
        return Message("No such option: {name}", name=error.option_name)
    if kind == "BadOptionUsage":
        return _bad_use(error) or Message(error.format_message())
    if kind in ("MissingParameter", "BadParameter") and error.param is not None:
        return _of_parameter(error, kind)
    if kind == "BadParameter":  # a command's own, said in the reader's language
        return Message(error.message)
    return Message(error.format_message())


def _bad_use(error: Any) -> Message | None:
    parameters = error.ctx.command.params if error.ctx is not None else ()
    for parameter in parameters:
        if error.option_name in (*parameter.opts, *parameter.secondary_opts):
            if getattr(parameter, "is_flag", False):
                return Message("Option {name} does not take a value.", name=repr(error.option_name))
            if parameter.nargs == 1:
                return Message("Option {name} requires an argument.", name=repr(error.option_name))
    return None


def _of_parameter(error: Any, kind: str) -> Message:
    hint = error.param_hint if error.param_hint is not None else error.param.get_error_hint()
    name = hint if isinstance(hint, str) else " / ".join(map(repr, hint))
    if kind == "BadParameter":
        return Message("Invalid value for {name}: {text}", name=name, text=Message(error.message))
    if error.message or error.param.get_missing_message(ctx=error.ctx):
        return Message(error.format_message())
    if (error.param_type or error.param.param_type_name) == "option":
        return Message("Missing option {name}.", name=name)
    return Message("Missing argument {name}.", name=name)
