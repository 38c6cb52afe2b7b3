"""
The Pythons and the versions of packages on which the unit tests run.

    nox                            every Python that is there, with each choice of versions
    nox -s 'unit-3.13(lowest)'     one of them
    nox -s sdist                   the tests of a source distribution, as a distributor runs them
    nox -s release                 what is published, in dist

A Python that this machine lacks is skipped. `tools/fresh trixie-root --command 'make matrix'` runs
those of another Debian release.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import tomllib
from pathlib import Path

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["unit"]

VERSIONS = ("lowest", "pytest-9.0", "newest")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
TESTS = ("-n", "2", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=quick")
PARTS = ("-m", "not needs_engine and not slow", "tests/unit", "tests/tools")


@nox.session(python=PYTHONS)
@nox.parametrize("versions", VERSIONS, ids=VERSIONS)
def unit(session: nox.Session, versions: str) -> None:
    """
    Run the unit tests, without those that start programs.
    """
    if versions == "lowest":
        session.install("--resolution=lowest-direct", ".[async]")
    # What is there stays, if it will do.
    pinned = ["pytest==9.0.*"] if versions == "pytest-9.0" else []
    session.install(".[async]", *pinned, "--group=test")
    if versions == "lowest":
        session.run("python", "tools/lowest_versions.py")
    session.run("pytest", *TESTS, "--no-programs", *PARTS, *session.posargs)


@nox.session(python="3.11")
def sdist(session: nox.Session) -> None:
    """
    Run the unit tests of a source distribution, in its own directory.
    """
    # Not nox's temporary directory: it would be that of the tests, whose sockets have short paths.
    place = Path(session.virtualenv.location).resolve() / "unpacked"
    session.run("uv", "build", "--sdist", f"--out-dir={place}", "--quiet")
    (archive,) = place.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(place, filter="data")
    session.chdir(place / archive.name.removesuffix(".tar.gz"))
    session.install(".[async]", "--group=test")
    session.run("pytest", *TESTS, "--no-programs", *PARTS, *session.posargs)


@nox.session
def release(session: nox.Session) -> None:
    """
    Build the distributions into `dist`, twice, and start the command from the wheel.
    """
    version = tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"]
    if (tag := os.environ.get("GITHUB_REF_NAME", f"v{version}")) != f"v{version}":
        session.error(f"the tag is {tag}, and pyproject.toml has {version}")
    epoch = session.run("git", "log", "-1", "--format=%ct", external=True, silent=True).strip()
    built = []
    for place in (Path("build/again"), Path("dist")):
        words = ("uv", "build", "--quiet", "--clear", f"--out-dir={place}")
        session.run(*words, env={"SOURCE_DATE_EPOCH": epoch}, external=True)
        files = sorted([*place.glob("*.whl"), *place.glob("*.tar.gz")])
        built.append({one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in files})
    if built[0] != built[1]:
        session.error(f"two builds differ: {built}")
    (wheel,) = Path("dist").glob("*.whl")
    words = ("uv", "tool", "run", f"--from={wheel}", "codex-workspace", "--version")
    session.run(*words, external=True)
