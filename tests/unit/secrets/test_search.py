"""Tests of looking for secrets where they must not be."""

from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_codex_workspace.engine.protocol import ContainerSpec
from pytest_codex_workspace.secrets import search as module
from pytest_codex_workspace.secrets.search import (
    Found,
    Search,
    search_container,
    search_exported,
    search_files,
    search_image,
    search_workspace,
)
from pytest_codex_workspace.secrets.secrets import NO_SECRETS, Secrets

from ...fakes.engine import FakeEngine

TOKEN = "p4ss'w0rd of mine"
SECRETS = Secrets(("TOKEN",), {"TOKEN": TOKEN})


def tar_of(files: Mapping[str, bytes], **links: str) -> bytes:
    """
    Return a tar of files and links.
    """
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            if name.endswith("/"):
                member.type = tarfile.DIRTYPE
            tar.addfile(member, io.BytesIO(data))
        for name, target in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return archive.getvalue()


def searched(members: Mapping[str, bytes], **options: int) -> Search:
    """
    Search an exported image, which comes in small pieces.
    """
    data = tar_of(members)
    pieces = (data[at : at + 700] for at in range(0, len(data), 700))
    return search_exported(pieces, SECRETS, **options)


@given(before=st.binary(max_size=7), behind=st.binary(max_size=7))
def test_base64_is_found_wherever_the_value_begins(before: bytes, behind: bytes) -> None:
    """
    HTTP's Basic authentication has the value behind a name. Two alphabets are in use.
    """
    for value in (TOKEN.encode(), b"~~~?>?>~~?>?>~"):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            coded = encode(before + value + behind)
            assert any(form in coded for form in module._base64(value))


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_every_part_of_an_image_is_searched(compress) -> None:
    """
    Content, names, links and attributes of each layer, labels, variables and history.
    """
    coded = base64.b64encode(f"user:{TOKEN}".encode())
    first = tar_of({"root/.netrc": b"x" * 2_000_000 + TOKEN.encode(), "clean": b"y" * 512})
    second = tar_of({"root/.docker/config.json": coded, f"tmp/{TOKEN}": b""}, link=f"to/{TOKEN}")
    hexadecimal = TOKEN.encode().hex()
    third = tar_of({"a": hexadecimal.encode(), "b": hexadecimal.upper().encode()})
    config = {"config": {"Labels": {"a": TOKEN}}, "history": []}
    found = searched(
        {
            "a/layer.tar": compress(first),
            "blobs/sha256/b": compress(second),
            "blobs/sha256/c": compress(third),
            "config.json": json.dumps(config).encode(),
            "manifest.json": b"[]",
        }
    )

    assert found.found == (
        Found("TOKEN", "content", "/a"),
        Found("TOKEN", "content", "/b"),
        Found("TOKEN", "link", "/link"),
        Found("TOKEN", "content", "/root/.docker/config.json"),
        Found("TOKEN", "content", "/root/.netrc"),
        Found("TOKEN", "name", "/tmp/***"),
        Found("TOKEN", "description", "config.json"),
    )
    assert not found.incomplete
    assert not found.clean
    assert "p4ss" not in repr(found)
    assert str(found.found[5]) == "TOKEN in /tmp/*** (its name)"


def test_attributes_of_files_are_searched() -> None:
    """
    Their names and values are in a header of their own.
    """
    member = tarfile.TarInfo("a")
    member.pax_headers = {"SCHILY.xattr.user.note": TOKEN}
    layer = tarfile.TarInfo.tobuf(member, tarfile.PAX_FORMAT) + bytes(1024)

    assert searched({"l/layer.tar": layer}).found == (Found("TOKEN", "name", "/a"),)


def test_a_clean_image_is_proved_clean() -> None:
    """
    Only if everything could be searched.
    """
    assert searched({"l/layer.tar": tar_of({"a": b"b"}), "c.json": b"{}"}).clean
    assert searched({"l/layer.tar": b""}).clean


@pytest.mark.parametrize(
    ("layer", "limit", "words"),
    [
        (b"\x28\xb5\x2f\xfd and so on", 1 << 20, "compressed by zstd"),
        (gzip.compress(tar_of({"a": b"b" * 5000}))[:-30], 1 << 20, "cannot be read"),
        (tar_of({"a": b"b" * 5000})[:2000], 1 << 20, "cannot be read"),
        (tar_of({"a": b"b" * 5000}), 4000, "larger than the limit"),
    ],
    ids=["zstd", "half of gzip", "half of a tar", "too large"],
)
def test_what_cannot_be_searched_proves_nothing(layer: bytes, limit: int, words: str) -> None:
    """
    A layer that nobody can read may contain anything.
    """
    found = searched({"l/layer.tar": layer}, limit=limit)

    assert words in found.incomplete
    assert not found.clean


def test_a_header_that_is_too_long_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An image is not trusted, and its headers are read into memory.
    """
    monkeypatch.setattr(module, "_HEADER_LIMIT", 200_000)
    monkeypatch.setattr(module, "PIECE", 200_000)
    found = searched({"l/layer.tar": tar_of({"n" * 300_000: b""})})

    assert "the layer l/layer.tar cannot be read: one of its headers is too" in found.incomplete


def test_the_map_of_a_file_with_holes_is_not_read() -> None:
    """
    It has no end that its header tells, so no bound of what is read at once holds for it.
    """
    member = tarfile.TarInfo("a")
    member.type = tarfile.GNUTYPE_SPARSE

    found = searched({"l/layer.tar": member.tobuf(tarfile.GNU_FORMAT) + bytes(1024)})

    assert "l/layer.tar cannot be read: it has a header of type b'S'" in found.incomplete


def test_an_image_of_an_engine() -> None:
    """
    The engine exports it, and nothing in it runs.
    """
    engine = FakeEngine()
    layer = io.BytesIO(tar_of({"etc/pip.conf": TOKEN.encode()}))
    image = engine.import_image(layer, tag="a:b", changes=[])
    container = engine.create(ContainerSpec(image.id, ("true",), name="c"))
    committed = engine.commit(container, tag=None, labels={"note": TOKEN})
    found = search_image(engine, committed.id, SECRETS)

    assert "/etc/pip.conf" in [one.path for one in found.found if one.what == "content"]
    assert "description" in [one.what for one in found.found]
    engine.remove(container)
    engine.close()


def test_what_a_container_adds_to_its_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The engine says what has changed, and each new place is read once. What was in the image
    before, also beside it, is not.
    """
    engine = FakeEngine()
    before = {"etc/old": TOKEN.encode(), "etc/changed": b"", "root/a": b""}
    image = engine.import_image(io.BytesIO(tar_of(before)), tag="a:b", changes=[])
    container = engine.create(ContainerSpec(image.id, ("true",), name="c"))
    new = {"etc/changed": TOKEN.encode(), "root/.npmrc": TOKEN.encode(), "new/deep/a": b"clean"}
    new = {"new/": b"", "new/deep/": b"", **new, "new/deep/b": TOKEN.encode()}
    engine.put_archive(container, "/", io.BytesIO(tar_of(new)))
    read: list[str] = []
    get = engine.get_archive
    monkeypatch.setattr(engine, "get_archive", lambda c, path: read.append(path) or get(c, path))
    found = search_container(engine, container, SECRETS)

    assert [str(one) for one in found.found] == [
        "TOKEN in /etc/changed",
        "TOKEN in /new/deep/b",
        "TOKEN in /root/.npmrc",
    ]
    assert not found.incomplete
    assert read == ["/etc/changed", "/new", "/root/.npmrc"]
    assert (
        "larger than the limit" in search_container(engine, container, SECRETS, limit=9).incomplete
    )
    monkeypatch.setattr(module, "_ROOTS", 1)
    assert "of which 1 were searched" in search_container(engine, container, SECRETS).incomplete
    engine.remove(container)
    engine.close()


def test_files_of_this_machine(tmp_path: Path) -> None:
    """
    Logs, cassettes and reports, also below directories; links are not followed.
    """
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/a.log").write_text("clean")
    (tmp_path / "logs/b.log.gz").write_bytes(gzip.compress(TOKEN.encode()))
    (tmp_path / "logs/c").symlink_to("/proc/self/mem")
    (tmp_path / "one").write_text(TOKEN)
    found = search_files([tmp_path / "logs", tmp_path / "one", tmp_path / "absent"], SECRETS)

    assert [Path(one.path).name for one in found.found] == ["b.log.gz", "one"]
    assert "absent cannot be read" in found.incomplete
    assert search_files([tmp_path / "logs/a.log"], SECRETS).clean
    assert search_files([tmp_path], NO_SECRETS).clean


def test_a_workspace() -> None:
    """
    The values are on the input of the program, not in its arguments.
    """
    asked: list[object] = []

    def run(argv: list[str], data: bytes, timeout: float) -> bytes:
        asked.extend([argv, json.loads(data), timeout])
        place = ["TOKEN", "content", f"/root/{TOKEN}\x1b[2J"]
        return json.dumps({"found": [place], "complete": False}).encode()

    found = search_workspace(run, SECRETS, 5)

    argv, request, _ = asked
    assert "p4ss" not in repr(argv)
    assert TOKEN.encode().hex() in request["values"]["TOKEN"]  # type: ignore[index]
    assert found.found == (Found("TOKEN", "content", "/root/***"),)
    assert "not all files could be searched" in found.incomplete
    assert search_workspace(run, NO_SECRETS, 5).clean


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[" * 100_000,
        b"[1]",
        b'{"found": 3, "complete": true}',
        b'{"found": [["OTHER", "content", "/a"]], "complete": true}',
        b'{"found": [["TOKEN", "else", "/a"]], "complete": true}',
        b'{"found": [[["TOKEN"], "content", "/a"]], "complete": true}',
        b'{"found": [["TOKEN", ["content"], "/a"]], "complete": true}',
        b'{"found": [["TOKEN", "content", {"a": "/a"}]], "complete": true}',
        b'{"found": [["TOKEN", "content"]], "complete": true}',
        b'{"found": [7], "complete": true}',
        b'{"found": {"TOKEN": 1}, "complete": true}',
        b"\xff",
    ],
    ids=[
        *["nothing", "nested", "a list", "no places", "no secret", "no kind"],
        *["a list as name", "a list as kind", "no path", "two words", "a number", "an object"],
        "no text",
    ],
)
def test_an_answer_without_sense_proves_nothing(answer: bytes) -> None:
    """
    A script may have replaced Python.
    """
    found = search_workspace(lambda *_: answer, SECRETS, 5)

    assert found == Search(incomplete="Python in the workspace did not answer as expected")
    assert not search_workspace(lambda *_: b'{"found": [], "complete": "yes"}', SECRETS, 5).clean
