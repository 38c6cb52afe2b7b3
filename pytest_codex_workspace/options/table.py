"""The table of options: names, defaults, choices, and their place in the repository's file."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from ..reporting.output import OutputMode

__all__ = [
    "OPTIONS",
    "CacheMode",
    "CassetteMode",
    "FromFile",
    "KeepWhen",
    "Methods",
    "Option",
    "ProfileName",
    "PushWhen",
    "RepoConfigMode",
]


CacheMode = Literal["auto", "refresh", "off", "require"]


CassetteMode = Literal["record", "replay", "off"]


KeepWhen = Literal["never", "failed", "always"]


ProfileName = Literal["seed", "codex", "current"]


PushWhen = Literal["always", "never"]


Methods = Literal["all", "safe"]


RepoConfigMode = Literal["read", "trust", "ignore"]


FromFile = Literal["free", "narrower", "trusted"]
"""What a repository's file may do with an option, without the user's trust: set it; set it to
a value that gives the repository no more than the default; nothing."""


class Option(NamedTuple):
    """
    One option: `--codex-NAME` for pytest, `codex_NAME` in an ini file,
    `--NAME` for the command, `CODEX_WORKSPACE_NAME` in the environment.

    `place` is the option's place in `.codex-workspace.yaml`: by default its name;
    `cache.ttl` is `ttl` in the mapping `cache`; `None` means that the file cannot
    set the option, because it depends on the user and not on the repository.

    A `listed` option has one value or several; those of one source replace those of another
    as a whole.

    Each option with a place has `from_file`; without it, a file needs the user's trust.
    Unless it is `free`, `widens` says what the file would do, after the name of the
    option; `{}` is the value.
    """

    name: str
    metavar: str
    default: str
    help: str
    choices: tuple[str, ...] = ()
    repeatable: bool = False
    listed: bool = False
    place: str | None = ""
    from_file: FromFile | None = None
    widens: str = "may only be set with your trust"

    @property
    def key(self) -> str:
        """
        The name of the field in `Config`.
        """
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        """
        The environment variable that sets the option.
        """
        return f"CODEX_WORKSPACE_{self.key.upper()}"

    def is_path(self, value: str) -> bool:
        """
        Check whether *value* is a path. In an ini file, a path starts at its directory.
        """
        if self.metavar in ("PATH", "PATH|-", "DIR", "FILE"):
            return value != "-"
        return self.metavar == "POLICY" and value.endswith((".yaml", ".yml"))


OPTIONS: tuple[Option, ...] = (
    Option("repo", "PATH", "", "repository to copy into workspaces", place=None),
    Option("rev", "REV", "HEAD", "commit of the repository", place=None),
    Option(
        "repo-config",
        "MODE",
        "read",
        "read: use .codex-workspace.yaml of the repository if it asks for no more than the "
        "defaults, or you have trusted it (codex-workspace trust); trust: use all of it; ignore: "
        "do not use it",
        choices=get_args(RepoConfigMode),
        place=None,
    ),
    Option(
        "profile",
        "NAME",
        "seed",
        "rules that workspaces follow where no other option is given: seed (the defaults below), "
        "codex (setup with internet access, tests offline), or current (Codex since 2026-09-29); "
        "docs/profiles.md",
        choices=get_args(ProfileName),
        from_file="narrower",
        widens="sets {}",
    ),
    Option(
        "image",
        "NAME",
        "universal",
        "base image: 'universal' (codex-universal), 'slim' (Debian packages, needs no container "
        "registry), or the reference of any image",
        from_file="narrower",
        widens="starts from the image {}, whose programs also run while the base image is built",
    ),
    Option(
        "env",
        "NAME=VALUE",
        "",
        "environment variable of workspaces; repeatable",
        repeatable=True,
        from_file="free",
    ),
    Option(
        "test-command",
        "COMMAND",
        "",
        "command of the project's own tests, for `codex-workspace check`; by default, it is taken "
        "from files such as package.json",
        place="check.test",
        from_file="free",
    ),
    Option(
        "silence",
        "ID=REASON",
        "",
        "findings of `codex-workspace check` that do not count, by id, with the reason; repeatable",
        repeatable=True,
        place="check.silence",
        from_file="free",
    ),
    Option(
        "secret",
        "NAME",
        "",
        "environment variable of this machine that only the setup scripts see; repeatable",
        repeatable=True,
        place="secrets",
        from_file="trusted",
        widens="gives the variable {} of your environment to the setup scripts",
    ),
    Option(
        "network-secret",
        "NAME=HOSTS",
        "",
        "environment variable of this machine whose value only these HOSTS get, separated by "
        "commas: workspaces have a placeholder, which the proxy replaces in header fields of "
        "HTTPS requests to them; repeatable",
        repeatable=True,
        place="network-secrets",
        from_file="trusted",
        widens="sends the variable {} of your environment to hosts that it names",
    ),
    Option(
        "setup-script",
        "PATH|-",
        "",
        "text that Codex's environment settings have as setup script, to run in place of "
        "codex-workspace-scripts/; -: standard input",
        place=None,
    ),
    Option(
        "maintenance-script",
        "PATH",
        "",
        "text that Codex's environment settings have as maintenance script, to run in place of "
        "codex-workspace-scripts/setup-from-cache-script.sh",
        place=None,
    ),
    Option(
        "git-tags",
        "true|false",
        "false",
        "true: the tags of the commit's history are in workspaces; false: none, as Codex's git "
        "sync fetches none",
        choices=("true", "false"),
        place="git.tags",
        from_file="free",
    ),
    Option(
        "git-depth",
        "COMMITS",
        "all",
        "commits of history in workspaces, such as 100 (Codex's git sync in 2025), or all",
        place="git.depth",
        from_file="free",
    ),
    Option(
        "cache",
        "MODE",
        "auto",
        "auto: use the cache, and add missing setups; refresh: run setup again and replace the "
        "cached one; off: do not use the cache; require: fail if the setup is not cached",
        choices=get_args(CacheMode),
        place="cache.mode",
        from_file="free",
    ),
    Option(
        "cache-ttl",
        "DURATION",
        "12h",
        "maximum age of a cached setup, such as 90 (seconds), 30m, 12h, 2d",
        place="cache.ttl",
        from_file="free",
    ),
    Option(
        "cache-size",
        "SIZE",
        "20GB",
        "maximum disk space of cached layers on the engine; the least recently used are removed "
        "first",
        place="cache.size",
        from_file="trusted",
        widens="changes the disk space for layers of all repositories, and which are removed",
    ),
    Option(
        "cache-scope",
        "SCOPE",
        "repository",
        "clones that share a cached setup: repository (those with the same root commits and "
        "scripts, forks included), branch, remote (address of origin), path (one clone), or "
        "name:TEXT (those with the same TEXT)",
        place=None,
    ),
    Option(
        "cache-registry",
        "HOST/REPO",
        "",
        "container registry to download missing setups from, and to upload new ones to",
        place="cache.registry",
        from_file="trusted",
        widens="downloads setups from {} and uploads yours to it",
    ),
    Option(
        "cache-push",
        "WHEN",
        "always",
        "always: upload new setups to the cache registry; never: only download",
        choices=get_args(PushWhen),
        place="cache.push",
        from_file="free",
    ),
    Option(
        "network",
        "POLICY",
        "https-only",
        "network policy after the setup scripts: https-only, offline, codex-common-dependencies, "
        "codex-package-managers, open, or the path of a policy file",
        place="network.tests",
        from_file="narrower",
    ),
    Option(
        "network-setup",
        "POLICY",
        "https-only",
        "network policy of the setup scripts; values as for network",
        place="network.setup",
        from_file="narrower",
    ),
    Option(
        "cassette",
        "MODE",
        "off",
        "record: save all requests and responses in codex-workspace-cassettes/ of the repository; "
        "replay: answer requests from there, without outside connections; off: neither",
        choices=get_args(CassetteMode),
        from_file="narrower",
        widens="writes recorded requests and responses into the work tree",
    ),
    Option(
        "network-methods",
        "METHODS",
        "all",
        "HTTP methods after the setup scripts: all, or safe (GET, HEAD and OPTIONS only, as Codex "
        "can restrict them), where the policy does not name methods itself",
        choices=get_args(Methods),
        from_file="free",
    ),
    Option(
        "network-bodies",
        "BYTES",
        "0",
        "keep at most BYTES of each body in the network log, including secrets; up to 262144",
        place="network.bodies",
        from_file="narrower",
        widens="keeps bodies of requests and responses in the log, with any secrets in them",
    ),
    Option(
        "engine",
        "URL",
        "auto",
        "container engine: auto, docker, podman, native (no daemon), a unix://, tcp:// or ssh:// "
        "URL, or the name of a docker context; repeatable: pytest-xdist's workers and the "
        "repositories of `codex-workspace check` are spread over several",
        listed=True,
        from_file="trusted",
        widens="runs everything on the container engine {}",
    ),
    Option(
        "output",
        "MODE",
        "progress",
        "progress: print steps and the output of the setup scripts; stream: also print the output "
        "of image builds; quiet: print neither",
        choices=get_args(OutputMode),
        place=None,
    ),
    Option(
        "keep",
        "WHEN",
        "never",
        "keep workspaces as images, for inspection: never, failed (of tests that fail), or always",
        choices=get_args(KeepWhen),
        place=None,
    ),
    Option(
        "report",
        "DIR",
        "",
        "write a report of all workspaces to DIR: index.html, network.har, report.json and logs",
        place=None,
    ),
    Option(
        "setup-timeout",
        "SECONDS",
        "1200",
        "time limit of each setup script in seconds",
        place="timeouts.setup",
        from_file="narrower",
        widens="lets a setup script run for {} s, longer than the default",
    ),
    Option(
        "cpus",
        "NUMBER",
        "2",
        "processors that one workspace may use, such as 0.5 or 4; none: all",
        place=None,
    ),
    Option(
        "memory",
        "SIZE",
        "8GiB",
        "memory that one workspace may use, swap included, such as 512MB or 16GiB; none: all",
        place=None,
    ),
    Option(
        "debug",
        "FILE",
        "",
        "write a debug log to FILE, for a bug report: calls of the engine, decisions of the cache, "
        "containers, locks; secrets are removed (docs/debugging.md)",
        place=None,
    ),
    Option(
        "upstream-proxy",
        "URL",
        "environment",
        "proxy for outside connections: an http:// or https:// URL, with user:password@ if "
        "required; 'environment': use HTTPS_PROXY; 'none': no proxy; NO_PROXY always applies",
        from_file="trusted",
        widens="decides which proxy requests take from this machine: {}",
    ),
)
