"""The variables and the directory that tests were started with."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import pytest

__all__ = ["as_started", "remember_environment"]

_ENVIRONMENT: pytest.StashKey[dict[str, str]] = pytest.StashKey()


def remember_environment(config: pytest.Config) -> None:
    """
    Remember the variables of now for `as_started`.
    """
    config.stash[_ENVIRONMENT] = dict(os.environ)


@contextmanager
def as_started(config: pytest.Config) -> Iterator[None]:
    """
    Work with the variables and in the directory that tests were started with. What a test has
    changed is back afterwards. Variables that begin with `CODEX_` are for us, whoever sets them.
    """
    first = config.stash[_ENVIRONMENT]
    # Files in memory, in place of this machine's: pyfakefs replaces `os` in every module.
    fakes = sys.modules.get("pyfakefs.fake_filesystem_unittest")
    patcher = getattr(getattr(fakes, "Patcher", None), "PATCHER", None)
    if patcher is not None and patcher.fs is not None and patcher.is_patching:
        patcher.pause()
        try:
            with as_started(config):
                yield
        finally:
            patcher.resume()
        return
    # pytest sets the names of the running test.
    kept = ("PYTEST_", "CODEX_")
    changed = {
        name: os.environ.get(name)
        for name in first.keys() | os.environ.keys()
        if os.environ.get(name) != first.get(name) and not name.startswith(kept)
    }
    with ExitStack() as undo:
        here = os.open(".", os.O_RDONLY)
        undo.callback(os.close, here)
        undo.callback(os.fchdir, here)
        undo.callback(_set_variables, changed)
        os.chdir(config.invocation_params.dir)
        _set_variables({name: first.get(name) for name in changed})
        yield


def _set_variables(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
