"""Tests of the Docker implementation, against a socket that answers from a table."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pytest_codex_workspace.engine.docker.engine import DockerEngine
from pytest_codex_workspace.engine.protocol import ContainerSpec
from pytest_codex_workspace.errors import EngineError, EngineUnavailable, ImageBuildError

from ....helpers.fake_workspaces import tar_of
from ....helpers.stub_engine import DOCKER, PODMAN, StubEngine, stub_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE = {"Id": "sha256:" + "a" * 64, "RepoTags": ["localhost/x:1"], "Config": {"Labels": None}}

SPEC = ContainerSpec("x:1", ["cmd"], "name")


@contextmanager
def connected(where: Path, about: Any = DOCKER) -> Iterator[tuple[DockerEngine, StubEngine]]:
    """
    Return a client of the stub.
    """
    with stub_engine(where, about) as stub:
        engine = DockerEngine(stub.url)
        yield engine, stub
        engine.close()


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[tuple[DockerEngine, StubEngine]]:
    """
    A client of the oldest supported Docker.
    """
    with connected(tmp_path) as both:
        yield both


@pytest.fixture
def podman(tmp_path: Path) -> Iterator[tuple[DockerEngine, StubEngine]]:
    """
    A client of Podman.
    """
    with connected(tmp_path, PODMAN) as both:
        yield both


def test_addresses_of_the_host_on_a_network(docker: tuple[DockerEngine, StubEngine]) -> None:
    """
    An engine may name a gateway that a container has, or none in the words of its language.
    """
    engine, stub = docker
    configured = [{"Gateway": "172.18.0.1"}, {"Gateway": "172.18.0.2"}, {"Gateway": "fd00::2"}]
    about = {
        "IPAM": {"Config": [*configured, {"Gateway": "<nil>"}, {"Subnet": "fd01::/64"}]},
        "Containers": {"a": {"IPv4Address": "172.18.0.2/16", "IPv6Address": "fd00::2/64"}},
    }
    stub.answers["GET /networks/n"] = (200, about)
    assert ["172.18.0.1"] == engine.host_addresses("n")

    stub.answers["GET /networks/n"] = (200, {"IPAM": {"Config": None}, "Containers": None})
    assert [] == engine.host_addresses("n")


@pytest.mark.parametrize(
    ("newest", "oldest", "spoken"),
    [
        ("1.41", "1.12", "1.41"),
        ("1.43", "1.12", "1.43"),
        ("1.99", "1.24", None),
        ("1.99", "1.98", "1.98"),
        ("1.41", None, "1.41"),
    ],
)
def test_the_api_version_is_negotiated(
    tmp_path: Path, newest: str, oldest: str | None, spoken: str | None
) -> None:
    """
    Both sides use the newest version that they share, or the engine's oldest if that is newer.
    """
    from docker.constants import DEFAULT_DOCKER_API_VERSION

    about = {**DOCKER, "ApiVersion": newest, "MinAPIVersion": oldest}
    with connected(tmp_path, about) as (engine, stub):
        engine.image("x")

    assert f"GET /v{spoken or DEFAULT_DOCKER_API_VERSION}/images/x/json" == stub.calls[-1]


def test_an_engine_describes_itself(docker: tuple[DockerEngine, StubEngine]) -> None:
    """
    Docker's default network is `bridge`. The engine is asked for its storage only once.
    """
    engine, stub = docker
    stub.answers["GET /info"] = (200, {"Driver": "overlay2"})

    assert "bridge" == engine.egress_network
    assert ("docker", "overlay2") == (engine.version()["name"], engine.version()["storage"])
    assert 1 == stub.calls.count("GET /v1.41/info")


@pytest.mark.parametrize("answer", ["no JSON", {}, []])
def test_a_registry_answer_without_a_digest_is_an_error(
    docker: tuple[DockerEngine, StubEngine], answer: object
) -> None:
    """
    No other name is tried.
    """
    engine, stub = docker
    name = "example.org/x/y"
    stub.answers[f"GET /distribution/{name}:latest/json"] = (200, answer)

    with pytest.raises(
        EngineError, match="up in its registry: the registry's answer has no digest"
    ):
        engine.registry_digest(name, 5)
    digest = {"Descriptor": {"digest": "sha256:1"}}
    stub.answers[f"GET /distribution/{name}:2/json"] = (200, digest)
    assert "sha256:1" == engine.registry_digest(f"{name}:2", 5)
    stub.answers[f"GET /distribution/{name}@sha256:1/json"] = (200, digest)
    assert "sha256:1" == engine.registry_digest(f"{name}@sha256:1", 5)


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("write /x: no space left on device", "codex-workspace clean"),
        ("could not find an available, non-overlapping IPv4 address pool", "network prune"),
        ("all predefined address pools have been fully subnetted", "network prune"),
        ("could not find free subnet from subnet pools", "network prune"),
        ("No such image: x:1", "pull the image first"),
        ("failed to find image x:1: localhost/x:1: image not known", "pull the image first"),
        ("something else", "something else"),
    ],
)
def test_a_refusal_says_what_to_do(
    docker: tuple[DockerEngine, StubEngine], words: str, advice: str
) -> None:
    """
    The error has the engine's own message, the action and, for known messages, the next step.
    """
    engine, stub = docker
    stub.answers["POST /containers/create"] = (500, {"message": words})

    with pytest.raises(EngineError) as caught:
        engine.create(SPEC)

    assert words in str(caught.value)
    assert "create the container name from x:1" in str(caught.value)
    assert advice in str(caught.value).splitlines()[-1]
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_refusal_that_is_not_json_is_passed_on(docker: tuple[DockerEngine, StubEngine]) -> None:
    """
    An example is the error page of a proxy.
    """
    engine, stub = docker
    stub.answers["POST /containers/create"] = (502, "Bad Gateway")

    with pytest.raises(EngineError, match="Bad Gateway"):
        engine.create(SPEC)


def test_an_engine_that_hangs_up_is_unavailable(docker: tuple[DockerEngine, StubEngine]) -> None:
    """
    The error names the address and the action.
    """
    engine, stub = docker
    stub.answers["POST /containers/create"] = (None, None)

    with pytest.raises(EngineUnavailable) as caught:
        engine.create(SPEC)

    expected = f"{stub.url} stopped responding, so it could not create the container"
    assert expected in str(caught.value)


def test_a_container_is_created_without_further_rights(
    docker: tuple[DockerEngine, StubEngine],
) -> None:
    """
    Its input is open once, and the image's entrypoint is not used.
    """
    engine, stub = docker
    stub.answers["POST /containers/create"] = (201, {"Id": "new"})

    engine.create(SPEC)

    body = json.loads(stub.bodies[-1])
    assert (True, True, False) == (body["OpenStdin"], body["StdinOnce"], body["Tty"])
    assert ([""], ["cmd"]) == (body["Entrypoint"], body["Cmd"])
    assert {"Privileged", "Binds", "Mounts", "Devices"}.isdisjoint(body["HostConfig"])
    assert "NetworkingConfig" not in body


def test_a_removal_waits_for_another_removal(docker: tuple[DockerEngine, StubEngine]) -> None:
    """
    The status 409 says that another removal is under way.
    """
    engine, stub = docker
    place = "DELETE /containers/c"
    stub.answers[place] = (409, {"message": "removal of container c is already in progress"})
    replies = iter([stub.answers[place], stub.answers[place], (404, {"message": "gone"})])
    stub.answers = Replies(stub.answers, place, replies)

    engine.remove("c")

    assert 3 == stub.calls.count("DELETE /v1.41/containers/c")


def test_a_removal_waits_for_the_end_of_a_container(
    podman: tuple[DockerEngine, StubEngine],
) -> None:
    """
    Podman refuses it if the container ends just before it is killed.
    """
    engine, stub = podman
    place = "DELETE /v4.0.0/libpod/containers/c"
    words = "as it could not be stopped: sending SIGKILL to container c: container state improper"
    replies = iter([(500, {"message": words}), (200, "[]")])
    stub.answers = Replies(stub.answers, place, replies)

    engine.remove("c")

    assert [place] * 2 == stub.calls[-2:]


class Replies(dict[str, Any]):
    """
    A table of answers, one of which changes from call to call.
    """

    def __init__(self, rest: dict[str, Any], place: str, replies: Iterator[Any]) -> None:
        super().__init__(rest)
        self._place = place
        self._replies = replies

    def get(self, call: str, default: Any = None) -> Any:
        return next(self._replies) if call == self._place else super().get(call, default)


def test_an_untagged_image_has_no_tags(docker: tuple[DockerEngine, StubEngine]) -> None:
    """
    The engine's `<none>:<none>` is not a tag.
    """
    engine, stub = docker
    nameless = {"RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"]}
    stub.answers["GET /images/json"] = (200, json.dumps([{"Id": "1", "Labels": None, **nameless}]))

    (image,) = engine.images({})

    assert ((), (), {}) == (image.tags, image.digests, image.labels)
    # Podman 4 refuses a filter without a value.
    assert {} == stub.queries[-1]


def test_the_engine_is_asked_for_one_label(docker: tuple[DockerEngine, StubEngine]) -> None:
    """
    With two, Podman 4.3 lists no image. The others are looked for in its answer.
    """
    engine, stub = docker
    listed = [
        {"Id": "1", "Labels": {"a": "", "b": "c d"}},
        {"Id": "2", "Labels": {"b": "c d"}},
        {"Id": "3", "Labels": {"a": "", "b": "other"}},
        {"Id": "4", "Labels": None},
    ]
    stub.answers["GET /images/json"] = (200, json.dumps(listed))

    found = engine.images({"a": None, "b": "c d"})

    assert ["1"] == [one.id for one in found]
    assert {"label": ["b=c d"]} == json.loads(stub.queries[-1]["filters"][0])


def test_a_build_failure_names_the_step_and_its_output(
    docker: tuple[DockerEngine, StubEngine],
) -> None:
    """
    The output was passed on before.
    """
    engine, stub = docker
    stub.answers["POST /build"] = (
        200,
        [
            {"stream": "Step 1/2 : FROM x"},
            {"stream": "\n"},
            {"stream": "Step 2/2 : RUN make\n"},
            {"stream": "no rule\n"},
            {"errorDetail": {"code": 2, "message": "returned a non-zero code: 2"}},
        ],
    )
    lines: list[str] = []

    with pytest.raises(ImageBuildError) as caught:
        build(engine, lines.append)

    assert ["Step 1/2 : FROM x", "Step 2/2 : RUN make", "no rule"] == lines
    assert "build the image x:1: returned a non-zero code: 2" in str(caught.value)
    assert "failed step: Step 2/2 : RUN make\nLast lines of output:\nno rule" in str(caught.value)


def build(engine: DockerEngine, on_line: Any) -> None:
    """
    Start a build; the stub answers from its table.
    """
    engine.build(
        io.BytesIO(b"tar"), dockerfile="D", tag="x:1", labels={}, args={"A": "b"}, on_line=on_line
    )


def test_a_refused_build_is_a_build_error(docker: tuple[DockerEngine, StubEngine]) -> None:
    """
    The engine may refuse a build before its first step.
    """
    engine, stub = docker
    stub.answers["POST /build"] = (400, {"message": "dockerfile parse error"})

    with pytest.raises(ImageBuildError, match="dockerfile parse error"):
        build(engine, print)


def test_an_error_of_the_callback_is_passed_through(
    docker: tuple[DockerEngine, StubEngine],
) -> None:
    """
    A closed terminal does not mean that the engine stopped responding.
    """
    engine, stub = docker
    stub.answers["POST /build"] = (200, [{"stream": "Step 1/1 : FROM x\n"}])

    def closed(line: str) -> None:
        raise BrokenPipeError(line)

    with pytest.raises(BrokenPipeError, match="Step 1/1"):
        build(engine, closed)


def test_a_pull_that_fails_after_status_200_is_an_error(
    docker: tuple[DockerEngine, StubEngine],
) -> None:
    """
    The engine reports errors in the body of its answer.
    """
    engine, stub = docker
    stub.answers["POST /images/create"] = (
        200,
        [{"status": "Pulling"}, {"error": "manifest unknown"}],
    )

    with pytest.raises(EngineError, match="pull the image there/x:1: manifest unknown"):
        engine.pull("there/x:1", lambda _: None)


def test_an_import_that_fails_after_status_200_is_an_error(
    docker: tuple[DockerEngine, StubEngine],
) -> None:
    """
    The engine reports errors in the body of its answer.
    """
    engine, stub = docker
    stub.answers["POST /images/create"] = (200, [{"error": "no space left on device"}])

    with pytest.raises(EngineError, match=r"(?s)import the image x:1.*codex-workspace clean"):
        engine.import_image(io.BytesIO(b"tar"), tag="x:1", changes=[])


def test_a_refused_archive_is_an_error_of_the_call(docker: tuple[DockerEngine, StubEngine]) -> None:
    """
    The error is raised before the first piece is read.
    """
    engine, stub = docker
    stub.answers["GET /containers/c/archive"] = (404, {"message": "Could not find the file /x"})

    with pytest.raises(EngineError, match="read /x in the container c: Could not find"):
        engine.get_archive("c", "/x")


def test_podman_keeps_our_images_under_localhost(podman: tuple[DockerEngine, StubEngine]) -> None:
    """
    Callers never see that prefix. Images of registries are found as well.
    """
    engine, stub = podman
    stub.answers["GET /images/localhost/x:1/json"] = (200, IMAGE)
    stub.answers["GET /images/debian:trixie/json"] = (200, {**IMAGE, "Id": "debian"})
    stub.answers["POST /images/localhost/x:1/tag"] = (201, {})

    assert ("x:1",) == engine.image("x:1").tags
    assert "debian" == engine.image("debian:trixie").id
    engine.tag("x:1", "y:2")
    assert {"repo": ["localhost/y"], "tag": ["2"]} == stub.queries[-1]
    assert engine.image("quay.io/x:1") is None
    assert "GET /v1.41/images/quay.io/x:1/json" == stub.calls[-1]
    assert "podman" == engine.egress_network


def test_podman_removes_a_tag_by_its_name(podman: tuple[DockerEngine, StubEngine]) -> None:
    """
    A removal by the image's id would remove all tags.
    """
    engine, stub = podman
    stub.answers["DELETE /images/localhost/x:1"] = (200, "[]")

    engine.remove_image("x:1")

    assert ["DELETE /v1.41/images/localhost/x:1"] == stub.calls[1:]


def test_podman_tags_an_import_in_a_second_call(podman: tuple[DockerEngine, StubEngine]) -> None:
    """
    Podman ignores the tag of an import.
    """
    engine, stub = podman
    stub.answers["POST /images/create"] = (200, {"status": "a" * 64})
    stub.answers[f"POST /images/{'a' * 64}/tag"] = (201, {})
    stub.answers[f"GET /images/{'a' * 64}/json"] = (200, IMAGE)
    stub.answers["GET /images/localhost/x:1/json"] = (200, IMAGE)

    image = engine.import_image(io.BytesIO(b"tar"), tag="x:1", changes=["CMD x"])

    assert IMAGE["Id"] == image.id
    assert {"fromSrc": ["-"], "changes": ["CMD x"]} == stub.queries[1]
    assert {"repo": ["localhost/x"], "tag": ["1"]} == next(
        query for query in stub.queries if "repo" in query
    )


LABELS = {"n": 'a "b"\n$c'}


@pytest.mark.parametrize("kept", [True, False])
def test_podman_names_a_commit_in_a_second_call(
    podman: tuple[DockerEngine, StubEngine], kept: bool
) -> None:
    """
    Labels that the image lacks, as old versions ignore them, get into it by those of a container.
    """
    engine, stub = podman
    made, marked = "a" * 64, "b" * 64
    ids = iter([made, marked])
    stub.answers["POST /commit"] = (201, lambda: {"Id": next(ids)})
    labels = LABELS if kept else None
    stub.answers[f"GET /images/{made}/json"] = (200, {"Id": made, "Config": {"Labels": labels}})
    labelled = {"Id": marked, "Config": {"Labels": LABELS}}
    stub.answers[f"GET /images/{marked}/json"] = (200, labelled)
    stub.answers["POST /containers/create"] = (201, {"Id": "d"})
    stub.answers["DELETE /containers/d"] = (204, "")
    for one in (made, marked):
        stub.answers[f"POST /images/{one}/tag"] = (201, "")
    stub.answers["GET /images/localhost/x:1/json"] = (200, {**labelled, "Id": "named"})

    assert "named" == engine.commit("c", tag="x:1", labels=LABELS).id

    assert {"container": ["c"], "pause": ["1"]} == stub.queries[1]
    assert {"Labels": LABELS} == json.loads(stub.bodies[1])
    assert f"POST /v1.41/images/{made if kept else marked}/tag" in stub.calls
    asked = [json.loads(b) for c, b in zip(stub.calls, stub.bodies, strict=True) if "create" in c]
    assert asked == ([] if kept else [{"Image": made, "Labels": LABELS}])
    assert kept or "DELETE /v1.41/containers/d" in stub.calls


@pytest.mark.parametrize(
    ("reason", "pauses"),
    [
        ("pausing: can not pause containers on rootless containers with cgroup V1", ["1", "0"]),
        ("no space left on device", ["1"]),
    ],
)
def test_a_container_that_cannot_be_paused_is_committed_as_it_runs(
    podman: tuple[DockerEngine, StubEngine], reason: str, pauses: list[str]
) -> None:
    """
    Podman refuses to pause without root on cgroups v1. Another refusal is an error.
    """
    engine, stub = podman

    def refuse() -> dict[str, str]:
        stub.answers["POST /commit"] = (201, {"Id": "a"})
        return {"message": reason}

    stub.answers["POST /commit"] = (500, refuse)
    stub.answers["GET /images/a/json"] = (200, {"Id": "a", "Config": {"Labels": {"n": "1"}}})

    if len(pauses) == 2:
        assert engine.commit("c", tag=None, labels={"n": "1"}).id == "a"
    else:
        with pytest.raises(EngineError, match=reason):
            engine.commit("c", tag=None, labels={"n": "1"})

    commits = [q for c, q in zip(stub.calls, stub.queries, strict=True) if "/commit" in c]
    assert [one["pause"] for one in commits] == [[pause] for pause in pauses]


def test_podman_gets_no_padding(podman: tuple[DockerEngine, StubEngine]) -> None:
    """
    It fails sometimes if something follows the end of an archive.
    """
    engine, stub = podman
    stub.answers["HEAD /containers/c/archive"] = (200, "")
    stub.answers["PUT /containers/c/archive"] = (200, "")
    archive = tar_of("/a", b"1")
    whole = archive.getvalue()

    engine.put_archive("c", "/tmp", archive)

    assert stub.bodies[-1] == whole[:2048]


def test_a_network_in_use_is_removed_by_its_name(podman: tuple[DockerEngine, StubEngine]) -> None:
    """
    Podman removes it by its id although containers use it.
    """
    engine, stub = podman
    stub.answers["GET /networks/0123"] = (200, {"Name": "n"})
    stub.answers["DELETE /networks/n"] = (500, {"message": "network is being used"})

    with pytest.raises(EngineError, match="remove the network 0123: network is being used"):
        engine.remove_network("0123")
    engine.remove_network("gone")


def test_podman_kills_what_is_removed(podman: tuple[DockerEngine, StubEngine]) -> None:
    """
    Its answer to Docker's call waits for the container, and refuses if another has joined it.
    """
    engine, stub = podman
    stub.answers["DELETE /v4.0.0/libpod/containers/c"] = (200, "[]")

    engine.remove("c")

    wanted = {"force": ["1"], "volumes": ["1"], "timeout": ["0"], "depend": ["1"]}
    assert wanted == stub.queries[-1]


def test_an_archive_needs_a_directory(podman: tuple[DockerEngine, StubEngine]) -> None:
    """
    Podman makes one that is missing. A container that is missing is told as such.
    """
    engine, stub = podman
    stub.answers["PUT /containers/c/archive"] = (404, {"message": "no such container"})

    with pytest.raises(EngineError, match="no such container"):
        engine.put_archive("c", "/missing", io.BytesIO(b"tar"))
    stub.answers["GET /containers/c/json"] = (
        200,
        {"Id": "c", "Name": "/c", "State": {"Running": True}, "Image": "i", "Config": {}},
    )
    with pytest.raises(EngineError, match="there is no /missing"):
        engine.put_archive("c", "/missing", io.BytesIO(b"tar"))
    assert 1 == stub.calls.count("PUT /v1.41/containers/c/archive")


def test_an_archive_that_is_cut_is_an_error(docker: tuple[DockerEngine, StubEngine]) -> None:
    """
    An engine may end it as if it were whole. An empty one is asked for again.
    """
    engine, stub = docker
    answers = iter([b"", b"", b"a" * 512 + bytes(1024), b"a" * 512 + bytes(1000)])
    stub.answers["GET /containers/c/archive"] = (200, lambda: next(answers))

    assert 1536 == sum(map(len, engine.get_archive("c", "/x")))
    with pytest.raises(EngineError, match=r"read /x in the container c: the archive .* not whole"):
        list(engine.get_archive("c", "/x"))
    assert next(answers, None) is None


def test_the_message_of_a_refusal_in_the_form_of_progress(
    docker: tuple[DockerEngine, StubEngine],
) -> None:
    """
    Podman refuses a push so.
    """
    engine, stub = docker
    body = {"errorDetail": {"message": "denied"}, "error": "denied"}
    stub.answers["POST /images/x/push"] = (500, body)

    with pytest.raises(EngineError, match=r"push the image x: denied$"):
        engine.push("x", lambda _: None)


def test_the_protocol_and_the_fake_do_not_import_docker() -> None:
    """
    They do not import the dependencies of docker either.
    """
    code = (
        "import sys, tests.fakes.engine, pytest_codex_workspace.engine.protocol;"
        "sys.exit(any(name in sys.modules for name in ('docker', 'requests', 'urllib3')))"
    )

    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode


@pytest.mark.parametrize(
    ("call", "answer", "make"),
    [
        ("POST /containers/create", {"Id": "x"}, lambda engine: engine.create(SPEC)),
        (
            "POST /networks/create",
            {"Id": "x"},
            lambda engine: engine.create_network("x", internal=True, labels={}),
        ),
    ],
)
def test_an_interrupt_waits_for_the_object_that_is_being_created(docker, call, answer, make):
    """
    Ctrl-C is raised when the engine has answered, so that the clean-up finds the object.
    """
    engine, stub = docker
    stub.answers["GET /images/x:1/json"] = (200, IMAGE)
    created = threading.Event()

    def create() -> dict[str, str]:
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(0.2)
        created.set()
        return answer

    stub.answers[call] = (201, create)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            make(engine)
    finally:
        signal.signal(signal.SIGINT, before)

    assert created.is_set()
