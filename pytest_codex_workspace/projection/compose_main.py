"""The program of the Compose service `projection`, which packs HEAD for the workspaces.

    python3 -m pytest_codex_workspace.projection.compose_main REPOSITORY DIRECTORY

The service has read-only access to the repository's git directory and no network;
workspaces see only the result. The exit code is always 0: an error is written to
`projection.json`, and the workspace reports it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["main", "project"]


def project(repository: str, directory: Path, environ: Mapping[str, str]) -> None:
    """
    Write `projection.tar`, and then `projection.json`.

    Args:
        repository: path of the repository in this container.
        directory: directory to write to.
        environ: environment variables. `HOST_REPO` is the repository's path on
            the host, `HOST_REPO_NAME` the name of the project directory;
            `CODEX_SKIP_SUBMODULES=1` skips submodules.
    """
    facts: dict[str, str] = {"repo": environ.get("HOST_REPO", "")}
    try:
        facts.update(_pack(repository, directory, environ))
    except Exception as error:
        # The user knows the repository by its path on the host.
        facts["error"] = str(error).replace(repository, facts["repo"] or repository)
    beside = directory / ".projection.json"
    beside.write_text(json.dumps(facts), "utf-8")
    beside.replace(directory / "projection.json")


def _pack(repository: str, directory: Path, environ: Mapping[str, str]) -> dict[str, str]:
    if sys.version_info < (3, 11):  # noqa: UP036 -- users choose the image
        raise RuntimeError(
            "the python3 of the image is older than 3.11, which the Compose file needs: use "
            "`--image=slim` or `--image=universal`, or `codex-workspace run`"
        )
    from dataclasses import replace

    from .archive import Projection
    from .repository import open_repository, project_name

    trusting = {
        **environ,
        # The repository belongs to the user who started Compose, and not to root.
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }
    snapshot = open_repository(repository, environ=trusting)
    given = environ.get("HOST_REPO_NAME") or Path(environ.get("HOST_REPO", repository)).name
    snapshot = replace(snapshot, name=project_name(given))
    beside = directory / ".projection.tar"
    with (
        Projection.of(snapshot, environ=environ) as projection,
        projection.open() as archive,
        beside.open("wb") as file,
    ):
        shutil.copyfileobj(archive, file)
    beside.replace(directory / "projection.tar")
    return {"name": snapshot.name, "head": snapshot.head}


def main() -> None:
    """
    Project the repository that the arguments name.
    """
    repository, directory = sys.argv[1:]
    project(repository, Path(directory), os.environ)


if __name__ == "__main__":
    main()
