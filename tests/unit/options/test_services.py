"""Tests of `services:` in `.codex-workspace.yaml`: valid declarations, and each mistake."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from pytest_codex_workspace.errors import ConfigError
from pytest_codex_workspace.options.json_schema import schema
from pytest_codex_workspace.options.services import ReadyWhen, ServiceSpec
from pytest_codex_workspace.options.sources import FILE
from pytest_codex_workspace.options.trust import widenings

from ...helpers.configuration import resolve

VALIDATOR = jsonschema.Draft7Validator(schema())

WHOLE = """\
services:
  api:
    command: [./api, --port, 8080, --debug, on]
    ready: {path: run/api.sock, output: Listening, command: ./healthy}
    timeout: 2m
    env: {MODE: off, LEVEL: 3}
    cwd: backend
    user: 1000
    after: [redis, db]
    phase: test
  redis: redis-server
  db:
    command: "pg_ctl start && tail -f /dev/null"
    ready: {port: 5432, command: [pg_isready, -q]}
    after: redis
"""


def services_of(repo: Path, text: str) -> tuple[ServiceSpec, ...]:
    (repo / FILE).write_text(text)
    return resolve(repo).config.services


def test_services_are_in_the_order_in_which_they_start(tmp_path: Path) -> None:
    """
    In the order of the file, behind those that they wait for. Values are as they are written.
    """
    assert () == services_of(tmp_path, "image: slim")
    assert () == services_of(tmp_path, "services: {}")
    redis, db, api = services_of(tmp_path, WHOLE)

    assert redis.command_line == "redis-server"
    assert api.command_line == "./api --port 8080 --debug on"
    assert redis == ServiceSpec("redis", "redis-server", repository=tmp_path)
    assert db == ServiceSpec(
        "db",
        "pg_ctl start && tail -f /dev/null",
        ReadyWhen(port=5432, command=("pg_isready", "-q")),
        after=("redis",),
        repository=tmp_path,
    )
    assert api == ServiceSpec(
        "api",
        ("./api", "--port", "8080", "--debug", "on"),
        ReadyWhen(path="run/api.sock", output="Listening", command="./healthy"),
        120.0,
        {"MODE": "off", "LEVEL": "3"},
        "backend",
        "1000",
        ("redis", "db"),
        tmp_path,
    )
    assert "path run/api.sock, command ./healthy, output 'Listening'" == str(api.ready)
    assert "port 5432, command pg_isready -q" == str(db.ready)
    assert (True, False) == (bool(db.ready), bool(redis.ready))
    assert {"command": "redis-server", "timeout": 60.0} == redis.to_dict()
    assert [] == [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(WHOLE))]


def test_services_need_no_trust(tmp_path: Path) -> None:
    """
    They run inside of a workspace, as everything else of the repository does.
    """
    services_of(tmp_path, WHOLE)

    resolved = resolve(tmp_path, options={"repo_config": "read"})
    assert 3 == len(resolved.config.services)
    assert [] == widenings(resolved.values)
    assert f"{tmp_path / FILE}, line 11" == str(resolved.source("services.redis"))


MISTAKES = [
    ("services: [redis]", "line 1: services is a list; it must be a mapping of names to services"),
    ("services:", "line 1: services is nothing"),
    ("service: {}", "unknown key 'service' (did you mean 'services'?)"),
    ("services:\n  redis: {comand: a}", "unknown key 'comand' in services.redis (did you mean"),
    ("services:\n  redis: {ready: {port: 1}}", "line 2: services.redis has no command"),
    ("services:\n  redis: 12", "line 2: services.redis is a number; it must be a mapping"),
    ("services:\n  redis:", "line 2: services.redis is nothing; it must be a mapping"),
    ("services: {'a b': x}", "'a b' cannot be the name of a service"),
    ("services: {../x: y}", "'../x' cannot be the name of a service"),
    ("services: {a: {command: }}", "it has no value; services.a.command must be text"),
    ("services: {a: {command: 7}}", "services.a.command is a number; services.a.command must be"),
    ("services: {a: {command: ' '}}", "services.a.command has no value"),
    ("services: {a: {command: []}}", "services.a.command is empty; give the name of a program"),
    ("services: {a: {command: [[x]]}}", "a word of services.a.command is a list"),
    ('services: {a: {command: "a\\0b"}}', "services.a.command contains a NUL byte"),
    ("services: {a: {command: x, ready: 80}}", "services.a.ready is a number; it must be a map"),
    ("services: {a: {command: x, ready: {}}}", "services.a.ready is empty; give port, path"),
    ("services: {a: {command: x, ready: {prot: 1}}}", "unknown key 'prot' in services.a.ready"),
    ("services: {a: {command: x, ready: {port: 0}}}", "it must be a number up to 65535"),
    ("services: {a: {command: x, ready: {port: 65536}}}", "it must be a number up to 65535"),
    ("services: {a: {command: x, ready: {port: -1}}}", "services.a.ready.port is '-1'"),
    ("services: {a: {command: x, ready: {path: [b]}}}", "services.a.ready.path is a list"),
    ("services: {a: {command: x, timeout: soon}}", "services.a.timeout is 'soon'; it must be a du"),
    ("services: {a: {command: x, timeout: 0}}", "it must be a duration above 0"),
    ("services: {a: {command: x, timeout: 2h}}", "services.a.timeout is '2h'; the limit is 3600 s"),
    ("services: {a: {command: x, env: [B=1]}}", "services.a.env is a list; it must be a mapping"),
    ("services: {a: {command: x, env: {B-C: 1}}}", "services.a.env: 'B-C' is not a valid name"),
    ("services: {a: {command: x, env: {B: }}}", "services.a.env.B is nothing; it must be text"),
    ("services: {a: {command: x, phase: setup}}", "services start after both scripts"),
    ("services: {a: {command: x, after: [b]}}", "services.a.after: no service 'b'"),
    (
        "services:\n  a: {command: x, after: a}",
        "line 2: services wait for each other by `after`: a",
    ),
    (
        "services:\n  a: x\n  b: {command: x, after: c}\n  c: {command: x, after: [a, b]}",
        "line 3: services wait for each other by `after`: b, c",
    ),
    (
        "services:\n  a: {command: x, ready: {port: 1}}\n  b: {command: x, ready: {port: 1}}",
        "line 3: services.b and services.a both listen on port 1",
    ),
    ("services: {a: x}\nservices: {b: y}", "services is defined twice"),
    (
        "services: {" + ", ".join(f"s{number}: x" for number in range(21)) + "}",
        "services has 21 entries; the limit is 20",
    ),
]


@pytest.mark.parametrize(("text", "words"), MISTAKES)
def test_a_mistake_is_explained(tmp_path: Path, text: str, words: str) -> None:
    """
    The error names the file, the line, and what is valid.
    """
    with pytest.raises(ConfigError) as caught:
        services_of(tmp_path, text)

    assert f"{tmp_path / FILE}, line " in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        text
        for text, words in MISTAKES
        if not any(word in words for word in ("after", "both", "twice", "NUL", "' '", "soon", "2h"))
        and "' '" not in text
    ],
)
def test_an_editor_underlines_the_same_mistakes(text: str) -> None:
    """
    As far as a schema can tell.
    """
    assert not VALIDATOR.is_valid(yaml.safe_load(text))
