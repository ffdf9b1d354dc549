# shellcheck shell=bash
# What every script of this directory begins with: a room of its own, a registry and a gate on ports that the kernel
# chose, checks that are counted, and an end that stops by pid what was started and removes the room.
# Nothing sleeps to be sure of something: what is waited for is asked for, again and again, with a bound.
# shellcheck disable=SC2034  # the scripts use what is set here
set -Eeuo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
portreeve=${PORTREEVE:-$root/target/release/portreeve}
name=${0##*/}
# Where the rooms are; other directories of tests have their own.
rooms=$root/target/e2e
checks=0
started=()
# What a script has made outside of its room, and is removed with it.
elsewhere=()

# What the sandbox forbids by mistake must fail a script. Where the kernel lacks a part of it, gates do without, and say so.
if [[ -e /proc/sys/kernel/seccomp/actions_avail ]] &&
    python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).syscall(444, None, 0, 1) < 1)'; then # landlock_create_ruleset
    export PORTREEVE_SANDBOX=${PORTREEVE_SANDBOX:-require}
else
    echo "$name: this kernel lacks Landlock or seccomp, so that nothing is tried in a sandbox" >&2
fi

# Makes the room; first of all in every script.
begin() {
    [[ -x $portreeve ]] || {
        echo "$name: no $portreeve: cargo build --release" >&2
        exit 1
    }
    mkdir -p "$rooms"
    work=$(mktemp -d "$rooms/$name.XXXXXX")
    # Where failures are told, also from within a command whose own words are thrown away.
    exec {loud}>&2
    trap finish EXIT
    trap 'fail "line $LINENO: $BASH_COMMAND"' ERR
}

# The same, but runs the script as the first process of namespaces of its own: what it starts ends with it, its loopback
# and its ports are its own, and what it changes in /etc and /run nobody else sees. Needs root, as the daemons in it do.
# There, 192.0.2.1 (TEST-NET-1) and the name registry.test are this machine: docker verifies no certificate for loopback
# addresses, so trust is tried with another.
begin_isolated() { # ARGUMENT...: the script's own
    if [[ -z ${ISOLATED:-} ]]; then
        [[ $(id -u) = 0 ]] || {
            echo "$name: needs root: sudo $0" >&2
            exit 1
        }
        # Where the private ones are mounted.
        mkdir -p /etc/docker /var/lib/containers
        ISOLATED=yes exec unshare --mount --net --pid --fork --mount-proc --kill-child "$BASH" "$0" "$@"
    fi
    begin
    ip link set lo up
    ip address add 192.0.2.1/32 dev lo
    mount -t tmpfs run /run
    mount -t tmpfs docker /etc/docker
    # Where podman and skopeo remember which registry has which blob.
    mount -t tmpfs containers /var/lib/containers
    { cat /etc/hosts && echo "192.0.2.1 registry.test"; } >"$work/hosts"
    mount --bind "$work/hosts" /etc/hosts
    export HOME=$work/home
    mkdir "$HOME"
}

# ---- checks --------------------------------------------------------------------------------------------------------

fail() { # SENTENCE...
    printf '%s: FAILED: %s\n' "$name" "$*" >&"${loud:-2}"
    exit 1
}

passed() { # SENTENCE
    checks=$((checks + 1))
    printf '  ok: %s\n' "$1"
}

is() { # SENTENCE WANTED GOT
    [[ $2 = "$3" ]] || fail "$1: wanted \"$2\", got \"$3\""
    passed "$1"
}

# The command must succeed; what it said is in $work/said.
does() { # SENTENCE COMMAND...
    local sentence=$1
    shift
    "$@" >"$work/said" 2>&1 || fail "$sentence: $* exited $?:"$'\n'"$(tail -n 20 "$work/said")"
    passed "$sentence"
}

# The command must fail, and say something that matches.
refuses() { # SENTENCE PATTERN COMMAND...
    local sentence=$1 pattern=$2
    shift 2
    if "$@" >"$work/said" 2>&1; then
        fail "$sentence: $* succeeded:"$'\n'"$(tail -n 20 "$work/said")"
    fi
    grep -Eqi -- "$pattern" "$work/said" ||
        fail "$sentence: nothing like \"$pattern\" in what $1 said:"$'\n'"$(tail -n 20 "$work/said")"
    passed "$sentence"
}

has() { # SENTENCE PATTERN FILE
    grep -Eq -- "$2" "$3" || fail "$1: nothing like \"$2\" in $3:"$'\n'"$(tail -n 20 "$3")"
    passed "$1"
}

# Asks until the command succeeds, for so many seconds at most.
await() { # SECONDS WHAT COMMAND...
    local until=$((SECONDS + $1)) what=$2
    shift 2
    while ! "$@" >/dev/null 2>&1; do
        ((SECONDS < until)) || fail "waited in vain for $what"
        sleep 0.05
    done
}

digest_of() { # FILE
    sha256sum "$1" | sed 's/ .*//; s/^/sha256:/'
}

# ---- what runs -----------------------------------------------------------------------------------------------------

# Starts a program in the background: its pid is in $!, what it says in $work/NAME.log. It must not end by itself.
start() { # NAME COMMAND...
    local log=$work/$1.log
    shift
    "$@" >>"$log" 2>&1 </dev/null &
    started+=("$!")
}

# A gate ends sooner at INT, where it does not wait for those who have not heard of its end.
stop() { # PID [SIGNAL]
    kill "-${2:-TERM}" "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

listens() { # LOG PID: whether the program says where it listens; if it has ended, nothing is to be waited for
    grep -q 'listening on' "$1" && return
    kill -0 "$2" 2>/dev/null || fail "it ended instead of listening:"$'\n'"$(tail -n 20 "$1")"
    return 1
}

# Sets registry_pid, registry_port, registry_url, registry_store. Started again, it has the same port and store. A second
# one goes by another $registry_name, and has the same store too. $registry_more are further lines under storage:,
# $registry_http under http:.
registry_name=registry
registry_address=127.0.0.1
start_registry() {
    local log=$work/$registry_name.log
    registry_store=$work/store
    cat >"$work/$registry_name.yml" <<END
version: 0.1
log: {level: info, accesslog: {disabled: false}}
storage:
  filesystem: {rootdirectory: "$registry_store"}
  delete: {enabled: true}
${registry_more:-}
http:
  addr: $registry_address:${registry_port:-0}
  secret: one-for-all-the-tests
${registry_http:-}
END
    local program
    program=$("$root/packaging/registry")
    : >"$log"
    start "$registry_name" "$program" serve "$work/$registry_name.yml"
    registry_pid=$!
    await 20 "the registry" listens "$log" "$registry_pid"
    registry_port=$(sed -n "s/.*listening on $registry_address:\\([0-9]*\\).*/\\1/p" "$log")
    registry_url=http://$registry_address:$registry_port
}

# How many requests the registry has seen; its access log has one line each.
registry_requests() {
    grep -Ec '"(GET|HEAD|POST|PUT|PATCH|DELETE) /[^"]* HTTP/' "$work/registry.log" || true
}

# That nothing reached the registry says something only if something is seen to reach it afterwards.
reached() { # SENTENCE
    (($(registry_requests) > 0)) || fail "$1: the registry has not seen a request"
    passed "$1"
}

add_user() { # NAME PASSWORD [FILE]
    printf '%s\n' "$2" | "$portreeve" passwd --stdin "${3:-$work/users}" "$1" >"$work/said" 2>&1 ||
        fail "portreeve passwd: $(cat "$work/said")"
}

# Starts a gate on a free port of $gate_address. Sets gate_pid, gate_port, gate_ca. Its messages go to gate.log, its
# access log to access.log; a second gate goes by another $gate_name.
gate_address=127.0.0.1
gate_name=gate
start_gate() { # SETTING...
    local log=$work/$gate_name.log
    : >"$log"
    "$portreeve" serve --listen "https://$gate_address:0" --tls-self-signed "$work/tls" --tls-name registry.test "$@" \
        >>"$work/access.log" 2>"$log" </dev/null &
    gate_pid=$!
    started+=("$gate_pid")
    await 20 "the gate" listens "$log" "$gate_pid"
    gate_port=$(port_of https "$log")
    # Alone in its directory: clients take every file of a certificate directory for one of theirs.
    mkdir -p "$work/certs"
    cp "$work/tls/ca.crt" "$work/certs/ca.crt"
    gate_ca=$work/certs/ca.crt
}

port_of() { # SCHEME LOG: of the first listener of that scheme
    local port
    port=$(sed -n "s/.*listening on $1:.*:\\([0-9][0-9]*\\).*/\\1/p" "$2" | head -n 1)
    [[ -n $port ]] || fail "it does not say on which port it listens for $1: $(cat "$2")"
    printf '%s\n' "$port"
}

# ---- the end -------------------------------------------------------------------------------------------------------

finish() {
    local status=$? pid log
    trap - EXIT ERR
    set +e
    for ((i = ${#started[@]} - 1; i >= 0; i--)); do
        pid=${started[i]}
        # Twice, so that nothing takes its time.
        kill -INT "$pid" 2>/dev/null || continue
        kill -TERM "$pid" 2>/dev/null
        for ((tenths = 0; tenths < 150; tenths++)); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    if ((status != 0)) && [[ -z ${explained:-} ]]; then
        for log in "$work"/*.log; do
            [[ -s $log ]] || continue
            printf -- '---- the end of %s\n' "${log##*/}"
            tail -n 15 "$log" | cut -c 1-400
        done >&"$loud"
    fi
    if [[ -n ${KEEP:-} ]]; then
        echo "$name: kept $work" >&2
    else
        # What a daemon that died left mounted would hold its directory.
        if [[ -n ${ISOLATED:-} ]]; then
            awk -v room="$work/" 'index($2, room) == 1 { print $2 }' /proc/mounts | tac | xargs -r umount -l
        fi
        rm -rf --one-file-system "$work" "${elsewhere[@]}"
    fi
    if ((status == 0)); then
        printf '%s: %d checks passed\n' "$name" "$checks"
    fi
    exit "$status"
}
