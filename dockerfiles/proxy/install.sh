#!/bin/bash
# Installs mitmproxy into a virtual environment.
set -euo pipefail
. /tmp/codex-build/build_env.sh

apt-get -q update
apt_install python3 python3-venv
apt_clean
venv=/opt/codex-proxy/venv
python3 -m venv "$venv"
"$venv/bin/pip" install -q --no-deps --no-compile --require-hashes -r "$build/requirements.txt"
# Nothing is installed here later on.
"$venv/bin/pip" uninstall -q -y pip
python3 -m compileall -q -j 0 "$venv/lib"
rm -rf /tmp/codex-build
