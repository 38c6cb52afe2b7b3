"""
Read policies that users write: names, files, and mappings of fields.

A mistake raises a `PolicyError` with its place and a suggestion.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml

from ..errors import PolicyError
from ..text.phrases import did_you_mean
from ..text.yaml_nodes import LARGEST_FILE, InvalidYaml, line_of, parse_yaml, plain_value
from .presets import PRESETS, preset_hosts
from .rules.policy import HTTPS_ONLY, POLICIES, InvalidPolicy, Policy

__all__ = [
    "NAMES",
    "PolicyLike",
    "PolicyReader",
    "fields_of",
    "load_fields",
    "looks_like_a_path",
    "name_after",
    "parse_fields",
]

NAMES = (*POLICIES, *PRESETS)
"""Names of all built-in policies and presets."""

PolicyLike = Policy | Mapping[str, Any] | str | os.PathLike[str]
"""A policy, its fields, or the name or file of one."""

Registries = Mapping[str, Sequence[str]]


class PolicyReader:
    """
    Reads policies in every form that users can write.

    Args:
        registries: returns the hosts behind the placeholders `python`, `npm`
            and `debian`; called only when a preset is used.
    """

    def __init__(self, registries: Callable[[], Registries] = dict) -> None:
        self._registries = registries

    def read(self, policy: PolicyLike, beside: Path = Path()) -> Policy:
        """
        Return a policy, given in any form.

        Args:
            policy: a policy, its fields, its name, or the path of its file.
            beside: directory that relative paths start from.

        Raises:
            PolicyError: there is no such policy, or it is invalid.
        """
        if isinstance(policy, Policy):
            return policy
        if isinstance(policy, Mapping):
            return self.combine(HTTPS_ONLY, policy, "the policy")
        if isinstance(policy, str) and policy in NAMES:
            return self._named(policy)
        if not isinstance(policy, (str, os.PathLike)):
            raise PolicyError(
                f"{policy!r} is not a policy: give a name ({', '.join(NAMES)}), the path of a "
                "policy file, or a mapping of fields"
            )
        path = beside / policy
        if isinstance(policy, str) and not path.exists() and not looks_like_a_path(policy):
            raise PolicyError(
                f"there is no policy or file named {policy!r}{did_you_mean(policy, NAMES)}; "
                f"the built-in policies are {', '.join(NAMES)}"
            )
        fields, lines = load_fields(path)
        fields.setdefault("name", name_after(path))
        return self.combine(HTTPS_ONLY, fields, str(path), lines)

    def combine(
        self,
        base: Policy,
        fields: Mapping[str, Any],
        where: str,
        lines: Mapping[str, int] | None = None,
    ) -> Policy:
        """
        Return *base*, or the policy that `extends` names, with *fields* applied.

        Args:
            base: the policy to change.
            fields: fields as for `Policy.but`, and `extends`; the name of a preset
                stands for its hosts.
            where: the source of the fields, for errors.
            lines: the line of each field, for errors.

        Raises:
            PolicyError: a field is unknown or has an invalid value.
        """
        rest = dict(fields)
        extends = rest.pop("extends", None)
        if extends is not None:
            if extends not in NAMES:
                _reject(where, "extends", f"{extends!r} is not one of {', '.join(NAMES)}", lines)
            base = self._named(extends)
        for field in ("allow", "deny"):
            if isinstance(rest.get(field), (list, tuple)):
                rest[field] = tuple(self._hosts(rest[field]))
        # Check one field at a time, so that an error can name the field and its line.
        for field, value in rest.items():
            try:
                Policy().but(**{str(field): value})
            except InvalidPolicy as error:
                _reject(where, str(field), str(error), lines)
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
    Return the fields of a policy file, and the line of each field.

    Raises:
        PolicyError: the file cannot be read or is not a mapping of fields.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise PolicyError(
            f"the policy file {path} cannot be read: {error.strerror}; give the name of a policy "
            f"({', '.join(NAMES)}) or the path of a file"
        ) from None
    return parse_fields(data, path)


def parse_fields(data: bytes, path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """
    Return the fields in *data*, the content of the policy file *path*, and the line of each.

    Raises:
        PolicyError: it is not a mapping of fields.
    """
    try:
        node = parse_yaml(data, path)
        if not isinstance(node, yaml.MappingNode):
            raise PolicyError(
                f"{path}: a policy must be a mapping of fields, such as `allow: [example.org]`, "
                f"but this file {'is empty' if node is None else 'holds something else'}"
            )
        return fields_of(node, path)
    except InvalidYaml as error:
        raise PolicyError(str(error)) from None


def name_after(path: Path) -> str:
    """
    Return the name of the policy in the file *path* that has no name of its own.
    """
    return re.sub(r"[^A-Za-z0-9._-]", "-", path.stem)[:64].lstrip("._-")


def fields_of(node: yaml.MappingNode, path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """
    Return the fields of a policy in the file *path*, and the line of each field.

    Raises:
        InvalidYaml: the value of a field cannot be read.
    """
    return dict(plain_value(node, path)), {key.value: line_of(key) for key, _ in node.value}


def looks_like_a_path(text: str) -> bool:
    """
    Check whether *text* must be the path of a policy file rather than a name.
    """
    return os.sep in text or text.endswith((".yaml", ".yml"))


def _reject(where: str, field: str, problem: str, lines: Mapping[str, int] | None) -> NoReturn:
    line = f", line {lines[field]}" if lines and field in lines else ""
    prefix = "" if problem.startswith(("unknown field", f"{field}:")) else f"{field}: "
    raise PolicyError(f"{where}{line}: {prefix}{problem}")
