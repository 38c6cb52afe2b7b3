"""
What runs inside the proxy container: mitmproxy, and the addons that judge,
carry out and record.

Each module is one concern. The verdicts come from
`pytest_codex_workspace.network.policy`, which knows nothing of mitmproxy.
"""
