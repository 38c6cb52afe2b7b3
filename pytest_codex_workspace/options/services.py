"""The services of a repository: `services:` in its `.codex-workspace.yaml`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from ..errors import ConfigError
from ..text.phrases import did_you_mean
from ..text.units import parse_duration
from ..text.yaml_nodes import kind_of, line_of
from .config import check_environment

__all__ = ["ReadyWhen", "ServiceSpec", "read_services", "services_schema"]

_NAME = "[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
_MOST = 20
_LONGEST_TIMEOUT = 3600.0
_TIMEOUT = 60.0
_LONGEST_TEXT = 1000
_SCALARS = ("text", "a number", "a truth value")
_QUANTITY = r"^\s*\d"


@dataclass(frozen=True, slots=True)
class ReadyWhen:
    """
    What must hold before a service counts as ready: all of what is given, and if nothing is, that
    it is alive a moment after its start.

    Attributes:
        port: something listens on this TCP port.
        path: this file was made or changed, or this socket listens.
        command: this command succeeds.
        output: its output has this text.
    """

    port: int | None = None
    path: str | None = None
    command: str | tuple[str, ...] | None = None
    output: str | None = None

    def __bool__(self) -> bool:
        return self != ReadyWhen()

    def __str__(self) -> str:
        """
        Return the conditions as a list of words.
        """
        parts = [
            f"port {self.port}" if self.port is not None else "",
            f"path {self.path}" if self.path is not None else "",
            f"command {_words(self.command)}" if self.command is not None else "",
            f"output {self.output!r}" if self.output is not None else "",
        ]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """
    A process that runs in each workspace beside the tests.

    Attributes:
        name: its name in `Workspace.services` and in messages.
        command: as for `Workspace.exec`: text for a bash login shell, or a program and its
            arguments.
        ready: when it is ready.
        timeout: seconds until it must be ready.
        env: variables in addition to those of the workspace.
        cwd: directory, relative to the project.
        user: user to run as.
        after: names of services that must be ready before.
        repository: top of the repository that declares it, whose workspaces have it.
    """

    name: str
    command: str | tuple[str, ...]
    ready: ReadyWhen = ReadyWhen()
    timeout: float = _TIMEOUT
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    user: str | None = None
    after: tuple[str, ...] = ()
    repository: Path | None = None

    @property
    def command_line(self) -> str:
        """
        Its command as text for people.
        """
        return _words(self.command)

    def to_dict(self) -> dict[str, Any]:
        """
        Return the fields that differ from the defaults as plain data.
        """
        ready = {name: getattr(self.ready, name) for name in ReadyWhen.__slots__}
        values = {
            "command": self.command,
            "ready": {name: value for name, value in ready.items() if value is not None},
            "timeout": self.timeout,
            "env": dict(self.env),
            "cwd": self.cwd,
            "user": self.user,
            "after": self.after,
        }
        return {name: value for name, value in values.items() if value}


def read_services(node: yaml.Node, path: Path) -> Iterator[tuple[yaml.Node, ServiceSpec]]:
    """
    Yield the services of a file in the order in which they start, each with the node of its name.

    Args:
        node: the value of `services`.
        path: the file, for errors.

    Raises:
        ConfigError: a service is invalid. The text names file and line.
    """
    return iter(_Reader(path).read(node))


class _Reader:
    """
    A reader for one file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, node: yaml.Node) -> list[tuple[yaml.Node, ServiceSpec]]:
        if not isinstance(node, yaml.MappingNode):
            self._fail(
                node,
                f"services is {kind_of(node)}; it must be a mapping of names to services, such as "
                "{redis: {command: redis-server, ready: {port: 6379}}}",
            )
        if len(node.value) > _MOST:
            self._fail(node, f"services has {len(node.value)} entries; the limit is {_MOST}")
        found = {key.value: (key, self._service(key, value)) for key, value in node.value}
        ports: dict[int, str] = {}
        for key, service in found.values():
            for name in service.after:
                if name not in found:
                    hint = did_you_mean(name, found)
                    self._fail(key, f"services.{service.name}.after: no service {name!r}{hint}")
            port = service.ready.port
            if port is not None and ports.setdefault(port, service.name) != service.name:
                self._fail(
                    key,
                    f"services.{service.name} and services.{ports[port]} both listen on port "
                    f"{port}, which one of them can",
                )
        return self._in_order(found)

    def _in_order(
        self, found: Mapping[str, tuple[yaml.Node, ServiceSpec]]
    ) -> list[tuple[yaml.Node, ServiceSpec]]:
        """
        Return the services in the order of the file, each behind those that it names in `after`.
        """
        ordered: dict[str, tuple[yaml.Node, ServiceSpec]] = {}
        while len(ordered) < len(found):
            ready = (
                name
                for name, (_, service) in found.items()
                if name not in ordered and all(one in ordered for one in service.after)
            )
            name = next(ready, None)
            if name is None:
                left = [one for one in found if one not in ordered]
                self._fail(
                    found[left[0]][0],
                    f"services wait for each other by `after`: {', '.join(left)}",
                )
            ordered[name] = found[name]
        return list(ordered.values())

    def _service(self, key: yaml.Node, node: yaml.Node) -> ServiceSpec:
        name = str(key.value)
        where = f"services.{name}"
        if not re.fullmatch(_NAME, name):
            self._fail(
                key,
                f"{name!r} cannot be the name of a service: use letters, digits, '.', '_' and '-'",
            )
        if isinstance(node, yaml.ScalarNode) and kind_of(node) == "text":
            return ServiceSpec(name, self._command(where, node), repository=self._path.parent)
        fields = self._fields(where, node, _FIELDS)
        if "command" not in fields:
            self._fail(key, f"{where} has no command; add `command:`, which starts it")
        values: dict[str, Any] = {"command": self._command(f"{where}.command", fields["command"])}
        if "ready" in fields:
            values["ready"] = self._ready(f"{where}.ready", fields["ready"])
        if "timeout" in fields:
            values["timeout"] = self._timeout(f"{where}.timeout", fields["timeout"])
        if "env" in fields:
            values["env"] = self._env(f"{where}.env", fields["env"])
        for one in ("cwd", "user"):
            if one in fields:
                values[one] = self._text(f"{where}.{one}", fields[one], ("text", "a number"))
        if "after" in fields:
            values["after"] = self._after(f"{where}.after", fields["after"])
        phase = fields.get("phase")
        if phase is not None and self._text(f"{where}.phase", phase) != "test":
            self._fail(
                phase,
                f"{where}.phase is {phase.value!r}; it must be 'test': services start after both "
                "scripts. What a script needs, the script itself must start, as in Codex",
            )
        return ServiceSpec(name, repository=self._path.parent, **values)

    def _fields(self, where: str, node: yaml.Node, known: Sequence[str]) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            self._fail(node, f"{where} is {kind_of(node)}; it must be a mapping")
        for key, _ in node.value:
            if key.value not in known:
                hint = did_you_mean(str(key.value), known) or f"; known keys: {', '.join(known)}"
                self._fail(key, f"unknown key {str(key.value)!r} in {where}{hint}")
        return {key.value: value for key, value in node.value}

    def _command(self, where: str, node: yaml.Node) -> str | tuple[str, ...]:
        if not isinstance(node, yaml.SequenceNode):
            return self._text(where, node)
        words = tuple(self._text(f"a word of {where}", one, _SCALARS) for one in node.value)
        if not words or not words[0]:
            self._fail(node, f"{where} is empty; give the name of a program")
        return words

    def _ready(self, where: str, node: yaml.Node) -> ReadyWhen:
        fields = self._fields(where, node, ReadyWhen.__slots__)
        if not fields:
            self._fail(node, f"{where} is empty; give port, path, command or output")
        values: dict[str, Any] = {}
        if "port" in fields:
            text = self._text(f"{where}.port", fields["port"], _SCALARS)
            if not text.isdecimal() or not 0 < int(text[:9]) < 1 << 16:
                self._fail(
                    fields["port"], f"{where}.port is {text!r}; it must be a number up to 65535"
                )
            values["port"] = int(text)
        if "command" in fields:
            values["command"] = self._command(f"{where}.command", fields["command"])
        for one in ("path", "output"):
            if one in fields:
                values[one] = self._text(f"{where}.{one}", fields[one], _SCALARS)
        return ReadyWhen(**values)

    def _timeout(self, where: str, node: yaml.Node) -> float:
        text = self._text(where, node, ("text", "a number"))
        try:
            seconds = parse_duration(text)
        except ValueError as error:
            self._fail(node, f"{where} is {text!r}; it {error}")
        if seconds > _LONGEST_TIMEOUT:
            self._fail(node, f"{where} is {text!r}; the limit is {_LONGEST_TIMEOUT:g} s")
        return seconds

    def _env(self, where: str, node: yaml.Node) -> dict[str, str]:
        if not isinstance(node, yaml.MappingNode):
            self._fail(node, f"{where} is {kind_of(node)}; it must be a mapping of names to values")
        found: dict[str, str] = {}
        for key, value in node.value:
            if kind_of(value) not in _SCALARS:
                self._fail(value, f"{where}.{key.value} is {kind_of(value)}; it must be text")
            found[str(key.value)] = str(value.value)
        return check_environment(found, f"{self._path}, line {line_of(node)}: {where}")

    def _after(self, where: str, node: yaml.Node) -> tuple[str, ...]:
        if isinstance(node, yaml.SequenceNode):
            return tuple(self._text(f"an entry of {where}", one, _SCALARS) for one in node.value)
        return (self._text(where, node, _SCALARS),)

    def _text(self, where: str, node: yaml.Node, accepted: Sequence[str] = ("text",)) -> str:
        kind = kind_of(node)
        if kind not in accepted or not isinstance(node, yaml.ScalarNode):
            quoted = f": write '{node.value}'" if isinstance(node, yaml.ScalarNode) else ""
            must = "it has no value" if kind == "nothing" else f"{where} is {kind}"
            self._fail(node, f"{must}; {where} must be text{quoted if node.value else ''}")
        text = str(node.value)
        if not text.strip():
            self._fail(node, f"{where} has no value; write one, or remove the line")
        if "\0" in text:
            self._fail(node, f"{where} contains a NUL byte, which cannot be passed on")
        if len(text) > _LONGEST_TEXT and not where.endswith("command"):
            self._fail(node, f"{where} has more than the limit of {_LONGEST_TEXT} characters")
        return text

    def _fail(self, node: yaml.Node, what: str) -> NoReturn:
        raise ConfigError(f"{self._path}, line {line_of(node)}: {what}")


_FIELDS = ("command", "ready", "timeout", "env", "cwd", "user", "after", "phase")


def services_schema(mapping: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """
    Return the schema of `services` for editors.

    Args:
        mapping: makes the schema of a mapping from those of its keys.
    """
    text = {"type": "string", "minLength": 1}
    scalar = {"type": ["string", "number", "boolean"]}
    command = {"anyOf": [text, {"type": "array", "items": scalar, "minItems": 1}]}
    number = {"type": ["string", "number"], "minLength": 1}
    ready = mapping(
        {
            "port": {
                "description": "something listens on this TCP port",
                "anyOf": [
                    {"type": "integer", "minimum": 1, "maximum": 65535},
                    {"type": "string", "pattern": r"^\d{1,5}$"},
                ],
            },
            "path": {
                "description": "this file was made or changed, or this socket listens",
                **text,
            },
            "command": {"description": "this command succeeds", **command},
            "output": {"description": "the output of the service has this text", **number},
        }
    )
    service = mapping(
        {
            "command": {
                "description": "text for a bash login shell, or a list of a program and arguments",
                **command,
            },
            "ready": {
                "description": "when the service is ready (default: it is alive after its start)",
                **ready,
                "minProperties": 1,
            },
            "timeout": {
                "description": f"time until it must be ready (default: {_TIMEOUT:g})",
                "anyOf": [
                    {"type": "number", "exclusiveMinimum": 0, "maximum": _LONGEST_TIMEOUT},
                    {"type": "string", "pattern": _QUANTITY},
                ],
            },
            "env": {
                "description": "variables in addition to those of the workspace",
                "type": "object",
                "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
                "additionalProperties": scalar,
            },
            "cwd": {"description": "directory, relative to the project", **number},
            "user": {"description": "user to run as (default: root)", **number},
            "after": {
                "description": "services that must be ready before",
                "anyOf": [number, {"type": "array", "items": number}],
            },
            "phase": {"description": "services run in the phase 'test'", "enum": ["test"]},
        }
    )
    return {
        "description": "processes that run in each workspace beside the tests",
        "type": "object",
        "propertyNames": {"pattern": f"^{_NAME}$"},
        "maxProperties": _MOST,
        "additionalProperties": {"anyOf": [text, {**service, "required": ["command"]}]},
    }


def _words(command: str | tuple[str, ...]) -> str:
    return command if isinstance(command, str) else " ".join(command)
