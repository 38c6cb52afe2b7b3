"""Which system calls the programs of a container may make: a filter in the kernel's own code.

It refuses what Docker's default profile refuses to a container without added capabilities. That
profile names what is allowed; here, what is refused is named, and every call that is newer than
this list does not exist (`ENOSYS`, so that programs do without it).
"""

from __future__ import annotations

import ctypes
import errno
import struct

from .system import call

__all__ = ["FilterError", "compose", "install"]

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_NEWEST = 466
"""The number of the newest call that is allowed; newer ones do not exist."""

_X32 = 0x40000000
"""Numbers from here on belong to the x32 calls of x86_64."""

# Names with the numbers of x86_64 and aarch64; `None` if the architecture does not have the call.
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    # Time.
    "clock_settime": (227, 112),
    "settimeofday": (164, 170),
    # Modules, and other kernels.
    "bpf": (321, 280),
    "create_module": (174, None),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "get_kernel_syms": (177, None),
    "init_module": (175, 105),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "query_module": (178, None),
    "reboot": (169, 142),
    # Mounts and namespaces.
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "pivot_root": (155, 41),
    "setns": (308, 268),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "umount2": (166, 39),
    "unshare": (272, 97),
    # Keys, which no namespace separates.
    "add_key": (248, 217),
    "keyctl": (250, 219),
    "request_key": (249, 218),
    # Memory of others, and where memory lies.
    "get_mempolicy": (239, 236),
    "kcmp": (312, 272),
    "mbind": (237, 235),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "pidfd_getfd": (438, 438),
    "set_mempolicy": (238, 237),
    "set_mempolicy_home_node": (450, 450),
    "userfaultfd": (323, 282),
    # Large interfaces that had escapes.
    "fanotify_init": (300, 262),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "perf_event_open": (298, 241),
    # Files by a handle, whatever is mounted.
    "open_by_handle_at": (304, 265),
    # The machine.
    "acct": (163, 89),
    "ioperm": (173, None),
    "iopl": (172, None),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "sysfs": (139, None),
    "_sysctl": (156, None),
    "uselib": (134, None),
    "ustat": (136, None),
    "vhangup": (153, 58),
}

_CLONE, _CLONE3, _SOCKET, _BIND, _PERSONALITY = (
    (56, 220),
    (435, 435),
    (41, 198),
    (49, 200),
    (135, 92),
)

_NEW_NAMESPACES = 0x7E020000
"""The flags of clone(2) for new namespaces."""

_UNIX, _VSOCK = 1, 40

_PERSONALITIES = (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)
"""What Docker lets a program set."""

_ALLOW, _ERRNO, _NOTIFY, _KILL = 0x7FFF0000, 0x00050000, 0x7FC00000, 0x80000000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06

_SET_FILTER, _NEW_LISTENER = 1, 8


class FilterError(RuntimeError):
    """
    The filter cannot be made on this machine.
    """


def compose(machine: str, *, notify_bind: bool = False, unix_sockets: bool = True) -> bytes:
    """
    Return the program of the filter.

    Args:
        machine: the architecture, as `uname -m` has it.
        notify_bind: ask the listener of the filter about every bind(2).
        unix_sockets: let programs make Unix sockets, by which they reach those of the host if they
            are in its network.

    Raises:
        FilterError: the architecture is unknown.
    """
    if machine not in _ARCHITECTURES:
        raise FilterError(f"no seccomp filter is known for {machine}")
    at = list(_ARCHITECTURES).index(machine)
    eperm, enosys = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    code: list[tuple[int, int, int, int]] = []

    def unless(test: int, value: int, verdict: int) -> None:
        """
        Return *verdict* if what is loaded passes the test.
        """
        code.extend([(test, 0, 1, value), (_RETURN, 0, 0, verdict)])

    def about(number: int, rules: list[tuple[int, int, int, int]]) -> None:
        """
        Run *rules*, which end with a verdict, for the call *number* only.
        """
        code.append((_EQUAL, 0, len(rules), number))
        code.extend(rules)

    code += [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, _ARCHITECTURES[machine]), (_RETURN, 0, 0, _KILL)]
    code.append((_LOAD, 0, 0, 0))
    unless(_AT_LEAST, _X32, enosys)
    unless(_AT_LEAST, _NEWEST + 1, enosys)
    unless(_EQUAL, _CLONE3[at], enosys)
    for numbers in _REFUSED.values():
        if (number := numbers[at]) is not None:
            unless(_EQUAL, number, eperm)
    low, second = (_LOAD, 0, 0, 16), (_LOAD, 0, 0, 16)
    about(
        _CLONE[at],
        [low, (_ANY_BIT, 0, 1, _NEW_NAMESPACES), (_RETURN, 0, 0, eperm), (_RETURN, 0, 0, _ALLOW)],
    )
    families = [_VSOCK] if unix_sockets else [_VSOCK, _UNIX]
    rules = [second]
    for family in families:
        rules += [(_EQUAL, 0, 1, family), (_RETURN, 0, 0, eperm)]
    about(_SOCKET[at], [*rules, (_RETURN, 0, 0, _ALLOW)])
    rules = [low]
    for value in _PERSONALITIES:
        rules += [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW)]
    about(_PERSONALITY[at], [*rules, (_RETURN, 0, 0, eperm)])
    if notify_bind:
        about(_BIND[at], [(_RETURN, 0, 0, _NOTIFY)])
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *one) for one in code)


def install(program: bytes, *, listen: bool = False) -> int:
    """
    Apply the filter to this process and what it starts. The process needs CAP_SYS_ADMIN, or has
    given up privileges for ever.

    Returns:
        With *listen*, the descriptor on which calls are notified.

    Raises:
        OSError: the kernel refused.
    """
    buffer = ctypes.create_string_buffer(program, len(program))
    # A length, padding, and the address of the program.
    head = struct.pack("=HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    flags = _NEW_LISTENER if listen else 0
    return call("seccomp", _SET_FILTER, flags, ctypes.create_string_buffer(head, len(head)))
