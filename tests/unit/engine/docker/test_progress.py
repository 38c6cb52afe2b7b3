"""Tests of reading the messages of an engine."""

from __future__ import annotations

from typing import Any

from pytest_codex_workspace.engine.docker.progress import Progress


def read(*messages: dict[str, Any]) -> tuple[Progress, list[str]]:
    """
    Process all *messages*.
    """
    lines: list[str] = []
    progress = Progress(lines.append)
    for message in messages:
        progress.feed(message)
    progress.finish()
    return progress, lines


def test_lines_and_messages_may_be_split_anywhere() -> None:
    """
    A line may come in several messages, and a message may have several lines.
    """
    _, lines = read({"stream": "a"}, {"stream": "b\nc\n"}, {"stream": "last"})

    assert ["ab", "c", "last"] == lines


def test_ids_of_intermediate_objects_are_dropped() -> None:
    """
    The message that the cache was used is kept.
    """
    _, lines = read(
        {"stream": " ---> 0123456789ab\n"},
        {"stream": " ---> Using cache\n"},
        {"stream": " ---> Running in 0123456789ab\n"},
        {"stream": "Removing intermediate container 0123456789ab\n"},
    )

    assert [" ---> Using cache"] == lines


def test_output_without_a_line_end_is_a_line() -> None:
    """
    The last output of a command does not run into the engine's next line.
    """
    _, lines = read({"stream": "half"}, {"stream": "Step 2/2 : RUN x\n"})

    assert ["half", "Step 2/2 : RUN x"] == lines


def test_output_ends_before_lines_of_podman() -> None:
    """
    They name the image of the step, and are dropped; that of the whole build is kept.
    """
    _, lines = read(
        {"stream": "STEP 1/2: RUN x\n"},
        {"stream": "half"},
        {"stream": "--> 0123456789ab\n"},
        {"stream": "STEP 2/2: RUN y\n"},
        {"stream": "half"},
        {"stream": "COMMIT x:1\n"},
        {"stream": "--> 0123456789ab\n"},
    )

    assert ["STEP 1/2: RUN x", "half", "STEP 2/2: RUN y", "half", "COMMIT x:1"] == lines


def test_progress_bars_are_reduced_to_their_last_state() -> None:
    """
    Each change in the status of a layer is one line.
    """
    _, lines = read(
        {"stream": "10%\r50%\r100%\r\n"},
        {"status": "Downloading", "id": "a1", "progress": "[=> ]"},
        {"status": "Downloading", "id": "a1", "progress": "[==>]"},
        {"status": "Pull complete", "id": "a1"},
        {"status": "Digest: sha256:1"},
    )

    assert ["100%", "a1: Downloading", "a1: Pull complete", "Digest: sha256:1"] == lines


def test_a_failure_keeps_the_step_and_the_end_of_its_output() -> None:
    """
    Output of earlier steps is dropped, and the number of lines is limited.
    """
    progress, _ = read(
        {"stream": "Step 1/2 : RUN a\nearlier\n"},
        {"stream": "Step 2/2 : RUN b\n" + "".join(f"line {n}\n" for n in range(100))},
        {"error": "failed"},
    )

    assert ("Step 2/2 : RUN b", "failed") == (progress.step, progress.error)
    assert [f"line {n}" for n in range(70, 100)] == progress.tail.splitlines()


def test_the_id_of_the_built_image_is_kept() -> None:
    """
    Empty messages are ignored.
    """
    progress, lines = read({"aux": {"ID": "sha256:1"}}, {"aux": None}, {})

    assert ("sha256:1", []) == (progress.image, lines)


def advances(*messages: dict[str, Any]) -> list[str]:
    """
    Process all *messages*, and return the progress in words.
    """
    reported: list[str] = []
    progress = Progress(lambda _: None, lambda advance: reported.append(str(advance)))
    for message in messages:
        progress.feed(message)
    return reported


def layer(name: str, status: str, current: int = 0, total: int = 0) -> dict[str, Any]:
    """
    Return a message about a layer.
    """
    detail = {"current": current, "total": total} if total else {}
    return {"id": name, "status": status, "progressDetail": detail}


def test_what_is_downloaded_is_counted() -> None:
    """
    By what is announced, or by what has come. Layers that exist already count nothing.
    """
    progress = Progress(lambda _: None)
    for message in (
        layer("a", "Already exists"),
        layer("b", "Downloading", 10, 300),
        {"id": "c", "status": "Downloading", "progressDetail": {"current": 40}},
        {"id": "c", "status": "Downloading", "progressDetail": {"current": 50}},
        layer("b", "Extracting", 900, 900),
    ):
        progress.feed(message)

    assert 350 == progress.downloaded


def test_the_layers_of_a_pull_are_added_up() -> None:
    """
    Download and unpacking count half each. Layers that exist already count as layers only.
    """
    reported = advances(
        {"id": "latest", "status": "Pulling from x"},
        layer("a", "Pulling fs layer"),
        layer("b", "Pulling fs layer"),
        layer("c", "Already exists"),
        layer("a", "Downloading", 50, 100),
        layer("b", "Downloading", 100, 300),
        layer("b", "Download complete"),
        layer("a", "Download complete"),
        layer("a", "Extracting", 100, 100),
        layer("a", "Pull complete"),
        layer("b", "Extracting", 150, 300),
        layer("b", "Pull complete"),
        {"status": "Status: Downloaded newer image for x"},
    )

    assert [
        "0 of 1 layer",
        "0 of 2 layers",
        "1 of 3 layers",
        "12 %, 1 of 3 layers",
        "18 %, 1 of 3 layers",
        "43 %, 1 of 3 layers",
        "50 %, 1 of 3 layers",
        "62 %, 1 of 3 layers",
        "62 %, 2 of 3 layers",
        "81 %, 2 of 3 layers",
        "100 %, 3 of 3 layers",
    ] == reported


def test_progress_never_decreases() -> None:
    """
    Here the last layer turns out to be larger than all the others.
    """
    reported = advances(
        layer("a", "Pulling fs layer"),
        layer("b", "Pulling fs layer"),
        layer("a", "Downloading", 10, 10),
        layer("b", "Downloading", 1, 1000),
        layer("b", "Downloading", 1000, 1000),
    )

    shares = [int(one.partition(" %")[0]) for one in reported if "%" in one]
    assert sorted(shares) == shares
    assert 50 == shares[-1]


def test_the_layers_of_a_push_are_added_up() -> None:
    """
    A push has no unpacking, and a layer that the registry has is complete.
    """
    reported = advances(
        {"status": "The push refers to repository [x]"},
        layer("a", "Preparing"),
        layer("b", "Waiting"),
        layer("b", "Layer already exists"),
        layer("a", "Pushing", 50, 100),
        layer("a", "Pushed"),
        {"status": "latest: digest: sha256:1 size: 5"},
    )

    assert ["50 %, 1 of 2 layers", "100 %, 2 of 2 layers"] == reported[-2:]
    assert not [one for one in reported if "3 layers" in one]


def test_each_step_of_a_build_is_reported_once() -> None:
    """
    The output of a step makes no difference.
    """
    reported = advances(
        {"stream": "Step 1/2 : FROM x\n"},
        {"stream": " ---> 0123456789ab\n"},
        {"stream": "Step 2/2 : RUN y\nprinted\n"},
        {"stream": "more\n"},
    )

    assert ["step 1 of 2", "step 2 of 2"] == reported


def test_unexpected_messages_are_ignored() -> None:
    """
    An engine may send anything.
    """
    messages = [
        {"id": "a", "status": "Downloading", "progressDetail": None},
        {"id": "a", "status": "Downloading", "progressDetail": {"current": "x", "total": None}},
        {"id": "a", "status": "Downloading", "progressDetail": {"current": 5, "total": 0}},
        {"id": "a", "status": "Downloading", "progressDetail": {"current": 500, "total": 100}},
    ]

    assert ["0 of 1 layer", "50 %, 0 of 1 layer"] == advances(*messages)
