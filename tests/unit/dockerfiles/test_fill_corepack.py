"""Tests of the script `fill_corepack.py`."""

from __future__ import annotations

import json
import subprocess
import sys

from pytest_codex_workspace.host.resources import resource_dir


def test_corepack_finds_what_npm_has_installed(tmp_path):
    """
    Each package is where corepack looks, with its commands and the hash of npm's lock file.
    """
    packages = {}
    for name in ("pnpm", "yarn"):
        made = tmp_path / "work/node_modules" / name
        made.mkdir(parents=True)
        bins = {name: "bin/a.js", f"{name}x": "./bin/b.js"}
        (made / "package.json").write_text(json.dumps({"version": "1.2.3", "bin": bins}))
        packages[f"node_modules/{name}"] = {"integrity": "sha512-AAH/"}
    (tmp_path / "work/package-lock.json").write_text(json.dumps({"packages": packages}))
    program = resource_dir("dockerfiles") / "slim/fill_corepack.py"

    subprocess.run(
        [sys.executable, program, tmp_path / "work", tmp_path / "kept"], check=True, timeout=60
    )

    assert json.loads((tmp_path / "kept/v1/pnpm/1.2.3/.corepack").read_text()) == {
        "locator": {"name": "pnpm", "reference": "1.2.3"},
        "bin": {"pnpm": "./bin/a.js", "pnpmx": "./bin/b.js"},
        "hash": "sha512.0001ff",
    }
    assert (tmp_path / "kept/v1/yarn/1.2.3/package.json").exists()
    assert "yarn" in json.loads((tmp_path / "kept/lastKnownGood.json").read_text())
