"""The image of the proxy and of the network holders."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ..codex import PROXY_IMAGE
from ..engine.protocol import Engine, ImageInfo
from ..errors import ImageBuildError
from ..host.resources import package_dir, resource_dir
from ..reporting.output import Output
from .build import Plan, common_context, ensure_image, find_built_image
from .debian import DEBIAN

__all__ = ["ensure_proxy_image", "find_proxy_image", "proxy_plan"]


def ensure_proxy_image(engine: Engine, *, output: Output, rebuild: bool = False) -> ImageInfo:
    """
    Return the image of the proxy and of the network holders. Build it if necessary.

    Args:
        engine: the engine that has or builds the image.
        output: takes the progress.
        rebuild: build the image even if it exists, and without the build cache.

    Raises:
        ImageBuildError: the build failed. The text has the failed step and the
            end of its output.
    """
    return ensure_image(engine, proxy_plan(), output, rebuild=rebuild)


def find_proxy_image(engine: Engine) -> ImageInfo | None:
    """
    Return the image that `ensure_proxy_image` would return without a build; `None` if there is
    none.
    """
    return find_built_image(engine, proxy_plan())


@cache
def proxy_plan() -> Plan:
    """
    Return the description of the proxy image. The files of this package are read once.
    """
    context = common_context("proxy")
    package = package_dir()
    context.add_tree(resource_dir("proxy_addons"), "app/proxy_addons")
    context.add("app/network_holder.py", _read(package / "in_container" / "network_holder.py"))
    # The addons judge requests by the package's own rules; the rest of the package stays out,
    # so that a change of it does not build the image again.
    for above in ("", "network/"):
        context.add(f"app/{package.name}/{above}__init__.py", b"")
    context.add_tree(package / "network" / "rules", f"app/{package.name}/network/rules")
    return Plan(
        what="the proxy image",
        kind="proxy",
        choice="proxy",
        repository=PROXY_IMAGE,
        prefix="",
        dockerfile="proxy/Dockerfile",
        context=context,
        key=context.key(base=DEBIAN),
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageBuildError(
            f"{path} is part of the proxy image and cannot be read: {error.strerror}; "
            "reinstall pytest-codex-workspace"
        ) from None
