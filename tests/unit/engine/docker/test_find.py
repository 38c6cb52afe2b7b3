"""Tests of finding an engine, and of the error when there is none."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, NoReturn

import pytest

# Loaded here, and not by a run inside of this one, whose modules pytester forgets.
from pytest_codex_workspace.engine.docker import engine, find
from pytest_codex_workspace.engine.places import podman_connections, podman_service
from pytest_codex_workspace.errors import EngineUnavailable

from ....helpers.stub_engine import DOCKER, stub_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEFAULT = "unix:///var/run/docker.sock"


class Recorder:
    """
    Replaces `DockerEngine`: records each address, and answers at one of them.
    """

    def __init__(self) -> None:
        self.tried: list[str] = []
        self.certificates: list[object] = []
        self.ways: list[object] = []
        self.answers_at = ""
        self.reason = "no such socket"

    def __call__(self, url: str, tls: object = None, ssh: object = None) -> str:
        self.tried.append(url)
        self.ways.append(ssh)
        self.certificates.append(tls)
        if url == self.answers_at:
            return f"engine at {url}"
        raise EngineUnavailable(self.reason)


def no_namespaces(url: str) -> NoReturn:
    raise EngineUnavailable(f"no namespaces for {url}")


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Recorder:
    """
    A machine without engines and docker configuration.
    """
    recorder = Recorder()
    monkeypatch.setattr(engine, "DockerEngine", recorder)
    monkeypatch.setattr(find, "open_engine", no_namespaces)
    monkeypatch.setattr(podman_connections, "_SYSTEM", ())
    monkeypatch.setattr(podman_service, "can_start_podman", lambda _: False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return recorder


def add_context(where: Path, name: str, host: str, *, current: bool = False) -> Path:
    """
    Write a docker context, and return the directory for its certificates.
    """
    digest = hashlib.sha256(name.encode()).hexdigest()
    where = where / ".docker"
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


def test_the_setting_that_led_to_an_engine_is_returned(recorder: Recorder) -> None:
    """
    `doctor` shows it.
    """
    recorder.answers_at = DEFAULT
    assert (f"engine at {DEFAULT}", "the default socket", ()) == find.locate_engine("auto", {})

    recorder.answers_at = "unix:///other"
    host = {"DOCKER_HOST": "unix:///other"}
    assert ("engine at unix:///other", "DOCKER_HOST", ()) == find.locate_engine("auto", host)


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
def test_the_choice_says_which_addresses_are_tried(
    recorder: Recorder, choice: str, environ: dict[str, str], expected: list[str]
) -> None:
    """
    The addresses have an order. An address that the user named is the only one.
    """
    with pytest.raises(EngineUnavailable) as caught:
        find.find_engine(choice, {"XDG_RUNTIME_DIR": "/run/user/7", **environ})

    assert expected == recorder.tried
    assert all(f"{url}: no such socket" in str(caught.value) for url in expected)


@pytest.mark.parametrize(
    ("reason", "environ", "opened"),
    [
        ("no such socket", {}, True),
        # One that is down for a minute has the images.
        ("connection refused", {}, False),
        ("no such socket", {"DOCKER_HOST": DEFAULT}, False),
        ("no such socket", {"CONTAINER_HOST": "unix:///my.sock"}, False),
    ],
)
def test_no_engine_is_needed_where_none_is_there(
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    reason: str,
    environ: dict[str, str],
    opened: bool,
) -> None:
    """
    Linux has the one without a daemon, unless an engine is named, or there.
    """
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(find, "open_engine", lambda url: f"engine at {url}")
    recorder.reason = reason
    environ = {"XDG_CACHE_HOME": str(tmp_path), **environ}

    if opened:
        found = find.locate_engine("auto", environ)
        assert f"engine at native://{tmp_path}/codex-workspace/native" == found.engine
        assert (("no daemon: Linux namespaces"), ()) == found[1:]
    else:
        with pytest.raises(EngineUnavailable) as caught:
            find.find_engine("auto", environ)
        named = environ.keys() - {"XDG_CACHE_HOME"}
        assert ("no daemon" in str(caught.value)) is not bool(named)


def test_the_first_engine_that_answers_is_used(recorder: Recorder) -> None:
    """
    The search ends there.
    """
    recorder.answers_at = "unix:///run/user/7/docker.sock"

    engine = find.find_engine("auto", {"XDG_RUNTIME_DIR": "/run/user/7"})

    assert "engine at unix:///run/user/7/docker.sock" == engine
    assert [DEFAULT, recorder.answers_at] == recorder.tried


@pytest.mark.parametrize(("environ", "current"), [({}, True), ({"DOCKER_CONTEXT": "work"}, False)])
def test_a_docker_context_is_used_with_its_certificates(
    recorder: Recorder, tmp_path: Path, environ: dict[str, str], current: bool
) -> None:
    """
    The context is the current one, or the one that the environment names.
    """
    add_certificates(add_context(tmp_path, "work", "tcp://10.0.0.2:2376", current=current))
    recorder.answers_at = "tcp://10.0.0.2:2376"

    find.find_engine("auto", environ)

    assert [recorder.answers_at] == recorder.tried
    (certificates,) = recorder.certificates
    assert certificates.verify
    assert certificates.ca_cert.endswith("ca.pem")


def test_docker_host_takes_precedence_over_the_context(recorder: Recorder, tmp_path: Path) -> None:
    """
    The docker command does the same.
    """
    add_context(tmp_path, "work", "tcp://10.0.0.2:2376", current=True)
    recorder.answers_at = "unix:///mine.sock"

    find.find_engine("auto", {"DOCKER_HOST": "unix:///mine.sock", "DOCKER_CONTEXT": "work"})

    assert ["unix:///mine.sock"] == recorder.tried


def test_the_default_context_means_the_usual_search(recorder: Recorder) -> None:
    """
    Docker calls its built-in context `default`.
    """
    recorder.answers_at = DEFAULT

    assert find.find_engine("auto", {"DOCKER_CONTEXT": "default"})


def test_a_missing_context_is_an_error(recorder: Recorder) -> None:
    """
    The error names the context, and no other engine is used.
    """
    with pytest.raises(EngineUnavailable, match=r"'gone'.*docker context ls"):
        find.find_engine("auto", {"DOCKER_CONTEXT": "gone"})

    assert [] == recorder.tried


def test_a_damaged_context_is_an_error(recorder: Recorder, tmp_path: Path) -> None:
    """
    The error is ours, not that of the JSON parser.
    """
    add_context(tmp_path, "work", "tcp://10.0.0.2:2376", current=True)
    next(tmp_path.glob(".docker/contexts/meta/*/meta.json")).write_text("{")

    with pytest.raises(EngineUnavailable, match=r"'work'.*cannot be read"):
        find.find_engine("auto", {})


def test_certificates_are_used_for_a_tcp_address(recorder: Recorder, tmp_path: Path) -> None:
    """
    `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH` name them.
    """
    add_certificates(tmp_path)
    recorder.answers_at = "tcp://10.0.0.1:2376"
    environ = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}

    find.find_engine("auto", {"DOCKER_HOST": recorder.answers_at, **environ})
    find.find_engine(recorder.answers_at, environ)

    assert [True, True] == [one.verify for one in recorder.certificates]


def test_missing_certificates_are_an_error(recorder: Recorder, tmp_path: Path) -> None:
    """
    The address is not tried without them.
    """
    environ = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path / "none")}

    with pytest.raises(EngineUnavailable, match="DOCKER_CERT_PATH"):
        find.find_engine("tcp://10.0.0.1:2376", environ)

    assert [] == recorder.tried


@pytest.mark.parametrize("choice", ["", "dokcer", "http//x", "npipe:////./pipe/docker_engine"])
def test_an_unknown_choice_is_an_error(recorder: Recorder, choice: str) -> None:
    """
    The error lists the accepted values.
    """
    with pytest.raises(EngineUnavailable, match="auto, docker, podman, native, or a URL"):
        find.find_engine(choice, {})


def test_a_path_gets_a_hint_with_the_url(recorder: Recorder) -> None:
    """
    The user probably meant a `unix://` URL.
    """
    with pytest.raises(EngineUnavailable, match=r"\(did you mean 'unix:///run/my\.sock'\?\)"):
        find.find_engine("/run/my.sock", {})


@pytest.mark.parametrize(
    ("choice", "environ", "advice"),
    [
        ("auto", {}, "apt-get install docker.io"),
        ("docker", {}, "Linux needs none: --codex-engine=native."),
        ("podman", {}, "systemctl --user start podman.socket"),
        ("auto", {"DOCKER_HOST": "tcp://10.0.0.1:1"}, "unset DOCKER_HOST"),
        ("auto", {"DOCKER_CONTEXT": "gone"}, "docker context use"),
        ("unix:///my.sock", {}, "Start that engine"),
    ],
)
def test_the_last_line_of_the_error_says_what_to_do(
    recorder: Recorder, choice: str, environ: dict[str, str], advice: str
) -> None:
    """
    The advice depends on the setting that named the engine.
    """
    with pytest.raises(EngineUnavailable) as caught:
        find.find_engine(choice, environ)

    last = str(caught.value).splitlines()[-1]
    assert advice in last
    # That one was among those that were tried.
    assert choice != "auto" or "native" not in last


@pytest.mark.parametrize(
    ("mode", "group", "named", "mine", "advice"),
    [
        (0o660, 4711, "docker", [], "add yourself to its group docker (`sudo usermod -aG docker"),
        (0o660, 4711, "wheel", [100], "add yourself to its group wheel (`sudo usermod -aG wheel"),
        (0o660, 4711, "docker", [4711], "a member of its group docker since your last login"),
        (0o660, 0, "root", [], "only root may write to that socket"),
        (0o600, 4711, "docker", [], "only root may write to that socket"),
        (0o660, 4711, None, [], "run as a user who may write to that socket"),
        (None, 4711, "docker", [], "run as a user who may write to that socket"),
    ],
)
def test_permission_denied_names_a_group_only_if_it_helps(
    recorder: Recorder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: int | None,
    group: int,
    named: str | None,
    mine: list[int],
    advice: str,
) -> None:
    """
    A group helps that owns the socket and may write to it; that of root would give more than that.
    """
    recorder.reason = "permission denied"
    path = tmp_path / "engine.sock"
    if mode is not None:
        path.touch()
    state = SimpleNamespace(st_gid=group, st_uid=0, st_mode=mode)
    real = find.Path.stat
    monkeypatch.setattr(
        find.Path, "stat", lambda one: state if one == path and mode is not None else real(one)
    )

    def name_of(_: int) -> SimpleNamespace:
        if named is None:
            raise KeyError
        return SimpleNamespace(gr_name=named)

    monkeypatch.setattr(find.grp, "getgrgid", name_of)
    monkeypatch.setattr(find.os, "getgrouplist", lambda *_: mine)

    with pytest.raises(EngineUnavailable) as caught:
        find.find_engine(f"unix://{path}", {})

    assert advice in str(caught.value)
    assert ("usermod" in str(caught.value)) == ("usermod" in advice)


@pytest.mark.parametrize(
    ("choice", "hint"), [("dokcer", "'docker'"), ("podmn", "'podman'"), ("/x.sock", "'unix:///x")]
)
def test_a_mistyped_engine_is_suggested(choice: str, hint: str) -> None:
    """
    A path gets the scheme of a socket.
    """
    with pytest.raises(EngineUnavailable, match="did you mean") as caught:
        find.find_engine(choice, {})

    assert hint in str(caught.value)


def test_a_missing_socket_is_reported(tmp_path: Path) -> None:
    """
    The reason is not the number of a system error.
    """
    with pytest.raises(EngineUnavailable, match=r"none\.sock: no such socket"):
        find.find_engine(f"unix://{tmp_path}/none.sock", {})


def test_a_socket_without_a_listener_is_reported(tmp_path: Path) -> None:
    """
    An engine that has ended leaves such a socket behind.
    """
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "left.sock"))

        with pytest.raises(EngineUnavailable, match="connection refused"):
            find.find_engine(f"unix://{tmp_path}/left.sock", {})


def test_a_refused_tcp_port_is_not_reported_as_a_timeout() -> None:
    """
    urllib3 treats a refused connection as a timeout.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))

        with pytest.raises(EngineUnavailable, match="connection refused"):
            find.find_engine(f"tcp://127.0.0.1:{taken.getsockname()[1]}", {})


def test_a_failure_of_ssh_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The error has the message of ssh, and a command to try.
    """
    (tmp_path / "ssh").write_text(
        "#!/bin/sh\necho 'Permission denied (publickey).' >&2\nexit 255\n"
    )
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EngineUnavailable) as caught:
        find.find_engine("ssh://me@engine.example:2222", {})

    assert "Permission denied (publickey)" in str(caught.value)
    assert (
        "`ssh -T -o BatchMode=yes -l me -p 2222 -- engine.example docker version` must work"
    ) in str(caught.value)


def test_an_ssh_that_hangs_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The error has the limit and a command to try, and not the list of words of the one that hung.
    """
    (tmp_path / "ssh").write_text(
        '#!/bin/sh\ncase "$*" in *"docker version") exec /bin/sleep 60 ;; esac\nexit 255\n'
    )
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(find, "_SSH_TIMEOUT", 0.5)

    with pytest.raises(EngineUnavailable) as caught:
        find.find_engine("ssh://me@engine.example", {})

    assert "ssh did not end within 0.5 s; `ssh -T" in str(caught.value)
    assert "Command '[" not in str(caught.value)


def test_a_missing_ssh_command_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The error has a command to try.
    """
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EngineUnavailable, match="'ssh'"):
        find.find_engine("ssh://engine.example", {})


@pytest.fixture
def answers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """
    The address of a server that answers `/version` as the test says.
    """
    with stub_engine(tmp_path, request.param) as stub:
        yield stub.url


@pytest.mark.parametrize("answers", ["<html>", {}, [], {"ApiVersion": None}], indirect=True)
def test_a_web_server_is_not_an_engine(answers: str) -> None:
    """
    The error says that something else answers.
    """
    with pytest.raises(EngineUnavailable, match="it is not a container engine"):
        find.find_engine(answers, {})


@pytest.mark.parametrize("answers", [{**DOCKER, "ApiVersion": "1.40"}], indirect=True)
def test_an_engine_that_is_too_old_is_reported(answers: str) -> None:
    """
    The error has the oldest supported version.
    """
    with pytest.raises(EngineUnavailable, match=r"1\.40.*1\.41 \(Docker 20\.10.*update"):
        find.find_engine(answers, {})


@pytest.mark.parametrize("answers", [DOCKER], indirect=True)
def test_a_server_that_answers_like_an_engine_is_used(answers: str) -> None:
    """
    Nothing else is asked.
    """
    engine = find.find_engine(answers, {})

    assert answers == engine.url
    engine.close()


@pytest.mark.parametrize(
    ("choice", "environ", "way"),
    [
        ("work", {}, "the docker context 'work'"),
        ("context:work", {"DOCKER_HOST": "unix:///other"}, "the docker context 'work'"),
        ("default", {}, "the default socket"),
        ("default", {"DOCKER_HOST": "unix:///engine.sock"}, "DOCKER_HOST"),
        ("context:podman", {}, "the docker context 'podman'"),
    ],
)
def test_a_context_is_chosen_by_its_name(
    recorder: Recorder, tmp_path: Path, choice: str, environ: dict[str, str], way: str
) -> None:
    """
    A name has no colon, so it cannot be a URL; `context:` names one that is also a word.
    """
    add_context(tmp_path, "work", "unix:///engine.sock")
    add_context(tmp_path, "podman", "unix:///engine.sock")
    recorder.answers_at = "unix:///engine.sock" if "socket" not in way else DEFAULT

    assert way == find.locate_engine(choice, environ).origin
    assert [recorder.answers_at] == recorder.tried


def test_a_mistyped_context_is_suggested(recorder: Recorder, tmp_path: Path) -> None:
    """
    With and without the word before it.
    """
    add_context(tmp_path, "work-laptop", "unix:///engine.sock")

    with pytest.raises(EngineUnavailable, match=r"did you mean 'work-laptop'"):
        find.find_engine("work-lptop", {})
    with pytest.raises(EngineUnavailable, match=r"no context.*did you mean 'work-laptop'"):
        find.find_engine("context:work-lptop", {})


@pytest.mark.parametrize(
    ("environ", "tried", "program"),
    [
        ({"CONTAINER_HOST": "ssh://core@vm:2222/run/podman/podman.sock"}, "ssh://core@vm:2222", 1),
        ({"CONTAINER_CONNECTION": "far"}, "ssh://me@far", 1),
        ({}, "unix:///run/user/7/podman/podman.sock", 4),
    ],
)
def test_podmans_own_settings_are_honoured(
    recorder: Recorder, tmp_path: Path, environ: dict[str, str], tried: str, program: int
) -> None:
    """
    What a variable names is the only address. The default connection comes after the sockets.
    """
    settings = tmp_path / ".config" / "containers"
    settings.mkdir(parents=True)
    listed = {
        "far": {"URI": "ssh://me@far/run/podman/podman.sock"},
        "vm": {"URI": "ssh://core@127.0.0.1:7/run/p.sock", "IsMachine": True, "Identity": "/key"},
        "other": {"URI": "ssh://them@other"},
    }
    text = json.dumps({"Connection": {"Default": "far", "Connections": listed}})
    (settings / "podman-connections.json").write_text(text)

    with pytest.raises(EngineUnavailable):
        find.find_engine("podman", {"XDG_RUNTIME_DIR": "/run/user/7", **environ})

    assert recorder.tried[0].startswith(tried)
    assert program == len(recorder.tried)
    assert not any("other" in url for url in recorder.tried)
    assert {"podman"} == {one.program for one in recorder.ways if one.program != "docker"} or not (
        environ
    )


def test_engines_that_were_passed_over_are_told(tmp_path: Path, recorder: Recorder) -> None:
    """
    Only those that are there: a socket that does not exist is no news.
    """
    recorder.reason = "permission denied"
    recorder.answers_at = "unix:///run/user/7/docker.sock"

    found = find.locate_engine("auto", {"XDG_RUNTIME_DIR": "/run/user/7"})

    assert "rootless Docker" == found.origin
    (told,) = found.passed_over
    assert told.startswith(f"the default socket, {DEFAULT}: permission denied; ")

    recorder.reason = "no such socket"
    assert () == find.locate_engine("auto", {"XDG_RUNTIME_DIR": "/run/user/7"}).passed_over


def test_a_damaged_docker_configuration_is_told(tmp_path: Path, recorder: Recorder) -> None:
    """
    As the docker command does, the search goes on: a context may have been named there.
    """
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text("{")
    recorder.answers_at = DEFAULT

    (told,) = find.locate_engine("auto", {}).passed_over

    assert "config.json cannot be read" in told


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:2375", "tcp://127.0.0.1:2375: no such socket"),
        ("/run/my.sock", "did you mean 'unix:///run/my.sock'"),
        ("npipe:////./pipe/docker_engine", "must begin with unix://, tcp:// or ssh://"),
        ("ssh://-oProxyCommand=x", "is not the name of a host"),
        ("ssh://-l@host", "is not the name of a user"),
    ],
)
def test_addresses_in_docker_host_are_checked(recorder: Recorder, host: str, expected: str) -> None:
    """
    The docker command takes one without a scheme for TCP.
    """
    with pytest.raises(EngineUnavailable) as caught:
        find.find_engine("auto", {"DOCKER_HOST": host})

    assert expected in str(caught.value)


def test_the_authority_alone_is_enough_for_tls(recorder: Recorder, tmp_path: Path) -> None:
    """
    An engine need not ask for a certificate. Half of one is a mistake.
    """
    environ = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    recorder.answers_at = "tcp://10.0.0.1:2376"
    (tmp_path / "ca.pem").touch()

    find.find_engine(recorder.answers_at, environ)

    (certificates,) = recorder.certificates
    assert (True, None) == (certificates.verify, certificates.cert)
    (tmp_path / "cert.pem").touch()
    with pytest.raises(EngineUnavailable, match=r"key\.pem cannot be read"):
        find.find_engine(recorder.answers_at, environ)


def test_podman_is_asked_where_there_is_no_docker_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The other machine has the engine that it has. An address does not tell which.
    """
    with stub_engine(tmp_path, DOCKER) as stub:
        (tmp_path / "ssh").write_text(
            f"""#!{sys.executable}
import os, socket, sys, threading
*_, program, _, _ = sys.argv if sys.argv[-1] == "dial-stdio" else [*sys.argv, ""]
if program != "podman":
    sys.exit("sh: 1: docker: not found")
engine = socket.socket(socket.AF_UNIX)
engine.connect({str(tmp_path / "engine.sock")!r})

def up():
    while data := os.read(0, 999):
        engine.sendall(data)

threading.Thread(target=up, daemon=True).start()
while data := engine.recv(999):
    os.write(1, data)
"""
        )
        (tmp_path / "ssh").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

        found = find.locate_engine("ssh://me@engine.example", {})
        found.engine.close()

    assert "the engine option" == found.origin
    assert ["GET /version"] == stub.calls
    (told,) = found.passed_over
    assert "docker: not found" in told


def test_what_talks_to_a_daemon_is_loaded_with_the_first_daemon():
    """
    It takes as long as a native workspace, which needs none of it.
    """
    code = (
        "import sys\n"
        "from pytest_codex_workspace import session\n"
        "from pytest_codex_workspace.engine.docker import find\n"
        "print({'docker', 'requests', 'urllib3'} & sys.modules.keys())"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "set()\n" == done.stdout
