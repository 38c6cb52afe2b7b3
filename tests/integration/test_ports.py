"""Servers in a workspace, reached from the test: by HTTP, by a WebSocket and by a browser."""

from __future__ import annotations

import socket
from contextlib import suppress
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from ..helpers.browser import chromium_or_skip

APPLICATION = "sqlite-web==0.8.2"
DATABASE = """
import sqlite3
with sqlite3.connect("people.db") as base:
    base.execute("create table person (id integer primary key, name text)")
    base.executemany("insert into person (name) values (?)", [("Ada",), ("Grace",)])
base.close()
"""


def get(url: str) -> bytes:
    """
    Return a page, without the proxy of this machine.
    """
    with build_opener(ProxyHandler({})).open(url, timeout=20) as page:
        return page.read()


@pytest.mark.any_engine
def test_a_published_application_is_clicked_through(plain):
    """
    It is installed through the proxy of the workspace, and the browser runs on this machine.
    """
    plain.exec(
        f"python3 -m venv /opt/app && /opt/app/bin/pip install --quiet {APPLICATION}", check=True
    )
    plain.exec(["python3", "-c", DATABASE], check=True)
    server = plain.start("exec /opt/app/bin/sqlite_web --no-browser --port 8080 people.db")
    plain.wait_for(port=8080, process=server)

    with plain.forward(8080) as url, chromium_or_skip() as browser:
        browser.get(url)
        browser.find_element(By.LINK_TEXT, "person").click()
        browser.find_element(By.LINK_TEXT, "Content").click()
        rows = WebDriverWait(browser, 20).until(
            lambda driver: driver.find_elements(By.CSS_SELECTOR, "td")
        )
        assert {"Ada", "Grace"} <= {row.text for row in rows}
        browser.find_element(By.LINK_TEXT, "Insert").click()
        name = browser.find_element(By.CSS_SELECTOR, "textarea[name=name]")
        name.clear()
        name.send_keys("Edsger")
        browser.find_element(By.CSS_SELECTOR, "form[role=form] [type=submit]").click()
        WebDriverWait(browser, 20).until(lambda driver: not driver.current_url.endswith("/insert/"))

    show = "import sqlite3; print(*sqlite3.connect('people.db').execute('select * from person'))"
    assert "'Edsger'" in plain.exec(["python3", "-c", show], check=True).stdout


def test_a_port_outlives_a_phase_and_not_its_workspace(plain, codex_engine):
    """
    The server is started again; nothing of the network changes.
    """
    serve = ["python3", "-m", "http.server", "8000", "--bind", "127.0.0.1"]
    server = plain.start(serve)
    plain.wait_for(port=8000, process=server)
    with plain.forward(8000) as url, plain.forward(8000) as other:
        assert get(f"{url}/README") == get(f"{other}/README") == b"hello\n"
        with plain.phase("setup"):
            plain.wait_for(port=8000, process=plain.start(serve))
            assert get(f"{url}/README") == b"hello\n"
        server = plain.start(serve)
        plain.wait_for(port=8000, process=server)
        address = urlsplit(url)
        with socket.create_connection((address.hostname, address.port), 20) as client:
            assert plain.network.requests() == []
            codex_engine.remove(plain.container)
            # Reset or ended, but not left waiting.
            client.settimeout(30)
            left = b""
            with suppress(ConnectionResetError):
                left = client.recv(1)
            assert left == b""
