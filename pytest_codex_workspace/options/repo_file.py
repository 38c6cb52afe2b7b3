"""Reading `.codex-workspace.yaml` according to the table of options."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn

import yaml

from ..codex import RUNTIMES
from ..errors import ConfigError, PolicyError, ProjectionError
from ..network.policy_reader import (
    NAMES,
    PolicyReader,
    fields_of,
    looks_like_a_path,
    name_after,
    parse_fields,
)
from ..network.rules.policy import HTTPS_ONLY
from ..text.option_names import spell_option
from ..text.phrases import did_you_mean
from ..text.yaml_nodes import InvalidYaml, kind_of, line_of, parse_yaml
from .config import check_environment, check_silence, check_variable_name
from .services import read_services
from .sources import Given, Source, Values
from .table import OPTIONS, Option

__all__ = [
    "GROUPS",
    "POLICY_FIELDS",
    "Group",
    "ReadPolicy",
    "Shape",
    "read_file",
    "shape_of",
    "top_level",
]

POLICY_FIELDS = ("extends", *HTTPS_ONLY.to_dict())
"""The fields of a policy that is written in the file itself."""

ReadPolicy = Callable[[str], bytes | None]

Shape = Literal[
    "text",
    "choice",
    "truth",
    "count",
    "number",
    "quantity",
    "policy",
    "variables",
    "names",
    "reasons",
    "texts",
]
"""The form of an option's value in the file."""

_SHAPES: Mapping[str, Shape] = {
    "POLICY": "policy",
    "DURATION": "quantity",
    "SIZE": "quantity",
    "SECONDS": "number",
    "BYTES": "number",
    "COMMITS": "count",
    "true|false": "truth",
    "NAME=VALUE": "variables",
    "NAME=HOSTS": "variables",
    "ID=REASON": "reasons",
}
_ACCEPTED_KINDS: Mapping[Shape, tuple[str, ...]] = {
    "text": ("text",),
    # In YAML 1.1, some of these words are truth values.
    "choice": ("text",),
    "truth": ("a truth value",),
    "count": ("text", "a number"),
    "number": ("text", "a number"),
    "quantity": ("text", "a number"),
}


@dataclass(frozen=True, slots=True)
class Group:
    """
    A mapping in the file that holds several options.

    Attributes:
        below: the options by their names in the mapping.
        main: the option that a plain value in place of the mapping sets.
    """

    below: dict[str, Option] = field(default_factory=dict)
    main: Option | None = None


def shape_of(option: Option) -> Shape:
    """
    Return the form of the value of *option* in the file.
    """
    usual: Shape = "choice" if option.choices else "names" if option.repeatable else "text"
    if option.listed:
        return "texts"
    return _SHAPES.get(option.metavar, usual)


def _groups() -> dict[str, Group]:
    found: dict[str, Group] = {}
    for option in OPTIONS:
        if option.place and "." in option.place:
            name, _, below = option.place.partition(".")
            main = next((one for one in OPTIONS if one.name == name), None)
            found.setdefault(name, Group(main=main)).below[below] = option
    return found


GROUPS = _groups()
"""The mappings of the file by name."""


def top_level() -> dict[str, Option]:
    """
    Return the options that are allowed at the top of the file, by their names
    there. Options of a group are allowed there too, under their usual names.
    """
    return {
        (option.name if "." in (option.place or "") else option.place or option.name): option
        for option in OPTIONS
        if option.place is not None and option.name not in GROUPS
    }


def read_file(data: bytes, path: Path, read_policy: ReadPolicy) -> Values:
    """
    Return the values in a configuration file.

    Args:
        data: the content of the file.
        path: its path in the work tree, for errors.
        read_policy: returns the content of a policy file that the file names; `None` if
            there is none.

    Raises:
        ConfigError: a value is invalid. The text names file and line.
    """
    try:
        node = parse_yaml(data, path)
        return {} if node is None else _File(path, read_policy).read(node)
    except InvalidYaml as error:
        raise ConfigError(str(error)) from None


class _File:
    """
    A reader for one file.
    """

    def __init__(self, path: Path, read_policy: ReadPolicy) -> None:
        self._path = path
        self._read_policy = read_policy
        self._values: Values = {}

    def read(self, node: yaml.Node) -> Values:
        if not isinstance(node, yaml.MappingNode):
            self._fail(node, f"this is {kind_of(node)}; write options, such as `image: slim`")
        options = top_level()
        for key, name, value in _items(node):
            if name == "runtimes":
                self._runtimes(value)
            elif name == "services":
                self._services(value)
            elif name in GROUPS:
                self._group(name, value)
            elif name in options:
                self._option(options[name], name, value)
            else:
                self._unknown(key, name, [*options, *GROUPS, "runtimes", "services"])
        return self._values

    def _group(self, name: str, node: yaml.Node) -> None:
        group = GROUPS[name]
        if not isinstance(node, yaml.MappingNode):
            if group.main is None:
                self._fail(node, f"{name} is {kind_of(node)}; it must be a mapping")
            return self._option(group.main, name, node)
        keys = [key.value for key, _ in node.value]
        mine = [key for key in keys if key in group.below]
        if name == "network":
            fields = [key for key in keys if key in POLICY_FIELDS]
            if fields and not mine and group.main:
                return self._option(group.main, name, node)
            if fields:
                self._fail(
                    node,
                    f"{fields[0]} is a field of a policy and cannot stand next to {mine[0]}; "
                    "put it under tests or setup",
                )
        for key, below, value in _items(node):
            if below not in group.below:
                more = POLICY_FIELDS if name == "network" else ()
                self._unknown(key, below, [*group.below, *more], f" in {name}")
            self._option(group.below[below], f"{name}.{below}", value)
        return None

    def _option(self, option: Option, name: str, node: yaml.Node) -> None:
        shape = shape_of(option)
        if shape == "variables":
            return self._variables(option, name, node)
        if shape == "names":
            return self._names(option, name, node)
        if shape == "reasons":
            return self._reasons(option, name, node)
        if shape == "texts":
            entries = node.value if isinstance(node, yaml.SequenceNode) else [node]
            if not entries:
                self._fail(node, f"{name} has no value; write one, or remove the line")
            texts = [self._text(name, one, ("text",)) for one in entries]
            return self._give(option.key, texts, name, node)
        if shape == "policy" and isinstance(node, yaml.MappingNode):
            return self._policy(option, name, node)
        text = self._text(name, node, _ACCEPTED_KINDS.get(shape, ("text",)), shape)
        if shape == "truth":
            text = text.lower()
        if shape == "policy" and text not in NAMES:
            return self._policy_file(option, name, node, text)
        return self._give(option.key, text, name, node)

    def _policy_file(self, option: Option, name: str, node: yaml.Node, text: str) -> None:
        """
        Give the policy in the file *text*, read once: nothing of this machine is read later.
        """
        try:
            data = self._read_policy(text)
        except ProjectionError as error:
            self._fail(node, f"{name}: the policy file cannot be read: {error}")
        if data is None and not looks_like_a_path(text):
            self._fail(
                node,
                f"{name}: there is no policy or file named {text!r}{did_you_mean(text, NAMES)}; "
                f"the built-in policies are {', '.join(NAMES)}",
            )
        if data is None:
            self._fail(
                node,
                f"{name}: the policy file {text} is not in the commit; run git add and git commit, "
                f"or give the name of a policy ({', '.join(NAMES)})",
            )
        path = self._path.parent / text
        try:
            fields, lines = parse_fields(data, path)
            fields.setdefault("name", name_after(path))
            PolicyReader().combine(HTTPS_ONLY, fields, str(path), lines)
        except PolicyError as error:
            raise ConfigError(str(error)) from None
        return self._give(option.key, fields, name, node)

    def _variables(self, option: Option, name: str, node: yaml.Node) -> None:
        if not isinstance(node, yaml.MappingNode):
            self._fail(node, f"{name} is {kind_of(node)}; it must be a mapping of names to values")
        for key, variable, value in _items(node):
            text = self._text(f"{name}.{variable}", value, _ANY_SCALAR)
            check_environment({variable: text}, self._source(name, key).spelled)
            self._give(f"{option.key}.{variable}", text, f"{name}.{variable}", key)

    def _reasons(self, option: Option, name: str, node: yaml.Node) -> None:
        if not isinstance(node, yaml.MappingNode):
            self._fail(
                node,
                f"{name} is {kind_of(node)}; it must be a mapping of ids to reasons, such as "
                "{git-tags: we do not use versions}",
            )
        for key, check, value in _items(node):
            there = kind_of(value) != "nothing"
            text = self._text(f"{name}.{check}", value, ("text",)) if there else ""
            check_silence(check, text, self._source(name, key).spelled)
            self._give(f"{option.key}.{check}", text, f"{name}.{check}", key)

    def _names(self, option: Option, name: str, node: yaml.Node) -> None:
        if not isinstance(node, yaml.SequenceNode):
            self._fail(node, f"{name} is {kind_of(node)}; it must be a list of names")
        for one in node.value:
            text = self._text(f"an entry of {name}", one, ("text",))
            check_variable_name(text, self._source(name, one).spelled)
            self._give(f"{option.key}.{text}", "", name, one, f"{name}: {text}")

    def _runtimes(self, node: yaml.Node) -> None:
        known = [name.lower() for name in RUNTIMES]
        if not isinstance(node, yaml.MappingNode):
            self._fail(
                node, f"runtimes is {kind_of(node)}; it must be a mapping, such as {{python: 3.12}}"
            )
        for key, name, value in _items(node):
            if name not in known:
                self._unknown(key, name, known, " in runtimes")
            text = self._text(f"runtimes.{name}", value, ("text", "a number"))
            variable = f"CODEX_ENV_{name.upper()}_VERSION"
            self._give(f"env.{variable}", text, f"runtimes.{name}", key)

    def _services(self, node: yaml.Node) -> None:
        for key, service in read_services(node, self._path):
            self._give(f"services.{service.name}", service, f"services.{service.name}", key)

    def _policy(self, option: Option, name: str, node: yaml.MappingNode) -> None:
        fields, lines = fields_of(node, self._path)
        fields.setdefault("name", "codex-workspace.yaml")
        try:
            PolicyReader().combine(HTTPS_ONLY, fields, str(self._path), lines)
        except PolicyError as error:
            raise ConfigError(str(error)) from None
        self._give(option.key, fields, name, node)

    def _text(
        self, name: str, node: yaml.Node, accepted: Iterable[str], shape: Shape = "text"
    ) -> str:
        """
        Return a plain value as it is written: 3.10 is not 3.1, and `off` is not false.
        """
        kind = kind_of(node)
        if kind not in accepted or not isinstance(node, yaml.ScalarNode):
            if kind == "nothing":
                self._fail(node, f"{name} has no value; write one, or remove the line")
            if shape == "truth":
                self._fail(node, f"{name} is {kind}; it must be true or false")
            if isinstance(node, yaml.ScalarNode) and kind != "tagged":
                self._fail(node, f"{name} is {kind}; it must be text: write {_quoted(node.value)}")
            must = "a name, a path or a mapping" if shape == "policy" else "a plain value"
            self._fail(node, f"{name} is {kind}; it must be {must}")
        if not node.value and accepted is not _ANY_SCALAR:
            self._fail(node, f"{name} has no value; write one, or remove the line")
        return str(node.value)

    def _give(self, key: str, value: object, name: str, node: yaml.Node, called: str = "") -> None:
        source = self._source(name, node)
        if key in self._values:
            first = self._values[key].source
            if name != first.name:
                self._fail(node, f"{name} is the same as {first.name} on line {first.line}")
            self._fail(node, f"{called or name} is defined twice (first on line {first.line})")
        self._values[key] = Given(value, source)

    def _source(self, name: str, node: yaml.Node) -> Source:
        return Source("file", name, self._path, line_of(node))

    def _unknown(self, key: yaml.Node, name: str, known: list[str], where: str = "") -> NoReturn:
        of_user = next((one for one in OPTIONS if one.name == name and one.place is None), None)
        if of_user and not where:
            self._fail(
                key,
                f"{name!r} cannot be set by a repository: set it with {spell_option(name)} or "
                f"{of_user.variable}",
            )
        hint = did_you_mean(name, known) or f"; known keys: {', '.join(sorted(known))}"
        self._fail(key, f"unknown key {name!r}{where}{hint}")

    def _fail(self, node: yaml.Node, what: str) -> NoReturn:
        raise ConfigError(f"{self._path}, line {line_of(node)}: {what}")


_ANY_SCALAR = ("text", "a number", "a truth value")


def _items(node: yaml.MappingNode) -> Iterator[tuple[yaml.Node, str, yaml.Node]]:
    for key, value in node.value:
        yield key, str(key.value), value


def _quoted(text: str) -> str:
    return f"'{text}'"
