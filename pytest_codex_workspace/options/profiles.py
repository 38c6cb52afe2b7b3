"""The profiles: whose rules a workspace follows, and in which facts they differ.

`seed` is this project's own convention and the default. `codex` is Codex as its documentation,
its logs and dumps of its containers show it, up to September 2026. `current` is the generation
since 2026-09-29. docs/profiles.md says how each fact is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Literal, get_args

from .table import ProfileName

__all__ = [
    "CODEX",
    "CURRENT",
    "PROFILES",
    "SEED",
    "Profile",
    "agent_variables",
    "profile_named",
    "runtime_variables",
]

SecretKind = Literal["variable", "placeholder"]


def _none() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Profile:
    """
    The facts in which workspaces of one kind differ. The defaults of the fields are the seed's.

    A profile chooses defaults only: a value that the user gives takes precedence over it.

    Attributes:
        name: the value of the option `profile`.
        summary: one line for people.
        defaults: values of options in place of their usual defaults, by option key:
            `network_setup` is for the phases setup and resume, `network` for the test phase.
        agent: variables that commands of the test phase have, and scripts have not. An empty
            value stands for an id that each workspace gets.
        runtimes: versions of runtimes in place of `codex.RUNTIMES`, by name in capitals.
        tags: whether the tags of the repository are in a workspace.
        depth: number of commits of history in a workspace; `None` for all.
        keeps_changes: whether a tracked file that setup changed stays changed when a workspace
            goes to a commit, unless the commit changes it too, which is an error then. Otherwise,
            the commit's version of each file counts, with a warning.
        secret: what a secret is: a `variable` that only the setup scripts get; or a
            `placeholder` in each phase, which the proxy replaces on HTTPS to named hosts.
        refusal: body of a refused request, if it is not our explanation.
        unknown: what is not known of Codex here. Each line says what workspaces do instead.
    """

    name: ProfileName
    summary: str
    defaults: Mapping[str, str] = field(default_factory=_none)
    agent: Mapping[str, str] = field(default_factory=_none)
    runtimes: Mapping[str, str] = field(default_factory=_none)
    tags: bool = False
    depth: int | None = None
    keeps_changes: bool = False
    secret: SecretKind = "variable"  # noqa: S105 -- a kind of secret
    refusal: str = ""
    unknown: tuple[str, ...] = ()

    def describe(self) -> list[str]:
        """
        Return what the profile sets besides values of options, and what is not known.
        """
        lines = [f"profile {self.name}: {self.summary}"]
        if self.agent:
            lines.append(f"  variables in tests: {', '.join(self.agent)}")
        if self.runtimes:
            versions = (f"{name} {version}" for name, version in self.runtimes.items())
            lines.append(f"  runtimes: {', '.join(versions)}")
        depth = "the whole history" if self.depth is None else f"{self.depth} commits of history"
        lines.append(f"  git: {depth}, {'with' if self.tags else 'no'} tags")
        if self.keeps_changes:
            lines.append("  git: a checkout leaves what setup changed, and fails over a conflict")
        if self.secret == "placeholder":  # noqa: S105 -- a kind of secret
            lines.append("  secrets: placeholders, which the proxy replaces (network-secret)")
        if self.refusal:
            lines.append(f"  body of a refused request: {self.refusal}")
        return [*lines, *(f"  not known: {one}" for one in self.unknown)]

    def to_dict(self) -> dict[str, Any]:
        """
        Return plain data, suitable for JSON.
        """
        return {
            one.name: dict(value) if isinstance(value, Mapping) else value
            for one in fields(self)
            if (value := getattr(self, one.name)) is not None
        }


SEED = Profile("seed", "this project's own rules: HTTPS in each phase, and nothing else")

_SETUP_UNKNOWN = (
    "whether WebSocket and ports besides 80 and 443 pass in setup: they are refused "
    "(network-setup sets another policy)",
)

CODEX = Profile(
    "codex",
    "Codex until September 2026: setup with internet access, tests without",
    defaults=MappingProxyType({"network_setup": "codex-setup", "network": "offline"}),
    agent=MappingProxyType(
        {
            "CODEX_CI": "1",
            "CODEX_THREAD_ID": "",
            "CODEX_HOME": "/opt/codex",
            "CODEX_INTERNAL_ORIGINATOR_OVERRIDE": "codex_web_agent",
        }
    ),
    # The fetch of a commit was seen with --depth=100 in 2025, and without a depth in 2026.
    depth=100,
    keeps_changes=True,
    refusal="Domain forbidden",
    unknown=(
        *_SETUP_UNKNOWN,
        "whether tags of the first clone arrive: workspaces have none",
        "how much history the first clone has: workspaces have 100 commits",
        "whether the maintenance script gets secrets: it does",
        "the headers of a refused request: none is added",
    ),
)

CURRENT = replace(
    CODEX,
    name="current",
    summary="Codex since 2026-09-29, as far as it is documented",
    agent=_none(),
    runtimes=MappingProxyType(
        {"NODE": "24", "RUST": "1.95.0", "GO": "1.25.1", "SWIFT": "6.2", "PHP": "8.5"}
    ),
    secret="placeholder",  # noqa: S106 -- a kind of secret
    unknown=(
        *_SETUP_UNKNOWN,
        "whether internet access is off by default in a task: tests are offline",
        "which variables tell that an agent is working: none is set",
        "whether tags and the whole history arrive: workspaces have no tags and 100 commits",
        "the form of a placeholder, and where in a request it is replaced: in header fields only",
        "whether variables for scripts alone still exist: a secret is one, as for codex",
        "the start skill is instructions for an agent and no script: it is not run",
    ),
)


def runtime_variables(profile: Profile) -> dict[str, str]:
    """
    Return the variables that select the runtimes of *profile*.
    """
    return {f"CODEX_ENV_{name}_VERSION": version for name, version in profile.runtimes.items()}


def agent_variables(profile: Profile, env: Mapping[str, str]) -> dict[str, str]:
    """
    Return the variables of a new workspace's test phase, without those that *env* sets.
    """
    # The command reads the profiles at each start, and needs no id.
    import uuid

    return {
        name: value or str(uuid.uuid4()) for name, value in profile.agent.items() if name not in env
    }


PROFILES: Mapping[str, Profile] = {one.name: one for one in (SEED, CODEX, CURRENT)}
"""All profiles by name."""

assert tuple(PROFILES) == get_args(ProfileName)  # noqa: S101


def profile_named(name: str) -> Profile:
    """
    Return the profile called *name*; the seed's for a name that does not exist, which
    `Config.of` reports.
    """
    return PROFILES.get(name, SEED)
