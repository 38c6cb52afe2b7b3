#!/bin/sh
# Installs what the agent and the projection need and the image does not have.
set -eu

missing=''
for command in bash git python3; do
    command -v "$command" > /dev/null || missing="$missing $command"
done
if ! command -v update-ca-certificates > /dev/null && ! command -v update-ca-trust > /dev/null; then
    missing="$missing ca-certificates"
fi
if [ "$missing" ]; then
    . /tmp/codex-build/build_env.sh
    echo "installing$missing"
    # Word splitting is wanted: one word a package.
    if command -v apt-get > /dev/null; then
        apt-get -q update
        apt_install $missing
        apt_clean
    elif command -v apk > /dev/null; then
        apk add --no-cache $missing
    elif command -v dnf > /dev/null; then
        dnf -q -y install $missing
        dnf -q clean all
    elif command -v microdnf > /dev/null; then
        microdnf -y install $missing
        microdnf clean all
    else
        echo "this image lacks$missing, and has none of apt-get, apk and dnf to install them: add them to it" >&2
        exit 1
    fi
fi
python3 - <<'PYTHON'
import sys

if sys.version_info < (3, 7):
    sys.exit(f"this image has Python {sys.version.split()[0]}; the workspace's agent needs 3.7 or newer")
PYTHON
rm -rf /tmp/codex-build
