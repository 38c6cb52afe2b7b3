#!/bin/bash
# Selects the language runtimes that CODEX_ENV_<LANGUAGE>_VERSION ask for, as links in /usr/local/bin.
#
# A version that is not here is an error, unless nobody chose it: for languages named in CODEX_ENV_DEFAULTED
# the value is only Codex's default, and what the image has instead is said in one line.
set -euo pipefail

known=/opt/codex/runtimes.txt
languages=(PYTHON NODE RUST GO SWIFT RUBY PHP BUN JAVA)
declare -A title=(
    [PYTHON]=Python [NODE]=Node [RUST]=Rust [GO]=Go [SWIFT]=Swift
    [RUBY]=Ruby [PHP]=PHP [BUN]=Bun [JAVA]=Java
)

if [[ ${1-} == --list ]]; then
    while read -r language version _; do
        echo "${language,,} $version"
    done < "$known"
    exit 0
fi
if (($#)); then
    echo "usage: ${0##*/} [--list]" >&2
    exit 2
fi

# Sets found_version and found_bin to the newest version of language $1 that $2 matches (20 matches 20.1.2,
# not 2.0 or 200), and all_versions to every one there is. Within a language the file is in ascending order.
find_version() {
    local language version bin
    found_version='' found_bin='' all_versions=''
    while read -r language version bin; do
        [[ $language == "$1" ]] || continue
        all_versions+=${all_versions:+, }$version
        if [[ $version == "$2" || $version == "$2".* ]]; then
            found_version=$version found_bin=$bin
        fi
    done < "$known"
}

failed=0
links=()
for language in "${languages[@]}"; do
    variable=CODEX_ENV_${language}_VERSION
    wanted=${!variable-}
    [[ $wanted ]] || continue
    find_version "$language" "$wanted"
    name=${title[$language]}
    if [[ $found_version ]]; then
        [[ $found_bin == - ]] || links+=("$found_bin"/*)
    elif [[ " ${CODEX_ENV_DEFAULTED-} " == *" $language "* ]]; then
        if [[ $all_versions ]]; then
            echo "slim has $name $all_versions, not Codex's default $wanted; $variable=${all_versions##* } says that you want it"
        else
            echo "slim has no $name (Codex's default is $wanted); the image 'universal' has it"
        fi
    else
        echo "$variable=$wanted: not in this image, which has ${all_versions:+$name }${all_versions:-no $name}; choose one of those, or use the image 'universal'" >&2
        failed=1
    fi
done
((failed == 0)) || exit 1
if ((${#links[@]})); then
    ln -sfn "${links[@]}" /usr/local/bin/
fi
