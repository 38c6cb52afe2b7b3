"""The files of a commit, within bounds."""

from __future__ import annotations

from pytest_codex_workspace.checks import tree as module

from ...fakes.trees import memory_tree


def test_files_by_name_and_suffix():
    """
    Those near the top come first; files of other projects and links are left out.
    """
    files = ["b/a.txt", "a.txt", "node_modules/x/a.txt", ".github/a.txt", "c/d/a.txt", "x.csproj"]
    tree = memory_tree({**dict.fromkeys(files, "1"), "l/a.txt": "->a.txt"})

    assert ["a.txt", "b/a.txt", "c/d/a.txt"] == tree.named("a.txt")
    assert ["a.txt", "x.csproj", "b/a.txt", "c/d/a.txt"] == tree.paths()
    assert ["x.csproj"] == tree.suffixed(".csproj", ".fsproj")
    assert "node_modules/x/a.txt" in tree.files


def test_texts():
    """
    A file that is not there has none; bytes that are no text do no harm.
    """
    tree = memory_tree({"a": b"\xef\xbb\xbfx\xff"})

    assert [("a", "x\ufffd")] == list(tree.texts(["a", "b", "a"]))
    assert "" == tree.text("b")


def test_a_link_has_the_text_of_its_target():
    """
    As far as that is a file of the commit: nothing of this machine is read, and no circle.
    """
    tree = memory_tree(
        {
            "a": "1",
            "b/in": "->../a",
            "out": "->../../etc/passwd",
            "far": "->/etc/passwd",
            "circle": "->circle",
            "second": "->b/in",
            "long": "->" + "x" * 5000,
        }
    )

    assert "1" == tree.text("b/in")
    assert {""} == {tree.text(one) for one in ("out", "far", "circle", "second", "long")}


def test_large_files_are_not_read(monkeypatch):
    """
    Neither one that is too large, nor more than the bound of all together.
    """
    monkeypatch.setattr(module, "_LARGEST", 10)
    monkeypatch.setattr(module, "_MOST_BYTES", 15)
    tree = memory_tree({"a": "1" * 8, "b": "1" * 11, "c": "1" * 8, "d": "1"})

    assert ["a", "d"] == [path for path, _ in tree.texts(["a", "b", "c", "d"])]
    assert {"b", "c"} == tree.unread


def test_many_lines_are_not_read(monkeypatch):
    """
    Each rule goes through all of them.
    """
    monkeypatch.setattr(module, "_MOST_LINES", 5)
    tree = memory_tree({"a": "\n" * 3, "b": "\n" * 4, "c": "\n\n"})

    assert ["a", "c"] == [path for path, _ in tree.texts(["a", "b", "c"])]
    assert {"b"} == tree.unread


def test_many_files_are_not_read(monkeypatch):
    """
    A repository cannot make the check read without end.
    """
    monkeypatch.setattr(module, "_MOST_FILES", 3)
    tree = memory_tree({str(number): "x" for number in range(9)})

    assert 3 == len(list(tree.texts(tree.files)))


def test_each_file_is_read_once():
    """
    Rules ask for the same manifests.
    """
    asked = []
    plain = memory_tree({"a": "1"})
    tree = module.CommittedTree(
        plain.files, lambda blobs: asked.append(list(blobs)) or plain.contents(blobs)
    )

    assert ["1", "1"] == [tree.text("a"), tree.text("a")]
    assert 1 == sum(bool(one) for one in asked)
