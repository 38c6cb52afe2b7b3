"""The program that does what needs namespaces, beside the process that uses the engine.

It gets requests over the socket that is its standard input, each with descriptors: the first takes
the answer, the others are the streams of a container, or an archive. It makes a process for each
request, and ends when the socket does. What it has started then goes on until its own end.

For a user without root, it first moves into a user namespace, of which it is root.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import tarfile
from typing import Any

from .jobs import JobError, run_job
from .launch import Launch
from .namespace import NamespaceError, become_root_of_namespace

__all__ = ["main"]

_REQUEST = 1 << 16
_DESCRIPTORS = 8


def main() -> None:
    """
    Serve requests until the end of the connection.
    """
    root = sys.argv[1]
    problem = ""
    if os.geteuid():
        try:
            become_root_of_namespace(root)
        except (NamespaceError, OSError) as error:
            problem = str(error)
    requests = socket.socket(fileno=os.dup(0))
    # Its standard input is the connection, which no child may have.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    # Whoever started it may be interrupted from a terminal.
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        data, descriptors, _, _ = socket.recv_fds(requests, _REQUEST, _DESCRIPTORS)
        if not data:
            return
        if not os.fork():
            try:
                requests.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _serve(root, json.loads(data), descriptors, problem)
            finally:
                os._exit(0)
        for one in descriptors:
            os.close(one)


def _serve(root: str, asked: dict[str, Any], descriptors: list[int], problem: str) -> None:
    reply = socket.socket(fileno=descriptors[0])

    def tell(message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            reply.sendall(json.dumps(message).encode() + b"\n")

    if problem:
        tell({"error": problem})
        return
    if asked["do"] == "start":
        client, *streams = descriptors[1:]
        Launch(root, asked, reply, streams[:3], streams[3:], client).run()
        return
    try:
        answer = run_job(root, asked, descriptors[1] if descriptors[1:] else None, tell)
        tell({"done": answer})
    except (OSError, JobError, NamespaceError, tarfile.TarError, ValueError, EOFError) as error:
        tell({"error": str(error) or type(error).__name__})
