"""`codex-workspace config`: what each option is set to, and where."""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..config import OPTIONS, Option
from .common import add_command, add_options, show

if TYPE_CHECKING:
    from ..settings import Settings, Source
    from .common import Commands

__all__ = ["register"]

_CONFIG = """\
Print what each option is set to and where that was said: by an option, a
variable of the environment, .codex-workspace.yaml at the top of the work tree
of REPO, or by nobody. Of secrets there are only the names. Nothing is started.

  codex-workspace config
  codex-workspace config ../other --image=slim --json
  codex-workspace config --schema >codex-workspace.schema.json
"""


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(
        commands, "config", "what each option is set to, and where", _CONFIG, _config
    )
    parser.add_argument("repo", nargs="?", metavar="REPO", help="default: here")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.add_argument(
        "--schema", action="store_true", help="print the JSON Schema of the file, for editors"
    )
    add_options(parser, [option.name for option in OPTIONS if option.name != "repo"])


def _config(arguments: argparse.Namespace) -> int:
    if arguments.schema:
        from ..schema import schema_text

        show(schema_text().removesuffix("\n"))
        return 0
    from ..settings import Settings

    settings = Settings.of(vars(arguments), spell="--{}", repo=".")
    if arguments.json:
        import json

        show(json.dumps(_data(settings), indent=2))
        return 0
    rows = [(name, _shown(value), str(source)) for name, value, source in _rows(settings)]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, value, source in rows:
        show(f"{name:<{widths[0]}}  {value:<{min(widths[1], 48)}}  {source}")
    for line in _unknown_variables():
        show(line)
    return 0


def _rows(settings: Settings) -> list[tuple[str, Any, Source]]:
    """
    Name, value and source of each option; of repeatable ones, of each value.
    """
    rows: list[tuple[str, Any, Source]] = []
    for option in OPTIONS:
        below = [key for key in settings.values if key.startswith(f"{option.key}.")]
        for key in sorted(below):
            entry = key.partition(".")[2]
            # A secret's value is nowhere but in the environment.
            value = {"set": bool(os.environ.get(entry))} if option.key == "secret" else None
            given = settings.values[key]
            rows.append((f"{option.name}.{entry}", value or given.value, given.source))
        if not option.repeatable:
            rows.append((option.name, _value(settings, option), settings.source(option.key)))
    return rows


def _value(settings: Settings, option: Option) -> Any:
    if option.key not in settings.values:
        # Recording changes what is not given.
        is_text = isinstance(found := getattr(settings.config, option.key), str)
        return found if is_text and found else option.default
    value = settings.values[option.key].value
    if option.key == "upstream_proxy" and "@" in value:
        from ..network.upstream import UpstreamProxy

        return str(UpstreamProxy.parse(value))
    return value


def _shown(value: Any) -> str:
    import json

    if isinstance(value, Mapping) and list(value) == ["set"]:
        return "(set)" if value["set"] else "(not set)"
    return value if isinstance(value, str) else json.dumps(value)


def _data(settings: Settings) -> dict[str, Any]:
    options = {}
    for name, value, source in _rows(settings):
        where: dict[str, Any] = {"from": source.kind, "name": source.name}
        if source.path is not None:
            where |= {"file": str(source.path), "line": source.line}
        options[name] = {"value": value, "source": {k: v for k, v in where.items() if v}}
    return {"file": str(settings.file) if settings.file else None, "options": options}


def _unknown_variables() -> list[str]:
    known = [option.variable for option in OPTIONS]
    found = []
    for name in sorted(os.environ):
        if name.startswith("CODEX_WORKSPACE_") and name not in known:
            close = difflib.get_close_matches(name, known, 1)
            meant = f"; was {close[0]} meant?" if close else ""
            found.append(f"{name} is set and is no option{meant}")
    return found
