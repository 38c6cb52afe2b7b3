"""`codex-workspace config`: the value and the source of each option."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..options.profiles import profile_named
from ..options.table import OPTIONS, Option
from .options import add_command, add_json, add_options, add_repo
from .printing import finish, show, table

if TYPE_CHECKING:
    from ..options.sources import ResolvedOptions, Source
    from .options import Commands

__all__ = ["SUMMARY", "register"]

SUMMARY = "print the options and their sources"

_CONFIG = """\
Print the value of each option and its source.

The source is the command line, an environment variable, .codex-workspace.yaml
at the top of REPO as it is committed, the profile, or the default. What a
profile sets besides options, and what is not known of Codex, follows. Of secrets, only the names
are printed. What the file may set only with your trust is listed at the end.
Nothing is started.

Examples:
  codex-workspace config
  codex-workspace config ../other --image=slim --json
  codex-workspace config --schema >codex-workspace.schema.json
"""


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, "config", SUMMARY, _CONFIG, _config, "[REPO]")
    # It has the option, but does nothing that could be logged.
    parser.set_defaults(writes_debug_log=False)
    add_repo(parser, resolved=False)
    add_json(parser)
    parser.add_argument(
        "--schema",
        action="store_true",
        help="print the JSON Schema of .codex-workspace.yaml, for editors",
    )
    add_options(parser, [option.name for option in OPTIONS if option.name != "repo"])


def _config(arguments: argparse.Namespace) -> int:
    if arguments.schema:
        from ..options.json_schema import schema_text

        show(schema_text().removesuffix("\n"))
        return 0
    from ..options.sources import ResolvedOptions, unknown_variables

    resolved = ResolvedOptions.of(vars(arguments), spell="--{}", repo=".", refuse=False)
    repo = resolved.config.repo
    if repo is not None and not repo.is_dir():
        raise ConfigError(
            f"{repo} is not a directory",
            remedy="Give the path of a git work tree, or leave it out.",
        )
    unknown = unknown_variables(os.environ, resolved.config.env)
    if arguments.json:
        return finish(arguments, 0, unknown=unknown, **_data(resolved))
    rows = [(name, _shown(value), str(source)) for name, value, source in _rows(resolved)]
    for line in table(rows, widest=48):
        show(line)
    profile = profile_named(resolved.config.profile)
    described = () if profile.name == "seed" else profile.describe()
    for line in (*described, *unknown, *resolved.config.notes):
        show(line)
    if resolved.untrusted:
        show(str(resolved.refusal("--{}", os.environ)))
    return 0


def _rows(resolved: ResolvedOptions) -> list[tuple[str, Any, Source]]:
    """
    Return name, value and source of each option, and of each value of a repeatable one.
    """
    rows: list[tuple[str, Any, Source]] = []
    for option in OPTIONS:
        below = [key for key in resolved.values if key.startswith(f"{option.key}.")]
        for key in sorted(below):
            entry = key.partition(".")[2]
            # The value of a secret is only in the environment, and never printed.
            value = {"set": bool(os.environ.get(entry))} if option.key == "secret" else None
            given = resolved.values[key]
            rows.append((f"{option.name}.{entry}", value or given.value, given.source))
        if not option.repeatable:
            rows.append((option.name, _value(resolved, option), resolved.source(option.key)))
    for service in resolved.config.services:
        source = resolved.source(f"services.{service.name}")
        rows.append((f"services.{service.name}", service.to_dict(), source))
    return rows


def _value(resolved: ResolvedOptions, option: Option) -> Any:
    if option.key not in resolved.values:
        # With --cassette=record, the default of other options differs.
        is_text = isinstance(found := getattr(resolved.config, option.key), str)
        return found if is_text and found else option.default
    value = resolved.values[option.key].value
    if option.listed and len(value) == 1:
        return value[0]
    if option.key == "upstream_proxy" and "@" in value:
        from ..network.rules.upstream import UpstreamProxy

        return str(UpstreamProxy.parse(value))
    return value


def _shown(value: Any) -> str:
    import json

    if isinstance(value, Mapping) and list(value) == ["set"]:
        return "(set)" if value["set"] else "(not set)"
    return value if isinstance(value, str) else json.dumps(value)


def _data(resolved: ResolvedOptions) -> dict[str, Any]:
    options = {}
    for name, value, source in _rows(resolved):
        where: dict[str, Any] = {"from": source.kind, "name": source.name}
        if source.path is not None:
            where |= {"file": str(source.path), "line": source.line}
        options[name] = {"value": value, "source": {k: v for k, v in where.items() if v}}
    file = resolved.file.path if resolved.file else None
    return {
        "file": str(file) if file else None,
        "options": options,
        "profile": profile_named(resolved.config.profile).to_dict(),
        "untrusted": [one.to_dict() for one in resolved.untrusted],
        "notes": list(resolved.config.notes),
    }
