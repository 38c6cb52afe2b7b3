#!/bin/bash
# pyenv, rustup, mise, swiftly and phpenv, as far as codex-universal's scripts use them, and their shims: the name decides.
set -euo pipefail
name=${0##*/}

folder() {
    case $1 in
        pyenv | python*) echo /root/.pyenv/versions ;;
        rustup | rustc | cargo) echo /root/.rustup/toolchains ;;
        swiftly | swift) echo /root/.local/share/swiftly/toolchains ;;
        phpenv | php) echo /root/.phpenv/versions ;;
        java*) echo /root/.local/share/mise/installs/java ;;
        *) echo "/root/.local/share/mise/installs/$1" ;;
    esac
}

# Sets the version of a folder: the exact one, or the last that begins with it.
choose() {
    local path found=''
    for path in "$1/$2" "$1/$2".* "$1/$2"-*; do
        [ ! -d "$path" ] || found=$path
    done
    if [ -z "$found" ]; then
        echo "$name: version '$2' is not installed" >&2
        exit 1
    fi
    echo "$found" > "$1/.selected"
}

case $name in
    pyenv | rustup | swiftly | phpenv)
        case ${1-} in
            global | default | use) choose "$(folder "$name")" "$2" ;;
            init) [ "$name" != phpenv ] || echo 'export PATH="$HOME/.phpenv/shims:$PATH"' ;;
        esac
        ;;
    mise)
        if [ "${1-}" = use ]; then choose "$(folder "${3%@*}")" "${3#*@}"; fi
        ;;
    *) exec "$(cat "$(folder "$name")/.selected")/bin/$name" "$@" ;;
esac
