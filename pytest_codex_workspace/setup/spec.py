"""What a workspace is made of, and the states in which it can be requested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ..network.matching import Phase
from ..network.rules.policy import HTTPS_ONLY, Policy
from ..options.profiles import SEED, Profile, runtime_variables
from ..projection.repository import RepositorySnapshot
from ..secrets.secrets import NO_SECRETS, Secrets

if TYPE_CHECKING:
    from ..options.services import ServiceSpec

__all__ = ["State", "WorkspaceSpec"]

State = Literal["ready", "hit", "miss", "setup", "clean"]
"""
The state in which a workspace is requested: `ready` has run both scripts, now
or when its image was built; `hit` is the same, and is reported as coming from
the cache; `miss` is a clean workspace in which `setup-script.sh` runs now;
`setup` is the setup image as it is, at the commit that it was built from;
`clean` is the commit, and no script runs.
"""


@dataclass(frozen=True, slots=True)
class WorkspaceSpec:
    """
    What a workspace is made of.

    Attributes:
        snapshot: the commit that is projected into it.
        env: variables besides Codex's.
        setup_policy: what its scripts may reach.
        policy: what it may reach afterwards.
        setup_cassette: the cassette of its scripts.
        cassette: the cassette of what it requests afterwards.
        setup_cassette_digest: digest of `setup_cassette` if the cassette is
            replayed, else empty.
        secrets: variables that only its scripts get.
        scope: what keeps its setup from other clones of the repository; see `scope`.
        services: what runs in it beside the tests, in the order in which they start.
        profile: whose rules it follows.
    """

    snapshot: RepositorySnapshot
    env: Mapping[str, str] = field(default_factory=dict)
    setup_policy: Policy = HTTPS_ONLY
    policy: Policy = HTTPS_ONLY
    setup_cassette: str | None = None
    cassette: str | None = None
    setup_cassette_digest: str = ""
    secrets: Secrets = NO_SECRETS
    scope: str = ""
    services: tuple[ServiceSpec, ...] = ()
    profile: Profile = SEED

    @property
    def variables(self) -> dict[str, str]:
        """
        The variables of every phase besides Codex's: those of the profile, and `env`.
        """
        return {**runtime_variables(self.profile), **self.env}

    @property
    def project(self) -> str:
        """
        The project directory.
        """
        return f"/workspace/{self.snapshot.name}"

    def runs_scripts(self, state: State) -> bool:
        """
        Return whether setup scripts are part of a workspace in *state*.
        """
        return state != "clean" and self.snapshot.scripts_tree is not None

    def services_in(self, state: State) -> tuple[ServiceSpec, ...]:
        """
        Return the services of a workspace in *state*. Before both scripts have run, it has none:
        what a service needs may not be installed yet.
        """
        return () if state in ("clean", "setup") else self.services

    def policy_in(self, phase: Phase) -> Policy:
        """
        Return what may be reached in *phase*. Codex applies an environment's
        policy once its scripts have run.
        """
        return self.policy if phase == "test" else self.setup_policy

    def cassette_in(self, phase: Phase) -> str | None:
        """
        Return the cassette of *phase*.
        """
        return self.cassette if phase == "test" else self.setup_cassette
