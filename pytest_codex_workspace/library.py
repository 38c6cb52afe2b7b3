"""The package without pytest: a workspace for a script, and what the fixtures of a run promise."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, TypedDict, Unpack

from .debugging.run import debug_log
from .errors import ConfigError
from .network.policy_reader import PolicyLike
from .options.sources import ResolvedOptions
from .options.table import (
    CacheMode,
    CassetteMode,
    KeepWhen,
    Methods,
    ProfileName,
    PushWhen,
    RepoConfigMode,
)
from .reporting.output import Output, OutputMode
from .reports.collector import collecting
from .session import Session
from .text.phrases import did_you_mean
from .workspace.handle import Workspace

__all__ = ["EngineHandle", "OpenOptions", "ProxyHandle", "RepositoryHandle", "open"]


class OpenOptions(TypedDict, total=False):
    """
    The keywords of `open`: the options of the command, with underscores.
    """

    rev: str
    repo_config: RepoConfigMode
    profile: ProfileName
    image: str
    env: Mapping[str, str]
    secret: Sequence[str]
    network_secret: Mapping[str, str]
    setup_script: str | os.PathLike[str]
    maintenance_script: str | os.PathLike[str]
    git_tags: bool
    git_depth: int | Literal["all"]
    cache: CacheMode
    cache_ttl: str
    cache_size: str
    cache_scope: str
    cache_registry: str
    cache_push: PushWhen
    network: PolicyLike
    network_setup: str
    network_methods: Methods
    network_bodies: int
    cassette: CassetteMode
    engine: str
    output: OutputMode
    keep: KeepWhen
    report: str | os.PathLike[str]
    debug: str | os.PathLike[str]
    setup_timeout: float
    cpus: float | str
    memory: str
    upstream_proxy: str


class EngineHandle(Protocol):
    """
    What the fixture `codex_engine` returns: the container engine of the run.
    """

    @property
    def url(self) -> str:
        """
        The address on which the engine listens.
        """

    @property
    def platform(self) -> str:
        """
        Operating system and architecture of its containers, as `linux/amd64`.
        """

    def version(self) -> Mapping[str, str]:
        """
        Return facts about the engine, such as `name` and `version`.
        """


class ProxyHandle(Protocol):
    """
    What the fixture `codex_proxy` returns: the proxy of the run.
    """

    @property
    def container(self) -> str:
        """
        The engine's id of its container.
        """

    @property
    def address(self) -> str:
        """
        Its address on the network of the workspaces.
        """

    @property
    def ca_certificate(self) -> bytes:
        """
        The certificate that workspaces trust, as PEM.
        """


class RepositoryHandle(Protocol):
    """
    What the fixture `codex_repo` returns: the repository at the commit that is projected.
    """

    @property
    def path(self) -> Path:
        """
        The top level of the work tree.
        """

    @property
    def name(self) -> str:
        """
        The name of the repository, and of its directory in a workspace.
        """

    @property
    def head(self) -> str:
        """
        The full id of the commit.
        """


@contextmanager
def open(  # noqa: A001 -- the public name, as of `tarfile.open`
    repo: str | os.PathLike[str] = ".",
    *,
    state: Literal["ready", "setup", "clean"] = "ready",
    **options: Unpack[OpenOptions],
) -> Iterator[Workspace]:
    """
    Start a workspace of a repository without pytest, and end it at the end of the block.

    Images, cache, proxy and network are those of the command and of the pytest plugin. So are the
    options, which environment variables (`CODEX_WORKSPACE_*`) and the repository's
    `.codex-workspace.yaml` may set, too.

    Args:
        repo: path of the repository.
        state: `ready` is the state that tests start from, `setup` the cached result of
            `setup-script.sh`, `clean` the commit before any script has run.
        options: the options of `codex-workspace run`, with underscores. Nothing is shown unless
            `output` says so: it goes to standard error then.

    Raises:
        TypeError: there is no such option.
        CodexWorkspaceError: an option is invalid, or the workspace does not start.

    Example:
        >>> with pytest_codex_workspace.open(".", image="slim") as ws:  # doctest: +SKIP
        ...     ws.exec("make test", check=True)
    """
    known = list(OpenOptions.__annotations__)
    if unknown := sorted(set(options) - set(known)):
        raise TypeError(
            f"open() has no option {unknown[0]!r}{did_you_mean(unknown[0], known)}; the options "
            f"are {', '.join(known)}"
        )
    values: dict[str, Any] = {"repo": repo, **options}
    policy = values.get("network")
    if policy is not None and not isinstance(policy, str | os.PathLike):
        del values["network"]
    else:
        policy = None
    config = ResolvedOptions.of(
        {key: _as_written(value) for key, value in values.items()}, spell="{}"
    ).config
    if config.engines:
        raise ConfigError(
            f"a workspace is on one engine, and {len(config.engines)} are given: "
            f"{', '.join(config.engines)}",
            remedy="Give one with engine=.",
        )
    told = "output" in options or "CODEX_WORKSPACE_OUTPUT" in os.environ
    output = Output(config.output if told else "quiet", _show)
    with (
        debug_log(config.debug, "pytest_codex_workspace.open", lambda: config, examines=True),
        collecting(config.report, config.image, output.note) as report,
        Session(config, output, report=report) as session,
    ):
        snapshot = session.repository(Path(repo), config.rev)
        session.tell_notes()
        given = None if policy is None else session.read_policy(policy)
        spec = session.spec(snapshot, config.env, policy=given)
        workspace = session.workspace(spec, state, label="pytest_codex_workspace.open")
        failed = True
        try:
            yield workspace
            failed = False
        finally:
            keep = config.keep == "always" or (failed and config.keep == "failed")
            if (tag := session.stop(workspace, keep=keep)) is not None:
                output.note(f"the workspace is kept as the image {tag}")


def _show(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def _as_written(value: Any) -> Any:
    """
    Return the value of an option as it would be written on the command line.
    """
    match value:
        case None | str():
            return value
        case bool():
            return str(value).lower()
        case int() | float():
            return f"{value:g}" if isinstance(value, float) else str(value)
        case Mapping():
            return [f"{name}={text}" for name, text in value.items()]
        case os.PathLike():
            return os.fspath(value)
    return list(value)
