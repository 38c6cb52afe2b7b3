#!/bin/bash
# Selects the language runtimes that CODEX_ENV_*_VERSION ask for, by the image's own setup_universal.sh. Codex's script
# ends at the first version that the image lacks. That is right for a version that somebody chose. Of the languages in
# CODEX_ENV_DEFAULTED nobody chose one: what the image lacks of these is said in a line.
select=/opt/codex/setup_universal.sh
[ -e "$select" ] || exit 0
# slim's own script knows what nobody chose.
[ ! -e /opt/codex/runtimes.txt ] || exec "$select"

said=$("$select" 2>&1)
status=$?
if [ "$status" = 0 ]; then
    [ -z "$said" ] || printf '%s\n' "$said"
    exit 0
fi

declare -A default=()
for language in ${CODEX_ENV_DEFAULTED-}; do
    variable=CODEX_ENV_${language}_VERSION
    default[$language]=${!variable-}
    export "$variable="
done
if [ ${#default[@]} = 0 ] || ! said=$("$select" 2>&1); then
    printf '%s\n' "$said" >&2
    exit "$status"
fi
for language in ${CODEX_ENV_DEFAULTED-}; do
    variable=CODEX_ENV_${language}_VERSION
    if ! env "$variable=${default[$language]}" "$select" > /dev/null 2>&1; then
        echo "$variable=${default[$language]}, Codex's default, is not in this image, which keeps its own version; set it to one of those that \`codex-workspace build --list-runtimes\` prints"
    fi
done
