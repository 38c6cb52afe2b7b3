"""Where snapshots are kept: as images of the engine, for one session."""

from __future__ import annotations

import secrets
import threading
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from ..codex import IMAGE
from ..engine import labels
from ..errors import EngineError, EngineUnavailable, SnapshotError

if TYPE_CHECKING:
    from ..engine.protocol import Engine
    from ..engine.session_id import Identity
    from .snapshot import Snapshot

__all__ = ["MOST", "SnapshotKeeper"]

MOST = 50
"""How many snapshots a session keeps; the least recently used one goes first."""

_TAG = f"{IMAGE}:snapshot-"


class SnapshotKeeper:
    """
    Makes snapshots, and removes them at the end of the session. A sweep removes those of a session
    that was killed, as all images of the kind `temporary`.

    Args:
        engine: keeps the images.
        identity: the session.
    """

    def __init__(self, engine: Engine, identity: Identity) -> None:
        self._engine = engine
        self._identity = identity
        self._lock = threading.Lock()
        self._kept: list[Snapshot] = []
        self._tags: dict[str, str] = {}
        self._pinned: set[str] = set()
        self._may_have_some = False

    def keep(self, container: str, like: Snapshot, since: int) -> Snapshot:
        """
        Make a snapshot of the files of a container.

        Args:
            container: none of its processes should be in the middle of a file.
            like: an earlier state of the same workspace.
            since: when the first workspace of its line was started, by the clock of files, in
                nanoseconds.

        Raises:
            EngineError: the engine refused.
        """
        # An engine removes parents that have no tag together with their last child.
        tag = f"{_TAG}{secrets.token_hex(6)}"
        self._may_have_some = True
        image = self._engine.commit(
            container,
            tag=tag,
            labels=self._identity.labels("temporary", **{labels.KEY: ""}),
        )
        made = replace(like, image=image.id, since=since)
        with self._lock:
            self._tags[image.id] = tag
            self._kept.append(made)
            free = [one for one in self._kept if one.image not in self._pinned]
            old = free[:-MOST]
            self._kept = [one for one in self._kept if one not in old]
        for one in old:
            self._remove(self._tags.pop(one.image))
        return made

    def pin(self, snapshot: Snapshot) -> None:
        """
        Keep a snapshot until the end of the session.
        """
        with self._lock:
            self._pinned.add(snapshot.image)

    def adopt(self, snapshot: Snapshot) -> None:
        """
        Let a state be used whose image belongs to a cache.
        """
        with self._lock:
            self._kept.append(snapshot)
            self._pinned.add(snapshot.image)

    def use(self, snapshot: Snapshot) -> None:
        """
        Note that a snapshot is used now.

        Raises:
            SnapshotError: it is not there any more, or is one of another session.
            EngineError: the engine refused.
        """
        with self._lock:
            if snapshot in self._kept and self._engine.image(snapshot.image) is not None:
                self._kept.remove(snapshot)
                self._kept.append(snapshot)
                return
        raise SnapshotError(
            f"the snapshot {snapshot.image[:19]} of {snapshot.repository} is not there any "
            f"more: a run keeps the {MOST} that were used last, until its end",
            remedy="Take a new one; a state for many tests is prepared by "
            "@pytest.mark.codex_snapshot, which keeps it.",
        )

    def close(self) -> None:
        """
        Remove every snapshot.
        """
        if not self._may_have_some:
            # An engine lists its images by reading each of them.
            return
        wanted = {labels.SESSION: self._identity.id, labels.KIND: "temporary"}
        # The engine knows those whose commit was interrupted, too.
        for image in self._engine.images(wanted):
            for tag in image.tags:
                if tag.startswith(_TAG):
                    self._remove(tag)

    def _remove(self, tag: str) -> None:
        # By its tag, because others may be based on it: the last of them takes it along. A
        # workspace may still use it. The end of the session removes it then, or a later sweep.
        with suppress(EngineError, EngineUnavailable):
            self._engine.remove_image(tag)
