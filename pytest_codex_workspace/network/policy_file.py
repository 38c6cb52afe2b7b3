"""
Reading policies that a person wrote: names, files, fields.

What is wrong is a `PolicyError` that says where it is and what was meant.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml

from ..errors import PolicyError
from .policy import HTTPS_ONLY, POLICIES, InvalidPolicy, Policy
from .presets import PRESETS, preset_hosts

__all__ = ["NAMES", "PolicyReader", "load_fields"]

NAMES = (*POLICIES, *PRESETS)
"""The policies that have a name."""

_LONGEST = 1 << 20
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Registries = Mapping[str, Sequence[str]]


class PolicyReader:
    """
    Makes policies of what people write.

    Args:
        registries: the hosts that presets mean by `python`, `npm` and
            `debian`; called only when a preset is used.
    """

    def __init__(self, registries: Callable[[], Registries] = dict) -> None:
        self._registries = registries

    def read(
        self, policy: Policy | Mapping[str, Any] | str | os.PathLike[str], beside: Path = Path()
    ) -> Policy:
        """
        The policy that is meant.

        Args:
            policy: a policy, its fields, its name, or the path of its file.
            beside: the directory that a relative path starts at.

        Raises:
            PolicyError: it cannot be used.
        """
        if isinstance(policy, Policy):
            return policy
        if isinstance(policy, Mapping):
            return self.combine(HTTPS_ONLY, policy, "the policy")
        if isinstance(policy, str) and policy in NAMES:
            return self._named(policy)
        if not isinstance(policy, (str, os.PathLike)):
            raise PolicyError(
                f"{policy!r} is no policy: give a name ({', '.join(NAMES)}), the path of a policy "
                "file, or a mapping of fields"
            )
        path = beside / policy
        if isinstance(policy, str) and not path.exists() and not _looks_like_a_path(policy):
            close = difflib.get_close_matches(policy, NAMES, 1)
            meant = f" Was {close[0]!r} meant?" if close else ""
            raise PolicyError(
                f"there is no policy {policy!r}, and no file of that name.{meant} Built in are "
                f"{', '.join(NAMES)}."
            )
        fields, lines = load_fields(path)
        fields.setdefault("name", re.sub(r"[^A-Za-z0-9._-]", "-", path.stem)[:64].lstrip("._-"))
        return self.combine(HTTPS_ONLY, fields, str(path), lines)

    def combine(
        self,
        base: Policy,
        fields: Mapping[str, Any],
        where: str,
        lines: Mapping[str, int] | None = None,
    ) -> Policy:
        """
        *base*, or what `extends` names, with further *fields*.

        Args:
            base: what they are added to.
            fields: as `Policy.but` takes them, and `extends`; a preset's name
                may stand for its hosts.
            where: they come from, for errors.
            lines: the line of each field, for errors.

        Raises:
            PolicyError: they cannot be used.
        """
        rest = dict(fields)
        extends = rest.pop("extends", None)
        if extends is not None:
            if extends not in NAMES:
                _wrong(where, "extends", f"{extends!r} is not one of {', '.join(NAMES)}", lines)
            base = self._named(extends)
        for field in ("allow", "deny"):
            if isinstance(rest.get(field), (list, tuple)):
                rest[field] = tuple(self._hosts(rest[field]))
        # One field after the other, so that what is wrong can be pointed at.
        for field, value in rest.items():
            try:
                Policy().but(**{str(field): value})
            except InvalidPolicy as error:
                _wrong(where, str(field), str(error), lines)
        if rest:
            rest.setdefault("name", f"{base.name} with changes"[:64])
        return base.but(**rest)

    def _named(self, name: str) -> Policy:
        if name in POLICIES:
            return POLICIES[name]
        return Policy(name=name, allow=preset_hosts(name, self._registries()))

    def _hosts(self, values: Sequence[Any]) -> list[Any]:
        hosts: list[Any] = []
        for value in values:
            is_preset = isinstance(value, str) and value in PRESETS
            hosts += preset_hosts(value, self._registries()) if is_preset else [value]
        return hosts


def load_fields(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """
    The fields of a policy file, and the line of each.

    Raises:
        PolicyError: it cannot be read or is no mapping of fields.
    """
    text = _text_of(path)
    try:
        node = yaml.compose(text, Loader=_LOADER)
        _check_plain(node, path)
        fields = yaml.load(text, Loader=_LOADER)  # noqa: S506 -- a safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise PolicyError(f"{place}: this is not YAML: {problem}") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise PolicyError(f"{path}: a value cannot be read: {error}") from None
    if not isinstance(node, yaml.MappingNode):
        raise PolicyError(
            f"{path}: a policy is a mapping of fields, such as `allow: [example.org]`; this is "
            f"{'empty' if node is None else 'something else'}"
        )
    lines = {str(key.value): key.start_mark.line + 1 for key, _ in node.value}
    return dict(fields), lines


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST + 1)
    except OSError as error:
        raise PolicyError(
            f"the policy file {path} cannot be read: {error.strerror}; give the name of a policy "
            f"({', '.join(NAMES)}) or the path of a file"
        ) from None
    if len(data) > _LONGEST:
        raise PolicyError(f"{path} is longer than {_LONGEST} bytes, which no policy is")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise PolicyError(f"{path}, line {line}: this is not text in UTF-8") from None


def _check_plain(node: Any, path: Path) -> None:
    """
    Refuse a key that is there twice, which YAML would let win silently, and
    aliases, by which a small file means a huge one.
    """
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, yaml.CollectionNode):
            continue
        if id(one) in seen:
            raise PolicyError(f"{path}: a policy file has no use for anchors and aliases")
        seen.add(id(one))
        if not isinstance(one, yaml.MappingNode):
            waiting += one.value
            continue
        keys: dict[str, int] = {}
        for key, value in one.value:
            line = key.start_mark.line + 1
            if key.value in keys:
                raise PolicyError(
                    f"{path}, line {line}: {key.value} is there twice, first in line "
                    f"{keys[key.value]}; keep one of them"
                )
            keys[str(key.value)] = line
            waiting.append(value)


def _looks_like_a_path(text: str) -> bool:
    return os.sep in text or text.endswith((".yaml", ".yml"))


def _wrong(where: str, field: str, what: str, lines: Mapping[str, int] | None) -> NoReturn:
    line = f", line {lines[field]}" if lines and field in lines else ""
    prefix = "" if what.startswith(("unknown field", f"{field}:")) else f"{field}: "
    raise PolicyError(f"{where}{line}: {prefix}{what}")
