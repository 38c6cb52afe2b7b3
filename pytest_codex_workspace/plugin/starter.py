"""Start and stop the workspaces of one fixture."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from ..errors import CodexWorkspaceError, ConfigError, PluginError, SetupError
from ..options.config import check_environment
from ..options.markers import WorkspaceRequest
from ..options.run_notes import same_rules
from ..snapshots.prepared import StateName
from ..snapshots.snapshot import Snapshot
from ..text.printable import printable
from .as_started import as_started
from .attempt import attempt_of
from .ci import note_failure
from .failures import add_account, network_properties
from .hooks.call import call_hook, choose_policy, is_implemented
from .settings import UNUSABLE, settings_of
from .summary import tally_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..network.policy_reader import PolicyLike
    from ..network.rules.policy import Policy
    from ..projection.repository import RepositorySnapshot
    from ..session import Session
    from ..setup.spec import State
    from ..workspace.handle import Workspace

__all__ = ["Starter"]

_REQUEST_JUDGED = "pytest_codex_request_judged"

_FAILED_SETUPS: pytest.StashKey[list[SetupError]] = pytest.StashKey()
"""The failed setups that plugins know."""


@dataclass(frozen=True, slots=True)
class _Started:
    """
    Attributes:
        session: has started the workspace.
        workspace: the workspace.
        reproduce: how to start the same one by hand.
        labels: what it is made of, as properties of tests.
    """

    session: Session
    workspace: Workspace
    reproduce: str
    labels: list[tuple[str, str]]


class Starter:
    """
    Starts workspaces, and stops all of them when it is closed.

    Args:
        request: the request of the fixture.
        item: the test that needs the fixture, of several the first.
        env: variables for every workspace.
        policy: network policy of every workspace.
        shared: whether further tests may use the workspaces. Each joins before, and leaves.

    Attributes:
        failed: whether a test that used shared workspaces has failed.
    """

    def __init__(
        self,
        request: pytest.FixtureRequest,
        item: pytest.Item,
        env: Mapping[str, str],
        policy: PolicyLike,
        *,
        shared: bool = False,
    ) -> None:
        self._request = request
        self._item = item
        self._policy = policy
        self._env = check_environment(env, "the fixture codex_env")
        self._config = settings_of(request.config)
        self._beside = (
            request.config.rootpath if request.scope == "session" else request.path.parent
        )
        self._shared = shared
        self.failed = False
        self._told: set[tuple[str, int, float]] = set()
        self._stops = ExitStack()
        self._started: list[_Started] = []

    @property
    def workspaces(self) -> list[Workspace]:
        """
        The workspaces, oldest first.
        """
        return [one.workspace for one in self._started]

    def start(self, wanted: WorkspaceRequest) -> Workspace:
        """
        Start a workspace.

        Raises:
            CodexWorkspaceError: one of its parts could not be made.
        """
        __tracebackhide__ = True
        request, item = self._request, self._item
        if UNUSABLE in request.config.stash:
            raise request.config.stash[UNUSABLE]
        kept = wanted.snapshot
        try:
            if isinstance(kept, Snapshot):
                snapshot = self._session.repository_of(kept)
            elif wanted.repo is None and wanted.rev is None:
                snapshot = request.getfixturevalue("codex_repo")
            else:
                snapshot = self._other_repository(wanted)
            session = self._session
            env = {**self._config.env, **self._env, **wanted.env}
            prepare = self._preparing(kept) if isinstance(kept, StateName) else None
            with as_started(request.config):
                policy = session.read_test_policy(self._policy_of(session, wanted))
            policy = choose_policy(
                self._node.ihook,
                self._read_chosen,
                policy,
                node=self._node,
                config=request.config,
            )
            with as_started(request.config):
                spec = session.spec(snapshot, env, policy=policy, cassette=wanted.cassette)
                start: State | Snapshot = wanted.state
                if isinstance(kept, Snapshot):
                    start = kept
                elif kept is not None and prepare is not None:
                    start = session.prepared(kept, spec, wanted.state, prepare)
                workspace = session.workspace(spec, start, label=self._label)
        except CodexWorkspaceError as error:
            note_failure(request.config, error, wanted, self._beside)
            if isinstance(error, SetupError):
                item.user_properties += self._labels(snapshot, "none", None)
                item.user_properties += network_properties(error.requests)
                self._tell_failed_setup(error)
            # The text is sufficient, and our frames would hide it. Those of a plugin help.
            cause = error.__cause__ if isinstance(error, PluginError) else None
            raise error.with_traceback(None) from cause
        reproduce = self._reproduce(snapshot, "clean" if wanted.state == "clean" else "ready")
        labels = self._labels(snapshot, workspace.setup.cache, workspace.setup.key)
        started = _Started(session, workspace, reproduce, labels)
        self._started.append(started)
        self._stops.callback(self._stop, started)
        tally = tally_of(request.config)
        tally.count(workspace.setup.cache)
        tally.note_setup(snapshot.name, workspace.setup)
        self._join(item, started)
        # From here on, closing stops the workspace, whatever a plugin raises.
        if workspace.setup.cache != "none":
            self._call("pytest_codex_setup_finished", setup=workspace.setup, error=None)
        self._call("pytest_codex_workspace_started", workspace=workspace)
        return workspace

    def prepare_another(self, workspace: Workspace) -> None:
        """
        Let the engine begin with the workspace of the next test, which is like this one, while
        this test runs.
        """
        with as_started(self._request.config):
            self._session.prepare_another(workspace)

    def _tell_failed_setup(self, error: SetupError) -> None:
        """
        Tell plugins of a setup that failed, once. What they raise is a note of the error.
        """
        told = self._request.config.stash.setdefault(_FAILED_SETUPS, [])
        if any(one is error for one in told):
            return
        told.append(error)
        try:
            self._call("pytest_codex_setup_finished", setup=None, error=error)
        except PluginError as problem:
            error.add_note(str(problem))

    def tell_requests(self, node: pytest.Item | pytest.Collector) -> None:
        """
        Tell plugins of the requests that they do not know yet.

        Args:
            node: the test that has ended, or who owns the workspaces that have ended.

        Raises:
            PluginError: a plugin raised an exception.
        """
        if is_implemented(node.ihook, _REQUEST_JUDGED):
            for started in self._started:
                self._tell_requests(started.workspace, node)

    def _tell_requests(self, workspace: Workspace, node: pytest.Item | pytest.Collector) -> None:
        try:
            requests = workspace.network.since_start.requests()
        except CodexWorkspaceError:
            # The log of a lost workspace is read when it has ended.
            return
        # A cached setup has requests with numbers of another proxy.
        keys = [(workspace.id, one.id, one.time) for one in requests]
        new = [one for one, key in zip(requests, keys, strict=True) if key not in self._told]
        self._told.update(keys)
        for request in new:
            self._call(_REQUEST_JUDGED, node, request=request, workspace=workspace)

    def _call(
        self, name: str, node: pytest.Item | pytest.Collector | None = None, **arguments: Any
    ) -> None:
        __tracebackhide__ = True
        node = node or self._node
        call_hook(node.ihook, name, **arguments, node=node, config=self._request.config)

    @property
    def _node(self) -> pytest.Item | pytest.Collector:
        node: pytest.Item | pytest.Collector = self._request.node
        return node

    def close(self) -> None:
        """
        Stop the workspaces, the last one first.
        """
        self._stops.close()

    def _preparing(self, state: StateName) -> Callable[[Workspace], object]:
        """
        Return the function that a fixture of the project returns.
        """
        __tracebackhide__ = True
        name, usage = state.name, f"@pytest.mark.{state}"
        what = "define one that returns a function, which takes a workspace and changes it"
        try:
            prepare: object = self._request.getfixturevalue(name)
        except pytest.FixtureLookupError as error:
            if error.argname != name:
                raise
            raise ConfigError(f"{usage}: there is no fixture {name!r}; {what}") from None
        if not callable(prepare):
            raise ConfigError(f"{usage}: the fixture {name!r} returns {prepare!r:.80}; {what}")
        return prepare

    def join(self, item: pytest.Item) -> None:
        """
        Let the reports of another test show the workspaces.
        """
        shown = [workspace for workspace, _ in attempt_of(item).workspaces]
        for started in self._started:
            if started.workspace not in shown:
                self._join(item, started)

    def leave(self, item: pytest.Item) -> None:
        """
        Add what happened in the workspaces to the properties and the output of a test that ends.
        """
        for started in self._started:
            self._leave(item, started)

    def _leave(self, item: pytest.Item, started: _Started) -> None:
        workspace = started.workspace
        item.user_properties += network_properties(workspace.network.requests())
        if any(each is workspace for each, _ in attempt_of(item).workspaces):
            add_account(item, workspace, started.reproduce)
        if workspace.commands.lost:
            item.user_properties.append(("codex_lost", printable(workspace.commands.lost)))

    def _join(self, item: pytest.Item, started: _Started) -> None:
        attempt_of(item).workspaces.append((started.workspace, started.reproduce))
        item.user_properties += started.labels

    @property
    def _session(self) -> Session:
        session: Session = self._request.getfixturevalue("_codex_session")
        return session

    @property
    def _label(self) -> str:
        # The node of the whole run has no name.
        return self._request.node.nodeid or "the whole run"

    def _reproduce(self, snapshot: RepositorySnapshot, state: str) -> str:
        return " ".join(
            [
                f"codex-workspace shell {shlex.quote(str(snapshot.path))}",
                f"--rev={snapshot.head[:12]} --image={shlex.quote(self._config.image)}",
                f"--from={state}",
                *same_rules(self._config),
            ]
        )

    def _labels(
        self, snapshot: RepositorySnapshot, cache: str, key: str | None
    ) -> list[tuple[str, str]]:
        """
        Return what a workspace is made of, as properties of a test.
        """
        return [
            ("codex_repo", snapshot.name),
            ("codex_commit", snapshot.head),
            ("codex_image", self._config.image),
            ("codex_cache", cache),
            *([("codex_key", key)] if key else []),
        ]

    def _policy_of(self, session: Session, wanted: WorkspaceRequest) -> Policy:
        policy = None
        for changes in wanted.network:
            fields = {key: value for key, value in changes.items() if key != "policy"}
            if "policy" in changes:
                policy = session.policies.read(changes["policy"], self._beside)
            elif policy is None:
                policy = session.read_policy(self._policy)
            policy = session.policies.combine(policy, fields, "codex_network")
        return policy or session.read_policy(self._policy)

    def _read_chosen(self, policy: PolicyLike) -> Policy:
        with as_started(self._request.config):
            return self._session.read_policy(policy)

    def _other_repository(self, wanted: WorkspaceRequest) -> RepositorySnapshot:
        request = self._request
        repo = wanted.repo or request.getfixturevalue("codex_repo").path
        session = self._session
        with as_started(request.config):
            return session.repository(self._beside / repo, wanted.rev or "HEAD")

    def _stop(self, started: _Started) -> None:
        kept = None
        try:
            kept = self._end(started)
            if is_implemented(self._node.ihook, _REQUEST_JUDGED):
                self._tell_requests(started.workspace, self._node)
        finally:
            self._call("pytest_codex_workspace_stopped", workspace=started.workspace, kept=kept)

    def _end(self, started: _Started) -> str | None:
        attempt = attempt_of(self._item)
        failed = self.failed if self._shared else attempt.failed
        keep = self._config.keep == "always" or (failed and self._config.keep == "failed")
        with as_started(self._request.config):
            kept = started.session.stop(started.workspace, keep=keep)
        if not self._shared:
            self._leave(self._item, started)
        if kept:
            program = started.session.engine.version()["name"]
            again = attempt.number > 1 and not self._shared
            which = f" (attempt {attempt.number})" if again else ""
            tally_of(self._request.config).kept.append(
                f"codex workspaces: {self._label}{which} is kept; inspect it with: "
                f"{program} run --rm -it --network none --entrypoint bash {kept} --login"
            )
        return kept
