"""`python -m pytest_codex_workspace.cli`."""

from __future__ import annotations

import sys

from .main import main

sys.exit(main())
