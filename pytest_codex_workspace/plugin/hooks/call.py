"""Call hooks of other plugins, and say which plugin has failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import pytest

from ...errors import CodexWorkspaceError, PluginError
from ...extensions import describe_error

__all__ = ["call_hook", "choose_policy", "is_implemented"]


def is_implemented(hooks: Any, name: str) -> bool:
    """
    Return whether a plugin implements a hook, which need not be called otherwise.

    Args:
        hooks: the hooks of a node or of the run.
        name: of the hook.
    """
    return bool(getattr(hooks, name).get_hookimpls())


def call_hook(hooks: Any, name: str, **arguments: Any) -> Any:
    """
    Call the implementations of a hook, and return their result.

    Args:
        hooks: the hooks of a node or of the run.
        name: of the hook.
        arguments: by the names of the specification.

    Raises:
        PluginError: one of them raised an exception.
    """
    __tracebackhide__ = True
    caller = getattr(hooks, name)
    implementations = caller.get_hookimpls()
    if not implementations:
        return None
    # A plugin may skip the test, or fail it in its own words, where there is one.
    own_words = (pytest.skip.Exception, pytest.fail.Exception) if "node" in arguments else ()
    try:
        return caller(**arguments)
    except (KeyboardInterrupt, *own_words):
        raise
    except BaseException as error:
        # What would end Python included: the run would be over, with an exit code of the plugin.
        plugin, place = _origin(implementations, error.__traceback__)
        raise PluginError(
            f"the hook {name} of the plugin {plugin} raised {describe_error(error)}{place}",
            remedy="Fix that plugin, or run without it.",
        ) from error


def choose_policy(hooks: Any, read: Any, policy: Any, **arguments: Any) -> Any:
    """
    Return the policy that plugins have chosen in place of *policy*, if any.

    Args:
        hooks: the hooks of a node.
        read: reads what a plugin has returned.
        policy: what options, fixtures and markers give.
        arguments: further arguments of the hook.

    Raises:
        PluginError: a plugin raised an exception, or returned no policy.
    """
    __tracebackhide__ = True
    name = "pytest_codex_policy_chosen"
    chosen = call_hook(hooks, name, policy=policy, **arguments)
    if chosen is None:
        return policy
    try:
        return read(chosen)
    except (CodexWorkspaceError, TypeError) as error:
        plugins = {one.plugin_name for one in getattr(hooks, name).get_hookimpls()}
        raise PluginError(
            f"the hook {name} returned a policy that cannot be used "
            f"(implemented by {', '.join(sorted(plugins))}): {error}",
            remedy="Return a Policy, its fields, its name or its path, or None.",
        ) from error


def _origin(implementations: Sequence[Any], traceback: TracebackType | None) -> tuple[str, str]:
    """
    Return the name of the plugin whose function raised an exception, and where it did. A wrapper
    sees the exceptions of the functions that it wraps, so the innermost one counts.
    """
    owners = {
        code: one for one in implementations if (code := getattr(one.function, "__code__", None))
    }
    plugin, place = "", ""
    for code, line in _frames(traceback):
        if code in owners:
            plugin, place = owners[code].plugin_name, f" ({code.co_filename}:{line})"
    return plugin or " or ".join(one.plugin_name for one in implementations), place


def _frames(traceback: TracebackType | None) -> Iterator[tuple[Any, int]]:
    while traceback is not None:
        yield traceback.tb_frame.f_code, traceback.tb_lineno
        traceback = traceback.tb_next
