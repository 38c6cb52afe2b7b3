"""The engine's messages as lines."""

from __future__ import annotations

from typing import Any

from pytest_codex_workspace.engine.progress import Progress


def read(*messages: dict[str, Any]) -> tuple[Progress, list[str]]:
    """
    Feed all *messages*.
    """
    lines: list[str] = []
    progress = Progress(lines.append)
    for message in messages:
        progress.feed(message)
    progress.finish()
    return progress, lines


def test_lines_in_pieces() -> None:
    """
    A line may come in several messages, and a message may have several lines.
    """
    _, lines = read({"stream": "a"}, {"stream": "b\nc\n"}, {"stream": "last"})

    assert ["ab", "c", "last"] == lines


def test_noise_is_dropped() -> None:
    """
    Ids of intermediate objects help nobody; that the cache was used does.
    """
    _, lines = read(
        {"stream": " ---> 0123456789ab\n"},
        {"stream": " ---> Using cache\n"},
        {"stream": " ---> Running in 0123456789ab\n"},
        {"stream": "Removing intermediate container 0123456789ab\n"},
    )

    assert [" ---> Using cache"] == lines


def test_output_without_a_line_end() -> None:
    """
    A command's last words do not run into the engine's next line.
    """
    _, lines = read({"stream": "half"}, {"stream": "Step 2/2 : RUN x\n"})

    assert ["half", "Step 2/2 : RUN x"] == lines


def test_progress_bars() -> None:
    """
    Of a line that was overwritten the last state counts, of a layer each change of status.
    """
    _, lines = read(
        {"stream": "10%\r50%\r100%\r\n"},
        {"status": "Downloading", "id": "a1", "progress": "[=> ]"},
        {"status": "Downloading", "id": "a1", "progress": "[==>]"},
        {"status": "Pull complete", "id": "a1"},
        {"status": "Digest: sha256:1"},
    )

    assert ["100%", "a1: Downloading", "a1: Pull complete", "Digest: sha256:1"] == lines


def test_failure_keeps_the_step_and_its_tail() -> None:
    """
    Output of earlier steps is not part of it, and it has a bound.
    """
    progress, _ = read(
        {"stream": "Step 1/2 : RUN a\nearlier\n"},
        {"stream": "Step 2/2 : RUN b\n" + "".join(f"line {n}\n" for n in range(100))},
        {"error": "failed"},
    )

    assert ("Step 2/2 : RUN b", "failed") == (progress.step, progress.error)
    assert [f"line {n}" for n in range(70, 100)] == progress.tail.splitlines()


def test_image_id() -> None:
    """
    The id of what was built is remembered, empty messages are not.
    """
    progress, lines = read({"aux": {"ID": "sha256:1"}}, {"aux": None}, {})

    assert ("sha256:1", []) == (progress.image, lines)
