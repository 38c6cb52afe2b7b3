"""
The proxy without a host: configured by a file, for Compose.

It prints a line for each request where it would send an event to the host.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from socket import gethostbyname
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .host_link import HostMessage, OperationHandler
    from .service import ProxyService

__all__ = ["StandaloneLink", "format_event", "start_from_file"]


class StandaloneLink:
    """
    Takes the place of `HostLink`, and prints the events.

    Args:
        write: prints one line; gets it without its line end.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def start(self, handlers: dict[str, OperationHandler]) -> None:
        """
        Do nothing: there is no host that asks for operations.
        """

    def add_operations(self, handlers: dict[str, OperationHandler]) -> None:
        """
        Do nothing: there is no host that asks for operations.
        """

    def remove_operation(self, operation: str) -> None:
        """
        Do nothing: there is no host that asks for operations.
        """

    def emit(self, message: HostMessage) -> None:
        """
        Print the event of a request.
        """
        if message.get("event") == "request":
            self._write(format_event(message))


def format_event(event: dict[str, Any]) -> str:
    """
    Return an event as one line: time, workspace, verdict, request, response.

    Example:
        >>> format_event({"time": 0, "workspace": "172.20.0.3", "verdict": "blocked",
        ...               "reason": "plain-http", "method": "GET", "url": "http://example.com/",
        ...               "status": 403})
        '1970-01-01T00:00:00Z 172.20.0.3 blocked (plain-http) GET http://example.com/ 403'
    """
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(event["time"]))
    reason = f" ({event['reason']})" if event.get("reason") else ""
    words = [when, event["workspace"], f"{event['verdict']}{reason}", event["method"], event["url"]]
    if event.get("status") is not None:
        words.append(str(event["status"]))
    if event.get("size") is not None:
        words.append(f"{event['size']} byte" + ("" if event["size"] == 1 else "s"))
    if event.get("duration") is not None:
        words.append(f"{event['duration']:.2f} s")
    return " ".join(words)


async def start_from_file(service: ProxyService, file: Path) -> None:
    """
    Start the servers as *file* says, then create the file that marks the proxy as ready.

    The file has the fields of `ProxyService.configure`, and also:

    - `listen_name`: a name of this container on the workspaces' network;
    - `authority`: the file of key and certificate, made if it is missing;
    - `certificate`: the file that workspaces get;
    - `ready`: the file that is created once everything is up.

    Raises:
        OSError: a file cannot be read or written, or a port is not available.
        ValueError: the file or the authority is invalid.
    """
    settings = json.loads(file.read_text("utf-8"))
    authority = Path(settings["authority"])
    known = authority.read_text("ascii") if authority.exists() else None
    listen = gethostbyname(settings["listen_name"])
    answer = await service.configure(
        {**settings, "listen": listen, "ca": known, "accept_any_address": True}
    )
    if answer["ca"] is not None:
        _place(authority, answer["ca"], 0o600)
    _place(Path(settings["certificate"]), answer["ca_certificate"], 0o644)
    _place(Path(settings["ready"]), "", 0o644)


def _place(path: Path, text: str, mode: int) -> None:
    """
    Write a file in one step, because others may read it at any moment.
    """
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
    beside.replace(path)
