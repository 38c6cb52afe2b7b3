"""`codex-workspace ca`: the certificate authority that workspaces trust."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .options import add_command, add_engine, add_group, add_json, engine_of
from .printing import finish, show, table

if TYPE_CHECKING:
    from .options import Commands

__all__ = ["SUMMARY", "register"]

SUMMARY = "show or replace the certificate authority"

_CA = """\
Show or replace the certificate authority of this machine.

The proxy uses it to read the HTTPS requests of workspaces, which trust it. Its
key never enters a workspace.

Examples:
  codex-workspace ca show
"""

_SHOW = """\
Show the authority.

That is its subject, its fingerprint, until when it is valid, where it
is kept, and which images of the engine trust it. The key is not shown.

Examples:
  codex-workspace ca show
  codex-workspace ca show --json
"""

_ROTATE = """\
Replace the authority, for example because somebody else could read its key.

The old one is removed, and the next run makes a new one. What trusts the old one:

- Runs that have already started keep it until they end. End them if its key is
  known to somebody else.
- Base images are rebuilt from the engine's build cache, and layers of a commit
  are made again, when a workspace needs them.
- Setups stay in the cache: what is started from one gets the new certificate,
  and setup scripts do not run again.

No image has the key. Where the old certificate was imported by hand, such as in a
browser, remove it yourself.

Examples:
  codex-workspace ca rotate
"""

_SHOWN = 20
"""Images that are listed; all are counted."""


def register(commands: Commands) -> None:
    """
    Add the command and its subcommands.
    """
    below = add_group(commands, "ca", SUMMARY, _CA)
    for name, summary, description, action in (
        ("show", "show the authority", _SHOW, _show),
        ("rotate", "replace the authority", _ROTATE, _rotate),
    ):
        parser = add_command(below, name, summary, description, action)
        add_json(parser)
        add_engine(parser)


def _show(arguments: argparse.Namespace) -> int:
    from ..errors import ProxyError
    from ..host.certificates import ca_certificate, ca_file, describe_authority, load_ca

    path, pem = ca_file(), load_ca()
    if pem is None:
        if path.exists():
            raise ProxyError(
                f"{path} does not contain a key and a certificate",
                remedy="Run `codex-workspace ca rotate`.",
            )
        if not arguments.json:
            show("there is no authority yet; the first run makes one")
        return finish(arguments, 0, path=None)
    try:
        about = describe_authority(ca_certificate(pem))
    except ValueError as error:
        raise ProxyError(f"{path}: {error}", remedy="Run `codex-workspace ca rotate`.") from None
    facts = {"path": str(path), **about}
    images, unknown = _images(arguments, pem)
    if not arguments.json:
        for line in table([(name.replace("_", " "), value) for name, value in facts.items()]):
            show(line)
        _show_images(images, unknown)
    return finish(arguments, 0, **facts, images=None if unknown else images)


def _rotate(arguments: argparse.Namespace) -> int:
    from ..host.certificates import authority_lock, ca_file, load_ca, remove_ca

    path = ca_file()
    with authority_lock(show):
        pem = load_ca()
        removed = remove_ca()
    images, unknown = _images(arguments, pem) if pem else ([], "")
    if not arguments.json:
        what = f"removed {path}" if removed else "there was no authority"
        show(f"{what}; the next run makes a new one")
        if removed:
            show("runs that have already started keep the old one until they end")
        if pem:
            _show_images(images, unknown, old=True)
    return finish(arguments, 0, removed=removed, images=None if unknown else images)


def _images(arguments: argparse.Namespace, pem: bytes) -> tuple[list[str], str]:
    """
    Return the images of the engine that trust an authority, and why they are not known.

    Args:
        arguments: the command line, with the engine.
        pem: the authority.
    """
    from contextlib import closing

    from ..engine import labels
    from ..engine.docker import find
    from ..errors import EngineError, EngineUnavailable
    from ..host.certificates import authority_digest, ca_certificate

    digest = authority_digest(ca_certificate(pem))
    try:
        with closing(find.find_engine(engine_of(arguments))) as engine:
            found = engine.images({labels.CA: digest})
    except (EngineError, EngineUnavailable) as error:
        return [], error.message.partition("\n")[0]
    return sorted(one.tags[0] if one.tags else one.id for one in found), ""


def _show_images(images: list[str], unknown: str, *, old: bool = False) -> None:
    from ..text.phrases import counted

    if unknown:
        show(f"which images trust it is not known: {unknown}")
        return
    verb, ends = "trust", "are not started any more as they are"
    if len(images) == 1:
        verb, ends = "trusts", "is not started any more as it is"
    which = f"the old one, and {ends}" if old else "it"
    show(f"{counted(len(images), 'image')} of the engine {verb} {which}" + (":" if images else ""))
    for name in images[:_SHOWN]:
        show(f"  {name}")
    if len(images) > _SHOWN:
        show(f"  and {len(images) - _SHOWN} more")
