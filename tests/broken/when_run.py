"""Repositories whose fault shows when they run, with the findings of a check.

Each has what a repository without faults has (`CLEAN`), but for the files that it names. `HOST`
stands for the host of the package index that pip uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_codex_workspace.codex import RESUME, SETUP

__all__ = ["BROKEN", "CLEAN", "Broken", "joined"]

CLEAN: Mapping[str, str] = {
    ".gitignore": "/deps/\n",
    "README.md": "A project without faults.\n",
    "Makefile": "test:\n\ttest -e deps/installed\n",
    SETUP: "set -euo pipefail\nmkdir -p deps\necho 1 >deps/installed\n",
    RESUME: "set -euo pipefail\ntest -e deps/installed\n",
}


@dataclass(frozen=True)
class Broken:
    """
    A repository with one fault.

    Attributes:
        fault: what is wrong.
        found: the findings, as `id` and level.
        setup: lines that its setup script has besides.
        resume: lines that its other script has besides.
        files: files in place of the usual ones, or besides.
        group: those of one group do not disturb each other, and can be one repository.
    """

    fault: str
    found: frozenset[tuple[str, str]]
    setup: str = ""
    resume: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    group: str = ""

    def content(self, host: str) -> dict[str, str]:
        """
        Return its files.
        """
        more = {
            SETUP: CLEAN[SETUP] + self.setup,
            RESUME: CLEAN[RESUME] + self.resume,
        }
        found = {**CLEAN, **more, **self.files}
        return {name: text.replace("HOST", host) for name, text in found.items()}


def _broken(fault: str, *found: str, **more: object) -> Broken:
    pairs = frozenset((check, level) for check, _, level in (one.partition(":") for one in found))
    return Broken(fault, pairs, **more)  # type: ignore[arg-type]


BROKEN = (
    _broken(
        "setup needs a file that is not there",
        "setup-fails:error",
        setup="cp settings.example settings\n",
    ),
    _broken(
        "setup asks for a confirmation",
        "setup-fails:error",
        "prompt-unanswered:error",
        setup="printf 'Install everything? [y/n] '\nread -r answer\n",
    ),
    _broken(
        "the maintenance script needs a remote",
        "resume-fails:error",
        resume="git fetch --quiet origin\n",
    ),
    _broken(
        "a watcher keeps the output of setup open",
        "output-held:error",
        setup="sleep 1000 &\n",
        group="setup",
    ),
    _broken(
        "a server of setup is used by the tests",
        "server-lost:error",
        "tests-fail:error",
        setup=(
            "python3 -m http.server --directory deps 8123 >/tmp/server.log 2>&1 &\n"
            "until curl -fsS http://localhost:8123/; do sleep 0.1; done\n"
        ),
        files={"Makefile": "test:\n\tcurl -fsS http://localhost:8123/installed\n"},
    ),
    _broken(
        "a loop of setup is ended",
        "process-lost:note",
        setup="(while sleep 1000; do date; done) >/tmp/loop.log 2>&1 &\n",
        group="setup",
    ),
    _broken(
        "setup cannot run again",
        "setup-repeat:warning",
        setup="mkdir deps/cache\n",
        group="again",
    ),
    _broken(
        "each setup adds a line to a profile",
        "setup-differs:note",
        setup="echo 'umask 022' >>~/.profile\n",
        group="setup",
    ),
    _broken(
        "setup changes a file that is tracked",
        "tracked-changes:warning",
        setup="echo 'Installed.' >README.md\n",
        group="setup",
    ),
    _broken(
        "setup leaves a file that is not ignored",
        "untracked-files:note",
        setup="echo 20 >.nvmrc\n",
        group="setup",
    ),
    _broken(
        "setup downloads over plain HTTP",
        "plain-http:warning",
        setup="curl -sS -o deps/index http://HOST/\n",
        group="setup",
    ),
    _broken(
        "setup opens a WebSocket",
        "websocket:warning",
        setup=(
            "curl -sS --http1.1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' "
            "-H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==' "
            "-o deps/index https://HOST/\n"
        ),
        group="setup",
    ),
    _broken(
        "setup speaks another protocol than HTTPS",
        "not-https:warning",
        setup="curl -sS --proxytunnel -m 20 -o deps/index http://HOST:443/ || true\n",
        group="setup",
    ),
    _broken(
        "setup looks up names itself",
        "direct-lookup:note",
        setup="getent hosts HOST || true\n",
        group="setup",
    ),
    _broken(
        "a client has certificates of its own",
        "distrusted-certificate:note",
        setup=(
            "echo >deps/none.pem\n"
            "curl -sS --cacert deps/none.pem --capath deps https://HOST/ || true\n"
        ),
        group="setup",
    ),
    _broken(
        "setup downloads from a host that no preset has",
        "setup-hosts:note",
        "unreachable-host:note",
        setup="curl -sS -m 20 -o deps/file https://downloads.invalid/file || true\n",
        group="setup",
    ),
    _broken(
        "setup writes a secret to a file",
        "secret-on-disk:error",
        setup='echo "//registry.example/:_authToken=$CODEX_TEST_TOKEN" >~/.npmrc\n',
        group="setup",
    ),
    _broken(
        "the tests need a program that only login shells find",
        "login-shell:note",
        setup=(
            "mkdir -p /opt/tool/bin\nprintf '#!/bin/sh\\n' >/opt/tool/bin/tool\n"
            "chmod +x /opt/tool/bin/tool\necho 'PATH=/opt/tool/bin:$PATH' >/etc/profile.d/tool.sh\n"
        ),
        files={".codex-workspace.yaml": "check: {test: tool}\n"},
        group="setup",
    ),
    _broken(
        "the tests download",
        "tests-network:error",
        "tests-fail:error",
        files={"Makefile": "test:\n\tcurl -fsS -o /dev/null https://HOST/\n"},
    ),
    _broken(
        "the tests need a variable that setup exports",
        "variable-lost:error",
        "tests-fail:error",
        setup="export APP_MODE=test\n",
        files={"Makefile": 'test:\n\ttest "$$APP_MODE" = test\n'},
    ),
    _broken(
        "the tests need a virtual environment that setup activates",
        "variable-lost:error",
        "tests-fail:error",
        setup=(
            "mkdir -p deps/bin\nprintf '#!/bin/sh\\n' >deps/bin/tool\nchmod +x deps/bin/tool\n"
            'echo PATH="$PWD/deps/bin:\\$PATH" >deps/activate\n. deps/activate\n'
        ),
        files={"Makefile": "test:\n\ttool\n"},
    ),
    _broken(
        "the tests fail",
        "tests-fail:error",
        files={"Makefile": "test:\n\ttest -e deps/missing\n"},
    ),
    _broken(
        "nobody knows how the tests are run",
        "tests-unknown:note",
        files={"Makefile": "all:\n\ttrue\n"},
        group="again",
    ),
)


def joined() -> list[Broken]:
    """
    Return fewer repositories with the same faults: those of a group are one.
    """
    groups: dict[str, list[Broken]] = {}
    for one in BROKEN:
        groups.setdefault(one.group or one.fault, []).append(one)
    return [
        Broken(
            ", ".join(one.fault for one in group),
            frozenset().union(*(one.found for one in group)),
            "".join(one.setup for one in group),
            "".join(one.resume for one in group),
            {name: text for one in group for name, text in one.files.items()},
        )
        for group in groups.values()
    ]
