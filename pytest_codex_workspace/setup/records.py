"""What is known of the scripts that led to an image.

A record is a file of the image, so that it travels with the image to other machines.
Everything in an image can be changed by what runs in it: by the scripts, and in a
workspace by whatever they put in place of our agent. So the host writes the record, when no
process of the container is left; the image's label has its digest; and what comes out of an
image counts only if it has this digest.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..cache.store import Layer
from ..codex import INSIDE
from ..errors import EngineError, WorkspaceLost
from ..network.messages import request_from
from ..network.rules.request import Request
from ..reporting.output import Output
from ..text.option_names import spell_option
from ..workspace.handle import Daemon
from ..workspace.launcher import Launcher, Running
from .scripts import ScriptRun

__all__ = ["RECORD", "Record", "Records"]

RECORD = f"{INSIDE}/setup-record.json"
"""The path of the record in an image."""

_LIMIT = 16 << 20
_REQUESTS = 1000
_DAYS = 366 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Record:
    """
    The runs of scripts that led to an image. `resume` is `None` if only
    `setup-script.sh` has run, or if the repository has no other script.
    """

    setup: ScriptRun | None = None
    resume: ScriptRun | None = None

    def to_bytes(self) -> bytes:
        """
        Return the record as the content of a file.
        """
        kept = _REQUESTS
        while True:
            runs = {"setup": self.setup, "resume": self.resume}
            values = {name: run and _to_dict(run, kept) for name, run in runs.items()}
            data = json.dumps(values).encode("ascii")
            if len(data) <= _LIMIT:
                return data
            # Bodies may have been kept; the output of two runs is below the limit.
            kept //= 2

    @classmethod
    def from_bytes(cls, data: bytes) -> Record:
        """
        Return the record that `to_bytes` wrote.

        Raises:
            ValueError: *data* is something else.
        """
        try:
            values = json.loads(data)
            setup, resume = (values[name] for name in ("setup", "resume"))
            return cls(setup and _run_from(setup), resume and _run_from(resume))
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"not the record of a setup: {error}") from None


class Records:
    """
    Writes and reads the records of images.

    Args:
        launcher: gives access to containers and images.
        output: shows that a record is missing.
    """

    def __init__(self, launcher: Launcher, output: Output) -> None:
        self._launcher = launcher
        self._output = output
        self._known: dict[str, Record] = {}

    def write(self, running: Running, record: Record) -> str:
        """
        Write *record* to a container that is about to be committed, and in which nothing
        runs, in place of whatever is there. Return the digest for the image's label.
        """
        data = record.to_bytes()
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo(RECORD.lstrip("/"))
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
        archive.seek(0)
        # Not by the agent, which follows links. The engine replaces what is there.
        self._launcher.put(running, "/", archive)
        digest = hashlib.sha256(data).hexdigest()
        self._known[digest] = record
        return digest

    def read(self, layer: Layer, running: Running) -> Record:
        """
        Return the record of *layer*: known in this session, or read from a container of its
        image, in which nothing else has run. It is empty, and a warning is shown, if the
        image does not have the record that its label names.
        """
        digest = layer.record
        if not digest:
            return Record()
        if digest not in self._known:
            data = self._from_agent(running, digest) or self._from_image(layer, digest)
            try:
                self._known[digest] = Record.from_bytes(data)
            except ValueError:
                self._output.note(
                    f"warning: the {layer.kind} image {layer.key} has lost the record of its "
                    "setup: ws.setup has neither its output nor its requests; "
                    f"{spell_option('cache', 'refresh')} runs setup again"
                )
                self._known[digest] = Record()
        return self._known[digest]

    def _from_agent(self, running: Running, digest: str) -> bytes:
        try:
            data = running.channel.read_file(RECORD, limit=_LIMIT)
        except WorkspaceLost:
            raise
        except OSError:
            return b""
        return data if hashlib.sha256(data).hexdigest() == digest else b""

    def _from_image(self, layer: Layer, digest: str) -> bytes:
        """
        Read the record where no program of the image can change it.
        """
        try:
            data = self._launcher.read_from_image(layer.image, RECORD, _LIMIT)
        except EngineError:
            return b""
        return data if hashlib.sha256(data).hexdigest() == digest else b""


def _to_dict(run: ScriptRun, kept: int) -> dict[str, Any]:
    requests = [_portable(request) for request in run.requests[:kept]]
    daemons = [asdict(one) for one in run.daemons]
    return {
        "output": run.output,
        "duration": run.duration,
        "requests": requests,
        "daemons": daemons,
    }


def _portable(request: Request) -> dict[str, Any]:
    values = asdict(request)
    for body in ("request_body", "response_body"):
        if values[body] is not None:
            values[body] = base64.b64encode(values[body]).decode("ascii")
    return values


def _run_from(values: Mapping[str, Any]) -> ScriptRun:
    output, duration, requests = (values[name] for name in ("output", "duration", "requests"))
    right = isinstance(output, str) and isinstance(requests, list)
    if not right or not all(isinstance(one, dict) for one in requests):
        raise ValueError("an output or requests of another type")
    daemons = tuple(_daemon_from(one) for one in values.get("daemons", ()))
    if not isinstance(duration, float) or not 0 <= duration < _DAYS:
        raise ValueError(f"a duration of {duration!r:.200}")
    kept = tuple(request_from(one) for one in requests[:_REQUESTS])
    return ScriptRun(output, duration, kept, daemons=daemons)


def _daemon_from(values: Mapping[str, Any]) -> Daemon:
    ports, sockets = (tuple(values[name]) for name in ("ports", "sockets"))
    held = values.get("held_output") is True
    return Daemon(str(values["name"]), str(values["command"]), ports, sockets, held)
