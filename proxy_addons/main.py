"""
The program of the proxy container: `python3 -I -u main.py`.

It is spoken to over standard input and output, logs to standard error, and
ends when its input does.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# An isolated interpreter does not look next to the program.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from proxy_addons.control import Control
from proxy_addons.lean import skip_default_addons

_LOOKUPS = 64
"""Threads for look-ups, a few for each of many workspaces; they are made when needed."""


async def serve(control: Control, directory: Path) -> None:
    """
    Run until the program is ended from outside.
    """
    from proxy_addons.service import Service

    # A slow name server must not keep every other look-up waiting.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_LOOKUPS, "lookup"))
    Service(control, directory)
    await asyncio.Event().wait()


def main() -> None:
    """
    Listen to the host at once, then import the rest.
    """
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    # What a workspace sends is no reason to fill the host's memory with warnings.
    logging.getLogger("mitmproxy").setLevel(logging.ERROR)
    runtime = "/run" if os.access("/run", os.W_OK) else None
    directory = Path(tempfile.mkdtemp(prefix="codex-proxy-", dir=runtime))
    control = Control(on_end=lambda: shutil.rmtree(directory, ignore_errors=True))
    skip_default_addons()

    from proxy_addons.addresses import GuardedEventLoop

    with asyncio.Runner(loop_factory=GuardedEventLoop) as runner:
        runner.run(serve(control, directory))


if __name__ == "__main__":
    main()
