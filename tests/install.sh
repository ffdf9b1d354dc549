# shellcheck shell=bash
# What a test uses and the machine lacks is installed from here, by tests/run and by the scripts of tests/load alike. No
# service is started by it.

as_root=()
if [[ $(id -u) != 0 ]]; then
    as_root=(sudo)
fi
# Daemons are in sbin, which is not on everybody's PATH.
export PATH=$PATH:/usr/sbin:/sbin

# Program and package, one for one; where a distribution has moved a program into another package, both are named.
missing_packages() { # PROGRAM PACKAGE[,PACKAGE] ...
    while (($# > 1)); do
        command -v "$1" >/dev/null || printf '%s\n' "$2"
        shift 2
    done | tr ',' '\n' | sort -u
}

# Debian's way to say that no service is to be started by an installation; taken away again if it is ours.
policy=/usr/sbin/policy-rc.d

install_packages() { # PACKAGE...
    local package known=() ours=no status=0
    if ! apt-cache show "$1" >/dev/null 2>&1; then
        "${as_root[@]}" apt-get -q update || return
    fi
    for package in "$@"; do
        # Of two packages that may hold a program, one may not exist here.
        if apt-cache show "$package" >/dev/null 2>&1; then
            known+=("$package")
        fi
    done
    if [[ ! -e $policy ]]; then
        ours=yes
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        "${as_root[@]}" chmod 755 "$policy"
    fi
    local install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends)
    # Lists that are old name files that are gone: once more with new ones.
    "${install[@]}" "${known[@]}" || { "${as_root[@]}" apt-get -q update && "${install[@]}" "${known[@]}"; } || status=$?
    if [[ $ours = yes ]]; then
        "${as_root[@]}" rm -f "$policy"
    fi
    return $status
}

# Whether all of them are there; says which are not.
present() { # PROGRAM PACKAGE ...
    local well=0
    while (($# > 1)); do
        command -v "$1" >/dev/null || {
            echo "$1 is missing (package $2)"
            well=1
        }
        shift 2
    done
    return $well
}
