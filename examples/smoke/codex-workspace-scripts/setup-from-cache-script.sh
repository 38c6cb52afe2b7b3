#!/usr/bin/env bash
# Codex runs this each time it starts from the kept container, at the new commit.
set -euo pipefail
echo "resume: found $(cat state/setup)"
git rev-parse HEAD >state/resumed-at
