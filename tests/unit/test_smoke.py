"""What the checks of `codex-workspace smoke` look for, and what they say when they fail."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from pytest_codex_workspace.codex import CERTIFICATE, IMAGE, REGISTRIES
from pytest_codex_workspace.errors import WorkspaceLost
from pytest_codex_workspace.smoke import find_keys, run_smoke

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n", True),
        ("a certificate\n-----BEGIN RSA PRIVATE KEY-----\r\nMIIE\r\n", True),
        ("-----BEGIN CERTIFICATE-----\nMIID\n", False),
        ("-----BEGIN PUBLIC KEY-----\nMIIB\n", False),
        ("-----BEGIN EC PRIVATE KEY-----\nMHcC\n", False),
        ("Write -----BEGIN PRIVATE KEY----- above it.\n", False),
        ("    -----BEGIN PRIVATE KEY-----\n", False),
    ],
)
def test_private_keys_are_found(tmp_path, text, found):
    """
    Those of the proxy's kind, in any directory below; not the words in documentation.
    """
    file = tmp_path / "a b" / "deep" / "file"
    file.parent.mkdir(parents=True)
    file.write_text(text, newline="")

    command = find_keys(str(tmp_path / "a b"), str(tmp_path / "missing"))
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)

    assert ([str(file)] if found else []) == done.stdout.splitlines()
    assert "" == done.stderr


class FakePath:
    """
    A file of a workspace, which is missing if it has no text.
    """

    def __init__(self, text):
        self._text = text

    def exists(self):
        return self._text is not None

    def read_text(self):
        return self._text or ""


class FakeWorkspace:
    """
    A workspace with *files* in which each command prints *output*, or that is lost. It has
    requested nothing.
    """

    def __init__(self, files=(), output=None):
        self._files = {REGISTRIES: '{"python": ["index.test"]}', **dict(files)}
        self._output = output
        self.setup = SimpleNamespace(cache="miss", exit_code=1, key="k", output="", duration=0.0)
        self.network = SimpleNamespace(requests=lambda **_: [], assert_blocked=self._find_request)

    def path(self, name):
        return FakePath(self._files.get(name))

    def _find_request(self, **_):
        raise AssertionError("expected a request\nthe nearest one")

    def exec(self, *_, **__):
        if self._output is None:
            raise WorkspaceLost("the workspace is gone\nand more about it")
        return SimpleNamespace(stdout=self._output, stdout_bytes=self._output.encode())


class FakeSession:
    """
    A session whose workspaces are all *ws*, on an engine without images.
    """

    def __init__(self, ws):
        self._ws = ws
        self.stopped = []
        self.identity = SimpleNamespace(id="s")
        self.engine = SimpleNamespace(
            image=lambda _: None,
            networks=lambda _: [SimpleNamespace(id="n")],
            host_addresses=lambda _: [],
        )

    def repository(self, path):
        return path

    def spec(self, repository, env):
        return repository, env

    def workspace(self, spec, state, *, label):
        return self._ws

    def stop(self, ws):
        self.stopped.append(ws)


@pytest.fixture
def smoke(tmp_path):
    """
    Return a function that runs the checks on a workspace, and returns what failed by its text.
    """

    def run(ws):
        session = FakeSession(ws)
        found = list(run_smoke(session, tmp_path, []))
        assert session.stopped[-2:] == [ws, ws]
        return {one.text: one.seen for one in found if not one.ok}

    return run


@pytest.mark.needs_git
def test_a_failed_check_says_what_it_found(smoke):
    """
    In one line. The others are made after it.
    """
    failed = smoke(FakeWorkspace({"state/ignored": "x"}))

    lost = "the workspace is gone"
    assert {
        "the workspace image exists": f"no image {IMAGE}:latest",
        "only committed files are in the workspace": "['state/ignored'] are in the workspace",
        "setup-from-cache-script.sh ran on its result": "no output",
        "the setup is saved as an image": "no image for its key",
        "a failing script keeps its exit code and its log": (
            "the failed script counted as a success"
        ),
        "HTTPS passes through the proxy": lost,
        "plain HTTP is refused with 403 and a reason": lost,
        "the environment variables are those of Codex": lost,
    }.items() <= failed.items()


@pytest.mark.needs_git
@pytest.mark.parametrize(
    ("bundle", "keys", "seen"),
    [
        ("other\nours\n", "", None),
        (None, "", None),
        ("other\n", "", "the certificate is not in the system's trust store"),
        ("ours\n", "/etc/ssl/a.key\n", "a private key in ['/etc/ssl/a.key']"),
    ],
)
def test_the_certificate_and_its_key(smoke, bundle, keys, seen):
    """
    An image without a trust store has nothing that could lack it.
    """
    files = {CERTIFICATE: "ours\n", BUNDLE: bundle}

    failed = smoke(FakeWorkspace(files, output=keys))

    assert seen == failed.get("the proxy's certificate is trusted, and its key is absent")
    assert "no request arrived at the proxy" == failed["HTTPS passes through the proxy"]
    refused = "a DNS look-up of an outside name is refused and logged"
    assert "expected a request" == failed[refused]
