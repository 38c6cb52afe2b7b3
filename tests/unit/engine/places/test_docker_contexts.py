"""Docker's contexts, as the docker command writes them."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_codex_workspace.engine.places import docker_contexts

if TYPE_CHECKING:
    from pathlib import Path


def write(where: Path, name: str, endpoint: Any, *files: str) -> None:
    """
    Write a context, with files of TLS.
    """
    digest = hashlib.sha256(name.encode()).hexdigest()
    meta = where / "contexts" / "meta" / digest
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": endpoint}}))
    tls = where / "contexts" / "tls" / digest / "docker"
    tls.mkdir(parents=True)
    for file in files:
        (tls / file).touch()


@pytest.mark.parametrize(
    ("endpoint", "files", "expected"),
    [
        ({"Host": "tcp://h:1"}, [], None),
        ({"Host": "tcp://h:1"}, ["ca.pem"], ("ca.pem", False, True)),
        ({"Host": "tcp://h:1"}, ["cert.pem", "key.pem"], ("", True, True)),
        (
            {"Host": "tcp://h:1", "SkipTLSVerify": False},
            ["ca.pem", "cert.pem", "key.pem"],
            ("ca.pem", True, True),
        ),
        ({"Host": "tcp://h:1", "SkipTLSVerify": True}, [], ("", False, False)),
        ({"Host": "unix:///x", "SkipTLSVerify": True}, ["ca.pem"], None),
        ({"Host": "ssh://h"}, ["ca.pem"], None),
    ],
)
def test_the_files_of_a_context_say_how_tls_is_spoken(
    tmp_path: Path, endpoint: Any, files: list[str], expected: tuple[str, bool, bool] | None
) -> None:
    """
    As for the docker command, each of them may be missing. A context that asks for TLS never ends
    in a connection without it.
    """
    write(tmp_path, "work", endpoint, *files)

    place = docker_contexts.context_place("work", {"DOCKER_CONFIG": str(tmp_path)})

    assert (endpoint["Host"], "") == (place.url, place.problem)
    tls = place.tls
    got = tls and (tls.ca_cert.rpartition("/")[2], tls.cert is not None, tls.verify)
    assert expected == got


def test_half_a_certificate_is_told(tmp_path: Path) -> None:
    """
    It would not be accepted anyway.
    """
    write(tmp_path, "work", {"Host": "tcp://h:1"}, "ca.pem", "cert.pem")

    place = docker_contexts.context_place("work", {"DOCKER_CONFIG": str(tmp_path)})

    assert "one is missing" in place.problem


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "{}", '{"Endpoints": []}', "\udcff"])
def test_damaged_contexts_are_told_and_not_raised(tmp_path: Path, text: str) -> None:
    """
    Whatever the file has.
    """
    write(tmp_path, "work", {})
    file = next(tmp_path.glob("contexts/meta/*/meta.json"))
    file.write_bytes(text.encode(errors="surrogateescape"))
    environ = {"DOCKER_CONFIG": str(tmp_path)}

    assert docker_contexts.context_place("work", environ).problem
    assert [] == docker_contexts.context_names(environ)


def test_the_variable_comes_before_the_file(tmp_path: Path) -> None:
    """
    `default` is the built-in context in both.
    """
    (tmp_path / "config.json").write_text('{"currentContext": "file"}')
    environ = {"DOCKER_CONFIG": str(tmp_path)}

    assert "file" == docker_contexts.current_context(environ)
    assert "" == docker_contexts.current_context({**environ, "DOCKER_CONTEXT": "default"})
    assert "mine" == docker_contexts.current_context({**environ, "DOCKER_CONTEXT": "mine"})
    assert docker_contexts.config_problem(environ) is None


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_damaged_configuration_names_no_context(tmp_path: Path, text: str) -> None:
    """
    What is wrong with it can be told.
    """
    (tmp_path / "config.json").write_text(text)
    environ = {"DOCKER_CONFIG": str(tmp_path)}

    assert "" == docker_contexts.current_context(environ)
    assert "cannot be read" in docker_contexts.config_problem(environ).problem


def test_names_are_those_that_docker_accepts() -> None:
    """
    None looks like a URL or a path.
    """
    assert docker_contexts.is_context_name("desktop-linux")
    assert not any(map(docker_contexts.is_context_name, ("", "-x", "a:b", "../x", "a/b", "a\n")))
