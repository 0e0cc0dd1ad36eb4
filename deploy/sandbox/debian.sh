#!/bin/bash
# debian.sh core|full [names]: prints the Debian packages of the kit, one a line: PACKAGE PATH, or with
# `names` only PACKAGE. The file at PATH exists where the package is installed. This reads kit.toml without
# Python, which may not be installed yet.
set -euo pipefail
kit=${1:-core} form=${2:-}
case $kit in core | full) ;; *)
    echo "the kit is core or full, not \"$kit\" (CAPI_SANDBOX_KIT)" >&2
    exit 1
    ;;
esac
awk -v kit="$kit" -v form="$form" '
    function print_package() {
        if (package != "" && path != "" && (of == "core" || of == kit))
            print form == "names" ? package : package " " path
        package = path = of = ""
    }
    /^\[\[/ { print_package() }
    $2 == "=" { value = $3; gsub(/"/, "", value) }
    $1 == "package" { package = value }
    $1 == "path" { path = value }
    $1 == "kit" { of = value }
    END { print_package() }
' "$(dirname "$0")/kit.toml"
