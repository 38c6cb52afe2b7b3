"""The engines of `make engines` and `make test`."""

from __future__ import annotations

import tomllib
from pathlib import Path

import debian_roots
import pytest
from other_engine import NEW_AND_OTHER, ROWS

_PROGRAMS = Path(__file__).parents[2] / "tools/programs.toml"


def test_engines_do_not_share_names_or_addresses() -> None:
    """
    Any of them may run at the same time.
    """
    networks = [row.network for row in ROWS.values()]

    for values in zip(*((n.name, n.near, n.far, n.subnet) for n in networks), strict=True):
        assert len(set(values)) == len(ROWS)
    # The kernel's limit.
    assert all(len(end) <= 15 for network in networks for end in (network.near, network.far))


@pytest.mark.parametrize("name", ROWS)
def test_more_packages_include_the_fewer(name: str) -> None:
    """
    A root file system that `make engines` has made is used by `make test`.
    """
    row = ROWS[name]

    assert set(row.packages(clients=False)) < set(row.packages(clients=True))


def test_the_short_suites_are_on_both_kinds() -> None:
    """
    `make test` tries a Docker and a Podman, neither of them the oldest.
    """
    rows = [ROWS[name] for name in NEW_AND_OTHER]

    assert {row.kind for row in rows} == {"docker", "podman"}
    assert "bookworm" not in {row.suite for row in rows}


def test_the_programs_are_declared() -> None:
    """
    The closed environment has what starts an engine.
    """
    table = tomllib.loads(_PROGRAMS.read_text())
    declared = {program for section in ("base", "demo", "test") for program in table[section]}

    assert {*debian_roots.PROGRAMS, "apt-get", "pivot_root", "chroot", "umount"} <= declared
