#!/bin/bash
# A version of a language: tells which one it is, in the words of the real one, or is that of slim.
name=NAME version=VERSION
case ${1-} in
    -v | -version | --version | version)
        case $name in
            python*) echo "Python $version" ;;
            rustc | cargo) echo "$name ${version%%-*} (0000000 2026-01-01)" ;;
            go) echo "go version go$version linux/amd64" ;;
            java*) echo "openjdk version \"$version\" 2026-01-01" >&2 ;;
            ruby) echo "ruby $version (2026-01-01) [x86_64-linux]" ;;
            php) echo "PHP ${version%snapshot}.1 (cli)" ;;
            swift) echo "Swift version $version (swift-$version-RELEASE)" ;;
            *) echo "$version" ;;
        esac
        ;;
    *) exec REAL "$@" ;;
esac
