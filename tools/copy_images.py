"""
Copy the images of the tests from the machine's engine to the one at the given URL, so that they
need not be built again: tools/copy_images.py URL DIRECTORY.

DIRECTORY keeps them in a file, for the next engine.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from pytest_codex_workspace.engine.docker.find import find_engine
from pytest_codex_workspace.images.debian import ensure_debian
from pytest_codex_workspace.images.proxy import ensure_proxy_image
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.session import Session


def main(url: str, directory: Path) -> None:
    """
    Make what the machine's engine lacks, and copy everything.
    """
    engine, output = find_engine(), Output("quiet", lambda _: None)
    tags = [*ensure_debian(engine, output).tags]
    for image in ("slim", tags[0]):
        with Session(Config(image=image, engine=engine.url), output) as session:
            tags.append(session.base_tag)
            tags.extend(ensure_proxy_image(engine, output=session.output).tags)
    # Others may move this one at any moment.
    wanted = sorted({tag for tag in tags if not tag.endswith(":latest")})
    content = [engine.image(tag).id for tag in wanted]
    file = directory / f"images-{hashlib.sha256(repr(content).encode()).hexdigest()[:12]}.tar"
    if not file.exists():
        for old in directory.glob("images-*.tar"):
            old.unlink(missing_ok=True)
        # Another run may be making it as well.
        unfinished = file.with_suffix(f".{os.getpid()}")
        with unfinished.open("wb") as written:
            written.writelines(engine.save(wanted))
        unfinished.rename(file)
    engine.close()
    other = find_engine(url)
    with file.open("rb") as saved:
        other.load(saved)
    other.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
