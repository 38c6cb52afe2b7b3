#!/usr/bin/env bash
# Codex runs this each time it starts from the kept container, at the new commit.
set -euo pipefail
.venv/bin/pip check
