"""The user namespace of a user without root. That it works is a matter of tests/integration."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest

from pytest_codex_workspace.engine.native.runner import namespace
from pytest_codex_workspace.engine.native.runner.namespace import (
    NamespaceError,
    become_root_of_namespace,
    find_range,
    why_refused,
)


@pytest.fixture(autouse=True)
def nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Nothing is asked of the kernel.
    """

    def fail(flags: int) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(namespace, "unshare", fail)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("me:100000:65536\n", 100_000),
        ("other:100000:65536\n4711:165536:65536\n", 165_536),
        ("me:100000:1000\nme:300000:131072\n", 300_000),
        ("me:100000:65535\n", None),
        ("# me\n\nme::65536\nme:x:65536\n", None),
        ("", None),
    ],
)
def test_a_range_is_the_users_and_large_enough(text: str, first: int | None) -> None:
    """
    By the name or the number of the user.
    """
    assert first == find_range(text, ["me", "4711"])


def test_without_tools_their_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Both programs come from it.
    """
    monkeypatch.setattr(shutil, "which", lambda _: None)

    with pytest.raises(NamespaceError, match="newuidmap and newgidmap: install the package uidmap"):
        become_root_of_namespace(str(tmp_path))


@pytest.mark.parametrize("missing", ["/etc/subuid", "/etc/subgid"])
def test_without_a_range_the_command_that_gives_one_is_told(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The range in it is nobody's.
    """
    own = "".join(f"{one}:200000:65536\n" for one in range(2))
    monkeypatch.setattr(namespace.os, "getuid", lambda: 1)
    monkeypatch.setattr(namespace, "_read", lambda path: "" if path == missing else own)

    with pytest.raises(NamespaceError) as caught:
        become_root_of_namespace(str(tmp_path))

    assert f"needs 65,536 ids for daemon in {missing}" in str(caught.value)
    ids = "265536-331071"
    command = f"sudo usermod --add-subuids {ids} --add-subgids {ids} daemon"
    assert command in str(caught.value)


def test_files_of_other_ids_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With another range, nobody could remove them.
    """
    monkeypatch.setattr(namespace, "_read", lambda _: "0:200000:65536\n1:200000:65536\n")
    monkeypatch.setattr(namespace.os, "getuid", lambda: 1)
    known = {"number": 1, "ids": [[[0, 0, 1], [1, 100_000, 65_536]], []]}
    (tmp_path / "namespace").write_text(json.dumps(known))

    with pytest.raises(NamespaceError, match="belong to other ids"):
        become_root_of_namespace(str(tmp_path))

    assert known == json.loads((tmp_path / "namespace").read_text())


def test_a_namespace_without_power_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    As AppArmor leaves it on Ubuntu. A file that was not written to the end is written anew.
    """

    def fail(groups: list[int]) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(namespace, "_read", lambda _: "0:200000:65536\n1:200000:65536\n")
    monkeypatch.setattr(namespace.os, "getuid", lambda: 1)
    monkeypatch.setattr(namespace.os, "setgroups", fail)
    monkeypatch.setattr(namespace, "_make", lambda users, groups: None)
    (tmp_path / "namespace").write_text('{"num')

    with pytest.raises(NamespaceError, match="refuses user namespaces"):
        become_root_of_namespace(str(tmp_path))

    known = json.loads((tmp_path / "namespace").read_text())
    assert [[0, 1, 1], [1, 200_000, 65_536]] == known["ids"][0]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (
            {"sys/kernel/unprivileged_userns_clone": "0\n"},
            "`sudo sysctl kernel.unprivileged_userns_clone=1`",
        ),
        ({"sys/user/max_user_namespaces": "0\n"}, "`sudo sysctl user.max_user_namespaces=10000`"),
        (
            {"sys/kernel/apparmor_restrict_unprivileged_userns": "1\n"},
            "`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`",
        ),
        (
            {"sys/user/max_user_namespaces": "96365\n", "self/status": "Seccomp:\t2\n"},
            "a filter of system calls refuses user namespaces",
        ),
        ({"self/status": "Seccomp:\t0\n"}, "refuses user namespaces (Operation not permitted)"),
    ],
)
def test_what_refuses_a_namespace_is_named(
    files: dict[str, str], words: str, tmp_path: Path
) -> None:
    """
    In one line, with a remedy.
    """
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    said = why_refused(OSError(errno.EPERM, "Operation not permitted"), str(tmp_path))

    assert words in said
    assert said.endswith("or use Docker or Podman")
    assert "\n" not in said


def test_a_switch_is_not_blamed_for_another_error(tmp_path: Path) -> None:
    """
    Only for a refusal.
    """
    (tmp_path / "sys/user").mkdir(parents=True)
    (tmp_path / "sys/user/max_user_namespaces").write_text("0\n")

    assert "sysctl" not in why_refused(OSError(errno.ENOMEM, "no memory"), str(tmp_path))


def test_a_tool_that_does_not_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """
    It may wait for a directory service. Whoever starts an engine waits for it, with a lock.
    """
    tool = tmp_path / "newuidmap"
    tool.write_text("#!/bin/sh\nsleep 1000\n")
    tool.chmod(0o755)
    monkeypatch.setattr(namespace, "_PATIENCE", 0.01)

    assert namespace._run_tool([str(tool), "1", "0"]) == -9

    assert capfd.readouterr().err == f"{tool} has not ended within 0.01 s"


def test_a_tool_that_cannot_be_run_says_why(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """
    As if it had said that itself.
    """
    assert namespace._run_tool([str(tmp_path), "1", "0"]) == 127

    assert capfd.readouterr().err == f"[Errno 13] Permission denied: '{tmp_path}'"
