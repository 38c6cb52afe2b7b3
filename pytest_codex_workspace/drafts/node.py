"""JavaScript: npm, pnpm, Yarn and Bun, with their workspaces."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..checks.documents import subtable
from ..checks.manifests import node_tests
from .draft import UNLOCKED, Draft, Install, TestCommand, browser_hint, in_folder
from .tree import ProjectFiles

__all__ = ["add_node"]

_LOCKS = {
    "pnpm-lock.yaml": "pnpm",
    "yarn.lock": "yarn",
    "bun.lock": "bun",
    "bun.lockb": "bun",
    "package-lock.json": "npm",
    "npm-shrinkwrap.json": "npm",
}
_MANAGER = re.compile(r"(npm|pnpm|yarn|bun)@(\d+)[\w.+-]*")
_OLD_PNPM = {"5": "7", "6": "8"}
"""Major versions of pnpm that read older formats of its lock file, which newer ones refuse."""

_BROWSERS: Mapping[str, str | None] = {
    "@playwright/test": "npx playwright install --with-deps",
    "playwright": "npx playwright install --with-deps",
    "puppeteer": "npx puppeteer browsers install chrome",
    "cypress": "npx cypress install",
    "selenium-webdriver": None,
    "karma-chrome-launcher": None,
    "webdriverio": None,
}
"""What installs the browser of a library; `None` if it drives one of the system."""


@dataclass(frozen=True, slots=True)
class _Chosen:
    """
    Lines that get a package manager, the command that installs, what runs scripts, and a note.
    """

    get: tuple[str, ...]
    install: str
    run: str
    note: str


def add_node(tree: ProjectFiles, draft: Draft) -> None:
    """
    Add what the JavaScript projects of a tree need.
    """
    covered: list[str] = []
    for folder in tree.folders_with("package.json"):
        is_below = any(one == "" or folder.startswith(f"{one}/") for one in covered)
        # A project with a lock file of its own is no member of a workspace further up.
        if is_below and not any(name in _LOCKS for name in tree.in_folder(folder)):
            continue
        if _add_project(tree, folder, draft):
            covered.append(folder)


def _add_project(tree: ProjectFiles, folder: str, draft: Draft) -> bool:
    """
    Add the project in a folder. Return whether it also installs those in folders below.
    """
    prefix = f"{folder}/" if folder else ""
    package = tree.json(f"{prefix}package.json")
    lock = next((name for name in _LOCKS if f"{prefix}{name}" in tree), "")
    wanted = _MANAGER.fullmatch(str(package.get("packageManager", "")))
    manager = _LOCKS.get(lock) or (wanted[1] if wanted else "npm")
    dependencies = _dependencies(package)
    has_workspaces = bool(package.get("workspaces")) or f"{prefix}pnpm-workspace.yaml" in tree
    if not lock and not dependencies and not has_workspaces:
        return False
    pinned = bool(wanted and wanted[1] == manager)
    chosen = _choose(tree, prefix, manager, lock, pinned=pinned)
    source = f"{prefix}{lock or 'package.json'}"
    lines = (*chosen.get, *in_folder(folder, [chosen.install]))
    draft.installs.append(Install(source, lines, chosen.note))
    for name, browser in _BROWSERS.items():
        if name in dependencies:
            draft.hints.append(browser_hint(f"{prefix}package.json", name, folder, browser))
            break
    if node_tests(package):
        command = " && ".join(in_folder(folder, [f"CI=true {chosen.run} test"]))
        draft.tests.append(TestCommand(command, f"{prefix}package.json"))
    return has_workspaces


def _dependencies(package: Mapping[str, Any]) -> set[str]:
    kinds = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")
    return {name for kind in kinds for name in subtable(package, kind)}


def _choose(tree: ProjectFiles, prefix: str, manager: str, lock: str, *, pinned: bool) -> _Chosen:
    """
    Return how a package manager is got and run. Corepack runs the version that package.json pins;
    without one, it is that of the image, unless that cannot read the lock file. Nothing is
    installed in its place: npm refuses to replace the commands of corepack.
    """
    run, note = manager, ""
    get: tuple[str, ...] = ()
    if manager in ("pnpm", "yarn") and pinned:
        get = ("corepack enable",)
    if manager == "pnpm" and not pinned:
        head = tree.text(f"{prefix}{lock}")[:4096]
        found = re.search(r"^lockfileVersion: *['\"]?(\d+)", head, re.M)
        if found and found[1] in _OLD_PNPM:
            run = f"npx --yes pnpm@{_OLD_PNPM[found[1]]}"
    berry = manager == "yarn" and _is_berry(tree, prefix)
    if berry and pinned and not _has_release(tree, prefix):
        note = "corepack gets Yarn from a host of its own, not from the registry"
    elif berry and not pinned and not _has_release(tree, prefix):
        run = "npx --yes @yarnpkg/cli-dist@4"
    if lock:
        options = "--immutable" if berry else "--frozen-lockfile"
        install = "npm ci --no-audit --no-fund" if manager == "npm" else f"{run} install {options}"
    else:
        note = UNLOCKED
        install = {
            "npm": "npm install --no-package-lock --no-audit --no-fund",
            "pnpm": f"{run} install --no-lockfile",
            "yarn": f"{run} install --no-lockfile",
            "bun": "bun install --no-save",
        }[manager]
    return _Chosen(get, install, "bun run" if manager == "bun" else run, note)


def _is_berry(tree: ProjectFiles, prefix: str) -> bool:
    return "\n__metadata:" in tree.text(f"{prefix}yarn.lock")[:4096]


def _has_release(tree: ProjectFiles, prefix: str) -> bool:
    """
    Check whether Yarn itself is committed.
    """
    return any(
        re.fullmatch(r"yarn-[\w.-]+\.c?js", name)
        for name in tree.in_folder(f"{prefix}.yarn/releases")
    )
