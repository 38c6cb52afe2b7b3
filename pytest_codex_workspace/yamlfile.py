"""Reading a YAML file that a person wrote, with the line of everything in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

# Its own parser, not the one in C: that one's nodes are of no class that is known here once
# a test-suite of plugins has imported the library anew.
__all__ = ["InvalidYaml", "Kind", "kind_of", "line_of", "plain", "read_yaml"]

_LONGEST = 1 << 20

Kind = str
"""What a node is, as people call it: `text`, `a number`, `a mapping`, ..."""

# What YAML 1.2 takes for numbers and truth values. The library follows 1.1,
# where `off` is false and 12:30 a number of seconds.
_PLAIN = (
    (re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"), "a number"),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), "a number"),
    (re.compile(r"true|True|TRUE|false|False|FALSE"), "a truth value"),
    (re.compile(r"null|Null|NULL|~|"), "nothing"),
)
_TAGS = ("str", "int", "float", "bool", "null", "timestamp", "value")


class InvalidYaml(ValueError):
    """
    A file that cannot be used. The text has the file, and the line if there is one.
    """


def read_yaml(path: Path) -> yaml.Node | None:
    """
    The document in a file; `None` if it is empty.

    No key is there twice (YAML would let the last one win silently), and there
    are no aliases, by which a small file means a huge one.

    Raises:
        InvalidYaml: it is not YAML.
        OSError: it cannot be read.
    """
    text = _text_of(path)
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
        _check_plain(node, path)
    except yaml.YAMLError as error:
        raise _not_yaml(error, path, text) from None
    except (ValueError, TypeError, RecursionError) as error:
        if isinstance(error, InvalidYaml):
            raise
        raise InvalidYaml(f"{path}: a value cannot be read: {error}") from None
    return node


def plain(node: yaml.Node, path: Path) -> Any:
    """
    The value of a node of the file *path* as plain data.

    Raises:
        InvalidYaml: it has none.
    """
    try:
        return yaml.constructor.SafeConstructor().construct_document(node)
    except yaml.YAMLError as error:
        raise _not_yaml(error, path) from None
    except (ValueError, TypeError, RecursionError) as error:
        where = f"{path}, line {line_of(node)}" if line_of(node) > 1 else str(path)
        raise InvalidYaml(f"{where}: a value cannot be read: {error}") from None


def line_of(node: yaml.Node) -> int:
    """
    The line that a node begins in.
    """
    return int(node.start_mark.line) + 1


def kind_of(node: yaml.Node) -> Kind:
    """
    What a node is, as YAML 1.2 and editors see it.
    """
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    if node.tag.rpartition(":")[2] not in _TAGS:
        return "tagged"
    if isinstance(node, yaml.ScalarNode) and node.style is None:
        for pattern, kind in _PLAIN:
            if pattern.fullmatch(node.value):
                return kind
    return "text"


def _not_yaml(error: yaml.YAMLError, path: Path, text: str = "") -> InvalidYaml:
    mark = getattr(error, "problem_mark", None)
    place = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)
    problem = getattr(error, "problem", None) or "it cannot be read"
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        place, problem = f"{path}, line {line}", error.reason
    return InvalidYaml(f"{place}: this is not YAML: {problem}")


def _text_of(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(_LONGEST + 1)
    if len(data) > _LONGEST:
        raise InvalidYaml(f"{path} is longer than {_LONGEST} bytes, which nobody writes by hand")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InvalidYaml(f"{path}, line {line}: this is not text in UTF-8") from None


def _check_plain(node: Any, path: Path) -> None:
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, yaml.CollectionNode):
            continue
        if id(one) in seen:
            raise InvalidYaml(f"{path}: this file has no use for anchors and aliases")
        seen.add(id(one))
        if not isinstance(one, yaml.MappingNode):
            waiting += one.value
            continue
        keys: dict[str, int] = {}
        for key, value in one.value:
            if not isinstance(key, yaml.ScalarNode):
                raise InvalidYaml(f"{path}, line {line_of(key)}: a key must be a name")
            if key.value in keys:
                raise InvalidYaml(
                    f"{path}, line {line_of(key)}: {key.value} is there twice, first in line "
                    f"{keys[key.value]}; keep one of them"
                )
            keys[key.value] = line_of(key)
            waiting.append(value)
