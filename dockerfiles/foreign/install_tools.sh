#!/bin/sh
# Installs what the agent and the projection need and an image does not have. Runs behind the gate of a session, as
# every program of an image that is not ours. Ends with 3 if nothing is missing.
set -eu

missing=''
for command in bash git python3; do
    command -v "$command" > /dev/null || missing="$missing $command"
done
if ! command -v update-ca-certificates > /dev/null && ! command -v update-ca-trust > /dev/null; then
    missing="$missing ca-certificates"
fi
[ "$missing" ] || exit 3

export http_proxy="$1" https_proxy="$1" HTTP_PROXY="$1" HTTPS_PROXY="$1"
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
    dnf -q -y --setopt=sslcacert=/tmp/codex-build/host-ca.pem install $missing
    dnf -q clean all
elif command -v microdnf > /dev/null; then
    microdnf -y --setopt=sslcacert=/tmp/codex-build/host-ca.pem install $missing
    microdnf clean all
else
    echo "this image lacks$missing, and has none of apt-get, apk and dnf to install them: add them to it" >&2
    exit 1
fi
rm -rf /tmp/codex-build
