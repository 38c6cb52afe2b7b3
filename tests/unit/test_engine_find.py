"""Which engine is chosen, and what is said when there is none."""

from __future__ import annotations

import hashlib
import json
import socket
from typing import TYPE_CHECKING

import pytest

from pytest_codex_workspace.engine import find
from pytest_codex_workspace.errors import EngineUnavailable

from .stub_engine import DOCKER, stub_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEFAULT = "unix:///var/run/docker.sock"


class Recorder:
    """
    Stands in for `DockerEngine`: notes what is tried, and answers at one address.
    """

    def __init__(self) -> None:
        self.tried: list[str] = []
        self.certificates: list[object] = []
        self.answers_at = ""
        self.reason = "no such socket"

    def __call__(self, url: str, tls: object = None) -> str:
        self.tried.append(url)
        self.certificates.append(tls)
        if url == self.answers_at:
            return f"engine at {url}"
        raise EngineUnavailable(self.reason)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Recorder:
    """
    No engine anywhere, and no docker configuration.
    """
    recorder = Recorder()
    monkeypatch.setattr(find, "DockerEngine", recorder)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    return recorder


def add_context(where: Path, name: str, host: str, *, current: bool = False) -> Path:
    """
    Write a docker context; the directory for its certificates.
    """
    digest = hashlib.sha256(name.encode()).hexdigest()
    meta = where / "contexts" / "meta" / digest / "meta.json"
    meta.parent.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": False}
    meta.write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}))
    (where / "config.json").write_text(json.dumps({"currentContext": name} if current else {}))
    return where / "contexts" / "tls" / digest / "docker"


def add_certificates(where: Path) -> None:
    """
    Write the three files that docker looks for.
    """
    where.mkdir(parents=True, exist_ok=True)
    for name in ("ca", "cert", "key"):
        (where / f"{name}.pem").write_text("")


def test_what_led_to_an_engine_is_told(recorder: Recorder) -> None:
    """
    For whoever wonders why it is this one.
    """
    recorder.answers_at = DEFAULT
    assert (f"engine at {DEFAULT}", "the default socket") == find.locate_engine("auto", {})

    recorder.answers_at = "unix:///other"
    host = {"DOCKER_HOST": "unix:///other"}
    assert ("engine at unix:///other", "DOCKER_HOST") == find.locate_engine("auto", host)


@pytest.mark.parametrize(
    ("choice", "environ", "expected"),
    [
        (
            "auto",
            {},
            [
                DEFAULT,
                "unix:///run/user/7/docker.sock",
                "unix:///run/user/7/podman/podman.sock",
                "unix:///run/podman/podman.sock",
            ],
        ),
        ("docker", {}, [DEFAULT, "unix:///run/user/7/docker.sock"]),
        ("podman", {}, ["unix:///run/user/7/podman/podman.sock", "unix:///run/podman/podman.sock"]),
        ("auto", {"DOCKER_HOST": "tcp://10.0.0.1:2375"}, ["tcp://10.0.0.1:2375"]),
        ("docker", {"DOCKER_HOST": "ssh://me@there"}, ["ssh://me@there"]),
        (
            "podman",
            {"DOCKER_HOST": "ssh://me@there"},
            ["unix:///run/user/7/podman/podman.sock", "unix:///run/podman/podman.sock"],
        ),
        ("unix:///my.sock", {"DOCKER_HOST": "ssh://me@there"}, ["unix:///my.sock"]),
        (
            "auto",
            {"DOCKER_HOST": ""},
            [
                DEFAULT,
                "unix:///run/user/7/docker.sock",
                "unix:///run/user/7/podman/podman.sock",
                "unix:///run/podman/podman.sock",
            ],
        ),
    ],
)
def test_what_is_tried(
    recorder: Recorder, choice: str, environ: dict[str, str], expected: list[str]
) -> None:
    """
    Each choice has its places, in order; a place named by the user is the only one.
    """
    with pytest.raises(EngineUnavailable) as caught:
        find.find_engine(choice, {"XDG_RUNTIME_DIR": "/run/user/7", **environ})

    assert expected == recorder.tried
    assert all(f"{url}: no such socket" in str(caught.value) for url in expected)


def test_first_that_answers(recorder: Recorder) -> None:
    """
    The search ends where an engine answers.
    """
    recorder.answers_at = "unix:///run/user/7/docker.sock"

    engine = find.find_engine("auto", {"XDG_RUNTIME_DIR": "/run/user/7"})

    assert "engine at unix:///run/user/7/docker.sock" == engine
    assert [DEFAULT, recorder.answers_at] == recorder.tried


def test_docker_desktop_without_the_usual_socket(recorder: Recorder, tmp_path: Path) -> None:
    """
    Docker Desktop's own socket is looked for where it is.
    """
    place = tmp_path / ".docker" / "run" / "docker.sock"
    place.parent.mkdir(parents=True)
    place.touch()
    recorder.answers_at = f"unix://{place}"

    assert find.find_engine("docker", {"HOME": str(tmp_path)})


@pytest.mark.parametrize(("environ", "current"), [({}, True), ({"DOCKER_CONTEXT": "work"}, False)])
def test_docker_context(
    recorder: Recorder, tmp_path: Path, environ: dict[str, str], current: bool
) -> None:
    """
    The current context, or the one that the environment names, is used with its certificates.
    """
    add_certificates(add_context(tmp_path, "work", "tcp://10.0.0.2:2376", current=current))
    recorder.answers_at = "tcp://10.0.0.2:2376"

    find.find_engine("auto", environ)

    assert [recorder.answers_at] == recorder.tried
    (certificates,) = recorder.certificates
    assert certificates.verify
    assert certificates.ca_cert.endswith("ca.pem")


def test_docker_host_goes_before_the_context(recorder: Recorder, tmp_path: Path) -> None:
    """
    As with the docker command.
    """
    add_context(tmp_path, "work", "tcp://10.0.0.2:2376", current=True)
    recorder.answers_at = "unix:///mine.sock"

    find.find_engine("auto", {"DOCKER_HOST": "unix:///mine.sock", "DOCKER_CONTEXT": "work"})

    assert ["unix:///mine.sock"] == recorder.tried


def test_default_context_is_no_context(recorder: Recorder) -> None:
    """
    The context `default` stands for the usual search.
    """
    recorder.answers_at = DEFAULT

    assert find.find_engine("auto", {"DOCKER_CONTEXT": "default"})


def test_missing_context(recorder: Recorder) -> None:
    """
    A context that is not there is named, and no other engine is taken instead.
    """
    with pytest.raises(EngineUnavailable, match=r"'gone'.*docker context ls"):
        find.find_engine("auto", {"DOCKER_CONTEXT": "gone"})

    assert [] == recorder.tried


def test_damaged_context(recorder: Recorder, tmp_path: Path) -> None:
    """
    A context that cannot be read is an error of ours, not of the JSON parser.
    """
    add_context(tmp_path, "work", "tcp://10.0.0.2:2376", current=True)
    next(tmp_path.glob("contexts/meta/*/meta.json")).write_text("{")

    with pytest.raises(EngineUnavailable, match=r"'work'.*cannot be read"):
        find.find_engine("auto", {})


def test_certificates_for_docker_host(recorder: Recorder, tmp_path: Path) -> None:
    """
    `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH` hold for a TCP address.
    """
    add_certificates(tmp_path)
    recorder.answers_at = "tcp://10.0.0.1:2376"
    environ = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}

    find.find_engine("auto", {"DOCKER_HOST": recorder.answers_at, **environ})
    find.find_engine(recorder.answers_at, environ)

    assert [True, True] == [one.verify for one in recorder.certificates]


def test_missing_certificates(recorder: Recorder, tmp_path: Path) -> None:
    """
    Certificates that are not there are the reason, and nothing is tried without them.
    """
    environ = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path / "none")}

    with pytest.raises(EngineUnavailable, match="DOCKER_CERT_PATH"):
        find.find_engine("tcp://10.0.0.1:2376", environ)

    assert [] == recorder.tried


@pytest.mark.parametrize("choice", ["", "dokcer", "http//x", "npipe:////./pipe/docker_engine"])
def test_unknown_choice(recorder: Recorder, choice: str) -> None:
    """
    What is accepted is said.
    """
    with pytest.raises(EngineUnavailable, match="auto, docker, podman, or a URL"):
        find.find_engine(choice, {})


def test_path_instead_of_a_url(recorder: Recorder) -> None:
    """
    A path is answered with the URL that was probably meant.
    """
    with pytest.raises(EngineUnavailable, match=r"did you mean unix:///run/my\.sock"):
        find.find_engine("/run/my.sock", {})


@pytest.mark.parametrize(
    ("choice", "environ", "advice"),
    [
        ("auto", {}, "apt-get install docker.io"),
        ("podman", {}, "systemctl --user start podman.socket"),
        ("auto", {"DOCKER_HOST": "tcp://10.0.0.1:1"}, "unset DOCKER_HOST"),
        ("auto", {"DOCKER_CONTEXT": "gone"}, "docker context use"),
        ("unix:///my.sock", {}, "Start that engine"),
    ],
)
def test_next_step(recorder: Recorder, choice: str, environ: dict[str, str], advice: str) -> None:
    """
    The last line says what to do, which depends on who named the engine.
    """
    with pytest.raises(EngineUnavailable) as caught:
        find.find_engine(choice, environ)

    assert advice in str(caught.value).splitlines()[-1]


def test_permission_denied_names_the_group(recorder: Recorder, tmp_path: Path) -> None:
    """
    The group is that of the socket.
    """
    recorder.reason = "permission denied"

    with pytest.raises(EngineUnavailable, match="add yourself to group docker"):
        find.find_engine(f"unix://{tmp_path}/none.sock", {})


def test_no_such_socket(tmp_path: Path) -> None:
    """
    A socket that is not there.
    """
    with pytest.raises(EngineUnavailable, match=r"none\.sock: no such socket"):
        find.find_engine(f"unix://{tmp_path}/none.sock", {})


def test_nobody_listens(tmp_path: Path) -> None:
    """
    A socket left behind by an engine that has ended.
    """
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "left.sock"))

        with pytest.raises(EngineUnavailable, match="connection refused"):
            find.find_engine(f"unix://{tmp_path}/left.sock", {})


def test_refused_tcp_port() -> None:
    """
    A TCP port where nothing listens is not reported as a timeout.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))

        with pytest.raises(EngineUnavailable, match="connection refused"):
            find.find_engine(f"tcp://127.0.0.1:{taken.getsockname()[1]}", {})


def test_tcp_without_a_port() -> None:
    """
    The SDK's objection is passed on.
    """
    with pytest.raises(EngineUnavailable, match="port is required"):
        find.find_engine("tcp://127.0.0.1", {})


def test_ssh_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What ssh printed, and the command to try, are in the text.
    """
    (tmp_path / "ssh").write_text(
        "#!/bin/sh\necho 'Permission denied (publickey).' >&2\nexit 255\n"
    )
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EngineUnavailable) as caught:
        find.find_engine("ssh://me@engine.example:2222", {})

    assert "Permission denied (publickey)" in str(caught.value)
    assert "-l me -p 2222 -- engine.example docker version` must work" in str(caught.value)


def test_no_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A machine without ssh.
    """
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EngineUnavailable, match="'ssh'"):
        find.find_engine("ssh://engine.example", {})


@pytest.fixture
def answers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """
    The address of something that answers `/version` as the test says.
    """
    with stub_engine(tmp_path, request.param) as stub:
        yield stub.url


@pytest.mark.parametrize("answers", ["<html>", {}, [], {"ApiVersion": None}], indirect=True)
def test_no_engine_at_all(answers: str) -> None:
    """
    A web server is not taken for an engine.
    """
    with pytest.raises(EngineUnavailable, match="it is no container engine"):
        find.find_engine(answers, {})


@pytest.mark.parametrize("answers", [{**DOCKER, "ApiVersion": "1.40"}], indirect=True)
def test_old_engine(answers: str) -> None:
    """
    An engine that is too old is told from none, with the version that will do.
    """
    with pytest.raises(EngineUnavailable, match=r"1\.40.*1\.41 \(Docker 20\.10.*update"):
        find.find_engine(answers, {})


@pytest.mark.parametrize("answers", [DOCKER], indirect=True)
def test_engine(answers: str) -> None:
    """
    Something that answers as an engine does is one.
    """
    engine = find.find_engine(answers, {})

    assert answers == engine.url
    engine.close()
