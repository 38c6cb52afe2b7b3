# The commands of nvm that codex-universal's scripts use. Sourced by /etc/profile, which selects the default.
nvm_version() {
    local path found=''
    for path in "$NVM_DIR/versions/node/v$1" "$NVM_DIR/versions/node/v$1".*; do
        [ ! -d "$path" ] || found=${path##*/}
    done
    [ -n "$found" ] && echo "$found"
}

nvm() {
    local version save=''
    case $1 in
        alias)
            mkdir -p "$NVM_DIR/alias"
            echo "$3" > "$NVM_DIR/alias/$2"
            ;;
        use)
            shift
            if [ "$1" = --save ]; then save=1 && shift; fi
            if ! version=$(nvm_version "$1"); then
                echo "N/A: version \"v$1\" is not yet installed." >&2
                return 3
            fi
            PATH=$NVM_DIR/versions/node/$version/bin:$(sed "s|$NVM_DIR/versions/node/[^:]*:||g" <<< "$PATH")
            export PATH
            [ -z "$save" ] || echo "$version" > .nvmrc
            ;;
    esac
}

if [ -e "$NVM_DIR/alias/default" ]; then nvm use "$(cat "$NVM_DIR/alias/default")"; fi
