# shellcheck shell=bash
# What packaging/build and packaging/release have in common: where they are, of which commit, and how they install what is
# missing.
# shellcheck disable=SC2034  # the scripts use what is set here
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dist=$root/target/dist

give_up() { # LINE...
    printf "packaging/${0##*/}: %s\n" "$@" >&2
    exit 1
}

say() {
    printf '== %s\n' "$*"
}

install_packages() { # PACKAGE...
    (($# > 0)) || return 0
    say "installing $*"
    local as_root=()
    [[ $(id -u) = 0 ]] || as_root=(sudo)
    local install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends)
    "${install[@]}" "$@" || { "${as_root[@]}" apt-get -q update && "${install[@]}" "$@"; }
}

commit=$(git -C "$root" rev-parse HEAD) || give_up "this is no clone: commit and date go into what is shipped"
SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct)
export SOURCE_DATE_EPOCH
changes=$(git -C "$root" status --porcelain)
of_package() { # FIELD: of Cargo.toml
    sed -n "s/^$1 = \"\\(.*\\)\"/\\1/p" "$root/Cargo.toml" | head -n 1
}
version=$(of_package version)
# Whatever the umask, files in packages have one mode.
umask 022
