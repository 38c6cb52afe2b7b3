"""The layout: what the folders contain, what they import, and that each module has its tests."""

from __future__ import annotations

import ast
import graphlib
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_codex_workspace.images.proxy import proxy_plan

ROOT = Path(__file__).parents[2]
PACKAGE = "pytest_codex_workspace"
ADDONS = "proxy_addons"

WIDEST = 12
"""Modules that a folder may have, `__init__` and `__main__` aside."""

WIDER = {f"{PACKAGE}/cli": 28}  # One module for each command, and what they share.
"""Folders that may have more, each with its limit."""

UNTESTED = {
    "pytest_codex_workspace/cli/attach.py": "tests/integration/test_shell.py, on a terminal",
    "pytest_codex_workspace/cli/build.py": "tests/integration/test_build.py",
    "pytest_codex_workspace/cli/cache.py": (
        "tests/unit/cli/test_main.py and tests/integration/test_shared_cache.py"
    ),
    "pytest_codex_workspace/cli/cassette.py": "tests/integration/test_cassettes.py",
    "pytest_codex_workspace/cli/clean.py": (
        "tests/unit/cli/test_main.py and tests/integration/test_life_cycle.py"
    ),
    "pytest_codex_workspace/cli/config.py": (
        "tests/unit/options/test_sources.py and tests/unit/options/test_json_schema.py"
    ),
    "pytest_codex_workspace/cli/doctor.py": "tests/unit/doctor/test_checks.py",
    "pytest_codex_workspace/cli/exec_.py": "tests/integration/test_shell.py",
    "pytest_codex_workspace/cli/options.py": "tests/unit/cli/test_main.py",
    "pytest_codex_workspace/cli/run.py": (
        "tests/integration/test_life_cycle.py and tests/integration/test_events.py"
    ),
    "pytest_codex_workspace/cli/shell.py": "tests/integration/test_shell.py",
    "pytest_codex_workspace/cli/smoke.py": "tests/integration/test_smoke.py",
    "pytest_codex_workspace/doctor/package_registries.py": "tests/unit/doctor/test_network.py",
    "pytest_codex_workspace/doctor/result.py": "tests/unit/doctor/test_checks.py",
    "pytest_codex_workspace/doctor/runner.py": "tests/unit/doctor/test_checks.py",
    "pytest_codex_workspace/engine/docker/api.py": (
        "tests/contract, on a real engine, and tests/unit/engine/docker/test_engine.py on a socket"
    ),
    "pytest_codex_workspace/engine/docker/containers.py": (
        "tests/contract, on a real engine, and tests/unit/engine/docker/test_engine.py on a socket"
    ),
    "pytest_codex_workspace/engine/docker/images.py": (
        "tests/contract, on a real engine, and tests/unit/engine/docker/test_engine.py on a socket"
    ),
    "pytest_codex_workspace/engine/docker/networks.py": (
        "tests/contract, on a real engine, and tests/unit/engine/docker/test_engine.py on a socket"
    ),
    "pytest_codex_workspace/engine/docker/transport.py": (
        "tests/contract/test_docker.py: sockets, TLS and ssh"
    ),
    "pytest_codex_workspace/engine/native/build.py": "tests/contract, as root",
    "pytest_codex_workspace/engine/native/containers.py": "tests/contract, as root",
    "pytest_codex_workspace/engine/native/engine.py": "tests/contract, as root",
    "pytest_codex_workspace/engine/native/images.py": "tests/contract, as root",
    "pytest_codex_workspace/engine/native/networks.py": "tests/contract, as root",
    "pytest_codex_workspace/engine/native/refusal.py": "words of errors; tests/contract",
    "pytest_codex_workspace/engine/native/runner/gate.py": "tests/contract/test_native.py, as root",
    "pytest_codex_workspace/engine/native/runner/jobs.py": "tests/contract, as root",
    "pytest_codex_workspace/engine/native/runner/kernel/cgroups.py": (
        "tests/contract/test_native.py, as root"
    ),
    "pytest_codex_workspace/engine/native/runner/kernel/mounts.py": (
        "tests/contract/test_native.py, as root"
    ),
    "pytest_codex_workspace/engine/native/runner/kernel/netlink.py": (
        "tests/contract/test_native.py, as root"
    ),
    "pytest_codex_workspace/engine/native/runner/kernel/system.py": "tests/contract, as root",
    "pytest_codex_workspace/engine/native/runner/networks.py": (
        "tests/contract/test_native.py, as root"
    ),
    "pytest_codex_workspace/engine/native/runner/program.py": "tests/contract, as root",
    "pytest_codex_workspace/engine/native/workers.py": "tests/contract, as root",
    "pytest_codex_workspace/engine/protocol.py": "tests/contract",
    "pytest_codex_workspace/host/dirs.py": "tests/unit/host/test_certificates.py: TestCacheDir",
    "pytest_codex_workspace/images/build.py": (
        "tests/unit/images/test_base.py: when images are built, from what"
    ),
    "pytest_codex_workspace/images/debian.py": "tests/unit/images/test_base.py",
    "pytest_codex_workspace/images/proxy.py": "tests/unit/images/test_base.py: TestProxyImage",
    "pytest_codex_workspace/options/table.py": "tests/unit/options/test_config.py",
    "pytest_codex_workspace/plugin/run.py": (
        "tests/integration/test_life_cycle.py and tests/integration/test_reports.py"
    ),
    "pytest_codex_workspace/plugin/starter.py": (
        "tests/plugin/test_plugin.py and tests/integration/test_configuration.py"
    ),
    "pytest_codex_workspace/plugin/terminal.py": "tests/integration/test_concurrency.py",
    "pytest_codex_workspace/plugin/workers.py": "tests/integration/test_concurrency.py",
    "pytest_codex_workspace/projection/switch.py": (
        "tests/unit/in_container/test_apply_projection.py applies it"
    ),
    "pytest_codex_workspace/reporting/terminal.py": (
        "tests/unit/reporting/test_output.py: steps on a terminal"
    ),
    "pytest_codex_workspace/setup/spec.py": "data; tests/unit/setup/test_keys.py makes keys of it",
    "pytest_codex_workspace/setup/verify.py": "tests/integration/test_resume.py",
    "pytest_codex_workspace/snapshots/snapshot.py": (
        "data; tests/unit/snapshots/test_history.py makes them"
    ),
    "pytest_codex_workspace/workspace/call.py": (
        "tests/unit/workspace/test_channel.py, with a real agent"
    ),
    "pytest_codex_workspace/reporting/account.py": (
        "fields; tests/unit/reporting/test_github.py shows all of them"
    ),
    "proxy_addons/assembly.py": (
        "tests/integration/test_proxy_process.py, with the proxy in a process"
    ),
    "proxy_addons/main.py": "tests/integration/test_proxy_process.py, with the proxy in a process",
    "proxy_addons/mitm/backpressure.py": "tests/integration/test_backpressure.py",
    "proxy_addons/mitm/http_layer.py": (
        "tests/integration/test_backpressure.py and tests/integration/test_clients.py"
    ),
    "proxy_addons/mitm/http_stream.py": (
        "tests/integration/test_backpressure.py and tests/integration/test_abuse.py"
    ),
    "proxy_addons/state/limits.py": "numbers; tests/integration/test_abuse.py reaches each of them",
}
"""Modules without a test of their name, each with the reason."""

SHARED_NAMES = {
    "Failure": "programs of one file each, which share nothing",
    "Found": "a command of a script, a value of a secret: each is what its module finds",
    "certificates": "a check of the doctor has the name of what it looks at",
    "decode": "frames of the agent, lines of the proxy: two protocols",
    "encode": "frames of the agent, lines of the proxy: two protocols",
    "git": "a check of the doctor has the name of what it looks at",
    "main": "each program has one",
    "prune": "of layers and of cassettes, each called by the name of its module",
    "register": "each command has one",
}
"""Public classes and functions that several modules define, each with the reason."""

FOR_TYPES_ONLY = {
    (f"{PACKAGE}/errors", f"{PACKAGE}/workspace"),  # An error has the result of its command.
    (f"{ADDONS}/service", f"{ADDONS}/standalone"),  # The service writes to either kind of host.
}
"""Imports against the layers, for type annotations."""


def modules(*tops: str) -> Iterator[Path]:
    for top in tops or (PACKAGE, ADDONS):
        for path in sorted((ROOT / top).rglob("*.py")):
            if path.name not in ("__init__.py", "__main__.py"):
                yield path.relative_to(ROOT)


def mirrored(path: Path) -> Path:
    inside = path.relative_to(PACKAGE) if path.parts[0] == PACKAGE else path
    top = "tests" if inside.parts[0] == "plugin" else "tests/unit"
    return Path(top) / inside.parent / f"test_{inside.stem}.py"


def imports_of(path: Path) -> Iterator[str]:
    """
    Yield the modules of this repository that *path* imports, in functions and for types as well.
    """
    package = list(path.parent.parts)
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = [*above, *(node.module or "").split(".")]
            for alias in node.names:
                name = Path(*module, alias.name)
                found = name if (ROOT / name).with_suffix(".py").exists() else Path(*module)
                if found.parts and found.parts[0] in (PACKAGE, ADDONS):
                    yield str(found)


def folder_of(module: str) -> str:
    """
    Return the folder of *module*; a module that lies beside folders stands for itself.
    """
    path = Path(module)
    if (ROOT / path).is_dir():
        return module
    return str(path if len(path.parts) == 2 else path.parent)


@pytest.mark.parametrize("path", list(modules()), ids=str)
def test_each_module_has_a_test_of_its_name(path):
    """
    The tests of a module are found by its name, or the list says where they are.
    """
    if str(path) in UNTESTED:
        assert not (ROOT / mirrored(path)).exists(), "take it off the list"
    else:
        assert (ROOT / mirrored(path)).exists()


def test_the_list_of_untested_modules_is_up_to_date():
    """
    Every entry of the list is a module, and every test that a reason names exists.
    """
    assert set(UNTESTED) <= {str(path) for path in modules()}
    named = [name for reason in UNTESTED.values() for name in re.findall(r"[\w/]+\.py", reason)]
    assert [] == [name for name in named if not (ROOT / name).is_file()]


def test_no_folder_is_wide():
    """
    No folder has more modules than its limit.
    """
    count: dict[str, int] = defaultdict(int)
    for path in modules():
        count[str(path.parent)] += 1

    assert {} == {
        name: number for name, number in count.items() if number > WIDER.get(name, WIDEST)
    }


@pytest.mark.slow
def test_folders_do_not_import_in_a_circle():
    """
    The folders can be put in an order in which each imports only earlier ones.
    """
    graph: dict[str, set[str]] = defaultdict(set)
    for path in modules():
        mine = folder_of(str(path.with_suffix("")))
        for module in imports_of(path):
            its = folder_of(module)
            if its != mine:
                graph[mine].add(its)
    for mine, its in FOR_TYPES_ONLY:
        # An entry without its import is out of date.
        graph[mine].remove(its)

    assert len(list(graphlib.TopologicalSorter(graph).static_order())) > 20


def test_a_public_name_has_one_meaning():
    """
    No two modules define a public class or function of one name, but for those on the list.
    """
    where: dict[str, list[str]] = defaultdict(list)
    for path in modules():
        # Not parsed, which takes seconds for all of them.
        text = (ROOT / path).read_text()
        for name in re.findall(r"^(?:class|(?:async )?def) ([^\W_]\w*)", text, re.MULTILINE):
            where[name].append(str(path))
    twice = {name: paths for name, paths in where.items() if len(paths) > 1}

    assert set(SHARED_NAMES) == set(twice), twice


def test_the_proxy_image_holds_whole_folders():
    """
    The proxy image has the addons, the rules, and the network holder; of the rest of the
    package not even `__init__.py`, in place of which an empty file stands.
    """
    context = proxy_plan().context
    app = {name.removeprefix("app/") for name in context.names if name.startswith("app/")}
    rules = {str(path) for path in (ROOT / PACKAGE / "network/rules").rglob("*.py")}

    expected = {
        "network_holder.py",
        f"{PACKAGE}/__init__.py",
        f"{PACKAGE}/network/__init__.py",
        *(str(Path(one).relative_to(ROOT)) for one in rules),
        *(str(path.relative_to(ROOT)) for path in (ROOT / ADDONS).rglob("*.py")),
    }
    assert expected == app


@pytest.mark.slow
def test_only_one_module_imports_private_names():
    """
    Names that an update may change without notice are imported in one module, `mitm/private.py`.
    """
    found = [
        f"{path}: {node.module} {alias.name}"
        for path in modules()
        if path != Path(ADDONS, "mitm/private.py")
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.ImportFrom) and not node.level
        for alias in node.names
        if node.module != "__future__"
        and any(part.startswith("_") for part in (*node.module.split("."), alias.name))
        and node.module != "_typeshed"
    ]

    assert [] == found


FORBIDDEN = {
    f"{PACKAGE}.text.printable": "pytest",
    f"{PACKAGE}.host.locks": "docker",
    f"{PACKAGE}.network.rules.text": f"{PACKAGE}.codex",
    f"{PACKAGE}.network.rules.masking": f"{PACKAGE}.network.log",
    f"{PACKAGE}.cache.usage": f"{PACKAGE}.setup.layers",
    f"{PACKAGE}.in_container.workspace_agent": f"{PACKAGE}.errors",
    f"{PACKAGE}.in_container.network_holder": f"{PACKAGE}.network.rules.hosts",
    f"{ADDONS}.main": f"{PACKAGE}.codex",
}
"""For modules, another that each may not import: at least one for each kind of rule."""


@pytest.mark.slow
def test_a_broken_rule_is_found(tmp_path):
    """
    `lint-imports` accepts a copy of the tree, and names each import that is one too many.
    """
    ignored = shutil.ignore_patterns("__pycache__")
    for name in (PACKAGE, ADDONS):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)

    assert 0 == lint_imports(tmp_path).returncode

    for module, imported in FORBIDDEN.items():
        with (tmp_path / f"{module.replace('.', '/')}.py").open("a") as file:
            file.write(f"\n\nimport {imported}\n")
    done = lint_imports(tmp_path)

    assert 1 == done.returncode, done.stdout
    for module, imported in FORBIDDEN.items():
        assert f"{module} -> {imported} (l." in done.stdout, done.stdout


def lint_imports(directory):
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "1000"},
    )


def test_each_session_of_a_test_names_its_engine():
    """
    The default is any engine that answers: the share of one engine ran on another one, unseen.
    """
    calls = [
        (path.name, call)
        for path in sorted((ROOT / "tests/integration").rglob("*.py"))
        for call in re.findall(r"\bConfig\(([^)]*)", path.read_text())
    ]

    assert calls
    assert [] == [one for one in calls if "engine=" not in one[1]]
