"""Facts about Codex's workspaces, and the names that our workspaces share with them.

Variables and runtime versions as seen in real workspaces, the names of a
repository's scripts, and the paths and images that several modules refer to.
Standard library only: the Compose projection runs this file, too.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "AGENT",
    "CERTIFICATE",
    "COMPOSE_DIR",
    "CONFIG_FILE",
    "IMAGE",
    "INSIDE",
    "KNOWN_RUNTIMES",
    "NETWORK_HOLDER",
    "NO_REMOTE",
    "OF_SLIM",
    "PROXY_DIR",
    "PROXY_IMAGE",
    "PROXY_PROGRAM",
    "REGISTRIES",
    "RESUME",
    "RUNTIMES",
    "SCRIPTS",
    "SELECT_RUNTIMES",
    "SETUP",
    "UNIVERSAL",
    "defaulted_runtimes",
    "workspace_environment",
]

CONFIG_FILE = ".codex-workspace.yaml"
"""A repository's own options, at its top."""

SCRIPTS = "codex-workspace-scripts"
"""The folder of a repository's scripts."""

SETUP = f"{SCRIPTS}/setup-script.sh"
RESUME = f"{SCRIPTS}/setup-from-cache-script.sh"

NO_REMOTE = (
    "a workspace has no remote, as in Codex",
    "Compare with a commit that HEAD contains, such as HEAD~1, and download LFS files over HTTPS: "
    "git fetch, git pull, git lfs pull and names such as origin/main do not work.",
)
"""What is said of a script that needs a remote, and what to do."""

UNIVERSAL = "ghcr.io/openai/codex-universal"
"""Codex's own image."""

IMAGE = "codex-workspace-emulator"
"""Repository of the workspace images."""

PROXY_IMAGE = "codex-workspace-emulator-proxy"
"""Repository of the proxy's images."""

INSIDE = "/opt/codex"
"""The folder of our files in a workspace."""

AGENT = f"{INSIDE}/workspace_agent.py"
SELECT_RUNTIMES = f"{INSIDE}/select_runtimes.sh"
"""Our script, which runs `setup_universal.sh` of the image."""

REGISTRIES = f"{INSIDE}/registries.json"

PROXY_DIR = "/opt/codex-proxy"
"""The folder of our files in the proxy image."""

PROXY_PROGRAM = f"{PROXY_DIR}/proxy_addons/main.py"
NETWORK_HOLDER = f"{PROXY_DIR}/network_holder.py"

COMPOSE_DIR = "/opt/codex-compose"
"""The folder of our files that Compose mounts into a workspace."""

CERTIFICATE = "/usr/local/share/ca-certificates/envoy-mitmproxy-ca-cert.crt"
"""The path of the proxy's certificate, as seen in real workspaces."""

_PROXY = "http://proxy:8080"

RUNTIMES: Mapping[str, str] = {
    "PYTHON": "3.12",
    "NODE": "20",
    "RUST": "1.89.0",
    "GO": "1.24.3",
    "SWIFT": "6.1",
    "RUBY": "3.4.4",
    "PHP": "8.4",
    "BUN": "1.2.14",
    "JAVA": "21",
}
"""Codex's runtime versions, as seen in a real session."""

KNOWN_RUNTIMES: Mapping[str, tuple[str, ...]] = {
    "PYTHON": ("3.12", "3.13", "3.11", "3.10", "3.14"),
    "NODE": ("20", "22", "18", "24"),
    "RUST": ("1.89.0", "1.88.0", "1.87.0", "1.86.0", "1.85.1", "1.84.1", "1.83.0"),
    "GO": ("1.24.3", "1.23.8", "1.22.12", "1.25.1"),
    "SWIFT": ("6.1", "5.10", "6.2"),
    "RUBY": ("3.4.4", "3.3.8", "3.2.3"),
    "PHP": ("8.4", "8.3", "8.2", "8.5"),
    "BUN": ("1.2.14",),
    "JAVA": ("21", "17", "11", "25"),
}
"""Versions that Codex's image was seen with, the default first. Newer images have more."""

OF_SLIM: Mapping[str, str] = {"PYTHON": "3.13", "RUST": "1.85", "RUBY": "3.3"}
"""What the image slim has of the languages of which Debian has another version than Codex."""

_FIXED: Mapping[str, str] = {
    "HOME": "/root",
    **dict.fromkeys(
        (
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "http_proxy",
            "https_proxy",
            "YARN_HTTP_PROXY",
            "YARN_HTTPS_PROXY",
            "npm_config_http_proxy",
            "npm_config_https_proxy",
        ),
        _PROXY,
    ),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "localhost,127.0.0.1,::1"),
    **dict.fromkeys(
        (
            "CODEX_PROXY_CERT",
            "NODE_EXTRA_CA_CERTS",
            "PIP_CERT",
            "REQUESTS_CA_BUNDLE",
            "SSL_CERT_FILE",
        ),
        CERTIFICATE,
    ),
    "ELECTRON_GET_USE_PROXY": "true",
    "GRADLE_OPTS": "-Dhttp.proxyHost=proxy -Dhttp.proxyPort=8080 "
    "-Dhttps.proxyHost=proxy -Dhttps.proxyPort=8080",
}


def workspace_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """
    Return every variable of a workspace: those that two dumps of real workspaces
    have in common, Codex's runtime versions, and *extra*, which takes precedence.
    """
    runtimes = {f"CODEX_ENV_{name}_VERSION": version for name, version in RUNTIMES.items()}
    return {**_FIXED, **runtimes, **extra}


def defaulted_runtimes(extra: Mapping[str, str]) -> str:
    """
    Return the names of the runtimes whose version *extra* does not choose, separated
    by spaces. An image may lack Codex's version of these.
    """
    return " ".join(name for name in RUNTIMES if f"CODEX_ENV_{name}_VERSION" not in extra)
