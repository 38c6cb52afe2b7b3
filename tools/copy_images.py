"""
Copy the images of the tests from one engine to another, so that they need not be built again:

    tools/copy_images.py FROM TO [DIRECTORY]

FROM and TO are what the option `engine` takes. What FROM lacks is built there. DIRECTORY keeps the
images in a file, for the next engine; without it, they are not stored in between.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
from pathlib import Path

from pytest_codex_workspace.cache.image_archive import Pieces
from pytest_codex_workspace.engine.docker.find import find_engine
from pytest_codex_workspace.engine.protocol import Engine
from pytest_codex_workspace.images.debian import ensure_debian
from pytest_codex_workspace.images.proxy import ensure_proxy_image
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.session import Session

__all__ = ["main"]


def main(source: str, target: str, directory: Path | None = None) -> None:
    """
    Make what *source* lacks, and copy everything that *target* lacks.
    """
    engine, other = find_engine(source), find_engine(target)
    wanted = images_of(engine)
    if directory is not None:
        with _kept(engine, wanted, directory).open("rb") as saved:
            other.load(saved)
    elif missing := [one for one in wanted if other.image(one) is None]:
        other.load(io.BufferedReader(Pieces(engine.save(missing))))
    engine.close()
    other.close()


def images_of(engine: Engine) -> list[str]:
    """
    Return the tags of the images that tests start from. Build those that are missing.
    """
    output = Output("quiet", lambda _: None)
    tags = [*ensure_debian(engine, output).tags]
    for image in ("slim", tags[0]):
        with Session(Config(image=image, engine=engine.url), output) as session:
            tags.append(session.base_tag)
            tags.extend(ensure_proxy_image(engine, output=session.output).tags)
    # Others may move this one at any moment.
    return sorted({tag for tag in tags if not tag.endswith(":latest")})


def _kept(engine: Engine, wanted: list[str], directory: Path) -> Path:
    content = [image.id for tag in wanted if (image := engine.image(tag))]
    file = directory / f"images-{hashlib.sha256(repr(content).encode()).hexdigest()[:12]}.tar"
    if not file.exists():
        for old in directory.glob("images-*.tar"):
            old.unlink(missing_ok=True)
        # Another run may be making it as well.
        unfinished = file.with_suffix(f".{os.getpid()}")
        with unfinished.open("wb") as written:
            written.writelines(engine.save(wanted))
        unfinished.rename(file)
    return file


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(Path, sys.argv[3:]))
