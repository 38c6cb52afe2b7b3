"""What every engine must do: the same tests for the fake and for the machine's own."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from pathlib import Path

import pytest

from pytest_codex_workspace.errors import EngineError, ImageBuildError

from .conftest import CAT, IMAGE, Bench, drain, sh, tar_of, untar, wait_until

BIG = 50 * 1024 * 1024

BUILT = IMAGE + "-built"


def test_version_says_what_the_engine_is(bench: Bench) -> None:
    """
    The facts that cache keys and reports are made of are there.
    """
    version = bench.engine.version()

    assert {"name", "version", "api", "os", "arch", "storage", "root"} <= set(version)
    assert all(version.values())


# Images.


def test_image_found_by_tag_and_id(bench: Bench) -> None:
    """
    An image is found by its tag and by its id, with its labels unharmed.
    """
    image = bench.engine.image(IMAGE)

    assert image is not None
    assert IMAGE in image.tags
    assert image == bench.engine.image(image.id)
    assert image.labels["contract.origin"] == 'an "image" for $5 \\ more'


def test_unknown_image_is_none(bench: Bench) -> None:
    """
    Looking for an image that is not there is no error.
    """
    assert bench.engine.image("codex-workspace-emulator-test:never-made") is None


def test_tag_moves(bench: Bench) -> None:
    """
    A tag is taken from the image that had it.
    """
    tag = f"{IMAGE}-moving"
    bench.undo.callback(bench.engine.remove_image, tag)
    first = bench.engine.commit(bench.create(), tag=tag, labels={"n": "1"})
    second = bench.engine.commit(bench.create(), tag=None, labels={"n": "2"})
    bench.undo.callback(bench.engine.remove_image, first.id)

    bench.engine.tag(second.id, tag)

    assert second.id == bench.engine.image(tag).id
    assert bench.engine.image(first.id).tags == ()


def test_removing_an_unknown_image_is_no_error(bench: Bench) -> None:
    """
    What is gone need not be removed.
    """
    bench.engine.remove_image("codex-workspace-emulator-test:never-made")


def test_image_in_use_stays(bench: Bench) -> None:
    """
    The image of a container cannot be removed.
    """
    bench.run()

    with pytest.raises(EngineError, match="could not remove the image"):
        bench.engine.remove_image(IMAGE)

    assert bench.engine.image(IMAGE) is not None


def test_pull_of_what_no_registry_has(bench: Bench) -> None:
    """
    A failed pull names the image.
    """
    with pytest.raises(EngineError, match="localhost:1/never/made:1"):
        bench.engine.pull("localhost:1/never/made:1", lambda _: None)


# Builds.


def build(bench: Bench, dockerfile: str, lines: list[str]) -> object:
    """
    Build *dockerfile* as the test's second image.
    """
    bench.undo.callback(bench.engine.remove_image, BUILT)
    return bench.engine.build(
        tar_of({"Dockerfile": dockerfile.encode()}),
        dockerfile="Dockerfile",
        tag=BUILT,
        labels={"built": 'with "quotes" and\nlines'},
        args={"BASE": IMAGE},
        on_line=lines.append,
    )


def test_build(bench: Bench) -> None:
    """
    A build shows its steps and output, and its image has the labels.
    """
    lines: list[str] = []

    image = build(bench, "ARG BASE\nFROM ${BASE}\nRUN printf 'built here'\n", lines)

    assert image == bench.engine.image(BUILT)
    assert image.labels["built"] == 'with "quotes" and\nlines'
    assert image.labels["contract.origin"] == 'an "image" for $5 \\ more'
    assert any(re.match(r"(?i)step 3/\d ?: RUN printf", line) for line in lines)
    assert "built here" in lines


def test_failed_build_names_step_and_output(bench: Bench) -> None:
    """
    The error has the step that failed and what it printed.
    """
    lines: list[str] = []

    with pytest.raises(ImageBuildError) as caught:
        build(bench, f"FROM {IMAGE}\nRUN printf 'went wrong'; exit 3\n", lines)

    assert re.search(r"(?i)failed at step 2/\d ?: RUN printf", str(caught.value))
    assert "went wrong" in str(caught.value)
    assert "non-zero code: 3" in str(caught.value)
    assert bench.engine.image(BUILT) is None


def test_build_without_a_dockerfile(bench: Bench) -> None:
    """
    A context that lacks the Dockerfile is a build error, too.
    """
    with pytest.raises(ImageBuildError, match="Missing"):
        bench.engine.build(
            tar_of({"other": b""}),
            dockerfile="Missing",
            tag=BUILT,
            labels={},
            args={},
            on_line=lambda _: None,
        )


# Containers.


def test_unknown_image_cannot_be_run(bench: Bench) -> None:
    """
    The error has the image's name and says what to do.
    """
    with pytest.raises(EngineError, match=r"(?i)no such image: .*never-made"):
        bench.create(image="codex-workspace-emulator-test:never-made")


def test_name_in_use(bench: Bench) -> None:
    """
    Two containers cannot have one name.
    """
    spec = bench.spec()
    bench.undo.callback(bench.engine.remove, bench.engine.create(spec))

    with pytest.raises(EngineError, match="already in use"):
        bench.engine.create(spec)


def test_unknown_container(bench: Bench) -> None:
    """
    Each call says that there is no such container, or that there is nothing to do.
    """
    engine, name = bench.engine, "codex-workspace-never-made"

    assert engine.container(name) is None
    engine.remove(name)
    for call in (engine.start, engine.attach):
        with pytest.raises(EngineError, match=r"(?i)no such container"):
            call(name)
    with pytest.raises(EngineError, match=r"(?i)no such container"):
        engine.commit(name, tag=None, labels={})


def test_environment_reaches_the_command_unharmed(bench: Bench) -> None:
    """
    Quotes, dollars, line ends and non-ASCII letters are not interpreted on the way.
    """
    value = "a \"b\" 'c' $HOME \\ \n ü="

    output = bench.output(sh('printf %s "$VALUE"'), environment={"VALUE": value})

    assert value.encode() == output


def test_end_of_input_ends_the_container(bench: Bench) -> None:
    """
    Closing the stream is the end of standard input, and auto-removal does the rest.
    """
    container, stream = bench.run()
    stream.send(b"hello")
    assert stream.receive() == (1, b"hello")

    stream.close()

    assert wait_until(lambda: bench.engine.container(container) is None, 2)


def test_what_was_sent_before_the_close_arrives(bench: Bench) -> None:
    """
    Closing does not take back what was sent, read or unread output notwithstanding.
    """
    container, stream = bench.run(sh("cat >/tmp/got") if is_real(bench) else CAT, auto_remove=False)
    stream.send(b"x" * 100_000)

    stream.close()

    assert wait_until(lambda: not bench.engine.container(container).running, 5)
    if is_real(bench):
        got = untar(bench.engine.get_archive(container, "/tmp/got"))
        assert got == {"got": b"x" * 100_000}


def is_real(bench: Bench) -> bool:
    """
    Whether containers have a file system that their commands write to.
    """
    return bench.engine.version()["name"] != "fake"


def test_close_wakes_a_blocked_receive(bench: Bench) -> None:
    """
    A thread that waits for output gets the end, and closing twice is fine.
    """
    _, stream = bench.run()
    got: list[tuple[int, bytes]] = []
    waiting = threading.Thread(target=lambda: got.append(stream.receive()))
    waiting.start()

    stream.close()
    stream.close()
    waiting.join(5)

    assert got == [(0, b"")]
    assert stream.receive() == (0, b"")


def test_sending_to_an_ended_container(bench: Bench) -> None:
    """
    A command that has ended takes no input, and says so with the builtin error.
    """
    _, stream = bench.run(sh("exit 0"))
    assert drain(stream) == b""

    def refused() -> bool:
        try:
            stream.send(b"anyone?")
        except ConnectionError:
            return True
        return False

    assert wait_until(refused, 5)


def test_large_data_both_ways(bench: Bench) -> None:
    """
    50 MB come back as they were sent, while they are being sent.
    """
    data = os.urandom(BIG)
    _, stream = bench.run()
    sender = threading.Thread(target=stream.send, args=(data,))
    sender.start()

    digest, size = hashlib.sha256(), 0
    while size < BIG:
        channel, piece = stream.receive()
        assert channel == 1
        digest.update(piece)
        size += len(piece)
    sender.join()

    assert hashlib.sha256(data).digest() == digest.digest()


def test_threads_send_whole_messages(bench: Bench) -> None:
    """
    What one thread sends is not torn apart by another.
    """
    count, size = 20, 300_001
    _, stream = bench.run()

    def send(letter: bytes) -> None:
        for _ in range(count):
            stream.send(letter * (size - 1) + b"\n")

    senders = [threading.Thread(target=send, args=(letter,)) for letter in (b"a", b"b")]
    for sender in senders:
        sender.start()
    lines = drain(stream, 2 * count * size).splitlines()
    for sender in senders:
        sender.join()

    assert {b"a" * (size - 1): count, b"b" * (size - 1): count} == {
        line: lines.count(line) for line in set(lines)
    }


def test_exit_code_of_a_kept_container(bench: Bench) -> None:
    """
    Without auto-removal the container stays, and says how it ended.
    """
    container, stream = bench.run(sh("printf 'bye'; exit 3"), auto_remove=False)

    assert drain(stream) == b"bye"
    assert wait_until(lambda: not bench.engine.container(container).running, 5)
    assert bench.engine.container(container).exit_code == 3


def test_created_container_has_no_exit_code(bench: Bench) -> None:
    """
    A container that has not been started has not ended either.
    """
    info = bench.engine.container(bench.create())

    assert (info.running, info.exit_code) == (False, None)


def test_remove_kills_and_may_be_repeated(bench: Bench) -> None:
    """
    When `remove` returns the container is gone, its stream has ended, and a second call is fine.
    """
    container, stream = bench.run()

    bench.engine.remove(container)

    assert bench.engine.container(container) is None
    assert drain(stream) == b""
    bench.engine.remove(container)


def test_remove_from_several_threads(bench: Bench) -> None:
    """
    Each of them returns when the container is gone.
    """
    container, stream = bench.run()
    left: list[object] = []

    def remove() -> None:
        bench.engine.remove(container)
        left.append(bench.engine.container(container))

    threads = [threading.Thread(target=remove) for _ in range(3)]
    # The engine's own removal takes part.
    stream.close()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert left == [None] * 3


def test_containers_by_label(bench: Bench) -> None:
    """
    All labels must be there; `None` stands for any value.
    """
    mark = bench.identity.id
    one = bench.create(labels={"contract.mark": mark, "contract.n": "1"})
    two = bench.create(labels={"contract.mark": mark, "contract.n": 'two "2"\n$2'})

    def found(**wanted: str | None) -> set[str]:
        labels = {f"contract.{name}": value for name, value in wanted.items()}
        return {info.id for info in bench.engine.containers(labels)}

    assert {one, two} == found(mark=mark)
    assert {one, two} == found(mark=mark, n=None)
    assert {two} == found(mark=mark, n='two "2"\n$2')
    assert set() == found(mark=mark, other=None)


# Files.


def test_archive_round_trip(bench: Bench) -> None:
    """
    Files go in before the start and come out again.
    """
    files = {"dir/a": b"1", "dir/b c": b"\x00" * 100_000}
    container = bench.create()

    bench.engine.put_archive(container, "/tmp", tar_of({"dir/": b"", **files}))

    assert files == untar(bench.engine.get_archive(container, "/tmp/dir"))
    assert untar(bench.engine.get_archive(container, "/tmp/dir/a")) == {"a": b"1"}


def test_archive_from_a_place_that_is_not_there(bench: Bench) -> None:
    """
    Reading a missing path, and unpacking below one, is refused by name.
    """
    container = bench.create()

    with pytest.raises(EngineError, match="/missing"):
        bench.engine.get_archive(container, "/missing")
    with pytest.raises(EngineError, match="/missing"):
        bench.engine.put_archive(container, "/missing", tar_of({"a": b"x" * 5_000_000}))


def test_commit_keeps_files_and_labels(bench: Bench) -> None:
    """
    A container of the committed image has the files; labels are added to those there were.
    """
    tag = f"{IMAGE}-committed"
    container = bench.create(labels={"contract.n": "1"})
    bench.engine.put_archive(container, "/tmp", tar_of({"kept": b"yes"}))

    image = bench.engine.commit(container, tag=tag, labels={"contract.note": 'a "b"\n$c \\'})
    bench.undo.callback(bench.engine.remove_image, tag)
    again = bench.create(image=tag)
    bench.undo.callback(bench.engine.remove, again)

    assert image == bench.engine.image(tag)
    assert image.labels == {
        "contract.note": 'a "b"\n$c \\',
        "contract.n": "1",
        "contract.origin": 'an "image" for $5 \\ more',
    }
    assert untar(bench.engine.get_archive(again, "/tmp/kept")) == {"kept": b"yes"}
    assert image.id in {one.id for one in bench.engine.images({"contract.note": None})}


def test_layers_stand_on_each_other(bench: Bench) -> None:
    """
    An image's layers begin with those of the image it was made from, and its size grows.
    """
    tag = f"{IMAGE}-layered"
    container = bench.create()
    bench.engine.put_archive(container, "/tmp", tar_of({"more": b"x" * 5000}))
    above = bench.engine.commit(container, tag=tag, labels={})
    bench.undo.callback(bench.engine.remove_image, tag)

    below = bench.engine.image(IMAGE)

    assert below.layers == above.layers[: len(below.layers)]
    assert len(above.layers) == len(below.layers) + 1
    assert above.size >= below.size + 5000
    assert bench.engine.container(container).image == below.id
    assert below.id in {one.image for one in bench.engine.containers({})}


def test_changes_of_a_container(bench: Bench) -> None:
    """
    What was added since its image, and what was written over.
    """
    container = bench.create()
    bench.engine.put_archive(container, "/tmp", tar_of({"kept": b"1"}))
    image = bench.engine.commit(container, tag=None, labels={})
    bench.undo.callback(bench.engine.remove_image, image.id)
    again = bench.create(image=image.id)
    bench.undo.callback(bench.engine.remove, again)
    assert [] == bench.engine.changes(again)

    bench.engine.put_archive(again, "/tmp", tar_of({"kept": b"changed", "new": b""}))

    found = {change.path: change.kind for change in bench.engine.changes(again)}
    assert ("changed", "added") == (found["/tmp/kept"], found["/tmp/new"])
    with pytest.raises(EngineError):
        bench.engine.changes("no-such-container")


def test_save_and_load(bench: Bench, tmp_path: Path) -> None:
    """
    An image comes back under its name, as it was.
    """
    tag = f"{IMAGE}-saved"
    bench.undo.callback(bench.engine.remove_image, tag)
    image = bench.engine.commit(bench.create(), tag=tag, labels={"contract.saved": "yes"})
    archive = tmp_path / "saved.tar"
    archive.write_bytes(b"".join(bench.engine.save([tag])))
    bench.engine.remove_image(tag)
    assert bench.engine.image(tag) is None

    with archive.open("rb") as file:
        bench.engine.load(file)

    found = bench.engine.image(tag)
    assert (image.id, image.labels) == (found.id, found.labels)
    with pytest.raises(EngineError):
        list(bench.engine.save([f"{IMAGE}-never-made"]))


def test_push_and_pull(bench: Bench, registry: str) -> None:
    """
    What was sent to a registry comes back from it.
    """
    tag = f"{registry}/contract:pushed"
    bench.undo.callback(bench.engine.remove_image, tag)
    image = bench.engine.commit(bench.create(), tag=tag, labels={"contract.pushed": "yes"})
    lines: list[str] = []
    bench.engine.push(tag, lines.append, 60)
    bench.engine.remove_image(tag)

    found = bench.engine.pull(tag, lines.append, 60)

    assert lines
    assert (image.id, image.labels, (tag,)) == (found.id, found.labels, found.tags)
    with pytest.raises(EngineError):
        bench.engine.pull(f"{registry}/contract:never-made", lines.append, 60)
    with pytest.raises(EngineError):
        bench.engine.push(f"{registry}/contract:never-made", lines.append, 60)


def test_a_registry_is_asked_without_a_pull(bench: Bench, registry: str) -> None:
    """
    It tells a digest of what it has, and the engine has as little as before.
    """
    tag = f"{registry}/contract:asked"
    bench.undo.callback(bench.engine.remove_image, tag)
    bench.engine.commit(bench.create(), tag=tag, labels={})
    bench.engine.push(tag, lambda _: None, 60)
    bench.engine.remove_image(tag)

    assert re.fullmatch(r"sha256:[0-9a-f]{64}", bench.engine.registry_digest(tag, 60))
    assert bench.engine.image(tag) is None
    with pytest.raises(EngineError, match=r"could not look the image .* up in its registry"):
        bench.engine.registry_digest(f"{registry}/contract:never-made", 60)


def test_commit_without_a_tag(bench: Bench) -> None:
    """
    The image has no name, is found by its labels, and goes by its id.
    """
    mark = {"contract.mark": bench.identity.id}

    image = bench.engine.commit(bench.create(), tag=None, labels=mark)

    assert image.tags == ()
    assert [image.id] == [one.id for one in bench.engine.images(mark)]
    bench.engine.remove_image(image.id)
    assert bench.engine.images(mark) == []


def test_commit_of_a_running_container_leaves_it_running(bench: Bench) -> None:
    """
    The container goes on afterwards as if nothing had happened.
    """
    container, stream = bench.run()

    image = bench.engine.commit(container, tag=None, labels={})
    bench.undo.callback(bench.engine.remove_image, image.id)
    stream.send(b"still here")

    assert stream.receive() == (1, b"still here")
    bench.engine.remove(container)


# Networks.


def test_network_life(bench: Bench) -> None:
    """
    A network is made, found by its labels, used, refuses to go while used, and goes.
    """
    engine = bench.engine
    name, mark = bench.identity.name("network"), {"contract.mark": bench.identity.id}

    network = engine.create_network(name, internal=True, labels=mark)
    bench.undo.callback(engine.remove_network, network.id)
    assert [network] == engine.networks(mark)
    assert [network] == engine.networks({"contract.mark": None, **mark})

    container, _ = bench.run(network=name, aliases=("box",))
    assert engine.container(container).addresses[name]
    with pytest.raises(EngineError, match="active endpoints"):
        engine.remove_network(network.id)

    engine.remove(container)
    engine.remove_network(network.id)
    assert engine.networks(mark) == []
    engine.remove_network(network.id)


def test_second_network(bench: Bench) -> None:
    """
    A connected container has an address on both networks.
    """
    engine = bench.engine
    name = bench.identity.name("network")
    network = engine.create_network(name, internal=True, labels={})
    bench.undo.callback(engine.remove_network, network.id)
    container = bench.create(network=name)

    engine.connect(engine.egress_network, container)
    engine.start(container)

    assert {name, engine.egress_network} == set(engine.container(container).addresses)
    engine.remove(container)


def test_shared_network_namespace(bench: Bench) -> None:
    """
    A container joins that of a running one, and not that of one which has not started.
    """
    holder, _ = bench.run()
    _, stream = bench.run(network=f"container:{holder}")
    stream.send(b"joined")
    assert stream.receive() == (1, b"joined")

    asleep = bench.create()
    with pytest.raises(EngineError, match="could not start"):
        bench.run(network=f"container:{asleep}")


def test_unknown_network(bench: Bench) -> None:
    """
    A container of a network that is not there does not start, and the error names it.
    """
    container = bench.create(network="never-made")

    with pytest.raises(EngineError, match="network never-made not found"):
        bench.engine.start(container)
