"""What is in the way of a workspace on this machine: `codex-workspace doctor`.

Each check is a function that looks at one thing and returns a `Result`. None
changes anything, none needs another to have gone well.
"""

from __future__ import annotations
