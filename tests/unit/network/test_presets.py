"""Tests of Codex's lists of allowed hosts."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.network.presets import PRESETS, preset_hosts

REGISTRIES = {"python": ["index.test", "files.test"], "npm": ["registry.test"], "debian": []}


def test_common_dependencies_has_the_documented_entries() -> None:
    """
    The documentation lists 71 entries; placeholders stand for those of pip, npm and apt.
    """
    entries = PRESETS["codex-common-dependencies"].split()

    assert len(entries) == len(set(entries)) == 71 - 3
    assert {"{python}", "{npm}", "{debian}"} <= set(entries)


@pytest.mark.parametrize("name", PRESETS)
def test_placeholders_are_replaced(name: str) -> None:
    """
    The registries of the image take the place of the placeholders, each host once.
    """
    hosts = preset_hosts(name, REGISTRIES)

    assert {"index.test", "files.test", "registry.test"} <= set(hosts)
    assert not [host for host in hosts if "{" in host]
    assert len(hosts) == len(set(hosts))


def test_unknown_registries_are_left_out() -> None:
    """
    Without registries, a placeholder stands for nothing.
    """
    hosts = preset_hosts("codex-package-managers", {})

    assert not [host for host in hosts if "{" in host]
    assert "github.com" in hosts


def test_only_common_dependencies_include_all_subdomains() -> None:
    """
    The other preset adds only `www.`, and only to a root domain.
    """
    common = preset_hosts("codex-common-dependencies", {})
    managers = preset_hosts("codex-package-managers", {})

    assert {"crates.io", "*.crates.io"} <= set(common)
    assert {"crates.io", "www.crates.io", "index.crates.io"} <= set(managers)
    assert "www.index.crates.io" not in managers
    assert not [host for host in managers if host.startswith("*")]
