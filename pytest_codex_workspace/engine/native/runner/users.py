"""The user whose name or number an image gives, by the files of the container alone."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["User", "find_user"]


@dataclass(frozen=True)
class User:
    """
    Who the first process is.
    """

    uid: int
    gid: int
    home: str = "/"
    groups: tuple[int, ...] = ()


def find_user(named: str, etc: str = "/etc") -> User:
    """
    Return the user of `NAME`, `NUMBER`, `NAME:GROUP`; root if *named* is empty.

    Args:
        named: as the instruction USER has it.
        etc: the directory of `passwd` and `group`. No library is asked: the container's own would
            be loaded.

    Raises:
        ValueError: there is no such user or group.
    """
    name, _, group = (named or "0").partition(":")
    rows = _rows(f"{etc}/passwd", 6)
    row = next((one for one in rows if name in (one[0], one[2])), None)
    if row is None and not name.isdecimal():
        raise ValueError(f"unable to find user {name}: no matching entries in passwd file")
    uid = int(row[2]) if row else int(name)
    gid = int(row[3]) if row else 0
    home = row[5] if row else "/"
    known = _rows(f"{etc}/group", 3)
    if group:
        chosen = next((one for one in known if group in (one[0], one[2])), None)
        if chosen is None and not group.isdecimal():
            raise ValueError(f"unable to find group {group}: no matching entries in group file")
        return User(uid, int(chosen[2]) if chosen else int(group), home)
    member = row[0] if row else ""
    others = [
        int(one[2]) for one in known if member and len(one) > 3 and member in one[3].split(",")
    ]
    return User(uid, gid, home, (gid, *others))


def _rows(path: str, fields: int) -> list[list[str]]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            rows = [line.rstrip("\n").split(":") for line in file]
    except OSError:
        return []
    return [row for row in rows if len(row) > fields - 1 and row[2].isdecimal() and row[0]]
