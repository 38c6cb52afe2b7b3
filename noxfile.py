"""
The Pythons and the versions of packages on which the unit tests run.

    nox                            every Python that is there, with each choice of versions
    nox -s 'unit-3.13(lowest)'     one of them
    nox -s sdist                   the tests of a source distribution, as a distributor runs them

A Python that this machine lacks is skipped. `tools/fresh trixie-root --command 'make matrix'` runs
those of another Debian release.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["unit"]

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
TESTS = ("-n", "2", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=quick")
PARTS = ("-m", "not needs_engine and not slow", "tests/unit", "tests/tools")


@nox.session(python=PYTHONS)
@nox.parametrize(
    "versions", ["lowest", "pytest-9.0", "newest"], ids=["lowest", "pytest-9.0", "newest"]
)
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
    place = Path(session.create_tmp()).resolve()
    session.run("uv", "build", "--sdist", f"--out-dir={place}", "--quiet")
    (archive,) = place.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(place, filter="data")
    session.chdir(place / archive.name.removesuffix(".tar.gz"))
    session.install(".[async]", "--group=test")
    session.run("pytest", *TESTS, "--no-programs", *PARTS, *session.posargs)
