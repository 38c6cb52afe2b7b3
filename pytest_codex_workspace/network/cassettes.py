"""The cassettes of a repository: find, record, replay and prune them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import CassetteError
from ..host.dirs import cache_dir
from ..host.locks import machine_lock
from ..secrets.secrets import NO_SECRETS, Secrets
from ..text.option_names import spell_option
from ..text.phrases import counted
from ..unpatched import clock
from .rules.cassette import Cassette, Exchange, InvalidCassette, digest, lines_of, merge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..reporting.output import Output
    from .proxy_client import ProxyClient

__all__ = ["DEFAULT", "DIRECTORY", "Cassettes", "open_cassette", "path_of", "prune"]

DIRECTORY = "codex-workspace-cassettes"
"""Directory of a repository that holds its cassettes."""

DEFAULT = "default"
"""Cassette of the scripts, and of tests that do not name one."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SCRIPTS = ("setup", "resume")


class Cassettes:
    """
    The cassettes of one session.

    Args:
        mode: `record` or `replay`.
        proxy: the proxy, which records and replays.
        output: shows what was written.
        renew_scripts: when recording, drop old exchanges of the scripts that
            the scripts no longer request.
        secrets: values to remove from everything that is recorded.
    """

    def __init__(
        self,
        mode: Literal["record", "replay"],
        proxy: ProxyClient,
        output: Output,
        *,
        renew_scripts: bool = False,
        secrets: Secrets = NO_SECRETS,
    ) -> None:
        self._mode = mode
        self._proxy = proxy
        self._output = output
        self._renew_scripts = renew_scripts
        self._secrets = secrets
        self._cleaned: dict[str, bytes] = {}
        self._digests: dict[Path, str] = {}

    def open(self, repository: Path, name: str | None) -> str:
        """
        Prepare a cassette, and return the name under which the proxy knows it.

        Args:
            repository: path of the repository.
            name: name of the cassette; `None` for the default one.

        Raises:
            CassetteError: the cassette to replay is missing or damaged.
        """
        path = path_of(repository, name or DEFAULT)
        if path not in self._digests:
            self._digests[path] = self._prepare(path)
        return str(path)

    def digest(self, repository: Path) -> str:
        """
        Return the digest of the cassette that a replayed setup depends on.

        The digest is part of the key of the cached setup; it is empty while
        recording.
        """
        path = path_of(repository, DEFAULT)
        return self._digests.get(path, "") if self._mode == "replay" else ""

    def save(self) -> None:
        """
        Write the recorded exchanges, or note which exchanges were replayed.

        Raises:
            CassetteError: a cassette cannot be written; the old file is unchanged.
        """
        for path, played in self._digests.items():
            if self._mode == "record":
                self._write(path)
            else:
                _note_use(path, played, self._proxy.played(str(path)))

    def _prepare(self, path: Path) -> str:
        _check_inside(path)
        if not path.exists():
            if self._mode == "record":
                return ""
            raise CassetteError(
                f"there is no cassette {path} to replay; record it with "
                f"{spell_option('cassette', 'record')} and commit the file"
            )
        open_cassette(path)
        if self._mode == "record":
            return ""
        with path.open("rb") as file:
            self._proxy.load_cassette(str(path), file)
        return _digest_of(path)

    def _write(self, path: Path) -> None:
        today = clock.date_today()
        recorded = self._proxy.recorded(str(path))
        new = [replace(self._without_secrets(one), recorded=today) for one in recorded]
        for one in self._proxy.left_out(str(path)):
            url = self._secrets.redaction.text(one.url)
            self._output.note(
                "not recorded, as its response is too large or cannot be kept as text: "
                f"{one.method} {url}"
            )
        if lost := self._proxy.lost_exchanges(str(path)):
            self._output.note(f"{counted(lost, 'exchange')} too many or too large to record")
        if not new and not self._renew_scripts:
            return
        with _lock(path, self._output.note):
            old = open_cassette(path) if path.exists() else None
            known = old.exchanges if old else []
            if self._renew_scripts:
                known = [one for one in known if one.phase not in _SCRIPTS]
            merged = merge(known, new)
            fresh = {one.content for one in new}

            def body(sha256: str) -> bytes:
                if sha256 in self._cleaned:
                    return self._cleaned[sha256]
                if sha256 in fresh or old is None:
                    return self._proxy.recorded_body(sha256)
                return old.body(sha256)

            _replace(path, merged, body)
        number = counted(len(new), "exchange")
        self._output.note(f"recorded {number} in {path}, which now has {len(merged)}")

    def _without_secrets(self, one: Exchange) -> Exchange:
        if not self._secrets.names:
            return one
        text = self._secrets.redaction.text
        content = one.content
        if content:
            body = self._proxy.recorded_body(content)
            clean = self._secrets.redaction.data(body)
            if clean != body:
                content = digest(clean)
                self._cleaned[content] = clean
        return replace(
            one,
            url=text(one.url),
            match={name: text(value) for name, value in one.match.items()},
            headers=tuple((name, text(value)) for name, value in one.headers),
            content=content,
        )


def path_of(repository: Path, name: str) -> Path:
    """
    Return the path of a cassette.

    Raises:
        CassetteError: *name* is not a valid name of a cassette.
    """
    if not _NAME.fullmatch(name):
        raise CassetteError(
            f"{name!r} is not a valid cassette name: use letters, digits, '.', '_' and '-', and "
            "start with a letter or digit"
        )
    return repository / DIRECTORY / f"{name}.jsonl"


def open_cassette(path: Path) -> Cassette:
    """
    Open the cassette at *path*.

    Raises:
        CassetteError: the file is missing or damaged.
    """
    _check_inside(path)
    try:
        return Cassette(path)
    except InvalidCassette as error:
        raise CassetteError(
            f"{path}, {error}; restore the file with git, or remove it and record again"
        ) from None
    except OSError as error:
        raise CassetteError(f"the cassette {path} cannot be read: {error.strerror}") from None


def _check_inside(path: Path) -> None:
    """
    Check that no link of the work tree leads the cassette *path* out of its repository.

    Raises:
        CassetteError: it would be read or written elsewhere on this machine.
    """
    repository = path.parent.parent.resolve()
    if not path.resolve().is_relative_to(repository):
        raise CassetteError(
            f"{path} leads out of the repository, to {path.resolve()}; replace the link by a "
            "directory or file"
        )


def prune(path: Path) -> int:
    """
    Remove the exchanges that no replay has used since the cassette was written.

    Returns:
        The number of removed exchanges.

    Raises:
        CassetteError: the cassette was not replayed since it was written.
    """
    with _lock(path, lambda _: None):
        cassette = open_cassette(path)
        digest = _digest_of(path)
        used = _uses(path, digest)
        if not used:
            raise CassetteError(
                f"{path} was not replayed since it was written, so its unused exchanges are "
                "unknown; run the tests with `pytest --codex-cassette=replay` first"
            )
        kept = [one for number, one in enumerate(cassette.exchanges) if number in used]
        _replace(path, kept, cassette.body)
        _note_use(path, _digest_of(path), range(len(kept)))
        return len(cassette.exchanges) - len(kept)


def _replace(path: Path, exchanges: Iterable[Exchange], body: Callable[[str], bytes]) -> None:
    _check_inside(path)
    try:
        path.parent.mkdir(exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines(lines_of(exchanges, body))
            # mkstemp creates files that only the owner can read; use the umask's mode instead.
            mask = os.umask(0)
            os.umask(mask)
            Path(name).chmod(0o666 & ~mask)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CassetteError(f"the cassette {path} cannot be written: {error.strerror}") from None


@contextmanager
def _lock(path: Path, tell: Callable[[str], None]) -> Iterator[None]:
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:24]
    with machine_lock(cache_dir() / "locks" / f"cassette-{name}.lock", f"writing {path}", tell):
        yield


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _uses_file(path: Path) -> Path:
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:24]
    return cache_dir() / "cassettes" / f"{name}.json"


def _uses(path: Path, digest: str) -> set[int]:
    with suppress(OSError, ValueError, KeyError, TypeError):
        noted = json.loads(_uses_file(path).read_text("ascii"))
        if noted["digest"] == digest:
            return {number for number in noted["used"] if isinstance(number, int)}
    return set()


def _note_use(path: Path, digest: str, used: Iterable[int]) -> None:
    file = _uses_file(path)
    both = sorted(_uses(path, digest) | set(used))
    with suppress(OSError):
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"digest": digest, "used": both}), "ascii")
