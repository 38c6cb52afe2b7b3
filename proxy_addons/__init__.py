"""
The programs of the proxy container: mitmproxy with our own addons.

The folders, from top to bottom; none imports from one above it:

- the modules here start the proxy, wire it together and talk to the host;
- `judge` decides whether a request may leave;
- `answer` responds in place of a server: stubs, faults, cassettes;
- `record` writes the log and records cassettes;
- `dns` is the workspaces' resolver;
- `mitm` bounds what mitmproxy keeps in memory; the only user of private names of
  mitmproxy, h11, h2 and asyncio;
- `state` holds what the others share.

`mitm` and `dns` import from `state` only. The verdicts come from
`pytest_codex_workspace.network.rules.policy`, which does not import mitmproxy.
"""
