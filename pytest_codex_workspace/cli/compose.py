"""`codex-workspace compose`: the same pieces, driven by hand."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import Config, ConfigError
from .common import add_command, add_options, add_repo, config_of, output_on

if TYPE_CHECKING:
    from ..session import Session
    from .common import Commands

__all__ = ["register"]

_COMPOSE = """\
Print a Docker Compose file with the services proxy, workspace and
workspace-cache, with which a workspace is brought up by hand:

  codex-workspace compose . --output compose.yaml
  export HOST_REPO=$(pwd); export HOST_REPO_NAME=$(basename "$HOST_REPO")
  docker compose build workspace
  docker compose run --rm workspace

The images are built from a directory in the user's cache; the file says
where it is. docs/compose.md has all the steps.
"""


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, "compose", "print a Compose file", _COMPOSE, _compose)
    add_repo(parser)
    add_options(parser, ("image", "env", "network", "engine", "upstream-proxy"))
    parser.add_argument(
        "--output",
        dest="file",
        metavar="FILE",
        default="-",
        help="where to write it (default: standard output)",
    )


def _compose(arguments: argparse.Namespace) -> int:
    from ..session import Session

    config = config_of(arguments)
    # What is printed on standard output is the file.
    session = Session(config, output_on(sys.stderr, "progress"))
    try:
        text = _text(session, config)
    finally:
        session.close()
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
    from ..images import base_plan, proxy_arguments, proxy_plan
    from ..network.here import own_addresses
    from ..rootfs import ensure_debian
    from ..trust import cache_dir, host_bundle, load_ca

    assert config.repo is not None  # noqa: S101 -- argparse has a default
    snapshot = session.repository(config.repo)
    policy = session.read_policy(config.network)
    # The image trusts this machine's authority until a workspace starts, as every image of ours.
    authority = load_ca() or session.isolation.info.ca_certificate
    engine, output = session.engine, session.output
    base = base_plan(engine, config.image, ca_certificate=authority, output=output)
    debian = ensure_debian(engine, output).tags[0]
    # Builders other than the engine's first do not take ids.
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
    output.note(f"images are built from {directory}, which the file needs as long as it is used")
    return compose_file(parts, directory, snapshot)
