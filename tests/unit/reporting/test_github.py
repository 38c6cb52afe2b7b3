"""Tests of what GitHub Actions gets: commands, annotations and the summary of a job."""

from __future__ import annotations

import html
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from pytest_codex_workspace.reporting import github
from pytest_codex_workspace.reporting.account import CiFinding, RunAccount
from pytest_codex_workspace.reporting.github import GitHub, annotation, neutral, summary

from ...helpers.ci import commands

EVIL = (
    "<script>alert(1)</script><img src=x onerror=y>&lt; `code` **b** [a](http://e) | # h\n\n"
    "# heading\r\n::error::x\n##[error]y\u2028</pre></code></td></table>\n\n<b>@user\x1b[31mred"
)


COMMANDS = [
    "::error::x",
    "  ::error file=a::x",
    "\t\x85\u2028::add-mask::x",
    "\u200b::error::x",
    "\u00ad\x01::error::x",
    ":\u200b:error::x",
    "text\r::error::x",
    "text\n::error::x",
    "##[error]x",
    "  | text ##[add-mask]x",
    "#\u200b#\u00ad[error]x",
    "######[error]x",
    "::stop-commands::x",
]


@pytest.mark.parametrize("text", COMMANDS)
def test_text_of_a_workspace_is_no_command(text: str) -> None:
    """
    Whatever makes the runner see one.
    """
    assert commands([text])[:1] or "stop" in text
    assert commands([neutral(text)]) == []
    assert neutral(neutral(text)) == neutral(text)
    lines: list[str] = []
    output = GitHub({"GITHUB_ACTIONS": "true"}).output("stream", lines.append)
    output.script(text)
    output.note(text)
    output.detail(text)
    with output.step(text):
        pass
    assert commands(lines) == []


@pytest.mark.parametrize("text", ["plain", "a::b", "::", "# [x]", "", "\n\n", "std::vector##"])
def test_other_text_stays(text: str) -> None:
    """
    A line is changed only where a command could be.
    """
    assert neutral(text).replace("\\", "") == text
    if not text.startswith("::"):
        assert neutral(text) == text


def test_much_text_takes_little_time() -> None:
    """
    The time does not grow with the square of the text.
    """
    for piece in ("\n", " ", "\u2028", "#", "#\u200b", ":", "\r\n "):
        neutral(piece * 300_000)


def test_commands_are_stopped_while_others_write() -> None:
    """
    Until a word that is another one each time; the line before it may have no end.
    """
    lines: list[str] = []
    service = GitHub({"GITHUB_ACTIONS": "true"})
    for _ in range(2):
        with service.without_commands(lines.append):
            lines.append("::error::evil")
            lines.append("::stop-commands::evil\n::evil::")
            lines.append("::error::evil")
    lines.append("::warning::ours")

    assert commands(lines) == [("warning", "ours")]
    words = [each for each in lines if each.startswith("::stop-commands::")]
    assert len(set(words)) == len(words) - 1 or len(set(words)) == 3


def test_an_annotation_is_one_command_at_its_place() -> None:
    """
    What it quotes is escaped.
    """
    finding = CiFinding("error", "a: b, 100%\n::x", "one 50%\ntwo ::error::z", "dir/a:b,c.sh", 7)

    assert annotation(finding) == (
        "::error title=a%3A b%2C 100%25 %3A%3Ax,file=dir/a%3Ab%2Cc.sh,line=7::"
        "one 50%25%0Atwo ::error::z"
    )
    for evil in (EVIL, *COMMANDS, "x" * 100_000, "\n" * 10_000):
        line = annotation(CiFinding("warning", evil, evil, evil))
        assert len(line.split("\n")) == len(line.split("\r")) == 1
        assert len(commands([line])) == 1
        assert len(line) < 40_000 or evil == "x" * 100_000


class Tags(HTMLParser):
    """
    The tags and the text of a page.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[object] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def evil_account() -> RunAccount:
    account = RunAccount(EVIL, {EVIL: EVIL}, columns=("outcome", "test"))
    account.findings.append(CiFinding("error", EVIL, EVIL, EVIL, 3))
    account.rows.append((EVIL, EVIL))
    return account


def test_a_summary_has_no_markdown_and_no_html_of_a_workspace() -> None:
    """
    Rendered, it has our tags only, and the text as it was.
    """
    text = summary(evil_account())
    [token] = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    assert token.type == "html_block"

    page = Tags(MarkdownIt("gfm-like", {"linkify": False}).render(text))
    assert page.tags <= {"h3", "table", "tr", "td", "th", "code", "p", "b", "pre"}
    assert page.attributes == []
    assert "<script>alert(1)</script>" in page.text
    assert "# heading" in page.text
    assert "\x1b" not in text
    assert "[31m" not in text


def test_a_summary_is_bounded() -> None:
    """
    What does not fit is left out, says so, and leaves no tag open.
    """
    account = evil_account()
    account.findings *= 300
    account.rows = [("failed", "&" * 5000)] * 3000
    for limit in (300, 3000, 20_000, 128 << 10):
        text = summary(account, limit)
        assert len(text.encode()) <= limit
        assert "The rest does not fit." in text
        assert text.count("<table>") == text.count("</table>")
        assert text.count("<td>") == text.count("</td>")
    few = summary(RunAccount("run", columns=("a",), rows=[("x",)] * 150))
    assert "and 50 more" in few
    assert "does not fit" not in few


def test_a_summary_is_added_to_the_file_of_the_job(tmp_path: Path) -> None:
    """
    Secrets are not in it, and the file does not become larger than GitHub takes.
    """
    file, lines = tmp_path / "summary", list[str]()
    file.write_text("of another command\n")
    service = GitHub({"GITHUB_STEP_SUMMARY": str(file), "GITHUB_ACTIONS": "true"})
    account = RunAccount("run hunter22", {"a": "hunter22"}, columns=("b",), rows=[("hunter22",)])
    account.findings.append(CiFinding("error", "hunter22", "hunter22"))

    service.tell(account, lines.append, lambda text: text.replace("hunter22", "***"))

    text = file.read_text()
    assert text.startswith("of another command\n\n<h3>run ***</h3>\n")
    assert "hunter22" not in text + "".join(lines)
    assert lines == ["::error title=***::***"]
    for size in (github.FILE_LIMIT - 900, github.FILE_LIMIT, github.FILE_LIMIT + 1):
        file.write_bytes(b"x" * size)
        service.tell(evil_account(), lines.append, str)
        assert file.stat().st_size <= max(size, github.FILE_LIMIT)

    GitHub({"GITHUB_STEP_SUMMARY": str(tmp_path)}).tell(account, lines.append, str)
    assert lines[-1] == "codex: the job summary cannot be written: Is a directory"


def test_a_summary_without_actions_has_no_annotations(tmp_path: Path) -> None:
    """
    Other services have the file and no commands.
    """
    lines: list[str] = []
    service = GitHub({"GITHUB_STEP_SUMMARY": str(tmp_path / "summary")})
    with service.without_commands(lines.append):
        pass
    service.tell(evil_account(), lines.append, str)

    assert lines == []
    assert service.neutral("##[error]") == "##[error]"
    assert html.escape("<script>") in (tmp_path / "summary").read_text()


def test_ten_annotations_of_a_level_are_shown() -> None:
    """
    GitHub shows no more, and not always the first.
    """
    lines: list[str] = []
    account = RunAccount("run")
    account.findings += [CiFinding("error", str(n), "") for n in range(12)]
    account.findings += [CiFinding("warning", str(n), "") for n in range(12)]
    GitHub({"GITHUB_ACTIONS": "true"}).tell(account, lines.append, str)

    assert [each.partition(":" * 2)[2][:5] for each in lines] == ["error"] * 10 + ["warni"] * 10
