#!/usr/bin/env bash
# In Codex, this text stands in the environment's settings as setup script. It runs once, in a clean workspace with network, and what it leaves is kept.
set -euo pipefail
echo "setup: in $PWD"
python3 -m venv .venv
.venv/bin/pip install --quiet six
mkdir state
echo made-by-setup >state/setup
