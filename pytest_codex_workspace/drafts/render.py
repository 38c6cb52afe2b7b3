"""The texts of a draft: both scripts, and `.codex-workspace.yaml`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from ..codex import CONFIG_FILE, RESUME, SETUP
from .draft import Draft, Hint, Install

__all__ = ["render"]

_SETUP = """\
#!/usr/bin/env bash
# A draft by `codex-workspace init`: read it, correct it, and commit it.
# It runs once in a new workspace, in the project directory, with a network; the files that it
# leaves are cached, processes are not. Nothing answers its questions.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
"""
_RESUME = """\
#!/usr/bin/env bash
# A draft by `codex-workspace init`: read it, correct it, and commit it.
# It runs on the cached result of setup-script.sh, at the commit of the task, which may have other
# lock files than that of the cache. In Codex, this is the maintenance script.
set -euo pipefail
"""
_CONFIG = """\
# A draft by `codex-workspace init`: read it, correct it, and commit it.
# In Codex, set the same versions and variables in the settings of the environment.
"""


def render(draft: Draft) -> Mapping[str, str]:
    """
    Return the texts of the files of a draft by their paths; none if there is nothing to install.
    """
    if not draft:
        return {}
    setup = "\n".join([_SETUP, *_setup(draft)])
    files = {SETUP: setup}
    if draft.installs:
        files[RESUME] = "\n".join([_RESUME, *(_installed(one) for one in draft.installs)])
    config = list(_config(draft))
    if config:
        files[CONFIG_FILE] = "\n".join([_CONFIG, *config])
    return files


def _setup(draft: Draft) -> Iterator[str]:
    for hint in draft.hints:
        if hint.lines and not hint.last:
            yield _hinted(hint)
    if draft.services:
        packages = " ".join(one.package for one in draft.services)
        sources = ", ".join(dict.fromkeys(one.source for one in draft.services))
        names = ", ".join(one.name for one in draft.services)
        lines = ("apt-get update", f"apt-get install -y --no-install-recommends {packages}")
        text = f"has {names}; with this, {CONFIG_FILE} can start them as services"
        yield _hinted(Hint(sources, text, lines))
    for install in draft.installs:
        yield _installed(install)
    for hint in draft.hints:
        if hint.last or not hint.lines:
            yield _hinted(hint)


def _installed(install: Install) -> str:
    note = f" ({install.note})" if install.note else ""
    return "\n".join([f"# {install.source}{note}", *install.lines, ""])


def _hinted(hint: Hint) -> str:
    end = ":" if hint.lines else "."
    text = f"# {hint.source} {hint.text}{end}"
    return "\n".join([text, *(f"# {line}" for line in hint.lines), ""])


def _config(draft: Draft) -> Iterator[str]:
    if draft.runtimes:
        yield "runtimes:"
        for one in draft.runtimes:
            yield f"  {one.name}: {json.dumps(one.value)}  # {one.source}"
        yield ""
    if draft.env:
        yield "env:"
        for one in draft.env:
            yield f"  {one.name}: {json.dumps(one.value)}  # {one.source}; tags do not arrive"
        yield ""
    if draft.services:
        yield "# Uncomment what tests need, and its package in setup-script.sh: docs/services.md"
        yield "# services:"
        for service in draft.services:
            yield f"#   {service.name}:  # {service.source}"
            yield f"#     command: {json.dumps(service.command)}"
            yield f"#     ready: {{port: {service.port}}}"
        yield ""
    if draft.tests:
        command = " && ".join(one.command for one in draft.tests)
        sources = ", ".join(dict.fromkeys(one.source for one in draft.tests))
        yield "check:"
        yield f"  test: {json.dumps(command)}  # {sources}"
        yield ""
