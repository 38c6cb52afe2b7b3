"""Dockerfiles, as far as ours go: ten instructions, continued lines, variables."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Instruction", "Stage", "apply_to_config", "expand", "read_changes", "read_dockerfile"]

_KNOWN = ("ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "LABEL", "RUN", "USER", "WORKDIR")
_VARIABLE = re.compile(r"\\(\$)|\$(?:\{(\w+)(?::([-+])([^}]*))?\}|(\w+))")
_STAGE = re.compile(r"(?i)(\S+)(?:\s+AS\s+(\S+))?")


@dataclass(frozen=True, slots=True)
class Instruction:
    """
    One instruction.

    Attributes:
        word: its name, in capitals.
        rest: what follows, on one line.
    """

    word: str
    rest: str

    def __str__(self) -> str:
        return f"{self.word} {self.rest}"


@dataclass(slots=True)
class Stage:
    """
    What follows a FROM.

    Attributes:
        base: the image, or the name of an earlier stage, with variables.
        name: its own name; empty without one.
        start: the FROM itself.
        steps: the instructions.
    """

    base: str
    name: str
    start: Instruction
    steps: list[Instruction] = field(default_factory=list)


def read_dockerfile(text: str) -> tuple[dict[str, str], list[Stage]]:
    """
    Return the arguments before the first FROM with their defaults, and the stages.

    Raises:
        ValueError: an instruction is unknown, or comes before the first FROM.
    """
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for instruction in _instructions(text):
        if instruction.word == "FROM":
            found = _STAGE.fullmatch(instruction.rest)
            if found is None:
                raise ValueError(f"{instruction}: an image, or an image and AS with a name")
            stages.append(Stage(found[1], (found[2] or "").lower(), instruction))
        elif stages:
            stages[-1].steps.append(instruction)
        elif instruction.word == "ARG":
            name, _, value = instruction.rest.partition("=")
            arguments[name] = _unquoted(value)
        else:
            raise ValueError(f"{instruction}: there is no FROM before it")
    if not stages:
        raise ValueError("the Dockerfile has no FROM")
    return arguments, stages


def _instructions(text: str) -> list[Instruction]:
    found = []
    held = ""
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        held += line
        if held.rstrip().endswith("\\"):
            held = held.rstrip()[:-1]
            continue
        if held.strip():
            word, _, rest = held.strip().partition(" ")
            if word.upper() not in _KNOWN:
                raise ValueError(f"the instruction {word} is none of {', '.join(_KNOWN)}")
            found.append(Instruction(word.upper(), rest.strip()))
        held = ""
    return found


def expand(text: str, variables: Mapping[str, str]) -> str:
    """
    Return *text* with values in place of `$NAME`, `${NAME}`, `${NAME:-default}` and
    `${NAME:+value}`.
    """

    def value(found: re.Match[str]) -> str:
        if found[1]:
            return "$"
        known = variables.get(found[2] or found[5], "")
        if found[3] == "-":
            return known or found[4]
        return found[4] if found[3] and known else "" if found[3] else known

    return _VARIABLE.sub(value, text)


def apply_to_config(
    config: dict[str, Any], instruction: Instruction, variables: Mapping[str, str]
) -> None:
    """
    Change the configuration of an image as ENV, LABEL, USER, WORKDIR, CMD and ENTRYPOINT say.

    Raises:
        ValueError: the instruction cannot be read.
    """
    word, rest = instruction.word, instruction.rest
    if word in ("CMD", "ENTRYPOINT"):
        config["Cmd" if word == "CMD" else "Entrypoint"] = read_command(rest)
    elif word == "USER":
        config["User"] = expand(rest, variables)
    elif word == "WORKDIR":
        path = expand(rest, variables)
        above = str(config.get("WorkingDir") or "/").rstrip("/")
        config["WorkingDir"] = path if path.startswith("/") else f"{above}/{path}"
    else:
        pairs = _pairs(rest, variables)
        if word == "LABEL":
            config["Labels"] = {**(config.get("Labels") or {}), **pairs}
        else:
            known = dict(one.split("=", 1) for one in config.get("Env") or ())
            config["Env"] = [f"{name}={value}" for name, value in {**known, **pairs}.items()]


def read_command(text: str) -> list[str]:
    """
    Return the words of a command: a JSON list, or a line for the shell.
    """
    try:
        words = json.loads(text)
    except ValueError:
        words = None
    if isinstance(words, list):
        return [str(one) for one in words]
    return ["/bin/sh", "-c", text]


def read_changes(changes: Sequence[str]) -> dict[str, Any]:
    """
    Return the configuration of an image that *changes* make.

    Raises:
        ValueError: one cannot be read.
    """
    config: dict[str, Any] = {}
    for instruction in _instructions("\n".join(changes)):
        apply_to_config(config, instruction, {})
    return config


def _pairs(text: str, variables: Mapping[str, str]) -> dict[str, str]:
    if "=" not in text.split(None, 1)[0]:
        name, _, value = text.partition(" ")
        return {name: expand(value.strip(), variables)}
    pairs: dict[str, str] = {}
    for word in shlex.split(text):
        name, separator, value = word.partition("=")
        if not separator:
            raise ValueError(f"{word!r} has no =")
        pairs[name] = expand(value, variables)
    return pairs


def _unquoted(text: str) -> str:
    return "".join(shlex.split(text)) if text else ""
