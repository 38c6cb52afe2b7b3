"""Named attempts to bypass the gate, by somebody who has read its source."""

from __future__ import annotations

import struct
from dataclasses import dataclass

MARK = b"/secret-mark"
"""The target that no server may ever be asked for."""


@dataclass(frozen=True)
class Attempt:
    """
    What is sent, and the reason that the log must give. `localhost:{port}` in *data* stands for
    the server.
    """

    name: str
    data: bytes
    reason: str

    def __str__(self) -> str:
        return self.name.replace(" ", "-")

    def bytes_for(self, host: str, port: int) -> bytes:
        """
        Return the bytes to send for the server *host*.
        """
        return self.data.replace(b"localhost", host.encode()).replace(b"{port}", b"%d" % port)


def get(headers: bytes = b"", target: bytes = MARK, version: bytes = b"HTTP/1.1") -> bytes:
    """
    Return a GET request.
    """
    return b"GET %s %s\r\n%s\r\n" % (target, version, headers)


HOST = b"Host: localhost:{port}\r\n"

CLEAR = [
    Attempt("plain http by name", get(target=b"http://localhost:{port}/"), "plain-http"),
    Attempt("plain http in origin form", get(HOST), "plain-http"),
    Attempt("https in absolute form", get(HOST, b"https://localhost:{port}/"), "not-tls"),
    Attempt("ftp in absolute form", get(HOST, b"ftp://localhost:{port}/"), "plain-http"),
    Attempt("HTTP/0.9", b"GET http://localhost:{port}/\r\n\r\n", "plain-http"),
    Attempt("HTTP/2 preface in clear", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "plain-http"),
    Attempt("h2c upgrade", get(HOST + b"Upgrade: h2c\r\n"), "plain-http"),
    Attempt("websocket in clear", get(HOST + b"Upgrade: websocket\r\n"), "websocket"),
    Attempt("a TLS handshake to the proxy", b"\x16\x03\x01\x00\x05hello\r\n\r\n", "plain-http"),
    Attempt("SSH to the proxy", b"SSH-2.0-OpenSSH\r\n\r\n", "plain-http"),
    Attempt("SOCKS5 to the proxy", b"\x05\x01\x00\r\n\r\n", "plain-http"),
    Attempt("no host at all", b"GET / HTTP/1.1\r\n\r\n", "plain-http"),
    Attempt("a space before the colon", get(b"Host : localhost\r\n"), "plain-http"),
    Attempt("a NUL in the head", get(b"Host: local\0host\r\n"), "plain-http"),
    Attempt("CONNECT to port 22", b"CONNECT localhost:22 HTTP/1.1\r\n\r\n", "port-not-allowed"),
    Attempt("CONNECT to port 80", b"CONNECT localhost:80 HTTP/1.1\r\n\r\n", "port-not-allowed"),
    Attempt("CONNECT to port 0", b"CONNECT localhost:0 HTTP/1.1\r\n\r\n", "plain-http"),
    Attempt("CONNECT with user", b"CONNECT a@localhost:443 HTTP/1.1\r\n\r\n", "plain-http"),
    Attempt("CONNECT with a percent", b"CONNECT local%68ost:443 HTTP/1.1\r\n\r\n", "plain-http"),
    Attempt("CONNECT with a star", b"CONNECT *.localhost:443 HTTP/1.1\r\n\r\n", "plain-http"),
    *(
        Attempt(
            f"CONNECT to {address}",
            f"CONNECT {address}:443 HTTP/1.1\r\n\r\n".encode(),
            "private-address",
        )
        for address in (
            "10.0.0.1",
            "172.16.0.1",
            "192.168.0.1",
            "100.64.0.1",
            "169.254.169.254",
            "168.63.129.16",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "10.1",
            "0xa000001",
            "012.0.0.1",
            "167772161",
            "10.0.0.1.",
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[fd00::1]",
            "[ff02::1]",
            "[::ffff:10.0.0.1]",
            "[::10.0.0.1]",
            "[64:ff9b::10.0.0.1]",
            "[2002:a00:1::1]",
        )
    ),
]

TUNNEL = [
    Attempt("SSH in a tunnel", b"SSH-2.0-OpenSSH_9.2\r\n", "not-tls"),
    Attempt("HTTP in a tunnel", get(HOST), "not-tls"),
    Attempt("CONNECT in a tunnel", b"CONNECT localhost:{port} HTTP/1.1\r\n\r\n", "not-tls"),
    Attempt("SSLv2 hello", b"\x80\x2e\x01\x00\x02" + bytes(40), "not-tls"),
    Attempt("SSLv2-era version", b"\x16\x02\x00\x00\x05\x01\x00\x00\x01\x00", "not-tls"),
    Attempt("application data first", b"\x17\x03\x03\x00\x05hello", "not-tls"),
    Attempt("an alert first", b"\x15\x03\x03\x00\x02\x02\x28", "not-tls"),
    Attempt("a handshake that is no hello", b"\x16\x03\x03\x00\x04\x0e\x00\x00\x00", "not-tls"),
    Attempt("postgres SSLRequest", struct.pack("!ii", 8, 80877103), "not-tls"),
    Attempt("a websocket in a tunnel", get(HOST + b"Upgrade: websocket\r\n"), "not-tls"),
    Attempt("one byte", b"\x00", "not-tls"),
]

INSIDE = [
    Attempt("SSH in TLS", b"SSH-2.0-OpenSSH_9.2\r\n", "not-tls"),
    Attempt("binary in TLS", b"\x00\x01\x02\x03", "not-tls"),
    Attempt("TLS in TLS", b"\x16\x03\x01\x00\x05hello", "not-tls"),
    Attempt("HTTP/2 without ALPN", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "not-tls"),
    Attempt("HTTP/0.9 in TLS", b"GET /secret-mark\r\n", "not-tls"),
    Attempt("HTTP/3.0 in TLS", get(HOST, version=b"HTTP/3.0"), "not-tls"),
    Attempt("a space in the target", get(HOST, b"/secret-mark HTTP/1.1 x"), "not-tls"),
    Attempt("CONNECT in TLS", b"CONNECT localhost:{port} HTTP/1.1\r\nHost: x\r\n\r\n", "not-tls"),
    Attempt("another Host", get(b"Host: evil.example\r\n"), "name-mismatch"),
    Attempt("another port in Host", get(b"Host: localhost:22\r\n"), "name-mismatch"),
    Attempt("user in Host", get(b"Host: localhost@evil.example\r\n"), "name-mismatch"),
    Attempt("homoglyph in Host", get("Host: locаlhost\r\n".encode()), "name-mismatch"),
    Attempt("two Hosts", get(HOST + b"Host: evil.example\r\n"), "name-mismatch"),
    Attempt("two equal Hosts", get(HOST + HOST), "name-mismatch"),
    Attempt("an empty Host", get(b"Host:\r\n"), "name-mismatch"),
    Attempt("absolute form elsewhere", get(HOST, b"https://evil.example/x"), "name-mismatch"),
    Attempt("absolute form, other port", get(HOST, b"https://localhost:22/x"), "name-mismatch"),
    Attempt("Upgrade: websocket", get(HOST + b"Upgrade: websocket\r\n"), "websocket"),
    Attempt("Upgrade in a list", get(HOST + b"Upgrade: foo/2, WebSocket\r\n"), "websocket"),
    Attempt(
        "Upgrade in two lines", get(HOST + b"Upgrade: a\r\nUPGRADE: websocket\r\n"), "websocket"
    ),
    Attempt("a key without Upgrade", get(HOST + b"Sec-WebSocket-Key: AA==\r\n"), "websocket"),
    Attempt(
        "length and chunks",
        b"POST /secret-mark HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
        "not-tls",
    ),
    Attempt(
        "two lengths",
        b"POST /secret-mark HTTP/1.1\r\n"
        + HOST
        + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "not-tls",
    ),
    Attempt(
        "an unknown coding",
        b"POST /secret-mark HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n",
        "not-tls",
    ),
    Attempt("a folded Host", get(b"Host:\r\n localhost\r\n"), "not-tls"),
    Attempt("a folded header", get(HOST + b"X: a\r\n Content-Length: 44\r\n"), "not-tls"),
    Attempt("a bare CR in a value", get(HOST + b"X: a\rContent-Length: 44\r\n"), "not-tls"),
    Attempt("a NUL in a value", get(HOST + b"X: a\0b\r\n"), "not-tls"),
    Attempt("an ESC in a name", get(HOST + b"X\x1b: b\r\n"), "not-tls"),
    Attempt("a star to GET", get(HOST, b"*"), "not-tls"),
    Attempt("a target without a slash", get(HOST, b"@evil.example/x"), "not-tls"),
    Attempt("a control character in the target", get(HOST, b"/secret\x0bmark"), "not-tls"),
    Attempt("a header without colon", get(HOST + b"nonsense\r\n"), "not-tls"),
    Attempt("an endless head", b"GET /secret-mark HTTP/1.1\r\nA: " + b"a" * 400_000, "not-tls"),
    Attempt("an endless line", b"GET /" + b"a" * 400_000, "not-tls"),
]
