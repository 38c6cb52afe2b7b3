#!/bin/bash
# Installs packages.txt and the pinned runtimes, the one while the other downloads and unpacks.
set -euo pipefail
. /tmp/codex-build/build_env.sh

# In Codex `pip install` works as root. dpkg must not bring the marker back on an upgrade.
echo 'path-exclude=/usr/lib/python3*/EXTERNALLY-MANAGED' > /etc/dpkg/dpkg.cfg.d/codex-workspace
# Images without manual pages lack the directory that Java's links go to.
mkdir -p /usr/share/man/man1

apt-get -q update
apt_install python3-venv
bash "$build/install_runtimes.sh" > "$build/runtimes.log" 2>&1 &
runtimes=$!
mapfile -t packages < <(sed 's/#.*//; /^[[:space:]]*$/d' "$build/packages.txt")
apt_install "${packages[@]}"
apt_clean
if ! wait "$runtimes"; then
    cat "$build/runtimes.log"
    exit 1
fi

# Language, version, and the directory whose commands go into /usr/local/bin (- for Debian's own).
{
    echo "PYTHON $(python3 -c 'import platform; print(platform.python_version())') -"
    for directory in /opt/codex/runtimes/*/*; do
        language=$(basename "${directory%/*}")
        echo "${language^^} ${directory##*/} $directory/bin"
    done
    echo "RUST $(rustc --version | cut -d' ' -f2) -"
    echo "RUBY $(ruby -e 'print RUBY_VERSION') -"
    echo "PHP $(php -r 'echo PHP_VERSION;') -"
    echo "JAVA $(java -version 2>&1 | sed -n 's/^openjdk version "\([^"]*\)".*/\1/p') -"
} > /opt/codex/runtimes.txt

# Plain HTTP is refused in a workspace.
find /etc/apt \( -name '*.list' -o -name '*.sources' \) -exec sed -i 's|http://|https://|g' {} +
# Nothing of the build stays, least of all the host's authorities.
find /tmp -mindepth 1 -delete
rm -rf /root/.npm
find /root/.cache -mindepth 1 -maxdepth 1 ! -name node -exec rm -rf {} +
