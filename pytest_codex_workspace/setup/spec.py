"""What a workspace is made of, and the states in which it can be requested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ..codex import RESUME, SCRIPTS, SETUP
from ..network.matching import Phase
from ..network.rules.policy import HTTPS_ONLY, Policy
from ..options.profiles import SEED, Profile, runtime_variables
from ..options.script_text import LARGEST, GivenScripts, ScriptText
from ..projection.committed_files import CommittedFiles
from ..projection.repository import RepositorySnapshot
from ..secrets.secrets import NO_SECRETS, Secrets

if TYPE_CHECKING:
    from ..options.services import ServiceSpec

__all__ = ["SCRIPT_PHASES", "SetupScript", "State", "WorkspaceSpec", "as_in_settings"]

State = Literal["ready", "hit", "miss", "setup", "clean"]
"""
The state in which a workspace is requested: `ready` has run both scripts, now
or when its image was built; `hit` is the same, and is reported as coming from
the cache; `miss` is a clean workspace in which `setup-script.sh` runs now;
`setup` is the setup image as it is, at the commit that it was built from;
`clean` is the commit, and no script runs.
"""


SCRIPT_PHASES: Sequence[Phase] = ("setup", "resume")
"""The phases that have a script, in their order."""


@dataclass(frozen=True, slots=True)
class SetupScript:
    """
    A script of one phase.

    Attributes:
        name: what texts call it; its path in the repository, if it stands there.
        stored_as: what Codex calls it; its text is stored under a name in `/tmp` that ends in
            this. Empty for a file that runs where it stands in the repository.
        text: its text; `None` for a file of the repository.
    """

    name: str
    stored_as: str = ""
    text: ScriptText | None = None

    @property
    def short_name(self) -> str:
        """
        The name without the folder of a repository's scripts.
        """
        return self.name.removeprefix(f"{SCRIPTS}/")


def as_in_settings(
    given: GivenScripts, snapshot: RepositorySnapshot, environ: Mapping[str, str]
) -> GivenScripts:
    """
    Return *given* with the texts of the repository's scripts in place of what is missing: they
    stand for the texts of Codex's settings, which run outside the repository.

    Raises:
        ProjectionError: a script is no regular file of the commit.
    """
    if given.setup is not None or not (snapshot.has_setup or snapshot.has_resume):
        return given
    files = CommittedFiles.of(snapshot.path, snapshot.head, environ)

    def text(path: str) -> ScriptText | None:
        content = files.read(path, limit=LARGEST)
        return None if content is None else ScriptText(path, content)

    return GivenScripts(text(SETUP), given.maintenance or text(RESUME))


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
        given: the scripts that take the place of those of the repository.
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
    given: GivenScripts = field(default_factory=GivenScripts)
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
        return state != "clean" and self.has_scripts

    @property
    def has_scripts(self) -> bool:
        """
        Whether there is any script, or the folder that must have one.
        """
        given = self.given.setup or self.given.maintenance
        return given is not None or self.snapshot.scripts_tree is not None

    def script(self, phase: Phase) -> SetupScript | None:
        """
        Return the script of *phase*, if there is one.
        """
        given = self.given.setup if phase == "setup" else self.given.maintenance
        stored_as = "setup_script.sh" if phase == "setup" else "maintenance_script.sh"
        if given is not None:
            return SetupScript(given.name, stored_as, given)
        # Who gives a setup script has no files in mind: Codex would read none.
        has, path = {
            "setup": (self.snapshot.has_setup, SETUP),
            "resume": (self.snapshot.has_resume, RESUME),
        }.get(phase, (False, ""))
        return SetupScript(path) if has and self.given.setup is None else None

    @property
    def resumes(self) -> bool:
        """
        Whether a script runs before a workspace is ready.
        """
        return self.script("resume") is not None

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
