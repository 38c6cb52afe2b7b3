"""What is published: the wheel and the source distribution, their content and metadata."""

from __future__ import annotations

import ast
import email.message
import email.parser
import hashlib
import os
import shutil
import subprocess
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGE = "pytest_codex_workspace"
RESOURCES = ("dockerfiles", "proxy_addons", "examples/smoke")
HOME = "CODEX_WORKSPACE_HOME_PAGE"

OF_INSTALLERS = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
"""What a wheel has about itself."""


@pytest.fixture(autouse=True)
def build_environment(monkeypatch):
    """
    A build takes nothing from the environment of the tests.
    """
    monkeypatch.delenv(HOME, raising=False)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


def build_wheel(root: Path, to: Path) -> Path:
    """
    Build the wheel of the tree *root*.
    """
    (path,) = WheelBuilder(str(root)).build(directory=str(to), versions=["standard"])
    return Path(path)


def build_sdist(to: Path) -> Path:
    """
    Build the source distribution of this tree.
    """
    (path,) = SdistBuilder(str(ROOT)).build(directory=str(to), versions=["standard"])
    return Path(path)


def files_below(directory: Path) -> Iterator[str]:
    """
    Yield the paths of the files of a directory, without what Python writes there.
    """
    for path in directory.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(directory).as_posix()


def metadata(wheel: Path) -> email.message.Message:
    """
    Return the metadata of a wheel.
    """
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        return email.parser.Parser().parsestr(archive.read(name).decode())


def test_a_wheel_has_the_package_and_what_images_are_made_of_and_no_more(tmp_path):
    """
    No tests, tools, documents, caches of Python, or work of others.
    """
    wheel = build_wheel(ROOT, tmp_path)

    about = f"{PACKAGE}-{PROJECT['project']['version']}.dist-info"
    expected = {f"{PACKAGE}/{one}" for one in files_below(ROOT / PACKAGE)}
    for name in RESOURCES:
        expected |= {f"{PACKAGE}/_resources/{name}/{one}" for one in files_below(ROOT / name)}
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert sorted(names) == sorted(expected | {f"{about}/{one}" for one in OF_INSTALLERS})


@pytest.mark.slow
def test_a_wheel_is_the_same_bytes_wherever_and_whenever_it_is_built(tmp_path):
    """
    With SOURCE_DATE_EPOCH, neither the path, the times nor the modes of the files count.
    """
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    for name in (PACKAGE, *RESOURCES):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, copy)
    for path in copy.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(path.stat().st_mode & 0o700)

    wheels = [build_wheel(ROOT, tmp_path / "one"), build_wheel(copy, tmp_path / "two")]

    assert len({hashlib.sha256(one.read_bytes()).hexdigest() for one in wheels}) == 1


@pytest.mark.needs_git
@pytest.mark.slow
def test_a_source_distribution_has_every_file_of_the_repository(tmp_path):
    """
    So it has what its tests need. The script of one CI system is of no use there.
    """
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode or not done.stdout:
        pytest.skip("this is not a checkout")
    tracked = {one for one in done.stdout.split("\0") if one and (ROOT / one).is_file()}

    with tarfile.open(build_sdist(tmp_path)) as archive:
        names = {one.name.partition("/")[2] for one in archive.getmembers()}

    wanted = {one for one in tracked if not one.startswith(".ci/")} | {"PKG-INFO"}
    assert not wanted - names
    # A file that is not committed yet is there as well.
    assert not {one for one in names - wanted if one.startswith((".ci", ".venv", ".machine"))}


def test_every_classifier_of_a_python_is_one_that_the_matrix_runs():
    """
    The oldest of them is what pip asks for.
    """
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    (pythons,) = (
        ast.literal_eval(one.value)
        for one in tree.body
        if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "PYTHONS"
    )
    prefix = "Programming Language :: Python :: 3."
    claimed = {
        f"3.{one.removeprefix(prefix)}"
        for one in PROJECT["project"]["classifiers"]
        if one.startswith(prefix)
    }

    assert claimed <= set(pythons)
    assert PROJECT["project"]["requires-python"] == f">={pythons[0]}"


def test_every_requirement_has_a_lower_bound():
    """
    What has none is installed in its first version by whoever asks for the lowest.
    """
    project = PROJECT["project"]
    groups = PROJECT["dependency-groups"].values()
    lines = [*project["dependencies"], *project["optional-dependencies"]["async"]]
    lines += [one for group in groups for one in group if isinstance(one, str)]

    assert [one for one in lines if ">=" not in one] == []


def test_without_an_address_the_readme_is_that_of_the_repository(tmp_path):
    """
    A fork does not name the original as its home.
    """
    found = metadata(build_wheel(ROOT, tmp_path))

    assert found.get_all("Project-URL") is None
    assert found.get_payload() == (ROOT / "README.md").read_text()


def test_a_release_has_addresses_and_its_readme_has_no_relative_link(tmp_path, monkeypatch):
    """
    An index shows the README without the files beside it.
    """
    monkeypatch.setenv(HOME, "https://forge.example/us/it/")

    found = metadata(build_wheel(ROOT, tmp_path))

    urls = dict(one.split(", ") for one in found.get_all("Project-URL") or ())
    assert urls["Homepage"] == "https://forge.example/us/it"
    assert urls["Issues"] == "https://forge.example/us/it/issues"
    text = str(found.get_payload())
    version = PROJECT["project"]["version"]
    assert f"](https://forge.example/us/it/blob/v{version}/docs/" in text
    assert "](docs/" not in text
