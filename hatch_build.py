"""
What the metadata of a release takes from where it is built: addresses.

`CODEX_WORKSPACE_HOME_PAGE` is the address of the repository; `.github/workflows/release.yml` sets
it. With it, the package has project URLs, and links of the README lead to the files of that
version. Without it, the package has no URLs, and the README is as in the repository.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

VARIABLE = "CODEX_WORKSPACE_HOME_PAGE"

_LINK = re.compile(r"(!?)\[([^\]\[]*)\]\((?!https?:|mailto:|#)([^)\s]+)\)")


class Addresses(MetadataHookInterface):
    """
    The URLs and the README of the package.
    """

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        """
        Set the fields of *metadata* that pyproject.toml calls dynamic.
        """
        text = (Path(self.root) / "README.md").read_text("utf-8")
        home = os.environ.get(VARIABLE, "").rstrip("/")
        if home:
            text = with_addresses(text, home, f"v{metadata['version']}")
            metadata["urls"] = urls(home)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def urls(home: str) -> dict[str, str]:
    """
    Return the project URLs of a repository.
    """
    return {
        "Homepage": home,
        "Documentation": f"{home}/tree/HEAD/docs",
        "Source": home,
        "Issues": f"{home}/issues",
        "Changelog": f"{home}/blob/HEAD/CHANGELOG.md",
    }


def with_addresses(text: str, home: str, revision: str) -> str:
    """
    Return Markdown whose relative links lead to files of the repository at *revision*.
    """

    def absolute(found: re.Match[str]) -> str:
        kind = "raw" if found[1] else "blob"
        return f"{found[1]}[{found[2]}]({home}/{kind}/{revision}/{found[3]})"

    return _LINK.sub(absolute, text)
