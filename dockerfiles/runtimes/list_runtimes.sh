#!/bin/bash
# List the language runtimes of an image, for pytest_codex_workspace/images/runtimes.py, which runs this script
# in a bash login shell of the image. Each line is: codex-runtime: KIND LANGUAGE VERSION. The kinds are
#   listed  the version is on slim's list of runtimes
#   found   the version is in the directory of a version manager (Codex's image has no list)
#   read    the image's selection script reads the variable of the language; VERSION is "-"
#   path    the version of the command on PATH; empty without the command
#   end     the last line
exec < /dev/null 2> /dev/null
select=/opt/codex/setup_universal.sh

report() {
    printf 'codex-runtime: %s %s %s\n' "$@"
}

first_number() {
    grep -oE '[0-9]+([.][0-9]+)*' | head -n 1
}

list_directory() {
    # Links in the directories are other names of a version.
    for path in "$2"/*; do
        if [ -d "$path" ] && [ ! -L "$path" ]; then
            report found "$1" "${path##*/}"
        fi
    done
}

if [ -e /opt/codex/runtimes.txt ]; then
    "$select" --list | while read -r language version; do
        report listed "$language" "$version"
    done
elif [ -e "$select" ]; then
    grep -oE 'CODEX_ENV_[A-Z]+_VERSION' "$select" | sort -u | while read -r variable; do
        language=${variable#CODEX_ENV_}
        report read "${language%_VERSION}" -
    done
    list_directory python "${PYENV_ROOT-$HOME/.pyenv}/versions"
    list_directory node "${NVM_DIR-$HOME/.nvm}/versions/node"
    list_directory rust "${RUSTUP_HOME-$HOME/.rustup}/toolchains"
    # Older images have Swift and PHP from mise, too.
    for language in go swift ruby php bun java; do
        list_directory "$language" "${MISE_DATA_DIR-$HOME/.local/share/mise}/installs/$language"
    done
    list_directory swift "${SWIFTLY_HOME_DIR-$HOME/.local/share/swiftly}/toolchains"
    list_directory php "${PHPENV_ROOT-$HOME/.phpenv}/versions"
fi
report path python "$(python3 --version | first_number)"
report path node "$(node --version | first_number)"
report path rust "$(rustc --version | first_number)"
report path go "$(go version | first_number)"
report path swift "$(swift --version | grep -o 'Swift version .*' | first_number)"
report path ruby "$(ruby --version | first_number)"
report path php "$(php --version | first_number)"
report path bun "$(bun --version | first_number)"
report path java "$(java -version 2>&1 | grep -i version | first_number)"
report end - -
