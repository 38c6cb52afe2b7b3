# Sourced by build steps: the host's own CA bundle is trusted while they run, and only then.
# Networks that intercept TLS need it; the finished image does not get it.
build=/tmp/codex-build
if [ -s "$build/host-ca.pem" ]; then
    printf 'Acquire::https::CaInfo "%s";\n' "$build/host-ca.pem" > "$build/apt.conf"
    export APT_CONFIG="$build/apt.conf"
    export SSL_CERT_FILE="$build/host-ca.pem" PIP_CERT="$build/host-ca.pem"
    export NODE_EXTRA_CA_CERTS="$build/host-ca.pem" npm_config_cafile="$build/host-ca.pem"
fi
# Two questions from one port at once are often dropped behind an engine's address translation.
export RES_OPTIONS="single-request-reopen timeout:2 attempts:3"
export DEBIAN_FRONTEND=noninteractive
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore

# An interrupted build is thrown away whole, so nothing is gained by syncing each file to disk.
apt_install() {
    apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io \
        -o Dpkg::Use-Pty=0 install "$@"
}
apt_clean() {
    rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/cache/apt/*.bin
}
