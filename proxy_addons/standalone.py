"""
The proxy without a host to speak to: configured from a file, for Compose.

What it would tell the host it prints, one readable line for each request.
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
    from .host_link import Handler, Message
    from .service import Service

__all__ = ["Journal", "line", "open_doors"]


class Journal:
    """
    Stands where the conversation with the host is, and prints what is told.

    Args:
        write: takes one line without its line end.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def serve(self, handlers: dict[str, Handler]) -> None:
        """
        Nobody asks for anything.
        """

    def allow(self, handlers: dict[str, Handler]) -> None:
        """
        Nobody asks for anything.
        """

    def forbid(self, operation: str) -> None:
        """
        Nobody asks for anything.
        """

    def emit(self, message: Message) -> None:
        """
        Print an event.
        """
        if message.get("event") == "request":
            self._write(line(message))


def line(event: dict[str, Any]) -> str:
    """
    An event in one line: when, whose, what became of it, what was asked for.

    Example:
        >>> line({"time": 0, "workspace": "172.20.0.3", "verdict": "blocked",
        ...       "reason": "plain-http", "method": "GET", "url": "http://example.com/",
        ...       "status": 403})
        '1970-01-01T00:00:00Z 172.20.0.3 blocked (plain-http) GET http://example.com/ 403'
    """
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(event["time"]))
    reason = f" ({event['reason']})" if event.get("reason") else ""
    words = [when, event["workspace"], f"{event['verdict']}{reason}", event["method"], event["url"]]
    if event.get("status") is not None:
        words.append(str(event["status"]))
    if event.get("size") is not None:
        words.append(f"{event['size']} bytes")
    if event.get("duration") is not None:
        words.append(f"{event['duration']:.2f} s")
    return " ".join(words)


async def open_doors(service: Service, file: Path) -> None:
    """
    Start the servers as *file* says, and then say so.

    The file has the fields of `Service.configure`, and besides `listen_name`,
    a name of this container on the workspaces' network; `authority`, the file
    of key and certificate, made if it is missing; `certificate`, the file
    that workspaces get; `ready`, the file that is there once all is up.

    Raises:
        OSError: a file cannot be read or written, or a port cannot be had.
        ValueError: the file or the authority makes no sense.
    """
    settings = json.loads(file.read_text("utf-8"))
    authority = Path(settings["authority"])
    known = authority.read_text("ascii") if authority.exists() else None
    listen = gethostbyname(settings["listen_name"])
    answer = await service.configure({**settings, "listen": listen, "ca": known, "anyone": True})
    if answer["ca"] is not None:
        _place(authority, answer["ca"], 0o600)
    _place(Path(settings["certificate"]), answer["ca_certificate"], 0o644)
    _place(Path(settings["ready"]), "", 0o644)


def _place(path: Path, text: str, mode: int) -> None:
    """
    Put a file there whole: others look at it at any moment.
    """
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
    beside.replace(path)
