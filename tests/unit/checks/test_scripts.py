"""Which commands a repository has, and where."""

from __future__ import annotations

from pytest_codex_workspace.checks.scripts import collect_scripts, folders_named
from pytest_codex_workspace.codex import RESUME, SETUP

from ...fakes.trees import memory_tree


def collected(files):
    return [(one.path, one.role, one.first) for one in collect_scripts(memory_tree(files))]


def test_scripts_and_what_they_call():
    """
    Scripts, targets of make, and scripts of npm, each once, also in a circle.
    """
    files = {
        SETUP: "bash a.sh\nmake deps\nnpm run gen\n",
        RESUME: 'source "$(dirname "$0")/b.sh"\n',
        "a.sh": "./b\nbash a.sh\n",
        "+b": "#!/bin/sh\n:\n",
        "codex-workspace-scripts/b.sh": ":\n",
        "Makefile": "deps: more\n\ta\nmore:\n\tb\nother:\n\tc\n",
        "package.json": '{"scripts": {\n"gen": "x",\n"pregen": "y",\n"other": "z"}}',
    }

    found = collected(files)

    assert [
        (SETUP, "setup", 1),
        ("a.sh", "called", 1),
        ("b", "called", 1),
        ("Makefile", "called", 2),
        ("Makefile", "called", 4),
        ("package.json", "called", 3),
        ("package.json", "called", 2),
        (RESUME, "resume", 1),
        ("codex-workspace-scripts/b.sh", "called", 1),
    ] == found


def test_paths_that_lead_out_are_not_followed():
    """
    Nor is what is not in the commit, a link, or another language.
    """
    files = {
        SETUP: "bash ../x.sh\nbash /etc/x.sh\n./link\n./x.py\nbash -c x.sh\n",
        "link": "->x",
        "+x.py": "#!/usr/bin/env python3\n",
    }

    assert [(SETUP, "setup", 1)] == collected(files)


def test_recipes_of_make():
    """
    Variables of make are those of bash; `$$` is a dollar.
    """
    files = {"Makefile": "test:\n\t@echo $(X) \\\n\t  ${Y} $$(date)\n"}
    (script,) = collect_scripts(memory_tree(files))

    commands = [one.command.words for one in script.commands()]
    assert [["echo", "${X}", "${Y}", ""], ["date"]] == commands
    assert {2} == {one.line for one in script.commands()}


def test_failures_that_are_meant():
    """
    A condition, or a command that takes the place of another.
    """
    text = "if a; then b; fi\nc || d\ne || exit 1\nf && g || h\n! i\nX=$(j || k)\nl | m || true\n"
    (script,) = collect_scripts(memory_tree({SETUP: text}))

    tolerated = {one.command.name for one in script.commands() if one.tolerated}
    assert {"a", "c", "g", "i", "j", "l", "m"} == tolerated


def test_texts_that_a_shell_runs():
    """
    They are on the line of the shell; what is substituted in them is not known.
    """
    text = "bash -lc 'a && b'\nsu - me -c \"c\"\nbash -c \"$(d)\"\necho -c 'e'\n"
    (script,) = collect_scripts(memory_tree({SETUP: text}))

    found = [(one.command.name, one.line) for one in script.commands()]
    assert [("bash", 1), ("a", 1), ("b", 1), ("su", 2), ("c", 2), ("bash", 3), ("d", 3)] == found[
        :7
    ]
    assert [("echo", 4)] == found[7:]


def test_a_script_with_data_is_not_parsed():
    """
    It would take long.
    """
    files = {SETUP: "a\n" + "#" * (300 << 10)}
    (script,) = collect_scripts(memory_tree(files))

    assert [] == list(script.commands())


def test_invalid_manifests():
    """
    They have no scripts.
    """
    for text in ("{", "[]", '{"scripts": []}', '{"scripts": {"test": 1}}', "[" * 100_000):
        assert [] == collected({"package.json": text})


def test_a_script_that_is_a_link():
    """
    Bash runs what it leads to.
    """
    (script,) = collect_scripts(memory_tree({SETUP: "->../ci/setup.sh", "ci/setup.sh": "a\n"}))

    assert (SETUP, "a\n") == (script.path, script.text)


def test_folders_that_a_script_names():
    """
    Not those whose name is inside of another one.
    """
    text = 'cd web && npm ci\n(cd ./libs/a; make)\npip install -e "my api"\n./old-app/x\napp.d\n'
    folders = ["web", "libs", "libs/a", "a", "my api", "api", "old", "app", "app.d", "we", "d"]

    assert ["web", "libs", "libs/a", "a", "my api", "api", "app", "app.d"] == list(
        folders_named(text, folders)
    )


def test_very_many_folders_and_a_large_script():
    """
    Both are read as far as a script of a person goes: each is looked for in all of the other.
    """
    folders = [f"f{number}" for number in range(600)]

    assert folders[:500] == list(folders_named(" ".join(folders), folders))
    assert [] == list(folders_named("#" * (256 << 10) + "\ncd web\n", ["web"]))
