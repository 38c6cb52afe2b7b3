"""The filter of system calls, run as the kernel runs it."""

from __future__ import annotations

import errno
import struct

import pytest

from pytest_codex_workspace.engine.native.runner.kernel.seccomp import FilterError, compose

ALLOW, NOTIFY, KILL = 0x7FFF0000, 0x7FC00000, 0x80000000
EPERM, ENOSYS = 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def verdict(machine: str, number: int, *arguments: int, arch: int = 0, **options: bool) -> int:
    """
    Return what the filter says of a call.
    """
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("=iIQ6Q", number, arch or MACHINES[machine], 0, *padded)
    program = compose(machine, **options)
    code = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    assert len(code) < 4096
    at = value = 0
    while True:
        kind, yes, no, operand = code[at]
        at += 1
        if kind == 0x20:
            value = struct.unpack_from("=I", data, operand)[0]
        elif kind == 0x06:
            return operand
        else:
            test = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}
            at += yes if test[kind] else no


@pytest.mark.parametrize(
    ("machine", "number"),
    [
        *(("x86_64", one) for one in (165, 166, 272, 308, 321, 248, 249, 250, 304, 323, 425, 426)),
        *(("x86_64", one) for one in (175, 246, 169, 298, 300, 428, 429, 430, 442, 438, 103, 155)),
        *(("aarch64", one) for one in (40, 39, 97, 268, 280, 217, 218, 219, 265, 282, 425, 41)),
    ],
)
def test_what_docker_refuses_is_refused(machine: str, number: int):
    """
    Mounts, namespaces, bpf, keys, handles of files, userfaultfd, io_uring, modules and more.
    """
    assert EPERM == verdict(machine, number)


@pytest.mark.parametrize(
    ("machine", "numbers"),
    [("x86_64", (0, 1, 59, 41, 42, 49, 101, 161, 310, 439, 452)), ("aarch64", (63, 64, 221, 200))],
)
def test_ordinary_calls_are_allowed(machine: str, numbers: tuple[int, ...]):
    """
    Files, programs, sockets, ptrace of its own processes.
    """
    assert {ALLOW} == {verdict(machine, one) for one in numbers}


@pytest.mark.parametrize(
    ("machine", "clone", "clone3"), [("x86_64", 56, 435), ("aarch64", 220, 435)]
)
def test_processes_are_made_but_no_namespaces(machine: str, clone: int, clone3: int):
    """
    The newer call, whose flags a filter cannot see, does not exist.
    """
    assert ALLOW == verdict(machine, clone, 0x1200011)
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert EPERM == verdict(machine, clone, flag | 17)
    assert ENOSYS == verdict(machine, clone3)


def test_calls_of_other_kinds_do_not_exist():
    """
    Newer ones, those of x32, and of another architecture.
    """
    assert ENOSYS == verdict("x86_64", 467) == verdict("x86_64", 0x40000000 | 1)
    assert KILL == verdict("x86_64", 11, arch=0x40000003)


def test_sockets_are_of_some_families():
    """
    AF_VSOCK leads out of a virtual machine, and Unix sockets to those of the machine's network.
    """
    assert (ALLOW, EPERM) == (verdict("x86_64", 41, 2), verdict("x86_64", 41, 40))
    assert ALLOW == verdict("x86_64", 41, 1)
    assert EPERM == verdict("x86_64", 41, 1, unix_sockets=False)
    assert ALLOW == verdict("x86_64", 53, 1, unix_sockets=False)


def test_a_listener_is_asked_about_bind_alone():
    """
    If there is one.
    """
    assert (ALLOW, NOTIFY) == (
        verdict("x86_64", 49),
        verdict("x86_64", 49, notify_bind=True),
    )
    assert ALLOW == verdict("x86_64", 42, notify_bind=True)


def test_personalities_are_those_of_docker():
    """
    The one that turns address randomisation off is not among them.
    """
    assert ALLOW == verdict("x86_64", 135, 0xFFFFFFFF) == verdict("x86_64", 135, 8)
    assert EPERM == verdict("x86_64", 135, 0x0040000)


def test_an_unknown_architecture_has_no_filter():
    """
    No container starts without one.
    """
    with pytest.raises(FilterError, match="sparc"):
        compose("sparc")
