"""Start and stop the workspaces of one fixture."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ..errors import CodexWorkspaceError, SetupError
from ..options.config import check_environment
from ..options.markers import WorkspaceRequest
from ..options.run_notes import same_rules
from ..text.printable import printable
from .as_started import as_started
from .attempt import attempt_of
from .ci import note_failure
from .failures import add_account, network_properties
from .settings import CONFIG, UNUSABLE
from .summary import tally_of

if TYPE_CHECKING:
    import pytest

    from ..network.policy_reader import PolicyLike
    from ..network.rules.policy import Policy
    from ..projection.repository import RepositorySnapshot
    from ..session import Session
    from ..workspace.handle import Workspace

__all__ = ["Starter"]


class Starter:
    """
    Starts workspaces, and stops all of them when it is closed.

    Args:
        request: the request of the fixture.
        env: variables for every workspace.
        policy: network policy of every workspace.
    """

    def __init__(
        self, request: pytest.FixtureRequest, env: dict[str, str], policy: PolicyLike
    ) -> None:
        self._request = request
        self._policy = policy
        self._env = check_environment(env, "the fixture codex_env")
        self._config = request.config.stash[CONFIG]
        self._stops = ExitStack()

    def start(self, wanted: WorkspaceRequest) -> Workspace:
        """
        Start a workspace.

        Raises:
            CodexWorkspaceError: one of its parts could not be made.
        """
        __tracebackhide__ = True
        request = self._request
        if UNUSABLE in request.config.stash:
            raise request.config.stash[UNUSABLE]
        try:
            if wanted.repo is None and wanted.rev is None:
                snapshot = request.getfixturevalue("codex_repo")
            else:
                snapshot = self._other_repository(wanted)
            session: Session = request.getfixturevalue("_codex_session")
            env = {**self._config.env, **self._env, **wanted.env}
            with as_started(request.config):
                policy = self._policy_of(session, wanted)
                spec = session.spec(snapshot, env, policy=policy, cassette=wanted.cassette)
                workspace = session.workspace(spec, wanted.state, label=request.node.nodeid)
        except CodexWorkspaceError as error:
            note_failure(request.config, error, wanted, request.path.parent)
            if isinstance(error, SetupError):
                self._labels(snapshot, "none", None)
                request.node.user_properties += network_properties(error.requests)
            # The text is sufficient, and our frames would hide it.
            raise error.with_traceback(None) from None
        self._stops.callback(self._stop, session, workspace)
        self._note(workspace, snapshot, "clean" if wanted.state == "clean" else "ready")
        return workspace

    def close(self) -> None:
        """
        Stop the workspaces, the last one first.
        """
        self._stops.close()

    def _note(self, workspace: Workspace, snapshot: RepositorySnapshot, state: str) -> None:
        """
        Note *workspace* where the reports of its test and the summary of the run find it.
        """
        node, image = self._request.node, self._config.image
        reproduce = " ".join(
            [
                f"codex-workspace shell {shlex.quote(str(snapshot.path))}",
                f"--rev={snapshot.head[:12]} --image={shlex.quote(image)} --from={state}",
                *same_rules(self._config),
            ]
        )
        attempt_of(node).workspaces.append((workspace, reproduce))
        tally = tally_of(self._request.config)
        tally.count(workspace.setup.cache)
        tally.note_setup(snapshot.name, workspace.setup)
        self._labels(snapshot, workspace.setup.cache, workspace.setup.key)

    def _labels(self, snapshot: RepositorySnapshot, cache: str, key: str | None) -> None:
        """
        Add what a workspace is made of to the properties of its test.
        """
        self._request.node.user_properties += [
            ("codex_repo", snapshot.name),
            ("codex_commit", snapshot.head),
            ("codex_image", self._config.image),
            ("codex_cache", cache),
            *([("codex_key", key)] if key else []),
        ]

    def _policy_of(self, session: Session, wanted: WorkspaceRequest) -> Policy:
        beside = self._request.path.parent
        policy = None
        for changes in wanted.network:
            fields = {key: value for key, value in changes.items() if key != "policy"}
            if "policy" in changes:
                policy = session.policies.read(changes["policy"], beside)
            elif policy is None:
                policy = session.read_policy(self._policy)
            policy = session.policies.combine(policy, fields, "codex_network")
        return policy or session.read_policy(self._policy)

    def _other_repository(self, wanted: WorkspaceRequest) -> RepositorySnapshot:
        request = self._request
        repo = wanted.repo or request.getfixturevalue("codex_repo").path
        session: Session = request.getfixturevalue("_codex_session")
        with as_started(request.config):
            return session.repository(request.path.parent / repo, wanted.rev or "HEAD")

    def _stop(self, session: Session, workspace: Workspace) -> None:
        node = self._request.node
        attempt = attempt_of(node)
        keep = self._config.keep == "always" or (attempt.failed and self._config.keep == "failed")
        with as_started(self._request.config):
            kept = session.stop(workspace, keep=keep)
        node.user_properties += network_properties(workspace.network.requests())
        for each, reproduce in attempt.workspaces:
            if each is workspace:
                add_account(node, workspace, reproduce)
        if workspace.commands.lost:
            node.user_properties.append(("codex_lost", printable(workspace.commands.lost)))
        if kept:
            program = session.engine.version()["name"]
            which = f" (attempt {attempt.number})" if attempt.number > 1 else ""
            tally_of(self._request.config).kept.append(
                f"codex workspaces: {node.nodeid}{which} is kept; inspect it with: "
                f"{program} run --rm -it --network none --entrypoint bash {kept} --login"
            )
