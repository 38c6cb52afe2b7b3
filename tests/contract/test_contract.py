"""Tests that every engine must pass: the fake and the machine's engine."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from pathlib import Path

import pytest

from pytest_codex_workspace.errors import EngineError, ImageBuildError

from .conftest import CAT, IMAGE, LIMIT, Bench, drain, sh, tar_of, untar, wait_until

BIG = 50 * 1024 * 1024

BUILT = IMAGE + "-built"

BUILT_LABEL = 'with "quotes", $dollars, \\ and\nlines'


def test_an_engine_describes_itself(bench: Bench) -> None:
    """
    Cache keys and reports use these facts.
    """
    version = bench.engine.version()

    assert {"name", "version", "api", "os", "arch", "storage", "root", "modes"} <= set(version)
    assert all(value for name, value in version.items() if name != "modes")


# Images.


def test_an_image_is_found_by_tag_and_id(bench: Bench) -> None:
    """
    Its labels are unchanged.
    """
    image = bench.engine.image(IMAGE)

    assert image is not None
    assert IMAGE in image.tags
    assert image == bench.engine.image(image.id)
    assert image.labels["contract.origin"] == "an image for more"


def test_an_unknown_image_is_none(bench: Bench) -> None:
    """
    Looking for a missing image is not an error.
    """
    assert bench.engine.image("codex-workspace-emulator-test:never-made") is None


def test_what_to_do_about_an_unknown_image(bench: Bench) -> None:
    """
    Whoever names an image that is not there is told to get it first.
    """
    name = "codex-workspace-emulator-test:never-made"

    for call in (
        lambda: bench.engine.tag(name, f"{IMAGE}-other"),
        lambda: b"".join(bench.engine.save([name])),
        lambda: bench.create(image=name),
    ):
        with pytest.raises(EngineError, match="never-made") as refused:
            call()
        assert "pull the image first" in refused.value.remedy


def test_a_tag_moves_to_another_image(bench: Bench) -> None:
    """
    The image that had the tag loses it.
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
    An image that is gone need not be removed.
    """
    bench.engine.remove_image("codex-workspace-emulator-test:never-made")

    assert bench.engine.image("codex-workspace-emulator-test:never-made") is None


def test_an_image_in_use_cannot_be_removed(bench: Bench) -> None:
    """
    A container uses the image.
    """
    bench.run()

    with pytest.raises(EngineError, match="could not remove the image"):
        bench.engine.remove_image(IMAGE)

    assert bench.engine.image(IMAGE) is not None


def test_a_failed_pull_names_the_image(bench: Bench) -> None:
    """
    No registry has this image.
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
        labels={"built": BUILT_LABEL},
        args={"BASE": IMAGE},
        on_line=lines.append,
    )


def test_a_build_shows_its_steps_and_output(bench: Bench) -> None:
    """
    The image has the labels as they are given, and its name is that of no other image.
    """
    lines: list[str] = []

    # Output is shown once: a build cache may keep steps for days.
    words = f"built here {time.monotonic_ns()}"
    image = build(bench, f"ARG BASE\nFROM ${{BASE}}\nRUN printf '{words}'\n", lines)

    assert image == bench.engine.image(BUILT)
    assert image.labels["built"] == BUILT_LABEL
    assert image.labels["contract.origin"] == "an image for more"
    assert [image.id] == [one.id for one in bench.engine.images({}) if BUILT in one.tags]
    assert any(re.match(r"(?i)step \d/\d ?: RUN printf", line) for line in lines)
    assert words in lines


def test_a_build_can_stop_after_a_stage_and_another_goes_on_from_it(bench: Bench) -> None:
    """
    The later stages are not run, an image without a name is not listed by one, and what was done
    for it is not done again.
    """
    words = f"first stage {time.monotonic_ns()}"
    dockerfile = (
        f"ARG BASE\nFROM ${{BASE}} AS first\nRUN printf '{words}'\n"
        "FROM first\nRUN printf 'second stage'\n"
    )
    lines: list[str] = []

    image = bench.engine.build(
        tar_of({"Dockerfile": dockerfile.encode()}),
        dockerfile="Dockerfile",
        tag="",
        labels={},
        args={"BASE": IMAGE},
        on_line=lines.append,
        target="first",
    )
    bench.undo.callback(bench.engine.remove_image, image.id)

    assert image.tags == ()
    assert words in lines
    assert "second stage" not in lines

    lines.clear()
    build(bench, dockerfile, lines)
    assert "second stage" in lines
    assert words not in lines


def test_a_failed_build_names_the_step_and_its_output(bench: Bench) -> None:
    """
    The error has both.
    """
    lines: list[str] = []

    with pytest.raises(ImageBuildError) as caught:
        build(bench, f"FROM {IMAGE}\nRUN printf 'went wrong'; exit 3\n", lines)

    assert re.search(r"(?i)failed step: step 2/\d ?: RUN printf", str(caught.value))
    assert "went wrong" in str(caught.value)
    assert re.search(r"(code:|status) 3\b", str(caught.value))
    assert bench.engine.image(BUILT) is None


def test_a_missing_dockerfile_is_a_build_error(bench: Bench) -> None:
    """
    The context does not have the Dockerfile.
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


def test_a_container_of_an_unknown_image_is_an_error(bench: Bench) -> None:
    """
    The error names the image and says what to do.
    """
    with pytest.raises(EngineError, match=r"(?i)no such image: .*never-made"):
        bench.create(image="codex-workspace-emulator-test:never-made")


def test_two_containers_cannot_have_one_name(bench: Bench) -> None:
    """
    The second creation is refused.
    """
    spec = bench.spec()
    bench.undo.callback(bench.engine.remove, bench.engine.create(spec))

    with pytest.raises(EngineError, match="already in use"):
        bench.engine.create(spec)


def test_calls_for_an_unknown_container_are_refused(bench: Bench) -> None:
    """
    A removal is not refused: there is nothing to do.
    """
    engine, name = bench.engine, "codex-workspace-never-made"

    assert engine.container(name) is None
    engine.remove(name)
    for call in (engine.start, engine.attach):
        with pytest.raises(EngineError, match=r"(?i)no such container"):
            call(name)
    with pytest.raises(EngineError, match=r"(?i)no such container"):
        engine.commit(name, tag=None, labels={})


def test_the_environment_reaches_the_command_unchanged(bench: Bench) -> None:
    """
    Quotes, dollar signs, line ends and non-ASCII letters are not interpreted.
    """
    value = "a \"b\" 'c' $HOME \\ \n ü="

    output = bench.output(sh('printf %s "$VALUE"'), environment={"VALUE": value})

    assert value.encode() == output


def test_the_end_of_input_ends_the_container(bench: Bench) -> None:
    """
    Closing the stream ends standard input. Auto-removal then removes the container.
    """
    container, stream = bench.run()
    stream.send(b"hello")
    assert stream.receive() == (1, b"hello")

    stream.close()

    assert wait_until(lambda: bench.engine.container(container) is None)


@pytest.mark.parametrize("first", ["true", "sleep 0.3", "seq 100000"])
def test_data_that_was_sent_before_the_close_arrives(bench: Bench, first: str) -> None:
    """
    Closing does not lose sent data, whether output was read or not, and although the container
    reads it late.
    """
    command = sh(f"{first}; cat >/tmp/got") if is_real(bench) else CAT
    container, stream = bench.run(command, auto_remove=False)
    stream.send(b"x" * 100_000)

    stream.close()

    assert wait_until(lambda: not bench.engine.container(container).running)
    if is_real(bench):
        got = untar(bench.engine.get_archive(container, "/tmp/got"))
        assert got == {"got": b"x" * 100_000}


def is_real(bench: Bench) -> bool:
    """
    Return whether commands write to a file system of their container.
    """
    return bench.engine.version()["name"] != "fake"


def test_close_wakes_a_blocked_receive(bench: Bench) -> None:
    """
    A thread that waits for output gets the end. A second close has no effect.
    """
    _, stream = bench.run()
    got: list[tuple[int, bytes]] = []
    waiting = threading.Thread(target=lambda: got.append(stream.receive()))
    waiting.start()

    stream.close()
    stream.close()
    waiting.join(LIMIT)

    assert got == [(0, b"")]
    assert stream.receive() == (0, b"")


def test_sending_to_an_ended_container_is_an_error(bench: Bench) -> None:
    """
    The error is the builtin `ConnectionError`.
    """
    _, stream = bench.run(sh("exit 0"))
    assert drain(stream) == b""

    def refused() -> bool:
        try:
            stream.send(b"anyone?")
        except ConnectionError:
            return True
        return False

    assert wait_until(refused)


def test_large_data_passes_in_both_directions(bench: Bench) -> None:
    """
    50 MB come back unchanged while they are being sent.
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


def test_messages_of_several_threads_are_not_interleaved(bench: Bench) -> None:
    """
    Each message arrives in one piece.
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


def test_a_kept_container_has_an_exit_code(bench: Bench) -> None:
    """
    Without auto-removal, the container stays after its end.
    """
    container, stream = bench.run(sh("printf 'bye'; exit 3"), auto_remove=False)

    assert drain(stream) == b"bye"
    assert wait_until(lambda: not bench.engine.container(container).running)
    assert bench.engine.container(container).exit_code == 3


def test_a_created_container_has_no_exit_code(bench: Bench) -> None:
    """
    A container that was never started has not ended.
    """
    info = bench.engine.container(bench.create())

    assert (info.running, info.exit_code) == (False, None)


def test_remove_kills_the_container(bench: Bench) -> None:
    """
    When `remove` returns, the stream of the container has ended. A second call has no effect.
    """
    container, stream = bench.run()

    bench.engine.remove(container)

    assert bench.engine.container(container) is None
    assert drain(stream) == b""
    bench.engine.remove(container)


def test_a_container_that_another_has_joined_can_be_removed(bench: Bench) -> None:
    """
    So can the other afterwards, even if the engine has removed both.
    """
    holder, _ = bench.run()
    joined, stream = bench.run(network=f"container:{holder}")

    bench.engine.remove(holder)
    bench.engine.remove(joined)

    assert bench.engine.container(holder) is None
    assert bench.engine.container(joined) is None
    assert drain(stream) == b""


def test_several_threads_may_remove_a_container(bench: Bench) -> None:
    """
    Each call returns when the container is gone.
    """
    container, stream = bench.run()
    left: list[object] = []

    def remove() -> None:
        bench.engine.remove(container)
        left.append(bench.engine.container(container))

    threads = [threading.Thread(target=remove) for _ in range(3)]
    # The engine's auto-removal runs at the same time.
    stream.close()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert left == [None] * 3


def test_containers_are_found_by_their_labels(bench: Bench) -> None:
    """
    All labels must match; `None` matches any value.
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


def test_files_go_in_and_come_out_again(bench: Bench) -> None:
    """
    The files are put in before the container starts.
    """
    files = {"dir/a": b"1", "dir/b c": b"\x00" * 100_000}
    container = bench.create()

    bench.engine.put_archive(container, "/tmp", tar_of({"dir/": b"", **files}))

    assert files == untar(bench.engine.get_archive(container, "/tmp/dir"))
    assert untar(bench.engine.get_archive(container, "/tmp/dir/a")) == {"a": b"1"}


def test_a_missing_path_is_an_error(bench: Bench) -> None:
    """
    The error of reading it, and of unpacking below it, names the path.
    """
    container = bench.create()

    with pytest.raises(EngineError, match="/missing"):
        bench.engine.get_archive(container, "/missing")
    with pytest.raises(EngineError, match="/missing"):
        bench.engine.put_archive(container, "/missing", tar_of({"a": b"x" * 5_000_000}))


def test_what_follows_the_end_of_an_archive_is_no_error(bench: Bench) -> None:
    """
    As the empty blocks that fill the last record of most archives, here of a large one.
    """
    container = bench.create()
    archive = tar_of({"a": b"1"})

    archive.seek(0, os.SEEK_END)
    archive.write(bytes(5_000_000))
    archive.seek(0)
    bench.engine.put_archive(container, "/tmp", archive)

    assert untar(bench.engine.get_archive(container, "/tmp/a")) == {"a": b"1"}


def test_a_commit_keeps_files_and_labels(bench: Bench) -> None:
    """
    A container of the committed image has the files. New labels are added to the old ones.
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
        "contract.origin": "an image for more",
    }
    assert untar(bench.engine.get_archive(again, "/tmp/kept")) == {"kept": b"yes"}
    assert image.id in {one.id for one in bench.engine.images({"contract.note": None})}
    for value, found in (("1", [image.id]), ("2", [])):
        wanted = {"contract.note": 'a "b"\n$c \\', "contract.n": value}
        assert found == [one.id for one in bench.engine.images(wanted)]


def test_a_container_that_runs_can_end_with_a_commit(bench: Bench) -> None:
    """
    The image has its files. Afterwards the container is there or not, and can be removed.
    """
    tag = f"{IMAGE}-ended"
    container, stream = bench.run()
    bench.engine.put_archive(container, "/tmp", tar_of({"kept": b"yes"}))

    image = bench.engine.commit(container, tag=tag, labels={}, ends=True)
    bench.undo.callback(bench.engine.remove_image, tag)
    bench.engine.remove(container)
    stream.close()

    assert bench.engine.container(container) is None
    again = bench.create(image=image.id)
    assert untar(bench.engine.get_archive(again, "/tmp/kept")) == {"kept": b"yes"}


def test_an_image_has_the_layers_of_its_parent(bench: Bench) -> None:
    """
    The layers of the parent come first, and the size grows.
    """
    tag = f"{IMAGE}-layered"
    container = bench.create()
    bench.engine.put_archive(container, "/tmp", tar_of({"more": os.urandom(5000)}))
    above = bench.engine.commit(container, tag=tag, labels={})
    bench.undo.callback(bench.engine.remove_image, tag)

    below = bench.engine.image(IMAGE)

    assert below.layers == above.layers[: len(below.layers)]
    assert len(above.layers) == len(below.layers) + 1
    assert above.size >= below.size + 5000
    listed = {one.id: one.size for one in bench.engine.images({"contract.origin": None})}
    assert listed[above.id] >= listed[below.id] + 5000
    assert bench.engine.container(container).image == below.id
    assert below.id in {one.image for one in bench.engine.containers({})}


def test_the_changes_of_a_container_are_listed(bench: Bench) -> None:
    """
    A path was added or changed.
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


def test_a_saved_image_can_be_loaded(bench: Bench, tmp_path: Path) -> None:
    """
    The image has the same name and content.
    """
    tag = f"{IMAGE}-saved"
    bench.undo.callback(bench.engine.remove_image, tag)
    image = bench.engine.commit(bench.create(), tag=tag, labels={"contract.saved": "yes"})
    archive = tmp_path / "saved.tar"
    archive.write_bytes(b"".join(bench.engine.save([tag])))
    bench.engine.remove_image(tag)
    assert bench.engine.image(tag) is None

    with archive.open("rb") as file:
        (loaded,) = bench.engine.load(file)

    assert tag == loaded
    assert not bench.engine.ran_out_of_memory(image.id)
    assert bench.engine.capacity.cpus
    found = bench.engine.image(tag)
    # What an id is made of is the engine's own affair.
    assert found is not None
    assert image.labels == found.labels
    with pytest.raises(EngineError):
        list(bench.engine.save([f"{IMAGE}-never-made"]))


def test_a_pushed_image_can_be_pulled(bench: Bench, registry: str) -> None:
    """
    The image has the same content.
    """
    tag = f"{registry}/contract:pushed"
    bench.undo.callback(bench.engine.remove_image, tag)
    made = bench.create()
    bench.engine.put_archive(made, "/tmp", tar_of({"pushed": b"content"}))
    image = bench.engine.commit(made, tag=tag, labels={"contract.pushed": "yes"})
    lines: list[str] = []
    bench.engine.push(tag, lines.append, 60)
    bench.engine.remove_image(tag)

    found = bench.engine.pull(tag, lines.append, 60)

    assert lines
    # What an id is made of is the engine's own affair.
    assert (image.labels, (tag,)) == (found.labels, found.tags)
    pulled = bench.create(image=tag)
    assert {"pushed": b"content"} == untar(bench.engine.get_archive(pulled, "/tmp/pushed"))
    assert found.id == bench.engine.pull(tag, lines.append, 60).id
    with pytest.raises(EngineError):
        bench.engine.pull(f"{registry}/contract:never-made", lines.append, 60)
    with pytest.raises(EngineError):
        bench.engine.push(f"{registry}/contract:never-made", lines.append, 60)


def test_the_digest_of_an_image_in_a_registry_is_known_without_a_pull(
    bench: Bench, registry: str
) -> None:
    """
    The engine does not have the image afterwards.
    """
    tag = f"{registry}/contract:asked"
    bench.undo.callback(bench.engine.remove_image, tag)
    bench.engine.commit(bench.create(), tag=tag, labels={})
    bench.engine.push(tag, lambda _: None, 60)
    bench.engine.remove_image(tag)

    if not bench.engine.looks_up_digests:
        with pytest.raises(EngineError, match="does not report it"):
            bench.engine.registry_digest(tag, 60)
        pytest.skip("the engine does not look digests up")
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", bench.engine.registry_digest(tag, 60))
    assert bench.engine.image(tag) is None
    with pytest.raises(EngineError, match=r"could not look the image .* up in its registry"):
        bench.engine.registry_digest(f"{registry}/contract:never-made", 60)


def test_a_commit_without_a_tag_has_no_name(bench: Bench) -> None:
    """
    The image is found by its labels and removed by its id.
    """
    mark = {"contract.mark": bench.identity.id}

    image = bench.engine.commit(bench.create(), tag=None, labels=mark)

    assert image.tags == ()
    assert [image.id] == [one.id for one in bench.engine.images(mark)]
    bench.engine.remove_image(image.id)
    assert bench.engine.images(mark) == []


def test_a_container_goes_on_after_a_commit(bench: Bench) -> None:
    """
    It is paused only while its files are copied.
    """
    container, stream = bench.run()

    image = bench.engine.commit(container, tag=None, labels={})
    bench.undo.callback(bench.engine.remove_image, image.id)
    stream.send(b"still here")

    assert stream.receive() == (1, b"still here")
    bench.engine.remove(container)


# Networks.


def test_a_network_is_created_used_and_removed(bench: Bench) -> None:
    """
    It is found by its labels, and cannot be removed while a container uses it.
    """
    engine = bench.engine
    name, mark = bench.identity.name("network"), {"contract.mark": bench.identity.id}

    network = engine.create_network(name, internal=True, labels=mark)
    bench.undo.callback(engine.remove_network, network.id)
    assert [network] == engine.networks(mark)
    assert [network] == engine.networks({"contract.mark": None, **mark})

    container, _ = bench.run(network=name, aliases=("box",))
    assert engine.container(container).addresses[name] not in engine.host_addresses(name)
    for named in (network.id, name):
        with pytest.raises(EngineError, match=f"could not remove the network {named}"):
            engine.remove_network(named)
    assert [network] == engine.networks(mark)

    engine.remove(container)
    engine.remove_network(network.id)
    assert engine.networks(mark) == []
    engine.remove_network(network.id)


def test_a_connected_container_has_an_address_on_both_networks(bench: Bench) -> None:
    """
    `connect` adds the second network.
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


def test_a_container_joins_the_network_of_a_running_container(bench: Bench) -> None:
    """
    It cannot join that of a container which has not started.
    """
    holder, _ = bench.run()
    _, stream = bench.run(network=f"container:{holder}")
    stream.send(b"joined")
    assert stream.receive() == (1, b"joined")

    asleep = bench.create()
    with pytest.raises(EngineError, match=r"could not (attach|start)"):
        bench.run(network=f"container:{asleep}")


def test_a_container_of_an_unknown_network_does_not_start(bench: Bench) -> None:
    """
    The error names the network.
    """
    with pytest.raises(EngineError, match=r"never-made.*not found"):
        bench.engine.start(bench.create(network="never-made"))
