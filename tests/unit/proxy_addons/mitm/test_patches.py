"""The classes that replace mitmproxy's are the ones that mitmproxy uses."""

from __future__ import annotations

import inspect
from functools import partial
from types import ModuleType

import pytest
from mitmproxy import version
from mitmproxy.proxy import mode_servers
from mitmproxy.proxy.layers import http as http_module

from proxy_addons.mitm.backpressure import BoundedConnectionHandler
from proxy_addons.mitm.http1 import BoundedChunkedReader, BoundedHttp1Client
from proxy_addons.mitm.http2 import BoundedHttp2Client
from proxy_addons.mitm.patches import patch_connections, patch_http1, patch_http2
from proxy_addons.mitm.private import http1_module
from tests.helpers.flows import AddonChain

PATCHED = [
    (http1_module, "ChunkedReader", "make_body_reader"),
    (http_module, "Http1Client", "HttpLayer._handle_event"),
    (http_module, "Http2Client", "HttpLayer._handle_event"),
    (mode_servers, "ProxyConnectionHandler", "ServerInstance.handle_stream"),
]


@pytest.mark.parametrize(("module", "name", "user"), PATCHED)
def test_mitmproxy_looks_the_name_up(module: ModuleType, name: str, user: str) -> None:
    """
    The code that needs the class looks it up in its module when it runs, so our class is used.
    """
    found: object = module
    for part in user.split("."):
        found = getattr(found, part)

    assert inspect.isfunction(found)
    assert inspect.isclass(getattr(module, name))
    assert name in found.__code__.co_names, (
        f"mitmproxy {version.VERSION} does not look up {name} in {user} any more; "
        "adapt proxy_addons.mitm.patches"
    )


def test_each_patch_puts_our_class_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    After the patches, the names lead to our classes.
    """
    for module, name, _ in PATCHED:
        monkeypatch.setattr(module, name, getattr(module, name))
    chain = AddonChain()

    patch_http1()
    patch_http2()
    patch_connections(chain.registry, chain.connection_logger.log_memory_limit)

    assert vars(http1_module)["ChunkedReader"] is BoundedChunkedReader
    assert http_module.Http1Client is BoundedHttp1Client
    assert http_module.Http2Client is BoundedHttp2Client
    handler = vars(mode_servers)["ProxyConnectionHandler"]
    assert isinstance(handler, partial)
    assert handler.func is BoundedConnectionHandler
    assert handler.args == (chain.registry, chain.connection_logger.log_memory_limit)
