"""The arguments of the markers and of `codex_workspace_factory` as plain data."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict

from ..errors import ConfigError
from ..text.phrases import did_you_mean

if TYPE_CHECKING:
    from ..network.policy_reader import PolicyLike
    from ..snapshots.prepared import StateName
    from ..snapshots.snapshot import Snapshot

__all__ = ["DESCRIPTIONS", "Keywords", "WorkspaceRequest", "read_keywords", "read_markers"]

DESCRIPTIONS: Mapping[str, str] = {
    "cache_hit": "cache_hit: the workspace starts from the committed setup image, and "
    "setup-from-cache-script.sh has run",
    "cache_miss": "cache_miss: the workspace is a clean one in which setup-script.sh runs for "
    "this test; the cache is not read",
    "codex_repo": "codex_repo(path, rev=None): project another repository for this test",
    "codex_env": "codex_env(NAME=VALUE, ...): extra environment for this test's workspace",
    "codex_network": "codex_network(policy=..., allow=[...], deny=[...], methods=[...], http=...): "
    "network policy of this test's workspace",
    "codex_cassette": "codex_cassette(name): cassette for this test's requests",
    "codex_setup": "codex_setup(False): do not run setup scripts",
    "codex_snapshot": "codex_snapshot(name, key=None): the workspace starts from the state that a "
    "function has prepared once for this run, or for all with this key; the fixture of that name "
    "returns the function, which takes a workspace",
}


class Keywords(TypedDict, total=False):
    """
    The keywords of `codex_workspace_factory`.
    """

    cache_hit: bool
    cache_miss: bool
    repo: str | os.PathLike[str] | tuple[str, str]
    path: str | os.PathLike[str]
    rev: str | None
    env: Mapping[str, str]
    network: PolicyLike
    cassette: str
    setup: bool
    snapshot: Snapshot | str | tuple[str, str]
    codex_repo: str | os.PathLike[str] | tuple[str, str]
    codex_env: Mapping[str, str]
    codex_network: PolicyLike
    codex_cassette: str
    codex_setup: bool
    codex_snapshot: Snapshot | str | tuple[str, str]


class _Mark(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def args(self) -> tuple[Any, ...]: ...
    @property
    def kwargs(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class WorkspaceRequest:
    """
    The workspace that one test requests.

    Raises:
        ConfigError: a snapshot is asked to be something else.
    """

    state: Literal["ready", "hit", "miss", "clean"] = "ready"
    repo: str | None = None
    rev: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    network: tuple[Mapping[str, Any], ...] = ()
    """Changes to the network policy in order; `policy` replaces the policy so far."""
    cassette: str | None = None
    snapshot: Snapshot | StateName | None = None
    """A snapshot, or the name of one that is prepared once for all tests."""

    def __post_init__(self) -> None:
        if self.snapshot is None:
            return
        from ..snapshots.prepared import StateName

        if isinstance(self.snapshot, StateName):
            if self.snapshot.key is not None and self.state == "miss":
                raise ConfigError(
                    f"{self.snapshot} is cached, and cache_miss reads no cache: leave out one of "
                    "the two, or the key"
                )
        elif self.state != "ready" or self.repo is not None or self.rev is not None:
            raise ConfigError(
                "a snapshot has the repository, the commit and the setup of the workspace that it "
                "was made of, so it goes with none of repo, rev, setup, cache_hit and cache_miss"
            )

    def changed_by(self, other: WorkspaceRequest) -> WorkspaceRequest:
        """
        Return this request with what *other* asks for: variables and changes to the network are
        merged, and any other value of *other* takes precedence.

        Raises:
            ConfigError: each is right by itself, but not both.
        """
        return WorkspaceRequest(
            self.state if other.state == "ready" else other.state,
            other.repo or self.repo,
            other.rev or (None if other.repo else self.rev),
            {**self.env, **other.env},
            (*self.network, *other.network),
            other.cassette or self.cassette,
            other.snapshot or self.snapshot,
        )


def read_markers(marks: Iterable[_Mark]) -> WorkspaceRequest:
    """
    Return the request of the markers *marks*, the closest to the test first.

    Raises:
        ConfigError: a marker has invalid arguments, or two markers contradict
            each other. The text names the marker and its valid arguments.
    """
    values: dict[str, Any] = {}
    for mark in marks:
        if mark.name not in DESCRIPTIONS:
            continue
        given = _read(mark)
        if mark.name == "codex_env":
            values["env"] = {**given, **values.get("env", {})}
        elif mark.name == "codex_network":
            values["network"] = (given, *values.get("network", ()))
        else:
            values.setdefault(mark.name.removeprefix("codex_"), given)
    repo, rev = values.pop("repo", (None, None))
    return _request(repo=repo, rev=rev, spell="@pytest.mark.{}".format, **values)


def read_keywords(values: Mapping[str, Any]) -> WorkspaceRequest:
    """
    Return the request of keyword arguments: `rev`, and the names of the markers,
    with or without `codex_`.

    Raises:
        TypeError: a keyword is unknown.
        ConfigError: a value is invalid.
    """
    every = Keywords.__annotations__
    known = [name for name in every if name != "path" and not name.startswith("codex_")]
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = "repo" if key == "path" else key.removeprefix("codex_")
        if name not in known:
            raise TypeError(
                f"codex_workspace_factory() has no keyword {key!r}{did_you_mean(name, known)}; "
                f"it has {', '.join(known)}"
            )
        found[name] = value
    repo = found.pop("repo", None)
    if isinstance(repo, tuple):
        repo, found["rev"] = _read_repo("repo", repo, {})
    if repo is not None:
        repo = _path(repo, "repo")
    if "env" in found:
        from .config import check_environment

        found["env"] = check_environment(found["env"], "env")
    if "snapshot" in found:
        found["snapshot"] = _read_snapshot(found["snapshot"])
    if "network" in found:
        found["network"] = (_read_network("network", found["network"]),)
    return _request(repo=repo, spell=str, **found)


def _request(
    *,
    spell: Any,
    repo: str | None = None,
    rev: str | None = None,
    env: Mapping[str, str] | None = None,
    network: tuple[Mapping[str, Any], ...] = (),
    cassette: str | None = None,
    cache_hit: bool = False,
    cache_miss: bool = False,
    setup: bool = True,
    snapshot: Snapshot | StateName | None = None,
) -> WorkspaceRequest:
    chosen = [
        (name, state)
        for given, name, state in (
            (cache_hit, "cache_hit", "hit"),
            (cache_miss, "cache_miss", "miss"),
            (not setup, "codex_setup", "clean"),
        )
        if given
    ]
    if len(chosen) > 1:
        names = " and ".join(spell(name) for name, _ in chosen)
        raise ConfigError(f"{names} contradict each other: a workspace starts in one state")
    state: Any = chosen[0][1] if chosen else "ready"
    return WorkspaceRequest(state, repo, rev, env or {}, network, cassette, snapshot)


def _read_snapshot(value: object) -> Snapshot | StateName:
    from ..snapshots.prepared import StateName
    from ..snapshots.snapshot import Snapshot

    match value:
        case Snapshot():
            return value
        case str(name) if name:
            return StateName(name)
        case (str(name), str(key)) if name:
            return StateName(name, key)
    raise ConfigError(
        f"snapshot is {value!r}; it must be what ws.snapshot() returns, or the name of a fixture "
        "that prepares a state, alone or with a key, as for @pytest.mark.codex_snapshot"
    )


def _read(mark: _Mark) -> Any:
    usage = f"@pytest.mark.{mark.name}"
    args, kwargs = mark.args, dict(mark.kwargs)
    if mark.name in ("cache_hit", "cache_miss"):
        if args or kwargs:
            raise ConfigError(f"{usage} takes no arguments")
        return True
    if mark.name == "codex_setup":
        if len(args) != 1 or kwargs or not isinstance(args[0], bool):
            raise ConfigError(f"{usage} takes one argument, True or False: {usage}(False)")
        return args[0]
    if mark.name == "codex_env":
        if args:
            raise ConfigError(f"{usage} takes keywords only: {usage}(NAME='value')")
        from .config import check_environment

        return check_environment(kwargs, usage)
    if mark.name == "codex_cassette":
        if len(args) != 1 or kwargs or not isinstance(args[0], str):
            raise ConfigError(f"{usage} takes one name: {usage}('api')")
        return args[0]
    if mark.name == "codex_snapshot":
        names = [one for one in (*args, *kwargs.values()) if isinstance(one, str) and one]
        if len(args) != 1 or len(names) != 1 + len(kwargs) or not set(kwargs) <= {"key"}:
            raise ConfigError(
                f"{usage} takes the name of a fixture, which returns a function that prepares a "
                f"workspace, and maybe a key: {usage}('installed', key='1')"
            )
        from ..snapshots.prepared import StateName

        return StateName(args[0], kwargs.get("key"))
    if mark.name == "codex_network":
        if len(args) > 1 or (args and "policy" in kwargs):
            raise ConfigError(
                f"{usage} takes a policy and keywords: {usage}('offline', allow=['example.org'])"
            )
        return _read_network(usage, {**({"policy": args[0]} if args else {}), **kwargs})
    return _read_repo(usage, args, kwargs)


def _read_network(usage: str, given: Any) -> Mapping[str, Any]:
    """
    Return changes to a policy. A mapping has `policy`, fields, or both; any other
    value is a policy itself.
    """
    from ..network.rules.fields import check_names
    from ..network.rules.policy import InvalidPolicy, Policy

    changes: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {"policy": given}
    policy = changes.get("policy", "")
    if not isinstance(policy, str | os.PathLike | Mapping | Policy):
        raise ConfigError(f"{usage}: policy is {policy!r}; it must be a name, a path or fields")
    fields = {key: value for key, value in changes.items() if key != "policy"}
    try:
        check_names(changes, ["policy", *(one.name for one in dataclasses.fields(Policy))])
        Policy().but(**fields)
    except InvalidPolicy as error:
        raise ConfigError(f"{usage}: {error}") from None
    return changes


def _read_repo(usage: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, str | None]:
    given = {**dict(zip(("path", "rev"), args, strict=False)), **kwargs}
    if len(args) > 2 or not set(given) <= {"path", "rev"} or "path" not in given:
        raise ConfigError(
            f"{usage} takes a path and optionally a revision: {usage}(path, rev=None)"
        )
    rev = given.get("rev")
    if rev is not None and not isinstance(rev, str):
        raise ConfigError(f"{usage}: rev is {rev!r}; it must be text, such as 'HEAD~1'")
    return _path(given["path"], usage), rev


def _path(value: Any, usage: str) -> str:
    if not isinstance(value, str | os.PathLike):
        raise ConfigError(f"{usage}: path is {value!r}; it must be a path")
    return os.fsdecode(value)
