"""`codex-workspace compose`: a Compose file, to run a workspace by hand."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError, EngineUnavailable, ProxyError
from ..options.config import Config
from .options import add_command, add_options, add_repo, complete_with, config_of
from .printing import output_on

if TYPE_CHECKING:
    from ..engine.protocol import Engine
    from ..session import Session
    from .options import Commands

__all__ = ["SUMMARY", "register"]

SUMMARY = "print a Docker Compose file"

_COMPOSE = """\
Print a Docker Compose file to start a workspace by hand.

The file has the services proxy, workspace and workspace-cache:

  codex-workspace compose . --output compose.yaml
  export HOST_REPO=$(pwd); export HOST_REPO_NAME=$(basename "$HOST_REPO")
  docker compose build workspace
  docker compose run --rm workspace

The images are built from a folder in your cache directory, which the file
names. No image is pulled or built to print the file; `docker compose build`
does that. docs/compose.md describes all steps.
"""


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, "compose", SUMMARY, _COMPOSE, _compose, "[REPO]")
    parser.set_defaults(progress_on_stderr=True)
    add_repo(parser)
    add_options(parser, ("repo-config", "image", "env", "network", "engine", "upstream-proxy"))
    output = parser.add_argument(
        "--output",
        dest="file",
        metavar="FILE",
        default="-",
        help="file to write (default: standard output)",
    )
    complete_with(output, paths="files")


def _compose(arguments: argparse.Namespace) -> int:
    from ..session import Session

    config = config_of(arguments)
    # Standard output is for the file.
    with Session(config, output_on(sys.stderr, "progress")) as session:
        text = _text(session, config)
    if arguments.file == "-":
        sys.stdout.write(text)
        return 0
    try:
        Path(arguments.file).write_text(text, "utf-8")
    except OSError as error:
        raise ConfigError(f"--output={arguments.file}: {error.strerror}") from None
    return 0


def _text(session: Session, config: Config) -> str:
    import os

    from ..codex import UNIVERSAL
    from ..compose import ComposeParts, compose_file, write_directory
    from ..host.certificates import host_bundle, load_ca
    from ..host.dirs import cache_dir
    from ..host.own_addresses import own_addresses
    from ..images.base import named_plan
    from ..images.build import proxy_arguments
    from ..images.debian import DEBIAN, find_debian
    from ..images.proxy import proxy_plan
    from ..options.run_notes import same_rules

    assert config.repo is not None  # noqa: S101 -- argparse has a default
    if ignored := same_rules(config):
        session.output.note(
            f"warning: the file has the seed's rules and the repository's scripts: not used: "
            f"{' '.join(ignored)}"
        )
    snapshot = session.repository(config.repo)
    policy = session.read_test_policy(config.network)
    # As every image of ours, this one trusts the certificate authority of this machine. Before
    # there is one, a certificate that is trusted anyway stands in: each Compose project has an
    # authority of its own.
    authority = load_ca() or host_bundle()
    if not authority:
        raise ProxyError(
            "this machine trusts no certificate authority",
            remedy="Install the package ca-certificates, or set SSL_CERT_FILE.",
        )
    engine = _engine(session, config)
    base = named_plan(engine, config.image, ca_certificate=authority)
    found = None if engine is None else find_debian(engine)
    # What is missing is pulled by `docker compose build`.
    debian = found.tags[0] if found else DEBIAN
    # BuildKit does not accept image ids as base.
    named = {"slim": debian, "universal": f"{UNIVERSAL}:latest"}.get(config.image, config.image)
    by_digest = base.base is not None and "@" in base.base
    parts = ComposeParts(
        base=base,
        base_from=base.base if base.base and by_digest else named,
        proxy=proxy_plan(),
        proxy_from=debian,
        policy=policy,
        upstream_ca=host_bundle(),
        refuse=own_addresses(),
        upstream=session.upstream(),
        env=config.env,
        build_proxies=tuple(proxy_arguments(os.environ)),
    )
    directory = write_directory(parts, cache_dir() / "compose")
    session.output.note(f"the file builds images from {directory}; keep that folder")
    if found is None:
        session.output.note(
            f"`docker compose build` pulls {DEBIAN}; where it cannot, run `codex-workspace build "
            "--image=slim` and print the file again"
        )
    return compose_file(parts, directory, snapshot)


def _engine(session: Session, config: Config) -> Engine | None:
    """
    Return the engine, which may have base images; `None` if there is none and none was named.
    """
    try:
        return session.engine
    except EngineUnavailable:
        if config.engine != "auto":
            raise
        return None
