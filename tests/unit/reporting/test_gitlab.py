"""Tests of the sections in GitLab's log."""

from __future__ import annotations

import re
import threading

import pytest

from pytest_codex_workspace.reporting.gitlab import GitLab, SectionOutput

# As GitLab reads its log.
MARK = re.compile(r"section_(start|end):(\d+):([a-zA-Z0-9_.-]+)(\[collapsed=true\])?\r\x1b\[0K")


@pytest.fixture
def lines() -> list[str]:
    return []


def test_each_step_is_a_section_that_can_be_opened(lines: list[str]) -> None:
    """
    Names differ, sections are closed in order, also by a failure, and a step that is not
    announced has none.
    """
    output = SectionOutput("progress", lines.append, wall_time=lambda: 17.0)
    with output.step("outer"):
        output.script("a line")
        with pytest.raises(KeyError), output.step("inner"):
            raise KeyError
    with output.step("silent", announced=False):
        pass
    with output.step("outer"):
        pass

    marks = MARK.findall("\n".join(lines))
    names = [name for _, _, name, _ in marks]
    assert [kind for kind, *_ in marks] == ["start", "start", "end", "end", "start", "end"]
    assert names == [names[0], names[1], names[1], names[0], names[4], names[4]]
    assert len({*names}) == 3
    assert {when for _, when, *_ in marks} == {"17"}
    assert lines[0].endswith("[collapsed=true]\r\x1b[0Kcodex: outer ...")
    assert re.fullmatch(r"codex: outer: \d+\.\d s", lines[-1])


def test_a_step_of_another_thread_has_no_section(lines: list[str]) -> None:
    """
    It could end after the section in which it began.
    """
    output = GitLab().output("progress", lines.append)

    def work() -> None:
        with output.step("uploading"):
            pass

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    with GitLab().output("quiet", lines.append).step("quiet"):
        pass
    with GitLab().for_worker().output("progress", lines.append).step("of a worker"):
        pass

    assert [each.partition(":")[0] for each in lines] == ["codex"] * 4
    assert not MARK.search("".join(lines))


@pytest.mark.parametrize(
    "text", ["section_end:1:x\r\x1b[0K", "\x1b[0Ksection_start:1:x[a]\r\x1b[0K"]
)
def test_no_line_of_a_workspace_is_a_mark(lines: list[str], text: str) -> None:
    """
    Neither of a script nor in the title of a step.
    """
    output = GitLab().output("stream", lines.append)
    output.script(text)
    output.note(text)
    output.detail(text)
    assert not MARK.search("\n".join(lines))
    with output.step(text):
        pass
    assert len(MARK.findall("\n".join(lines))) == 2
