#!/usr/bin/env bash
# The maintenance script of Codex's settings: runs each time the kept container starts, at the new commit.
set -euo pipefail
.venv/bin/pip check
