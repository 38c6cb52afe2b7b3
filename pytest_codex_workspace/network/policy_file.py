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
from ..yamlfile import InvalidYaml, line_of, plain, read_yaml
from .policy import HTTPS_ONLY, POLICIES, InvalidPolicy, Policy
from .presets import PRESETS, preset_hosts

__all__ = ["NAMES", "PolicyLike", "PolicyReader", "fields_of", "load_fields", "looks_like_a_path"]

NAMES = (*POLICIES, *PRESETS)
"""The policies that have a name."""

PolicyLike = Policy | Mapping[str, Any] | str | os.PathLike[str]
"""A policy, its fields, or the name or file of one."""

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

    def read(self, policy: PolicyLike, beside: Path = Path()) -> Policy:
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
        if isinstance(policy, str) and not path.exists() and not looks_like_a_path(policy):
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
    try:
        node = read_yaml(path)
        if not isinstance(node, yaml.MappingNode):
            raise PolicyError(
                f"{path}: a policy is a mapping of fields, such as `allow: [example.org]`; this is "
                f"{'empty' if node is None else 'something else'}"
            )
        return fields_of(node, path)
    except InvalidYaml as error:
        raise PolicyError(str(error)) from None
    except OSError as error:
        raise PolicyError(
            f"the policy file {path} cannot be read: {error.strerror}; give the name of a policy "
            f"({', '.join(NAMES)}) or the path of a file"
        ) from None


def fields_of(node: yaml.MappingNode, path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """
    The fields of a policy that is written in *path*, and the line of each.

    Raises:
        InvalidYaml: one has no value.
    """
    return dict(plain(node, path)), {key.value: line_of(key) for key, _ in node.value}


def looks_like_a_path(text: str) -> bool:
    """
    Whether *text* can only be meant as the path of a policy file.
    """
    return os.sep in text or text.endswith((".yaml", ".yml"))


def _wrong(where: str, field: str, what: str, lines: Mapping[str, int] | None) -> NoReturn:
    line = f", line {lines[field]}" if lines and field in lines else ""
    prefix = "" if what.startswith(("unknown field", f"{field}:")) else f"{field}: "
    raise PolicyError(f"{where}{line}: {prefix}{what}")
