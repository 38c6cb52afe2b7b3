"""Tests of reading the commands of a bash script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from pytest_codex_workspace.text.bash_commands import Pipeline, parse_script


def every(pipelines: Sequence[Pipeline]) -> Iterator[Pipeline]:
    """
    Yield the pipelines and those in them, in the order of the text.
    """
    for one in pipelines:
        yield one
        for command in one.commands:
            yield from every(command.nested)


def shape(text: str) -> list[list[list[str]]]:
    """
    Return the words of each command, by pipeline, with what is nested behind its command.
    """
    return [[one.words for one in pipeline.commands] for pipeline in every(parse_script(text))]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a b | c && d; e", [[["a", "b"], ["c"]], [["d"]], [["e"]]]),
        ("a | \n\n # no\n b\nc", [[["a"], ["b"]], [["c"]]]),
        ("a \\\n | b", [[["a"], ["b"]]]),
        ("a |& b & c", [[["a"], ["b"]], [["c"]]]),
        ("a 'b | c' \"d | e\" f\\|g $'h\\'|'", [[["a", "b | c", "d | e", "f|g", "h\\'|"]]]),
        ("a # b | c\nd#e", [[["a"]], [["d#e"]]]),
        ("a <<X | b\nc | d\nX\ne", [[["a"], ["b"]], [["e"]]]),
        ("a <<-'X' <<Y\nb\n\tX\nc\nY\nd", [[["a"]], [["d"]]]),
        ("a <<<b 2>&1 >c &>d | e", [[["a"], ["e"]]]),
        ("a <<X", [[["a"]]]),
        ('x="$(a "$(b | c)")" d', [[["x=", "d"]], [["a", ""]], [["b"], ["c"]]]),
        ("a `b | c`", [[["a", ""]], [["b"], ["c"]]]),
        ("a <(b | c)", [[["a", ""]], [["b"], ["c"]]]),
        ("(a; b) | c", [[[], ["c"]], [["a"]], [["b"]]]),
        ("a ${b:-c|d} $((1 | 2))", [[["a", "${b:-c|d}", ""]]]),
        ("((a | b)) || c", [[["c"]]]),
        ("case $a in\nb|c) d | e;;\n(f) g;; esac\nh", None),
        ("f() { a | b; }", [[["{", "a"], ["b"]], [["}"]]]),
        ("a=(b c) d", [[["a=", "d"]], [["b", "c"]]]),
        ("a\r\nb\r\n", [[["a"]], [["b"]]]),
        ("", []),
    ],
)
def test_commands_and_words(text: str, found: list[list[list[str]]] | None) -> None:
    """
    What is quoted, a comment or a here-document is no command.
    """
    if found is None:
        assert [["d"], ["e"]] in shape(text)
        assert [["h"]] == shape(text)[-1]
        return
    assert shape(text) == found


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("sudo -E env A=b bash -s", "bash"),
        ("sudo -u root timeout -k 5 30s /usr/bin/sh", "sh"),
        ("if ! A=1 curl x; then", "curl"),
        ("time nice -n 5 make", "make"),
        ("A=1 B=2", ""),
    ],
)
def test_the_name_of_the_program(text: str, name: str) -> None:
    """
    Behind reserved words, assignments, and programs that start another.
    """
    assert parse_script(text)[0].commands[0].name == name


def test_lines_are_those_of_the_script() -> None:
    """
    Behind quotes, here-documents and continuations of several lines.
    """
    text = "a '\n\n'\nb <<X\n1\n2\nX\nc \\\n  d\ne $(\nf\n)\n"
    found = {
        one.words[0]: one.line
        for pipeline in every(parse_script(text))
        for one in pipeline.commands
    }
    assert found == {"a": 1, "b": 4, "c": 8, "e": 10, "f": 11}


@pytest.mark.parametrize("text", ["$(" * 5000, "a '", 'a "$(b', "${" * 50, "`" * 51, ")))", "a <"])
def test_what_is_no_script_is_no_error(text: str) -> None:
    """
    Anybody may commit anything.
    """
    parse_script(text)


def test_many_reserved_words_take_no_longer_than_others() -> None:
    """
    Whether a word begins a command is not found out by all words before it.
    """
    [only] = parse_script("if " * 20_000 + "case " * 10)

    assert len(only.commands[0].words) == 20_010


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a >b 2>>c </dev/null", [(">", "b"), ("2>>", "c"), ("<", "/dev/null")]),
        ("a &>/dev/null", [("&>", "/dev/null")]),
        ("a >/dev/null 2>&1 &", [(">", "/dev/null"), ("2>&", "1")]),
        ("a <<X\nb\nX", [("<<", "X")]),
        ("a <<<b", [("<<<", "b")]),
        ("a 2 b", []),
        ("a 3<<X >b\nX\n", [("<<", "X"), (">", "b")]),
    ],
)
def test_redirections(text: str, found: list[tuple[str, str]]) -> None:
    """
    They are kept with the number of their descriptor.
    """
    assert found == parse_script(text)[0].commands[0].redirected


def test_what_follows_a_pipeline() -> None:
    """
    Whether its failure matters, and whether it is waited for, depends on the next operator.
    """
    ends = [one.ends for one in parse_script("a && b || c & d; e\n{ f; g; } &")]

    assert ["&&", "||", "&", "", "", "", "", "&"] == ends


def test_a_lookup_starts_nothing() -> None:
    """
    `command -v` asks for a program; `command` alone runs it.
    """
    found = [one.commands[0].name for one in parse_script("command -v a; command b; sudo -E c")]

    assert ["command", "b", "c"] == found
