"""The page of a report in Debian's Chromium: what a reader sees, clicks and types."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from pytest_codex_workspace.network.rules.request import Request
from pytest_codex_workspace.reports.page import render_page
from pytest_codex_workspace.reports.records import TestRecord, WorkspaceRecord

from ...helpers.browser import chromium_or_skip
from .test_records import request, workspace

if TYPE_CHECKING:
    from selenium import webdriver

pytestmark = pytest.mark.slow

ATTACK = (
    "</script><script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'>"
    "\x1b]0;pwned\x07\x1b[31mred\u2028\u202elive'\"`${window.pwned = 3}{{ 7*7 }}<!--"
)
ROWS = 100


@pytest.fixture(scope="module")
def chromium() -> Iterator[webdriver.Chrome]:
    """
    One browser for all tests of this file.
    """
    with chromium_or_skip() as driver:
        yield driver


class Page:
    """
    An open page, and what the tests do with it.
    """

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def one(self, css: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def all(self, css: str) -> list[Any]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def click(self, css: str) -> None:
        """
        Click in the middle of the screen, where nothing covers it.
        """
        found = self.one(css)
        self.run("arguments[0].scrollIntoView({block: 'center'})", found)
        found.click()

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def urls(self) -> list[str]:
        """
        Return what the list of requests shows.
        """
        found: list[str] = self.run(
            "return [...document.querySelectorAll('#requests .toggle bdi.mono')]"
            ".map(one => one.textContent)"
        )
        return found

    def choose(self, name: str, value: str) -> None:
        Select(self.one(f"#filter-{name}")).select_by_value(value)

    def clear(self) -> None:
        self.one("#filter-clear").click()

    def open_all(self) -> None:
        """
        Open every row and every command.
        """
        self.run(
            "document.querySelectorAll('.toggle[aria-expanded=false]').forEach(one => one.click());"
            "document.querySelectorAll('details').forEach(one => one.open = true)"
        )

    def errors(self) -> list[Any]:
        return list(self.driver.get_log("browser"))

    def look(self, width: int, scheme: str = "light", *, phone: bool = False) -> None:
        """
        Change the size of the screen and the reader's colours.
        """
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": phone}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)


def opened(driver: webdriver.Chrome, path: Path, text: str) -> Page:
    path.write_text(text, "utf-8")
    driver.get(path.as_uri())
    return Page(driver)


def requests_of_a_run() -> tuple[list[WorkspaceRecord], list[TestRecord]]:
    """
    Return two tests of two workers, one of which failed, and a setup that was refused something.
    """
    refused = {"verdict": "blocked", "reason": "plain-http", "explanation": "Use https."}
    blocked = {
        "verdict": "blocked",
        "reason": "host-not-allowed",
        "explanation": "The host pay.example is not among the hosts allowed by the policy 'mine'.",
    }
    setup = (
        request(time=1.0, phase="setup", host="pypi.example", url="https://pypi.example/a"),
        request(
            **{"time": 2.0, "phase": "setup", "scheme": "http", **refused},
            host="deb.example",
            url="http://deb.example/k",
        ),
    )
    commands = [
        _command("make", 0, "built\n"),
        _command("make test", 2, "", "FAIL: \x1b[31mno charge\x1b[0m\n"),
    ]
    first = workspace(
        10.0,
        test="tests/test_shop.py::test_pays",
        worker="gw0",
        cache="miss",
        setup_duration=4.0,
        log="shop setup?.log",
        commands=tuple(commands),
        setup_requests=setup,
        requests=(
            request(time=10.5, host="pay.example", url="https://pay.example/charge", **blocked),
            request(time=10.6, host="pypi.example", url="https://pypi.example/b", size=9_000_000),
        ),
    )
    second = workspace(
        10.0,
        test="tests/test_shop.py::test_lists",
        worker="gw1",
        setup_requests=setup,
        requests=(request(time=10.7, host="cdn.example", url="https://cdn.example/logo"),),
    )
    tests = [
        TestRecord(first.test, "gw0", "failed", 9.0, 3.0, "AssertionError: make test"),
        TestRecord(second.test, "gw1", "passed", 9.0, 3.5),
    ]
    return [first, second], tests


def _command(text: str, code: int, stdout: str = "", stderr: str = "") -> dict[str, Any]:
    return {
        "text": text,
        "cwd": "/workspace/shop",
        "user": "",
        "began": 10.0,
        "state": "exited",
        "exit_code": code,
        "duration": 0.5,
        "stdout": stdout,
        "stderr": stderr,
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    The file of the page of a run with a failure.
    """
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(render_page(*requests_of_a_run(), "1.0"), "utf-8")
    return path


@pytest.fixture
def page(chromium: webdriver.Chrome, run: Path) -> Page:
    """
    The page of that run, as it is when it has just been opened.
    """
    chromium.get_log("browser")
    chromium.get(run.as_uri())
    return Page(chromium)


@pytest.fixture(autouse=True)
def _desk(chromium: webdriver.Chrome) -> None:
    Page(chromium).look(1280)


def test_requests_are_filtered(page):
    """
    By host, verdict, phase, test and text, together; the choices are those that exist.
    """
    assert len(page.urls()) == 5
    for name, value, expected in (
        ("host", "pypi.example", ["https://pypi.example/a", "https://pypi.example/b"]),
        ("verdict", "blocked", ["http://deb.example/k", "https://pay.example/charge"]),
        ("phase", "setup", ["https://pypi.example/a", "http://deb.example/k"]),
        ("test", "tests/test_shop.py::test_lists", ["https://cdn.example/logo"]),
    ):
        page.choose(name, value)
        assert page.urls() == expected, name
        page.clear()
    page.choose("verdict", "blocked")
    page.one("#filter-text").send_keys("plain-HTTP")
    assert page.urls() == ["http://deb.example/k"]
    page.clear()
    Select(page.one("#filter-order")).select_by_value("size")
    assert page.urls()[0] == "https://pypi.example/b"
    assert page.errors() == []


def test_a_click_shows_why_and_what_would_allow_it(page):
    """
    A second click closes it. A test's requests, and a host's, are found from it.
    """
    page.choose("host", "pay.example")
    page.click("#requests tr.row")
    detail = page.one("#requests tr.detail").text
    assert "not among the hosts allowed" in detail
    assert "network:\n  tests:\n    allow: [pay.example]" in detail
    page.click("#requests tr.row")
    assert page.all("#requests tr.detail") == []

    page.click("#problems .problem .link")
    assert page.urls() == ["https://pay.example/charge"]
    page.click("#hosts-rows .link")
    assert len(set(page.urls())) == 1
    page.click("#lanes .bar.failed")
    shown = page.one("#tests-rows tr.detail").text
    assert "AssertionError: make test" in shown
    assert "exit code 2 make test" in shown
    assert "FAIL: no charge" in shown
    assert "https://pay.example/charge" in shown
    log = page.one("#tests-rows tr.detail a")
    assert log.get_dom_attribute("href") == "logs/shop%20setup%3F.log"
    page.click("#tests-rows .copying button")
    assert len(page.urls()) == 2


def test_the_keyboard_is_sufficient(page):
    """
    Tab reaches every control in view of the reader, and Enter and Space work.
    """
    controls = "a[href], button:not(:disabled), input, select, summary, pre[tabindex]"
    page.run(
        "window.reached = new Set(); document.activeElement.blur();"
        "addEventListener('focusin', event => reached.add(event.target))"
    )
    page.one("body").send_keys(Keys.TAB * (len(page.all(controls)) + 5))
    missed = "return [...document.querySelectorAll(arguments[0])].filter(one => !reached.has(one))"
    assert [one.text for one in page.run(missed, controls) if one.is_displayed()] == []

    toggle = page.one("#requests .toggle")
    for key in (Keys.ENTER, Keys.SPACE):
        page.run("arguments[0].focus()", toggle)
        page.driver.switch_to.active_element.send_keys(key)
        assert bool(page.all("#requests tr.detail")) == (key == Keys.ENTER)
        assert toggle.get_dom_attribute("aria-expanded") == str(key == Keys.ENTER).lower()
    page.driver.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    assert page.driver.switch_to.active_element == page.all("#requests .toggle")[1]


CONTRAST = """
const light = colour => {
  const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(value => value / 255)
    .map(value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = node => {
  for (; node; node = node.parentElement) {
    const colour = getComputedStyle(node).backgroundColor;
    if (!/, 0\\)$|transparent|color\\(/.test(colour)) return colour;
  }
  return "rgb(255, 255, 255)";
};
const worst = [];
for (const node of document.querySelectorAll("body *")) {
  if (![...node.childNodes].some(one => one.nodeType === 3 && one.textContent.trim())) continue;
  if (!node.getClientRects().length || node.closest(":disabled")) continue;
  const [a, b] = [light(getComputedStyle(node).color), light(behind(node))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) worst.push([ratio, node.className, node.textContent.slice(0, 40)]);
}
return worst;
"""


def test_every_text_is_legible_in_both_themes(page):
    """
    The contrast of each text is that of WCAG AA. The reader's theme decides, nothing else.
    """
    backgrounds = set()
    for scheme in ("light", "dark"):
        page.look(1280, scheme)
        page.open_all()
        assert page.run(CONTRAST) == [], scheme
        backgrounds.add(page.run("return getComputedStyle(document.body).backgroundColor"))
    assert len(backgrounds) == 2


@pytest.mark.parametrize("width", [320, 375, 768])
def test_a_small_screen_has_no_horizontal_scrolling(page, width):
    """
    Also with every row open.
    """
    page.look(width, phone=True)
    page.open_all()
    assert page.run("return document.documentElement.scrollWidth") <= width
    inside = (
        "return [...document.querySelectorAll('body *')].filter(one => one.scrollWidth > "
        "one.clientWidth + 1 && getComputedStyle(one).overflowX === 'auto').length"
    )
    assert page.run(inside) == 0


def test_text_of_a_workspace_does_nothing(chromium, tmp_path):
    """
    Wherever it comes from, it is shown as text: no element, no script, no request, no dialog; and
    the policy of the page would refuse a script of anybody else.
    """
    evil = workspace(
        test=ATTACK,
        worker=ATTACK,
        repository=ATTACK,
        head=ATTACK,
        image=ATTACK,
        key=ATTACK,
        log=ATTACK,
        lost=ATTACK,
        commands=({**_command(ATTACK, 1, ATTACK, ATTACK), "cwd": ATTACK, "user": ATTACK},),
        requests=(
            request(
                method=ATTACK,
                host=ATTACK,
                path=ATTACK,
                url=f"javascript:{ATTACK}",
                verdict="blocked",
                reason="host-not-allowed",
                explanation=ATTACK,
            ),
        ),
    )
    outcome = TestRecord(ATTACK, ATTACK, "failed", 9.0, 1.0, ATTACK)
    page = opened(chromium, tmp_path / "evil.html", render_page([evil], [outcome], "1.0"))
    page.open_all()
    links = "button.link, .bar, .copying button"
    page.run("document.querySelectorAll(arguments[0]).forEach(one => one.click())", links)
    page.clear()
    page.open_all()

    assert page.errors() == []
    assert page.run("return window.pwned") is None
    assert page.run("return document.querySelectorAll('script, img, iframe').length") == 2
    links = [one.get_dom_attribute("href") for one in page.all("a")]
    assert {re.match("#|[a-z]+/|.*", one)[0] for one in links} == {"#", "logs/", "har/"}
    text = page.run("return document.body.innerText + document.title")
    assert "<script>window.pwned = 1</script>" in text
    assert not {"\x1b", "\x07", "\u202e", "\u2028"} & set(text)
    assert page.run("return performance.getEntriesByType('resource').length") == 0
    page.run(
        "const one = document.createElement('script'); one.textContent = 'window.pwned = 4';"
        "document.body.append(one)"
    )
    assert page.run("return window.pwned") is None
    assert "Content Security Policy" in page.errors()[0]["message"]


def test_many_requests_are_shown_in_pages(chromium, tmp_path):
    """
    5,000 requests cost what a page of them costs, and each can be found.
    """
    many = tuple(
        request(id=at, time=10 + at / 1000, host=f"h{at % 50}.example", url=f"https://h/{at}")
        for at in range(5000)
    )
    text = render_page([workspace(requests=many)], [], "1.0")
    page = opened(chromium, tmp_path / "many.html", text)

    assert len(page.urls()) == ROWS
    assert page.run("return document.querySelectorAll('*').length") < 5000
    assert "1–100 of 5,000 requests" in page.one("#requests-pager").text
    assert not page.all("#requests-pager button")[0].is_enabled()
    page.all("#requests-pager button")[1].click()
    assert page.urls()[0] == "https://h/100"
    assert page.driver.switch_to.active_element == page.one("#requests .toggle")
    page.one("#filter-text").send_keys("https://h/4999")
    assert page.urls() == ["https://h/4999"]
    page.clear()
    page.choose("host", "h7.example")
    assert len(page.urls()) == ROWS


def test_who_asked_is_shown_and_filtered(chromium, tmp_path):
    """
    Where the log of requests knows the process.
    """

    @dataclass(frozen=True)
    class Asked(Request):
        process: str = ""

    one = request(url="https://a.example/1")
    asked = Asked(
        **{name: getattr(one, name) for name in Request.__slots__ if name != "process"},
        process="npm install \u203a node get.js",
    )
    page = opened(
        chromium,
        tmp_path / "asked.html",
        render_page([workspace(requests=(asked, request(url="https://a.example/2")))], [], "1.0"),
    )
    page.choose("process", "npm install \u203a node get.js")
    assert page.urls() == ["https://a.example/1"]
    assert "by npm install \u203a node get.js" in page.one("#requests tr.row").text
