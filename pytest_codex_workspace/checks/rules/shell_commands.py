"""Commands of scripts that Codex runs otherwise than a machine of yours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from ..finding import Finding, Level
from ..repository import CheckedRepository
from ..scripts import Found, Script

__all__ = [
    "beside_itself",
    "global_yarn",
    "left_running",
    "lost_exports",
    "uses_of_docker",
    "uses_of_sudo",
]

_DOCKER = frozenset(
    {"docker", "docker-compose", "podman", "podman-compose", "nerdctl", "buildah", "minikube"}
    | {"kind", "k3d", "devcontainer", "dockerd", "act", "earthly", "supabase"}
)
_NEEDS_WORD = {
    "kind": ("create", "load"),
    "supabase": ("start",),
    "act": ("-j", "push", "pull_request", "--job"),
}
"""Programs that need Docker for some of their commands only."""

_PROFILES = re.compile(r"\.(bashrc|bash_profile|profile|bash_login)\b|/etc/(profile|environment)")
_OF_INSTALLERS = re.compile(
    r"DEBIAN_|NEEDRESTART_|PIP_|UV_|npm_config_|NPM_|YARN_|COREPACK_|CARGO_|RUSTUP_|POETRY_|PNPM_"
    r"|LC_|LANG$|CI$|UCF_|GIT_|HOMEBREW_|MAKEFLAGS|[A-Z]*FLAGS$|CC$|CXX$|BUNDLE_|COMPOSER_|GOFLAGS"
    r"|NVM_DIR|PYENV_ROOT|PYTHONDONTWRITEBYTECODE|PYTHONUNBUFFERED|TERM$|TZ$|TMPDIR|IFS$|PS4$"
    r"|PUPPETEER_SKIP|PLAYWRIGHT_SKIP|SETUPTOOLS_SCM_PRETEND|HUSKY"
)
"""Variables that matter while something is installed."""

_ON_PATH = re.compile(
    r"(\.cargo/bin|\.local/bin|/usr/local/go/bin|go/bin|GOPATH\S{0,100}/bin|\.bun/bin|\.pyenv|/usr/local/s?bin"
    r"|/usr/s?bin|(^|=)/s?bin|\.nvm|mise/shims|node_modules/\.bin|^PATH=\$\{?PATH\}?$)"
)
"""Folders that Codex's login shells have on PATH, or that the project's tools find themselves."""

_MOST_EXPORTS = 100

_OF_THE_SHELL = frozenset(
    {("conda", "activate"), ("mamba", "activate"), ("nvm", "use"), ("rvm", "use"), ("sdk", "use")}
    | {("pyenv", "shell"), ("rbenv", "shell"), ("fnm", "use"), ("n", "use"), ("asdf", "shell")}
)
"""Commands that change the shell which runs them."""

_SAYS = frozenset({"echo", "printf", "true", ":", "exit", "export", "declare", "fi", "done", "}"})
_STARTERS = {
    "service": ("start", "restart"),
    "pg_ctl": ("start", "restart"),
    "pg_ctlcluster": ("start", "restart"),
    "pm2": ("start",),
    "forever": ("start",),
    "brew": ("services",),
    "start-stop-daemon": ("--start", "-S"),
    "redis-server": ("--daemonize",),
    "mongod": ("--fork",),
    "rabbitmq-server": ("-detached",),
    "memcached": ("-d",),
    "elasticsearch": ("-d", "--daemonize"),
    "tmux": ("new-session", "new"),
    "screen": ("-dm", "-dmS", "-d"),
    "gunicorn": ("--daemon", "-D"),
    "celery": ("multi", "--detach"),
    "setsid": (),
    "supervisord": (),
    "nginx": (),
    "apachectl": ("start",),
    "apache2ctl": ("start",),
    "initdb": ("--start",),
}
"""Programs that leave a process behind, with the words that make them do so."""

_OF_SYSTEMD = frozenset({"systemctl", "loginctl", "journalctl", "snap"})

_NO_SERVER = frozenset({"-t", "-v", "-V", "-s", "--version", "--help", "-h"})
_ENDS = frozenset({"kill", "killall", "pkill", "wait", "shutdown"})
_STOPS = frozenset({"stop", "shutdown", "quit", "delete", "kill", "--stop", "--shutdown"})
_OUTPUT = re.compile(r"1?>{1,2}\|?$")
_BOTH = re.compile(r"(&>{1,2}|>&)$")

_OF_LOGIN_SHELLS = frozenset(
    {"node", "npm", "npx", "yarn", "pnpm", "corepack", "cargo", "rustc", "rustup", "pip", "pip3"}
    | {"go", "bun", "bunx", "ruby", "gem", "bundle", "java", "mvn", "gradle", "php", "uv", "poetry"}
)
"""Programs that Codex's image has in folders of version managers, none of which sudo searches."""

_SERVICES = (
    "Start it where it is needed: declare it under `services:` in .codex-workspace.yaml, and in "
    "Codex start it in the test command."
)


def uses_of_docker(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find commands that need Docker.
    """
    for script in repo.scripts:
        asked = _asked_for(script) if script.role != "make" else frozenset()
        for found in script.commands() if script.role != "make" else ():
            words = found.command.plain
            name = found.command.name
            needed = _NEEDS_WORD.get(name, words)
            if name not in _DOCKER or found.tolerated or name in asked:
                continue
            if set(needed).intersection(words):
                yield Finding.of(
                    "docker",
                    f"`{' '.join(words[:2])}` needs Docker",
                    "There is no Docker in Codex's legacy containers: `command not found`. Builds "
                    "of the current generation had it.",
                    "Install what the tests need in the setup script, and start it with the tests; "
                    "skip tests of images with `command -v docker`.",
                    path=script.path,
                    line=found.line,
                )


def _asked_for(script: Script) -> frozenset[str]:
    """
    Return the words of commands that ask whether a program is there.
    """
    return frozenset(
        word
        for one in script.commands()
        if one.command.name in ("command", "which", "type", "hash")
        for word in one.command.words
    )


def uses_of_sudo(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find uses of sudo, which removes the variables of the proxy.
    """
    for script in repo.scripts:
        asks = "sudo" in _asked_for(script)
        for found in script.commands():
            words = [one for one in found.command.words if one != "!"]
            if "sudo" not in words[:3] or found.command.name in ("echo", "printf", "command"):
                continue
            at = words.index("sudo")
            if any("=" not in one and one not in ("if", "then", "do", "{") for one in words[:at]):
                continue
            program = next((one for one in words[at + 1 :] if not one.startswith("-")), "")
            if program in _OF_LOGIN_SHELLS:
                yield _unknown_to_sudo(script, found, program, asks=asks)
                continue
            keeps = any(one in ("-E", "--preserve-env") for one in words[at + 1 : at + 4])
            yield Finding.of(
                "sudo",
                "`sudo` removes the variables that name the proxy and its certificate"
                if not keeps
                else "`sudo -E` is not needed, and has a PATH of its own",
                "Everything runs as root. sudo is in codex-universal, but not in each image, and "
                "resets the environment: a download then fails with `network is unreachable`.",
                'Leave it out, or use `$SUDO` that is empty for root: `[ "$(id -u)" = 0 ] || '
                "SUDO=sudo`.",
                path=script.path,
                line=found.line,
                level="note" if keeps or asks else None,
            )


def _unknown_to_sudo(script: Script, found: Found, program: str, *, asks: bool) -> Finding:
    return Finding.of(
        "sudo",
        f"`sudo {program}` does not find {program}, also with -E",
        f"sudo has a PATH of its own, and {program} is in a folder of a version manager: `sudo: "
        f"{program}: command not found`. In `slim`, it is found.",
        "Leave sudo out: everything runs as root.",
        path=script.path,
        line=found.line,
        level="note" if asks else "error",
    )


def global_yarn(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find global installations of yarn or pnpm by npm, over the commands that are there.
    """
    for script, found in repo.commands():
        words = found.command.plain
        if words[:1] != ["npm"] or not {"-g", "--global", "--location=global"}.intersection(words):
            continue
        if not {"i", "install", "add", "ci", "in"}.intersection(words[1:3]) or found.tolerated:
            continue
        if {"-f", "--force"}.intersection(words):
            continue
        names = [one.partition("@")[0] for one in words[2:]]
        name = next((one for one in ("yarn", "pnpm") if one in names), "")
        if name:
            yield Finding.of(
                "yarn-global",
                f"`{' '.join(words)}` installs {name} over the command of corepack that is there",
                f"npm ends with EEXIST: /root/.nvm/versions/node/.../bin/{name} is corepack's.",
                f"Leave the line out: {name} is there. Name the version in `packageManager` of "
                "package.json, or add --force.",
                path=script.path,
                line=found.line,
                # Seen of yarn; that of pnpm follows from how the image is made.
                level=None if name == "yarn" else "warning",
            )


def beside_itself(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find scripts that look for the repository beside themselves.
    """
    for script in repo.scripts_of("setup", "resume"):
        for found in script.commands():
            words = " ".join(found.command.words)
            of_file = found.command.name in ("dirname", "realpath", "readlink") and (
                "$0" in found.command.words or "BASH_SOURCE" in words
            )
            if (
                of_file
                or "${0%" in words
                or "${BASH_SOURCE[0]%" in words
                or "${BASH_SOURCE%" in words
            ):
                yield Finding.of(
                    "script-location",
                    "the script looks for the repository beside itself",
                    "Codex stores the text as /tmp/<6 characters>-setup_script.sh and runs it in "
                    'the repository: `dirname "$0"` is /tmp.',
                    "Use the working directory, which is the top of the repository, or `git "
                    "rev-parse --show-toplevel`.",
                    path=script.path,
                    line=found.line,
                )
                break


def lost_exports(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find variables that a script exports for nobody.
    """
    own = repo.scripts_of("setup", "resume")
    if any(_PROFILES.search(one.text) for one in own):
        return
    for script in own:
        for found, what in _lost_at_end(script):
            yield Finding.of(
                "export-lost",
                f"`{what}` changes the shell of the script, and nothing follows",
                "The setup script has a shell of its own, which ends; ~/.bashrc is read by later "
                "ones.",
                f"Write it to ~/.bashrc: `echo '{what}' >>~/.bashrc`.",
                path=script.path,
                line=found.line,
            )
        every = list(script.commands())
        busy = _last_that(every, _acts)
        exported = [(i, one, *each) for i, one in enumerate(every) for each in _exported(one)]
        for index, found, name, value in exported[:_MOST_EXPORTS]:
            if _OF_INSTALLERS.match(name) or (name == "PATH" and _ON_PATH.search(value)):
                continue
            rest = every[index + 1 :]
            last = index >= busy
            used = any(
                re.search(rf"\$\{{?{name}\b", word) for one in rest for word in one.command.words
            )
            if used and name != "PATH":
                continue
            level: Level = "warning" if last or name == "PATH" else "note"
            yield Finding.of(
                "export-lost",
                f"{name} is exported for the rest of the script only"
                + (", and nothing follows" if last else ""),
                "The setup script has a shell of its own: what it exports is gone when it "
                "ends; ~/.bashrc lasts.",
                f"Write it to ~/.bashrc (`echo 'export {name}=...' >>~/.bashrc`), or set it as "
                "a variable of the environment.",
                path=script.path,
                line=found.line,
                level=level,
            )


def _lost_at_end(script: Script) -> Iterator[tuple[Found, str]]:
    """
    Yield the commands behind which nothing follows that needs them: they change the shell only.
    """
    every = list(script.commands())
    busy = _last_that(every, lambda one: _acts(one) and not _changes_shell(one))
    for found in every[max(busy, 0) :]:
        words = found.command.plain
        if _changes_shell(found):
            yield found, " ".join(words[:3])


def _changes_shell(found: Found) -> bool:
    words = found.command.plain
    activates = words[:1] in (["source"], ["."]) and words[1:2] and "activate" in words[1]
    return bool(activates) or tuple(words[:2]) in _OF_THE_SHELL or words[:1] == ["alias"]


def _acts(found: Found) -> bool:
    """
    Check whether a command does something, and does not only say something.
    """
    return bool(found.command.name) and found.command.name not in _SAYS


def _last_that(every: list[Found], matches: Callable[[Found], bool]) -> int:
    """
    Return the position of the last command that matches; -1 if none does.
    """
    return next((at for at in range(len(every) - 1, -1, -1) if matches(every[at])), -1)


def _exported(found: Found) -> Iterator[tuple[str, str]]:
    words = found.command.plain
    if (words[:1] == ["export"] and not {"-n", "-f"}.intersection(words)) or (
        words[:1] in (["declare"], ["typeset"]) and "-x" in words
    ):
        for word in words[1:]:
            name = word.partition("=")[0]
            if not word.startswith("-") and re.fullmatch(r"[A-Za-z_]\w*", name):
                yield name, word


def left_running(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find processes that a script leaves behind.
    """
    for script in repo.preparing:
        every = list(script.commands())
        stopped = _last_that(every, _stops)
        ended = max(stopped, _last_that(every, lambda one: one.command.name in _ENDS))
        # Of a script that gives its own output away, nothing holds it.
        away = any(_gives_away(one) for one in every if one.command.words == ["exec"])
        for index, found in enumerate(every):
            if found.pipeline.commands[-1] is not found.command:
                continue
            if found.command.name in _OF_SYSTEMD and not found.tolerated:
                yield _without_systemd(script, found)
            elif found.pipeline.ends == "&":
                if index >= ended:
                    yield _background(script, found, holds=not (away or _gives_away(found)))
            elif _starts(found) and index >= stopped:
                yield _left_behind(script, found, found.command.name, level=None)


def _background(script: Script, found: Found, *, holds: bool) -> Finding:
    name = " ".join(found.command.plain[:3]) or "a subshell"
    if found.command.plain[:1] in (["}"], ["done"], ["fi"]):
        name = "a group of commands"
    return _left_behind(script, found, name, level="error" if holds else None)


def _gives_away(found: Found) -> bool:
    """
    Check whether both outputs of a command are redirected.
    """
    operators = [operator for operator, _ in found.command.redirected]
    both = any(_BOTH.match(one) for one in operators)
    out = any(_OUTPUT.match(one) for one in operators)
    return both or (out and any(one.startswith("2>") for one in operators))


def _without_systemd(script: Script, found: Found) -> Finding:
    return Finding.of(
        "daemon",
        f"`{' '.join(found.command.plain[:3])}` needs systemd, which does not run in a container",
        "The first process is not systemd: `System has not been booted with systemd`.",
        f"Start the program itself, or with `service NAME start`. {_SERVICES}",
        path=script.path,
        line=found.line,
        level="error",
    )


def _left_behind(script: Script, found: Found, name: str, *, level: Level | None) -> Finding:
    holds = level == "error"
    return Finding.of(
        "daemon",
        f"{name} is left running when the script ends"
        + (", and holds the script's output open" if holds else ""),
        "Codex waits until the output is closed, until its time limit ends the setup."
        if holds
        else "What setup has started is dead in the task; whether what the maintenance script "
        "starts is alive is not known.",
        ("Redirect its output (`>/dev/null 2>&1 &`), and: " if holds else "") + _SERVICES,
        path=script.path,
        line=found.line,
        level=level,
    )


def _starts(found: Found) -> bool:
    words = found.command.plain
    name = found.command.name
    if words and words[0].startswith("/etc/init.d/"):
        return bool({"start", "restart"}.intersection(words[1:]))
    needed = _STARTERS.get(name)
    if needed is None or _NO_SERVER.intersection(words[1:]):
        return False
    return not needed or bool(set(needed).intersection(words[1:]))


def _stops(found: Found) -> bool:
    return bool(_STOPS.intersection(found.command.plain))
