#!/bin/bash
# Lays out version managers, their versions and /etc/profile as codex-universal has them.
set -euo pipefail
cd /root

# Ubuntu's /etc/profile leaves PATH alone; the lines are those of codex-universal's Dockerfile, in its order.
cat > /etc/profile <<'PROFILE'
for file in /etc/profile.d/*.sh; do [ ! -r "$file" ] || . "$file"; done; unset file
eval "$(mise activate bash)"
export PYENV_ROOT="$HOME/.pyenv"
export PATH="$PYENV_ROOT/shims:$PYENV_ROOT/bin:$PATH"
eval "$(pyenv init - bash)"
source $NVM_DIR/nvm.sh
source $HOME/.cargo/env
eval "$(phpenv init - bash)"
PROFILE

# add FOLDER VERSION REAL COMMAND...: a version that says that it is VERSION, and otherwise is slim's command REAL.
add() {
    local folder=$1 version=$2 real=$3 name
    shift 3
    mkdir -p "$folder/$version/bin"
    for name in "$@"; do
        sed "s|NAME|$name|; s|VERSION|$version|; s|REAL|$real|" /tmp/version.sh > "$folder/$version/bin/$name"
        chmod +x "$folder/$version/bin/$name"
    done
}

for version in 3.11.14 3.12.12 3.13.9; do add .pyenv/versions $version /usr/bin/python3 python python3; done
for path in /opt/codex/runtimes/node/*; do
    node=.nvm/versions/node/v${path##*/}
    mkdir -p "$node/bin" "$node/lib"
    ln -s "$path/bin/node" "$node/bin/node"
    ln -s /usr/local/lib/node_modules "$node/lib/node_modules"
    ln -s ../lib/node_modules/npm/bin/npm-cli.js "$node/bin/npm"
    for name in corepack yarn yarnpkg pnpm pnpx; do ln -s "../lib/node_modules/corepack/dist/$name.js" "$node/bin/$name"; done
done
add .local/share/mise/installs/go 1.25.1 /bin/false go
add .local/share/mise/installs/go 1.24.3 /opt/codex/runtimes/go/1.24.3/bin/go go
for version in 25 21; do add .local/share/mise/installs/java $version.0.1 /usr/bin/java java javac; done
add .local/share/mise/installs/ruby 3.4.4 /usr/bin/ruby ruby
add .local/share/mise/installs/bun 1.2.14 /opt/codex/runtimes/bun/1.2.14/bin/bun bun
for version in 1.92.0 1.89.0; do add .rustup/toolchains $version-x86_64-unknown-linux-gnu /usr/bin/rustc rustc cargo; done
# No 6.1, which is a default: newer images drop what is old.
add .local/share/swiftly/toolchains 6.2 /bin/false swift
for version in 8.5 8.4; do add .phpenv/versions ${version}snapshot /usr/bin/php php; done

install -D -m 755 /tmp/manager.sh /opt/managers/manager
for path in .pyenv/bin/pyenv .pyenv/shims/python .pyenv/shims/python3 .cargo/bin/rustup .cargo/bin/rustc .cargo/bin/cargo \
    .local/share/mise/shims/go .local/share/mise/shims/java .local/share/mise/shims/javac .local/share/mise/shims/ruby \
    .local/share/mise/shims/bun .swiftly/bin/swiftly .swiftly/bin/swift .phpenv/bin/phpenv .phpenv/shims/php; do
    mkdir -p "${path%/*}"
    ln -s /opt/managers/manager "$path"
done
ln -s /opt/managers/manager /usr/bin/mise
mkdir -p .nvm
mv /tmp/nvm.sh .nvm/nvm.sh
echo 'export PATH="$HOME/.cargo/bin:$PATH"' > .cargo/env

# The newest of each is selected, as in the image.
export NVM_DIR=/root/.nvm PATH=/root/.pyenv/bin:/root/.cargo/bin:/root/.swiftly/bin:/root/.phpenv/bin:$PATH
. .nvm/nvm.sh
nvm alias default 22
pyenv global 3.13
rustup default 1.92.0
mise use --global go@1.25.1
mise use --global java@25
mise use --global ruby@3.4.4
mise use --global bun@1.2.14
swiftly use 6.2
phpenv global 8.5snapshot
