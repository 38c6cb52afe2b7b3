#!/usr/bin/env bash
# In Codex, this text stands in the environment's settings as setup script. It runs once, with network, and what it leaves is kept.
set -euo pipefail
python3 -m venv .venv
.venv/bin/pip install --quiet --editable . hypothesis pytest-randomly pytest-timeout
echo "setup: $(.venv/bin/python --version), $(.venv/bin/pip list 2>/dev/null | wc -l) lines of packages"
