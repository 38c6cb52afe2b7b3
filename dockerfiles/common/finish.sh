#!/bin/sh
# What every base image ends with: the proxy's certificate in the system's trust store, Java's own files,
# and readable files.
set -eu

certificate=/usr/local/share/ca-certificates/envoy-mitmproxy-ca-cert.crt
chmod 644 "$certificate"
sh /opt/codex/java.sh
if command -v update-ca-certificates > /dev/null; then
    update-ca-certificates
elif command -v update-ca-trust > /dev/null; then
    cp "$certificate" /etc/pki/ca-trust/source/anchors/
    update-ca-trust extract
    for hook in /etc/ca-certificates/update.d/zz-codex-workspace-*; do
        [ ! -x "$hook" ] || "$hook" < /dev/null
    done
else
    echo "this image has neither update-ca-certificates nor update-ca-trust: its package ca-certificates is missing" >&2
    exit 1
fi
for script in /opt/codex/setup_universal.sh /opt/codex/select_runtimes.sh; do
    [ ! -e "$script" ] || chmod 755 "$script"
done
# Each workspace begins with this program; to compile it takes longer than to run it.
python3 -I -S -m py_compile /opt/codex/workspace_agent.py
mkdir -p /workspace
# Java's part of the trust store leaves something in /tmp.
rm -rf /opt/codex/finish.sh /opt/codex/java.sh /tmp/hsperfdata_*
