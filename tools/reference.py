"""Write docs/reference from the code: `make reference`. A test compares the pages with it."""

from __future__ import annotations

import argparse
import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_codex_workspace.checks.finding import READ, RUN
from pytest_codex_workspace.cli.main import command_parser
from pytest_codex_workspace.options.markers import DESCRIPTIONS
from pytest_codex_workspace.options.profiles import PROFILES
from pytest_codex_workspace.options.table import OPTIONS, FromFile, Option

__all__ = ["PAGES", "write"]

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pytest_codex_workspace"
FOLDER = ROOT / "docs/reference"

_HEAD = "<!-- Written by `make reference` from {}: change that. -->\n"

_FROM_FILE: Mapping[FromFile, str] = {
    "free": "any value",
    "narrower": "a value that gives the repository no more than the default, or any with your "
    "[trust](../configuration.md#what-the-file-may-decide)",
    "trusted": "only with your [trust](../configuration.md#what-the-file-may-decide)",
}


def options() -> str:
    """
    Return the page of the options of pytest and of the command, from `OPTIONS`.
    """
    rows = [
        (f"[`--codex-{one.name}`](#--codex-{one.name})", _code(one.default), _first_words(one))
        for one in OPTIONS
    ]
    return "\n".join(
        [
            "# Options\n",
            _HEAD.format("`pytest_codex_workspace/options/table.py`"),
            "pytest and `codex-workspace` have the same options: `--codex-image=slim` for pytest",
            "is `--image=slim` for the command. [Configuration](../configuration.md) says which",
            "source of a value counts; `codex-workspace config` prints each with its source.\n",
            *_table(("option", "default", "meaning, or values"), rows),
            *(line for one in OPTIONS for line in _option(one)),
        ]
    )


def _option(option: Option) -> Iterator[str]:
    yield f"\n## `--codex-{option.name}`\n"
    yield f"`--codex-{option.name} {option.metavar}`\n"
    yield f"{_meaning(option)}.\n"
    yield f"- Default: {_code(option.default) or 'none'}{_of_profiles(option)}"
    yield f"- Command: `--{option.name}`"
    yield f"- Environment: `{option.variable}`"
    yield f"- Ini file of pytest: `codex_{option.key}`"
    if option.place is None or option.from_file is None:
        yield "- `.codex-workspace.yaml`: cannot set it"
    else:
        key = (option.place or option.name).replace(".", ": {") + ": ..."
        key += "}" * key.count("{")
        yield f"- `.codex-workspace.yaml`: `{key}`: {_FROM_FILE[option.from_file]}"


def _meaning(option: Option) -> str:
    text = _prose(option.help)
    for choice in option.choices:
        text = re.sub(rf"(^|; ){re.escape(choice)}:", rf"\1`{choice}`:", text)
    return text if text.startswith("`") else text[:1].upper() + text[1:]


def _first_words(option: Option) -> str:
    """
    Return the meaning without examples and explanations of single values.
    """
    if option.choices and ": " in option.help:
        return ", ".join(f"`{one}`" for one in option.choices)
    text = re.split(r"[:;]|, such as| \(|, or ", option.help)[0]
    return _prose(text).rstrip(",")


def _of_profiles(option: Option) -> str:
    found = [
        f"profile `{name}`: `{value}`"
        for name, profile in PROFILES.items()
        if (value := _profile_default(option, profile)) not in (None, option.default)
    ]
    return "".join(f"; {one}" for one in found)


def _profile_default(option: Option, profile: Any) -> str | None:
    if option.name == "git-depth":
        return "all" if profile.depth is None else str(profile.depth)
    return profile.defaults.get(option.key)


def fixtures() -> str:
    """
    Return the page of the markers and fixtures, from their descriptions and docstrings.
    """
    markers = [(f"`@pytest.mark.{name}`", _prose(text)) for name, text in _markers()]
    lines = [
        "# Markers and fixtures\n",
        _HEAD.format(
            "`pytest_codex_workspace/options/markers.py` and `pytest_codex_workspace/plugin`"
        ),
        "## Markers\n",
        "As `pytest --markers` prints them.\n",
        *_table(("marker", "meaning"), markers),
        "\n## Fixtures\n",
        "What they return has the [API](api.md) that its type names.",
    ]
    for function, scope in _fixtures():
        kind = re.sub(r"^Iterator\[(.*)\]$", r"\1", ast.unparse(function.returns))
        lines += [f"\n### `{function.name}`\n", f"`{kind}`, one for each {scope}.\n"]
        lines += [_prose(ast.get_docstring(function) or "")]
    return "\n".join([*lines, ""])


def _markers() -> Iterator[tuple[str, str]]:
    for text in DESCRIPTIONS.values():
        name, _, meaning = text.partition(": ")
        yield name, meaning


def _fixtures() -> Iterator[tuple[ast.FunctionDef, str]]:
    """
    Yield the functions of our fixtures that projects may use, with what each belongs to.
    """
    owners = {"function": "test", "session": "run"}
    for node in ast.parse((PACKAGE / "plugin/__init__.py").read_text()).body:
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
            continue
        for decorator in node.decorator_list:
            text = ast.unparse(decorator)
            if text.startswith("pytest.fixture"):
                found = re.search(r"scope='(\w+)'", text)
                scope = found[1] if found else "function"
                yield node, owners.get(scope, scope)


def commands() -> str:
    """
    Return the page of the commands, from the parser of the command line.
    """
    lines = [
        "# Commands\n",
        _HEAD.format("`pytest_codex_workspace/cli`"),
        "As `codex-workspace COMMAND --help` prints them. Exit codes, signals and streams:",
        "[the command in scripts](../command.md). `--json`: [events](../events.md).",
    ]
    for parser, level in _parsers(command_parser(), 1):
        lines += _command(parser, level)
    return "\n".join([*lines, ""])


def _parsers(
    parser: argparse.ArgumentParser, level: int
) -> Iterator[tuple[argparse.ArgumentParser, int]]:
    if level > 1:
        yield parser, level
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _parsers(below, level + 1)


def _command(parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    yield f"\n{'#' * level} `{parser.prog}`\n"
    usage = (parser.usage or "%(prog)s COMMAND ...") % {"prog": parser.prog}
    yield f"```text\n{usage}\n```"
    for paragraph in (parser.description or "").strip().split("\n\n"):
        head, _, rest = paragraph.partition("\n")
        if rest.startswith("  "):
            yield f"\n{head}\n\n```text\n" + re.sub(r"^  ", "", rest, flags=re.M) + "\n```"
        else:
            yield "\n" + _prose(paragraph)
    shared = {f"--{one.name}" for one in OPTIONS}
    rows, names = [], []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction | argparse._HelpAction):
            continue
        if shared.intersection(action.option_strings):
            name = action.option_strings[-1]
            names.append(f"[`{name}`](options.md#--codex-{name[2:]})")
            continue
        name = ", ".join(action.option_strings)
        value = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
        text = (action.help or "") % {"default": action.default, "prog": parser.prog}
        rows.append((f"`{f'{name} {value}'.strip()}`", _prose(text)))
    if rows:
        yield from ("", *_table(("argument", "meaning"), rows))
    if names:
        yield f"\n[Options](options.md) as for pytest: {', '.join(names)}."


def checks() -> str:
    """
    Return the page of all kinds of findings, from the table of checks.
    """
    lines = [
        "# Table of checks\n",
        _HEAD.format("`pytest_codex_workspace/checks/finding.py`"),
        "What `codex-workspace check` finds. A finding is an `error` (it will not work in Codex),",
        "a `warning` (it may not) or a `note` (good to know): [checks](../checks.md) has more.",
    ]
    for title, kinds in (("By reading the commit", READ), ("By running it", RUN)):
        rows = [
            (f"[`{one.id}`](../checks.md#{one.id})", one.level, _prose(one.title)) for one in kinds
        ]
        lines += [f"\n## {title}\n", *_table(("id", "level", "finding"), rows)]
    return "\n".join([*lines, ""])


def schemas() -> str:
    """
    Return the page of what programs read, from the JSON Schemas in the package.
    """
    events = json.loads((PACKAGE / "events.schema.json").read_text())
    report = json.loads((PACKAGE / "report.schema.json").read_text())
    lines = [
        "# Schemas\n",
        _HEAD.format("the JSON Schemas in `pytest_codex_workspace`"),
        "A field with `?` may be missing; `...[]` is a list. Programs ignore fields and events",
        "that they do not know: new ones may be added.\n",
        "## Events\n",
        "Each line of `--json` has `time` and `event`. [Events](../events.md) says what the fields",
        "mean.\n",
    ]
    rows = [
        (f"`{one['if']['properties']['event']['const']}`", _fields(one["then"], events))
        for one in events["allOf"]
    ]
    lines += _table(("event", "fields"), rows)
    lines += ["\n### Objects of events\n"]
    lines += _definitions(events)
    lines += [
        "\n## report.json\n",
        "What [a report](../reports.md#reportjson) is made of: " + _fields(report, report) + ".\n",
    ]
    lines += _definitions(report)
    lines += [
        "\n## The files\n",
        "They are in the package, and commands print two of them:\n",
        "```text",
        "codex-workspace report --schema    report.schema.json",
        "codex-workspace config --schema    codex-workspace.schema.json: .codex-workspace.yaml",
        "```",
    ]
    return "\n".join([*lines, ""])


def _definitions(schema: Mapping[str, Any]) -> list[str]:
    rows = [(f"`{name}`", _fields(one, schema)) for name, one in schema["definitions"].items()]
    return _table(("object", "fields"), rows)


def _fields(one: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """
    Return the fields of an object with their types, or what it is in place of them.
    """
    parts = [f"all of `{one['$ref'].rpartition('/')[2]}`"] if "$ref" in one else []
    required = one.get("required", ())
    for name, kind in one.get("properties", {}).items():
        parts.append(f"`{name}{'' if name in required else '?'}`: {_kind(kind)}")
    parts += [_fields(each, schema) for each in one.get("allOf", ()) if "if" not in each]
    if any("$ref" in each for each in one.get("anyOf", ())):
        parts.append("and all of one of " + ", ".join(_kind(each) for each in one["anyOf"]))
    return "; ".join(part for part in parts if part) or _kind(one)


def _kind(one: Mapping[str, Any]) -> str:
    if "$ref" in one:
        return f"`{one['$ref'].rpartition('/')[2]}`"
    if "const" in one:
        return f"`{json.dumps(one['const'])}`"
    if "enum" in one:
        return " or ".join(f"`{json.dumps(each)}`" for each in one["enum"])
    if "anyOf" in one:
        return " or ".join(_kind(each) for each in one["anyOf"])
    kind = one.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(_kind({**one, "type": each}) for each in kind)
    if kind == "array":
        return f"{_kind(one.get('items', {}))}[]"
    return str(kind)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(each.replace("|", "\\|") for each in line) + " |" for line in lines]


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _prose(text: str) -> str:
    """
    Return *text* as Markdown: what looks like markup is none, and a page is a link.
    """
    parts = re.split(r"(`[^`]*`)", text)
    parts[::2] = (re.sub(r"([<*\\\[\]]|(?<=\w)_|_(?=\w))", r"\\\1", part) for part in parts[::2])
    return re.sub(r"\bdocs/([a-z-]+)\.md", r"[\1](../\1.md)", "".join(parts))


PAGES = {
    "options.md": options,
    "fixtures.md": fixtures,
    "commands.md": commands,
    "check-table.md": checks,
    "schemas.md": schemas,
}
"""Functions that return the pages, by their names."""


def write(folder: Path) -> None:
    """
    Write all pages into *folder*.
    """
    folder.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (folder / name).write_text(page().rstrip() + "\n")


if __name__ == "__main__":
    write(FOLDER)
