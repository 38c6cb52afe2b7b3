"""`codex-workspace ca`: the certificate authority that workspaces trust."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .options import add_command, add_group, add_json
from .printing import finish, show
from .table import table

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
Show where the authority is kept, its fingerprint, and when it expires.

Examples:
  codex-workspace ca show --json
"""

_ROTATE = """\
Replace the authority, for example because somebody else could read its key.

The old one is removed, and the next run makes a new one. Images that trust the
old one are rebuilt from the engine's build cache, or get the new certificate
when they are resumed; setup scripts do not run again. Runs that have already
started keep the old one until they end.

Examples:
  codex-workspace ca rotate
"""


def register(commands: Commands) -> None:
    """
    Add the command and its subcommands.
    """
    below = add_group(commands, "ca", SUMMARY, _CA)
    add_json(add_command(below, "show", "show the authority", _SHOW, _show))
    add_json(add_command(below, "rotate", "replace the authority", _ROTATE, _rotate))


def _show(arguments: argparse.Namespace) -> int:
    import hashlib
    import ssl

    from ..errors import ProxyError
    from ..host.certificates import ca_certificate, ca_file, load_ca, validity

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
    certificate = ca_certificate(pem)
    try:
        begins, expires = validity(certificate)
        fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.decode("ascii")))
    except ValueError as error:
        raise ProxyError(f"{path}: {error}", remedy="Run `codex-workspace ca rotate`.") from None
    facts = {
        "path": str(path),
        "sha256": fingerprint.hexdigest(),
        "valid_from": begins,
        "expires": expires,
    }
    if not arguments.json:
        for line in table([(name.replace("_", " "), value) for name, value in facts.items()]):
            show(line)
    return finish(arguments, 0, **facts)


def _rotate(arguments: argparse.Namespace) -> int:
    from ..host.certificates import ca_file, remove_ca
    from ..host.dirs import cache_dir
    from ..host.locks import machine_lock

    path = ca_file()
    with machine_lock(
        cache_dir() / "locks" / "ca.lock", "this machine's certificate authority", show
    ):
        removed = remove_ca()
    if not arguments.json:
        what = f"removed {path}" if removed else "there was no authority"
        show(f"{what}; the next run makes a new one")
    return finish(arguments, 0, removed=removed)
