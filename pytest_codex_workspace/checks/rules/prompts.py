"""Commands that may ask a question."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from ..finding import Finding
from ..repository import CheckedRepository
from ..scripts import Found

__all__ = ["prompts"]

_YES = ("-y", "--yes", "--assume-yes", "--assumeyes", "-qq", "--force-yes")
_APT = frozenset(
    {"install", "upgrade", "dist-upgrade", "full-upgrade", "remove", "purge", "autoremove"}
)
_CONDA = frozenset({"install", "create", "update", "remove", "uninstall"})
_DJANGO = frozenset({"createsuperuser", "collectstatic", "flush"})
_EDITORS = frozenset({"nano", "vi", "vim", "emacs", "less", "more", "top", "htop", "visudo"})
_LOGINS = {
    "gh": (["auth", "login"], ("--with-token",)),
    "gcloud": (["auth", "login"], ("--cred-file", "--no-launch-browser")),
    "az": (["login"], ("--service-principal", "--identity")),
    "docker": (["login"], ("--password-stdin", "-p", "--password")),
    "npm": (["login"], ()),
    "firebase": (["login"], ()),
    "heroku": (["login"], ()),
    "vercel": (["login"], ()),
    "aws": (["configure"], ("set", "import", "list", "get")),
    "huggingface-cli": (["login"], ("--token",)),
}
"""Commands that log in, and what lets them do so without a question."""

_SHORT = re.compile(r"-[A-Za-z]{2,}")

_NEEDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "terraform": (("apply", "destroy"), ("-auto-approve", "--auto-approve")),
    "pulumi": (("up", "destroy"), ("-y", "--yes")),
    "cdk": (("deploy",), ("--require-approval",)),
    "composer": (("init",), ("-n", "--no-interaction")),
    "ng": (("new", "add"), ("--defaults", "--skip-confirmation", "--interactive")),
    "sam": (("--guided", "-g"), ()),
    "amplify": (("init",), ("-y", "--yes")),
    "openssl": (("req",), ("-subj", "-batch", "-config", "-in")),
    "gpg": (("--gen-key", "--full-generate-key", "--quick-gen-key"), ("--batch",)),
    "keytool": (("-genkey", "-genkeypair", "-importcert", "-import"), ("-noprompt", "-dname")),
    "createuser": (("-P", "--pwprompt", "--interactive"), ()),
    "psql": (("-W", "--password"), ()),
    "mysql": (("-p", "--password"), ()),
    "adduser": ((), ("--disabled-password", "--disabled-login", "--system", "-D", "--gecos")),
    "passwd": ((), ("-l", "-d", "-S", "--stdin")),
    "dpkg-reconfigure": ((), ("-f", "--frontend")),
    "whiptail": ((), ()),
    "dialog": ((), ()),
    "gem": (("uninstall",), ("-x", "-a", "--all", "--executables")),
    "snap": (("login",), ()),
    "make": (("menuconfig", "xconfig"), ()),
    "ssh-copy-id": ((), ()),
    "flyctl": (("launch",), ("--yes", "-y", "--now")),
    "eb": (("init",), ()),
}
"""For other programs: the words that make them ask (none: always), and those that answer."""

_FEEDERS = frozenset({"yes", "echo", "printf", "cat"})


def prompts(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find commands that ask a question unless an option answers it.
    """
    for script, found in repo.commands("setup", "resume", "called", "install", "test"):
        if _is_fed(found) or "Assume-Yes" in script.text:
            continue
        remedy = _remedy(found)
        if remedy:
            words = found.command.plain
            yield Finding.of(
                "prompt",
                f"`{' '.join(words[:4])}` may ask a question",
                "Nobody answers, and what a setup script gets as input is not known: the command "
                "fails, or waits until the time limit.",
                remedy,
                path=script.path,
                line=found.line,
            )


def _is_fed(found: Found) -> bool:
    commands = found.pipeline.commands
    fed = commands[0] is not found.command and commands[0].name in _FEEDERS
    return fed or any(operator.startswith("<") for operator, _ in found.command.redirected)


def _remedy(found: Found) -> str:
    words = found.command.plain
    if re.fullmatch(r"python[\d.]*", found.command.name) and words[1:2] == ["-m"]:
        words = words[2:]  # python -m pip
    rules: Sequence[Callable[[Found, list[str]], str]] = (
        _packages, _installers, _logins, _of_git, _others,
    )  # fmt: skip
    return next((text for rule in rules if words and (text := rule(found, words))), "")


def _has(words: Sequence[str], *options: str) -> bool:
    """
    Check for one of *options*, also as `--option=value`, and `-qy` for `-y`.
    """
    letters = {one[1] for one in options if len(one) == 2}
    return any(
        word.partition("=")[0] in options
        or (_SHORT.fullmatch(word) is not None and not letters.isdisjoint(word[1:]))
        for word in words
    )


def _program(found: Found, words: list[str]) -> str:
    """
    Return the name of the program, that of the module after `python -m`.
    """
    return found.command.name if found.command.plain == words else words[0]


def _packages(found: Found, words: list[str]) -> str:
    name = _program(found, words)
    if name in ("apt", "apt-get", "aptitude", "yum", "dnf", "microdnf", "zypper"):
        acts = _APT.intersection(words[1:])
        simulated = _has(words, "--dry-run", "--simulate", "--download-only", "-n")
        if acts and not simulated and not _has(words, *_YES):
            return "Add -y."
    if name == "add-apt-repository" and not _has(words, "-y", "--yes"):
        return "Add -y."
    yes = _has(words, "-y", "--yes")
    if name in ("conda", "mamba") and _CONDA.intersection(words[1:3]) and not yes:
        return "Add -y."
    if name in ("pip", "pip3") and words[1:2] == ["uninstall"] and not yes:
        return "Add -y."
    if name in ("npm", "yarn", "pnpm") and words[1:2] in (["init"], ["create"]) and not yes:
        return "Add --yes."
    if name == "poetry" and words[1:2] == ["init"] and not _has(words, "-n", "--no-interaction"):
        return "Add --no-interaction."
    return ""


def _installers(found: Found, words: list[str]) -> str:
    name = found.command.name
    before = " ".join(word for one in found.pipeline.commands for word in one.words)
    if name in ("sh", "bash", "rustup-init", "rustup-init.sh") and (
        "sh.rustup.rs" in before or name.startswith("rustup-init")
    ):
        return "" if _has(words, "-y") else "Add -y: `curl ... | sh -s -- -y`."
    if re.search(r"(Mini(conda|forge)|Anaconda|Mambaforge)\S{0,99}\.sh$", " ".join(words[:3])):
        return "" if _has(words, "-b") else "Add -b."
    return ""


def _logins(found: Found, words: list[str]) -> str:
    if found.command.name not in _LOGINS:
        return ""
    needed, allowed = _LOGINS[found.command.name]
    if words[1 : 1 + len(needed)] != needed or _has(words, *allowed) or set(words) & set(allowed):
        return ""
    return "Give a token in a variable or by an option instead."


def _of_git(_: Found, words: list[str]) -> str:
    if words[:2] == ["git", "commit"]:
        given = ("-m", "--message", "-F", "--file", "-C", "--reuse-message", "--no-edit", "--fixup")
        return "" if _has(words, *given) else "Give the message with -m; git opens an editor."
    if words[:2] == ["git", "rebase"] and _has(words, "-i", "--interactive"):
        return "Leave out -i; git opens an editor."
    if words[:2] == ["git", "add"] and _has(words, "-p", "-i", "--patch", "--interactive"):
        return "Name the files."
    return ""


def _others(found: Found, words: list[str]) -> str:
    name = found.command.name
    if name == "read" and _has(words, "-p", "-n", "-N", "-s"):
        return "Read the value from a variable of the environment."
    if name in _EDITORS and not _has(words, "--version", "-b", "-es", "-Es", "--batch"):
        return "Change the file with sed or a here-document."
    if name == "crontab" and _has(words, "-e"):
        return "Give crontab a file."
    if name == "ssh-keygen" and not _has(words, "-N", "-l", "-R", "-F", "-y"):
        return "Add -N '' and -f FILE."
    to_group = name == "adduser" and sum(not one.startswith("-") for one in words[1:]) == 2
    if name in _NEEDS and not to_group:
        asks, answers = _NEEDS[name]
        if (not asks or set(asks).intersection(words[1:])) and not (
            set(answers).intersection(word.partition("=")[0] for word in words[1:])
        ):
            return f"Add {answers[0]}." if answers else "Give what it asks for in another way."
    if name in ("rm", "cp", "mv") and _has(words[1:], "-i") and not _has(words[1:], "-f"):
        return "Leave out -i."
    if name == "mysql_secure_installation":
        return "Run the statements with mysql -e."
    django = any(one.endswith("manage.py") for one in words[:3]) and _DJANGO.intersection(words)
    if django and not _has(words, "--noinput", "--no-input"):
        return "Add --noinput."
    return ""
