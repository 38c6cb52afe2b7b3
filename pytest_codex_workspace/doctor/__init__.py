"""`codex-workspace doctor`: check whether this machine can run a workspace.

Each check is a function that looks at one thing and returns a `Result`. No check
changes anything that stays, and no check depends on the success of another one.
"""

from __future__ import annotations
