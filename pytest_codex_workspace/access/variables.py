"""The variables of a workspace's commands, as a mapping that can be changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping

from ..options.config import check_environment

__all__ = ["Variables"]


class Variables(MutableMapping[str, str]):
    """
    Variables that are given, and own ones, which come before them.

    Args:
        given: variables that cannot be removed.
        own: what is set and removed.
    """

    def __init__(self, given: Mapping[str, str], own: MutableMapping[str, str]) -> None:
        self._given = given
        self._own = own

    def __getitem__(self, name: str) -> str:
        return self._own[name] if name in self._own else self._given[name]

    def __setitem__(self, name: str, value: str) -> None:
        check_environment({name: value}, "ws.env")
        self._own[name] = value

    def __delitem__(self, name: str) -> None:
        if name not in self._own and name in self._given:
            raise KeyError(
                f"{name} was not set by ws.env, so cannot be removed; set it to an empty text"
            )
        del self._own[name]

    def __iter__(self) -> Iterator[str]:
        yield from {**self._given, **self._own}

    def __len__(self) -> int:
        return len({**self._given, **self._own})

    def __repr__(self) -> str:
        return repr({**self._given, **self._own})
