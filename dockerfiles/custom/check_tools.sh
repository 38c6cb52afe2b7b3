#!/bin/sh
# Fails if the image lacks what the agent and the projection need. There is no network here.
set -eu

missing=''
for command in bash git python3; do
    command -v "$command" > /dev/null || missing="$missing $command"
done
if ! command -v update-ca-certificates > /dev/null && ! command -v update-ca-trust > /dev/null; then
    missing="$missing ca-certificates"
fi
if [ "$missing" ]; then
    echo "this image lacks$missing: add them to it" >&2
    exit 1
fi
python3 - <<'PYTHON'
import sys

if sys.version_info < (3, 8):
    sys.exit(f"this image has Python {sys.version.split()[0]}; the workspace's agent needs 3.8 or newer")
PYTHON
