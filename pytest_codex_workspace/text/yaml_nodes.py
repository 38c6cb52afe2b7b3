"""Reading a hand-written YAML file, with the line of each value."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

# The parser in Python, not the one in C: the C parser's nodes have other classes once a test
# suite of plugins has imported the library a second time.
__all__ = [
    "LARGEST_FILE",
    "InvalidYaml",
    "NodeKind",
    "kind_of",
    "line_of",
    "parse_yaml",
    "plain_value",
    "read_yaml",
]

# A repository brings these files. A policy with ten thousand hosts is within the limits; at
# all of them, reading takes about a second.
LARGEST_FILE = 256 << 10
_MOST_VALUES = 20_000
_DEEPEST = 64
_LONGEST_NUMBER = 100

NodeKind = str
"""The kind of a node in words: `text`, `a number`, `a mapping`, ..."""

# Numbers and truth values of YAML 1.2. The library follows YAML 1.1, where
# `off` is false and 12:30 is a number of seconds.
_PLAIN = (
    (re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"), "a number"),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), "a number"),
    (re.compile(r"true|True|TRUE|false|False|FALSE"), "a truth value"),
    (re.compile(r"null|Null|NULL|~|"), "nothing"),
)
_TAGS = ("str", "int", "float", "bool", "null", "timestamp", "value")


class InvalidYaml(ValueError):
    """
    A file cannot be used. The text names the file, and the line if it is known.
    """


class _BoundedLoader(yaml.SafeLoader):
    """
    A parser that gives up on a file of too many values or levels.
    """

    def __init__(self, text: str, path: Path) -> None:
        super().__init__(text)
        self._path = path
        self._values = self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """
        Compose one value and those below it.
        """
        self._values += 1
        self._depth += 1
        if self._values > _MOST_VALUES or self._depth > _DEEPEST:
            what = (
                f"has more than the limit of {_MOST_VALUES} values"
                if self._values > _MOST_VALUES
                else f"is nested too deeply, by more than the limit of {_DEEPEST} levels"
            )
            event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise InvalidYaml(f"{self._path}, line {line}: the file {what}")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _BoundedConstructor(yaml.constructor.SafeConstructor):
    """
    Builds values; a number of many digits would take time that grows with their square.
    """

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """
        Return a whole number.
        """
        if len(node.value) > _LONGEST_NUMBER:
            raise ValueError(f"it is a number of {len(node.value)} characters")
        return int(super().construct_yaml_int(node))


_BoundedConstructor.add_constructor(  # type: ignore[type-var]
    "tag:yaml.org,2002:int", _BoundedConstructor.construct_yaml_int
)


def read_yaml(path: Path) -> yaml.Node | None:
    """
    Return the document in a file; `None` if it is empty.

    Duplicate keys are an error (in YAML the last one would silently win), and so
    are aliases, with which a small file could expand to a huge one. So are more
    than 256 KiB, 20,000 values or 64 levels.

    Raises:
        InvalidYaml: the file is not valid YAML, or exceeds a limit.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return parse_yaml(file.read(LARGEST_FILE + 1), path)


def parse_yaml(data: bytes, path: Path) -> yaml.Node | None:
    """
    Return the document in *data*, the content of the file *path*; `None` if it is empty.

    Raises:
        InvalidYaml: as for `read_yaml`.
    """
    text = _text_of(data, path)
    try:
        loader = _BoundedLoader(text, path)
        try:
            node: yaml.Node | None = loader.get_single_node()
        finally:
            loader.dispose()
        _check_plain(node, path)
    except yaml.YAMLError as error:
        raise _not_yaml(error, path, text) from None
    except (ValueError, TypeError, RecursionError) as error:
        if isinstance(error, InvalidYaml):
            raise
        raise InvalidYaml(f"{path}: a value cannot be read: {_reason(error)}") from None
    return node


def plain_value(node: yaml.Node, path: Path) -> Any:
    """
    Return the value of a node of the file *path* as plain data.

    Raises:
        InvalidYaml: the node cannot be turned into plain data.
    """
    try:
        return _BoundedConstructor().construct_document(node)
    except yaml.YAMLError as error:
        raise _not_yaml(error, path) from None
    except (ValueError, TypeError, RecursionError) as error:
        where = f"{path}, line {line_of(node)}" if line_of(node) > 1 else str(path)
        raise InvalidYaml(f"{where}: a value cannot be read: {_reason(error)}") from None


def line_of(node: yaml.Node) -> int:
    """
    Return the number of the line on which a node begins.
    """
    return int(node.start_mark.line) + 1


def kind_of(node: yaml.Node) -> NodeKind:
    """
    Return the kind of a node according to YAML 1.2.
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
    problem = getattr(error, "problem", None) or "the file cannot be read"
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        place, problem = f"{path}, line {line}", error.reason
    return InvalidYaml(f"{place}: this is not YAML: {problem}")


def _reason(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def _text_of(data: bytes, path: Path) -> str:
    if len(data) > LARGEST_FILE:
        raise InvalidYaml(f"{path} is larger than the limit of {LARGEST_FILE} bytes")
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
            raise InvalidYaml(
                f"{path}: anchors and aliases are not supported; write the values out"
            )
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
                    f"{path}, line {line_of(key)}: {key.value} is defined twice (first on line "
                    f"{keys[key.value]}); keep one of the two"
                )
            keys[key.value] = line_of(key)
            waiting.append(value)
