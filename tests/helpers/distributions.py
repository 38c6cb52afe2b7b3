"""Distributions with entry points, as pip leaves them on the disk."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def add_distribution(
    folder: Path, name: str, group: str, entries: Mapping[str, str], module: str = ""
) -> None:
    """
    Put a distribution of one module into *folder*, and forget one of this name that an earlier test
    has imported.

    Args:
        folder: a directory of the path of Python.
        name: of the distribution. That of the module is the same, with underscores.
        group: of its entry points.
        entries: what each entry point names.
        module: the text of the module.
    """
    about = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (folder / f"{name.replace('-', '_')}.py").write_text(module)
    sys.modules.pop(name.replace("-", "_"), None)


def install_examples(folder: Path, *names: str) -> Path:
    """
    Install projects of `examples/` into *folder* with pip, without an index, and return it.
    """
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-index", "--no-build-isolation", f"--target={folder}"),
            *(str(EXAMPLES / name) for name in names),
        ],
        check=True,
    )
    return folder
