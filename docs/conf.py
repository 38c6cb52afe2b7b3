"""How Sphinx builds the pages of this folder: `make docs`."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]

project = "pytest-codex-workspace"
release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
html_title = f"{project} {release}"

extensions = ["myst_parser"]
myst_heading_anchors = 4
# Diagrams are drawn by a script that would come from the network: the site shows their text.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_copy_source = False
html_show_copyright = False
