"""S10, S11: Unusual clients work or are refused, and the log says which.

They connect to an origin of our own, whose authority the proxy trusts and the
workspace does not. `test_toolchains.py` tests toolchains.
"""

from __future__ import annotations

import pytest

from pytest_codex_workspace.images.proxy import ensure_proxy_image
from pytest_codex_workspace.reporting.output import Output

from .company_proxy import CompanyContainer
from .origin_container import NAME, Outside

URL = f"https://{NAME}"


@pytest.mark.promise("S10")
@pytest.mark.parametrize(("option", "version"), [("--http1.1", "1.1"), ("--http2", "2")])
def test_both_protocols_from_end_to_end(outside, reach, option, version):
    """
    S10: The origin gets the client's requests in the client's protocol, and answers of any size
    arrive.
    """
    ws = reach()
    curl = f"curl -sS {option} -w '%{{http_version}} %{{size_download}}'"
    down = ws.exec(f"{curl} -o /dev/null {URL}/big")
    up = ws.exec(f"head -c 2500000 /dev/zero | {curl} --data-binary @- {URL}/upload")

    assert (down.stdout, down.stderr) == (f"{version} 3000000", "")
    assert (up.stdout, up.stderr) == (f"2500000\n{version} 8", "")
    ws.network.assert_requested(count=1, method="GET", path="/big", status=200, scheme="https")
    ws.network.assert_requested(count=1, method="POST", path="/upload", status=200)
    assert [each.size for each in ws.network.requests()] == [3_000_000, 8]
    assert outside.origin.seen("/upload")[-1]["protocol"] == f"HTTP/{version}"


@pytest.mark.promise("S10")
def test_openssl_through_the_proxy(outside, reach):
    """
    S10: The certificate is the proxy's, and the requested name must be the name of the tunnel.
    """
    ws = reach()
    client = (
        f"openssl s_client -quiet -verify_return_error -proxy proxy:8080 -connect {NAME}:443"
        " -CAfile $CODEX_PROXY_CERT"
    )
    head = "GET {} HTTP/1.1\r\nHost: " + NAME + "\r\nConnection: close\r\n\r\n"
    good = ws.exec(f"{client} -servername {NAME}", input=head.format("/hello"))
    foreign = ws.exec(f"{client} -servername evil.example", input=head.format("/foreign"))

    assert good.stdout.startswith("HTTP/1.1 200")
    assert good.stdout.endswith("hello over HTTP/1.1\n")
    assert foreign.stdout.startswith("HTTP/1.1 403")
    first, second = ws.network.requests(host=NAME)
    assert (first.method, first.path, first.status) == ("GET", "/hello", 200)
    assert (second.path, second.status, second.reason) == ("/foreign", 403, "name-mismatch")


@pytest.mark.promise("S10")
@pytest.mark.parametrize(
    ("port", "reason"), [(22, "port-not-allowed"), (443, "not-tls")], ids=["ssh", "https"]
)
def test_ssh_through_connect_is_refused(reach, port, reason):
    """
    S10: ssh is refused at CONNECT for its own port, and by its first bytes for the port of HTTPS.
    """
    ws = reach()
    # Netcat keeps an end of the connection to itself until it is idle, which is what -w bounds.
    result = ws.exec(
        "ssh -o BatchMode=yes -o ProxyCommand='nc -w 1 -X connect -x proxy:8080 %h %p' "
        f"-p {port} git@{NAME} true",
        timeout=30,
    )

    assert result.exit_code == 255
    assert "onnection closed" in result.stderr
    ws.network.assert_blocked(reason, count=1, host=NAME, method="CONNECT", port=port)
    assert len(ws.network.requests()) == 1


ECHO = f"""
import http.client, sys
connection = http.client.HTTPSConnection("proxy", 8080, timeout=20)
connection.set_tunnel("{NAME}", 443)
connection.request("GET", sys.argv[1], headers={{
    "Upgrade": "websocket", "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
}})
socket = connection.sock
head = socket.recv(4096)
print(head.split()[1].decode())
if b" 101 " in head:
    socket.sendall(b"\\x81\\x85\\0\\0\\0\\0hello")
    print(socket.recv(4096)[2:].decode())
"""


@pytest.mark.promise("S11")
def test_a_websocket_where_the_policy_allows_it(reach):
    """
    S11: A WebSocket carries a text in both directions.
    """
    ws = reach(websocket="allow")
    result = ws.exec(["python3", "-", "/websocket"], input=ECHO)

    assert (result.stdout, result.stderr) == ("101\nhello\n", "")
    ws.network.assert_requested(
        count=1, host=NAME, method="GET", path="/websocket", status=101, verdict="allowed"
    )


@pytest.mark.promise("S11")
@pytest.mark.parametrize(
    ("client", "path"),
    [
        ("python3 - /websocket?python", "/websocket?python"),
        (f"curl -sS wss://{NAME}/websocket?curl", "/websocket?curl"),
    ],
    ids=["python", "curl"],
)
def test_a_websocket_is_refused_otherwise(outside, reach, client, path):
    """
    S11: The client gets a refusal, and the origin gets nothing.
    """
    ws = reach()
    result = ws.exec(client, input=ECHO)
    ws.exec(f"curl -sS {URL}/hello?after-{path[11:]}", check=True)

    assert "403" in result.stdout + result.stderr
    ws.network.assert_blocked("websocket", count=1, host=NAME, path=path, status=403)
    arrived = outside.origin.seen(f"/hello?after-{path[11:]}")
    assert path not in [each["target"] for each in arrived]


@pytest.mark.promise("S11")
@pytest.mark.parametrize("websocket", ["block", "allow"])
def test_a_switch_of_protocols_that_nobody_asked_for(outside, reach, websocket):
    """
    S11: If the origin switches protocols unasked, no byte of its answer arrives, whatever the
    policy.
    """
    ws = reach(websocket=websocket)
    result = ws.exec(f"curl -sS --http1.1 {URL}/switch")

    assert result.stdout == ""
    assert result.exit_code in (52, 56), result.stderr  # an empty reply, or a reset
    assert outside.origin.seen("/switch")[-1]["target"] == "/switch"
    ws.network.assert_blocked("websocket", count=1, host=NAME, path="/switch", status=None)


FORGET = f"""
import http.client, os
connection = http.client.HTTPSConnection("proxy", 8080)
connection.set_tunnel("{NAME}", 443)
connection.request("GET", "/slow?forgotten")
os._exit(0)
"""


@pytest.mark.promise("S10")
def test_a_client_that_does_not_wait_for_its_answer(reach):
    """
    S10: A request is in the log once its command has returned, even if the client did not wait
    for the answer.
    """
    ws = reach()
    ws.exec(["python3", "-"], input=FORGET, check=True)

    [request] = ws.network.requests(host=NAME)
    assert (request.method, request.path) == ("GET", "/slow?forgotten")
    assert (request.status, request.verdict) == (None, "allowed")


@pytest.mark.promise("S10")
def test_an_answer_that_is_under_way_is_waited_for(outside, reach):
    """
    S10: Reading the log waits for the answer to a client in the background, and has its status.
    """
    ws = reach()
    client = ws.start(f"curl -sS {URL}/slow?waiting")
    outside.origin.seen("/slow?waiting")

    [request] = ws.network.requests(host=NAME)
    assert (request.path, request.status, request.verdict) == ("/slow?waiting", 200, "allowed")
    assert request.duration >= 1
    assert client.wait().ok


@pytest.fixture
def company(codex_engine, origin_container):
    """
    Start a corporate proxy, which alone resolves the origin's name.
    """
    image = ensure_proxy_image(codex_engine, output=Output("quiet", print))
    made = CompanyContainer(codex_engine, image.id)
    origin_container.introduce_to(made.container)
    yield made
    made.close()


@pytest.mark.promise("S10")
def test_a_session_behind_a_company_proxy(
    codex_engine, origin_container, company, plain_repo, tmp_path
):
    """
    S10: A session works behind a proxy with a private address and a password, which resolves all
    names.
    """
    behind = Outside(codex_engine, origin_container, plain_repo, tmp_path, company.url)
    try:
        ws = behind.workspace()
        result = ws.exec(f"curl -sS {URL}/hello && git clone -q {URL}/git/demo.git")
        environment = ws.exec(["env"], check=True).stdout

        assert (result.stdout, result.exit_code) == ("hello over HTTP/2\n", 0), result.stderr
        assert ws.project.joinpath("demo", "README").exists()
        assert "hush" not in environment
        ws.network.assert_requested(count=1, host=NAME, path="/hello", status=200)
        ws.network.assert_nothing_blocked()
    finally:
        behind.close()
