"""
The program of the proxy container: `python3 -I -u main.py`.

It is spoken to over standard input and output, logs to standard error, and
ends when its input does. With `--standalone FILE` it is configured by that
file, prints its log, and ends by SIGTERM.
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

# An isolated interpreter does not look next to the program.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from proxy_addons.host_link import Control
from proxy_addons.mitm.imports import skip_default_addons
from proxy_addons.standalone import Journal, open_doors

_LOOKUPS = 64
"""Threads for look-ups, a few for each of many workspaces; they are made when needed."""


async def serve(control: Control | Journal, directory: Path, file: Path | None = None) -> None:
    """
    Run until the program is ended from outside, as *file* says if there is one.
    """
    from proxy_addons.service import Service

    # A slow name server must not keep every other look-up waiting.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_LOOKUPS, "lookup"))
    service = Service(control, directory)
    ended = asyncio.Event()
    if file is not None:
        # The first process of a container has no default action for it.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        try:
            await open_doors(service, file)
        except (OSError, ValueError) as error:
            sys.exit(f"the proxy cannot start by {file}: {error}")
    await ended.wait()


def main() -> None:
    """
    Listen to the host at once, then import the rest.
    """
    file = Path(sys.argv[2]) if sys.argv[1:2] == ["--standalone"] else None
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    # What a workspace sends is no reason to fill the host's memory with warnings.
    logging.getLogger("mitmproxy").setLevel(logging.ERROR)
    runtime = "/run" if os.access("/run", os.W_OK) else None
    directory = Path(tempfile.mkdtemp(prefix="codex-proxy-", dir=runtime))
    control: Control | Journal
    if file is not None:
        control = Journal(print)
    else:
        control = Control(on_end=lambda: shutil.rmtree(directory, ignore_errors=True))
    skip_default_addons()

    from proxy_addons.judge.addresses import GuardedEventLoop

    with asyncio.Runner(loop_factory=GuardedEventLoop) as runner:
        runner.run(serve(control, directory, file))
    # Only a standalone proxy comes here; threads that look names up would keep it.
    shutil.rmtree(directory, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main()
