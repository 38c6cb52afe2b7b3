"""
The program of the proxy container: `python3 -I -u main.py`.

It gets operations on standard input, sends events and replies to standard output,
logs to standard error, and ends when its input does. With `--standalone FILE` it is
configured by that file, prints its log, and ends on SIGTERM.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# An isolated interpreter does not search the program's directory.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from proxy_addons.host_link import HostLink
from proxy_addons.mitm.imports import skip_default_addons
from proxy_addons.standalone import StandaloneLink, start_from_file

_LOOKUP_THREADS = 64
"""Threads for look-ups, a few for each of many workspaces; created on demand."""


async def serve(link: HostLink | StandaloneLink, directory: Path, file: Path | None = None) -> None:
    """
    Run until the program is ended from outside; with *file*, as that file configures it.
    """
    from proxy_addons.service import ProxyService

    # A slow name server must not block all other look-ups.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_LOOKUP_THREADS, "lookup"))
    service = ProxyService(link, directory)
    ended = asyncio.Event()
    if file is not None:
        # The first process of a container ignores SIGTERM unless it has a handler.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        try:
            await start_from_file(service, file)
        except (OSError, ValueError) as error:
            sys.exit(f"the proxy cannot start with {file}: {error}")
    await ended.wait()


def main() -> None:
    """
    Listen to the host at once, then import the rest.
    """
    file = Path(sys.argv[2]) if sys.argv[1:2] == ["--standalone"] else None
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    # A workspace must not be able to fill the host's memory with warnings.
    logging.getLogger("mitmproxy").setLevel(logging.ERROR)
    runtime = "/run" if os.access("/run", os.W_OK) else None
    directory = Path(tempfile.mkdtemp(prefix="codex-proxy-", dir=runtime))
    link: HostLink | StandaloneLink
    if file is not None:
        link = StandaloneLink(print)
    else:
        link = HostLink(on_end=lambda: shutil.rmtree(directory, ignore_errors=True))
    skip_default_addons()

    from proxy_addons.judge.addresses import GuardedEventLoop

    with asyncio.Runner(loop_factory=GuardedEventLoop) as runner:
        runner.run(serve(link, directory, file))
    # Only a standalone proxy gets here. Exit at once: look-up threads would delay the end.
    shutil.rmtree(directory, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main()
