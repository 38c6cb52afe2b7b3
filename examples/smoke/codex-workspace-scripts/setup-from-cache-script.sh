#!/usr/bin/env bash
# The maintenance script of Codex's settings: runs each time the kept container starts, at the new commit.
set -euo pipefail
echo "resume: found $(cat state/setup)"
git rev-parse HEAD >state/resumed-at
