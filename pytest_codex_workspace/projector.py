"""The program of Compose's service `projection`: packs HEAD where workspaces find it.

    python3 -m pytest_codex_workspace.projector REPOSITORY DIRECTORY

It sees the repository's git directory, read-only, and nothing of the network;
workspaces see what it makes, and nothing of the repository. It always
succeeds: what went wrong is in `projection.json`, for a workspace to say.
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
        repository: where the git directory is, as `.git`.
        directory: where to.
        environ: `HOST_REPO` and `HOST_REPO_NAME` in it are the repository's path on
            the host and the name it shall have, `CODEX_SKIP_SUBMODULES=1`
            leaves submodules out.
    """
    facts: dict[str, str] = {"repo": environ.get("HOST_REPO", "")}
    try:
        facts.update(_pack(repository, directory, environ))
    except Exception as error:
        # The user knows the place by its name on the host.
        facts["error"] = str(error).replace(repository, facts["repo"] or repository)
    beside = directory / ".projection.json"
    beside.write_text(json.dumps(facts), "utf-8")
    beside.replace(directory / "projection.json")


def _pack(repository: str, directory: Path, environ: Mapping[str, str]) -> dict[str, str]:
    if sys.version_info < (3, 11):  # noqa: UP036 -- the image may be anyone's
        raise RuntimeError(
            "the image's python3 is older than 3.11, which the Compose file needs: choose "
            "`--image=slim` or `universal`, or use `codex-workspace run`"
        )
    from dataclasses import replace

    from .projection import Projection
    from .repository import open_repository, project_name

    trusting = {
        **environ,
        # It belongs to the user, who started this and is not root.
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
    Project what the arguments name.
    """
    repository, directory = sys.argv[1:]
    project(repository, Path(directory), os.environ)


if __name__ == "__main__":
    main()
