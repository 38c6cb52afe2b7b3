"""
Writes down which hosts this image's pip, npm and apt get their packages from.

Network policies that mean "the package registries" read it. Behind a company
mirror it is the mirror, which is why it is asked of the clients.
"""

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

PIP_DEFAULTS = (
    "from pip._internal.models.index import PyPI as index; "
    "print(index.url, 'https://' + index.file_storage_domain)"
)


def say(*command):
    """
    The words a command prints; none if it fails or is not there.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.split() if done.returncode == 0 else []


def login(command):
    """
    The same in a login shell, whose PATH has the runtimes.
    """
    return say("bash", "--login", "-c", command)


def hosts(urls):
    """
    The host of each URL, once.
    """
    return sorted({urlsplit(url).hostname or "" for url in urls if "://" in url} - {""})


found = {
    "python": hosts(
        login("python3 -m pip config get global.index-url")
        or say("/usr/bin/python3", "-c", PIP_DEFAULTS)
        or login(f'python3 -c "{PIP_DEFAULTS}"')
    ),
    "npm": hosts(login("npm config get registry")),
    # One line for each index: its URL in quotes, a file name, a size.
    "debian": hosts(word.strip("'") for word in say("apt-get", "update", "--print-uris")),
}
Path(sys.argv[1]).write_text(json.dumps(found, indent=2) + "\n", encoding="ascii")
