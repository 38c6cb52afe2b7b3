"""Tests of hints from CI files, Dockerfiles, Compose files and Makefiles."""

from __future__ import annotations

import pytest

from . import whole

CI = """\
jobs:
  test:
    services:
      db: {image: x}
    steps:
      - run: |
          sudo apt-get update -q && sudo apt-get install -y --no-install-recommends \\
            libpq-dev=1.2 libxml2-dev \\
            $EXTRA && make
      - run: sudo apt install -yq ffmpeg libpq-dev
      - run: apt-get -y install $(cat packages) ; true
"""


@pytest.mark.parametrize(
    "path",
    [".github/workflows/ci.yml", "Dockerfile", "Dockerfile.dev", ".devcontainer/Dockerfile",
     ".gitlab-ci.yml", "dev.Dockerfile"],
)  # fmt: skip
def test_packages_of_the_system_are_comments(path: str) -> None:
    """
    Names only: what a shell would expand is not taken over.
    """
    hint = whole({path: CI}).hints[0]

    assert path == hint.source
    assert hint.lines == (
        "apt-get update",
        "apt-get install -y --no-install-recommends libxml2-dev ffmpeg libpq-dev",
    )


def test_servers_of_compose_files_are_services() -> None:
    """
    Once each, by the name of their image.
    """
    compose = (
        "services:\n  cache:\n    image: redis:7-alpine\n"
        "  db:\n    image: 'docker.io/library/postgres'\n"
        "  web:\n    build: .\n  other:\n    image: ghcr.io/me/app:1\n"
    )
    workflow = "services:\n  db:\n    image: postgres:16\n  m:\n    image: mariadb@sha256:0\n"

    draft = whole({"compose.yaml": compose, ".github/workflows/a.yml": workflow})

    assert [("postgres", 5432), ("mysql", 3306), ("redis", 6379)] == [
        (one.name, one.port) for one in draft.services
    ]
    assert "compose.yaml" == draft.services[-1].source
    assert "redis-server" == draft.services[-1].package


def test_targets_of_a_makefile_are_named() -> None:
    """
    They test what nothing else tests.
    """
    makefile = "VAR := x\ntest: deps\n\ttrue\n.PHONY: test\ndeps:\nall:\nlint :\n"
    draft = whole({"Makefile": makefile})
    assert ["make test"] == [one.command for one in draft.tests]
    assert "has the targets test, deps, lint, which may do" in draft.hints[0].text

    draft = whole({"Makefile": makefile, "go.mod": ""})
    assert ["go test ./..."] == [one.command for one in draft.tests]
    assert [] == whole({"Makefile": "all:\n"}).hints


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("Dockerfile", "apt " + "-apt " * 150_000),
        ("compose.yaml", "\n" * 500_000),
    ],
)
def test_repetitions_take_linear_time(path: str, text: str) -> None:
    """
    No pattern begins anew at each of them: that would take minutes.
    """
    assert not whole({path: text}).services
