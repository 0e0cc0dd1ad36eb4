#!/bin/bash
# debian.sh core|full: prints the Debian packages of the kit, one a line: PACKAGE PATH. The file at PATH exists
# where the package is installed. It reads kit.toml without Python, which may not be installed yet.
set -euo pipefail
kit=${1:-core}
case $kit in core | full) ;; *)
    echo "the kit is core or full, not \"$kit\" (CAPI_SANDBOX_KIT)" >&2
    exit 1
    ;;
esac
awk -v kit="$kit" '
    function print_package() {
        if (package != "" && path != "" && (of == "core" || of == kit)) print package, path
        package = path = of = ""
    }
    /^\[\[/ { print_package() }
    $2 == "=" { value = $3; gsub(/"/, "", value) }
    $1 == "package" { package = value }
    $1 == "path" { path = value }
    $1 == "kit" { of = value }
    END { print_package() }
' "$(dirname "$0")/kit.toml"
