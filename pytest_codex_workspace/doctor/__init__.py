"""`codex-workspace doctor`: check whether this machine can run a workspace.

Each check is a function that looks at one thing and returns a `Result`. No check
changes anything that stays, and no check depends on the success of another one.
A check is written in the module of its group and listed in `checks`.
"""

from __future__ import annotations
