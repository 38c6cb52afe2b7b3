"""S10: The log says which process of a workspace has made what was refused."""

from __future__ import annotations

import re

import pytest

from pytest_codex_workspace import SetupError

from ..conftest import scripts

ASK = """\
import socket, ssl, sys, urllib.request
what, where = sys.argv[1:3]
try:
    if what == "name":
        socket.getaddrinfo(where, 443)
    elif what == "distrust":
        urllib.request.urlopen(where, context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    else:
        urllib.request.urlopen(where)
except OSError as error:
    print(error)
"""

SETUP = """\
set -u
sh -c 'python3 ask.py get http://clear.example/; true'
sh -c 'python3 ask.py distrust @INDEX@/simple/; true'
sh -c 'python3 ask.py name looked-up.example; true'
bash -c 'curl -sS -o /dev/null https://tunnel.example:22/ --oauth2-bearer hunter22 || true'
(setsid sh -c 'while [ "$(cut -d " " -f 4 /proc/$$/stat)" != 1 ]; do sleep 0.01; done
  python3 ask.py get http://orphan.example/; touch done' &)
while [ ! -e done ]; do sleep 0.01; done
su nobody -s /bin/sh -c 'python3 ask.py get http://user.example/; true'
echo 'deb http://hidden.example/ x main' >/etc/apt/sources.list.d/x.list
apt-get -o Dir::Etc::sourcelist=sources.list.d/x.list -o Dir::Etc::sourceparts=- update
exit 7
"""


def _chains(requests) -> dict[str, list[str]]:
    return {
        one.host: [re.sub(r"ask\.py.*", "ask.py", name) for name in one.process.split(" › ")]
        for one in requests
        if one.process
    }


@pytest.mark.promise("S10")
def test_a_failed_setup_names_who_asked(codex_workspace_factory, make_repo, pip_index):
    """
    S10: A request in clear, a tunnel, a distrusted certificate and a look-up, by a program and
    its ancestors; by one whose parent is gone, one of another user, and one that has changed its
    user itself.
    """
    setup = SETUP.replace("@INDEX@", pip_index)
    repo = make_repo(**{"ask.py": ASK}, **scripts(setup))

    for _ in range(4):  # A busy machine may not find one of them in time.
        with pytest.raises(SetupError) as caught:
            codex_workspace_factory(repo=repo, cache_miss=True)
        error = caught.value
        found = _chains(error.requests)
        if len(found) == 7:
            break
    script = found["clear.example"][0]

    assert error.exit_code == 7
    assert script.startswith("bash ")
    assert script.endswith("setup-script.sh")
    for host in ("clear.example", "looked-up.example", pip_index.removeprefix("https://")):
        assert found[host][0] == script
        assert found[host][1].startswith("sh -c python3 ask.py")
        assert found[host][2].startswith("python3 ask.py")
    assert [one.split()[0] for one in found["orphan.example"]] == ["sh", "python3"]
    assert found["user.example"][1].startswith("su nobody")
    assert found["user.example"][-1].startswith("python3 ask.py")
    assert found["hidden.example"][1].startswith("apt-get ")
    assert found["tunnel.example"][-1].startswith("curl ")
    assert "hunter22" not in str(found)
    assert f"asked by: {script} › " in str(error)


@pytest.mark.promise("S10")
def test_a_client_that_is_gone_is_not_known(plain):
    """
    S10: Nobody else is named in its place, and an assertion shows who asked otherwise.
    """
    gone = (
        "import socket, struct; s = socket.create_connection(('proxy', 8080));"
        "s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0));"
        "s.sendall(b'GET http://gone.example/ HTTP/1.1\\r\\nHost: gone.example\\r\\n\\r\\n');"
        "s.close()"
    )
    plain.exec(["python3", "-c", gone])
    plain.exec("curl -sS http://present.example/")

    with pytest.raises(AssertionError, match=r"asked by: .*curl -sS http://present\.example/"):
        plain.network.assert_nothing_blocked()
    # The proxy may ask before the connection is gone.
    [request] = plain.network.requests(host="gone.example")
    assert request.process == "" or request.process.startswith("python3 -c import socket, struct;")
