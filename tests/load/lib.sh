# shellcheck shell=bash
# What every script of this directory begins with: all that tests/e2e/lib.sh has, what is used here and may have to be
# installed, an nginx to stand behind the gate or beside it, and a table of what was measured, each line held against its
# bar. Every figure with a bar is a ratio within one run or a limit that a slow machine keeps too; figures without one are
# there to be read.
# shellcheck source-path=SCRIPTDIR source=../e2e/lib.sh disable=SC2034  # the scripts use what is set here
. "$(dirname "${BASH_SOURCE[0]}")/../e2e/lib.sh"
# shellcheck source=../install.sh
. "$root/tests/install.sh"
load=$root/tests/load
rooms=$root/target/load
export PYTHONDONTWRITEBYTECODE=1

# Installs what is missing of these; before begin.
needs() { # PROGRAM PACKAGE ...
    local packages
    mapfile -t packages < <(missing_packages "$@")
    if ((${#packages[@]} > 0)); then
        echo "$name: installing ${packages[*]}"
        install_packages "${packages[@]}" || true
    fi
    present "$@" || exit 1
}

# Thousands of connections need thousands of descriptors, here and in what is started from here.
raise_file_limit() { # COUNT
    (($(ulimit -n) >= $1)) || ulimit -n "$1" || {
        echo "$name: needs $1 descriptors: ulimit -n" >&2
        exit 1
    }
}

# ---- the table -----------------------------------------------------------------------------------------------------

rows=()
missed=0

row() { # WHAT SEEN BAR VERDICT
    rows+=("$1"$'\t'"$2"$'\t'"$3"$'\t'"$4")
    # So that somebody who watches sees it at once.
    printf '  %s: %s%s\n' "$1" "$2" "${3:+ ($3: $4)}"
}

# A figure to be read.
seen() { # WHAT FIGURE [UNIT]
    row "$1" "$2${3:+ $3}" "" ""
}

# A figure with a bar: it must be less than, at most, equal to... the limit.
bar() { # WHAT FIGURE UNIT OPERATOR LIMIT
    local verdict=ok
    awk -v figure="$2" -v limit="$5" "BEGIN { exit !(figure + 0 $4 limit + 0) }" || {
        verdict=MISSED
        missed=$((missed + 1))
    }
    row "$1" "$2${3:+ $3}" "$4 $5" "$verdict"
}

# Two figures and what they make.
ratio() { # FIGURE OF
    awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", (b > 0 ? a / b : 0) }'
}

difference() { # FIGURE LESS
    awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", a - b }'
}

median() { # FIGURE...
    printf '%s\n' "$@" | sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'
}

# Prints the table; last of all in every script. Fails if a bar was missed.
verdict() {
    local columns each widest=${#name}
    for each in "${rows[@]}"; do
        columns=${each%%$'\t'*}
        ((${#columns} <= widest)) || widest=${#columns}
    done
    checks=${#rows[@]}
    printf "\n%-${widest}s  %16s  %s\n" "$name" seen bar
    for each in "${rows[@]}"; do
        IFS=$'\t' read -r -a columns <<<"$each"
        printf "%-${widest}s  %16s  %-12s %s\n" "${columns[@]}"
    done
    if ((missed > 0)); then
        explained=yes
        printf '%s: %d bars missed\n' "$name" "$missed"
        exit 1
    fi
}

# ---- what runs -----------------------------------------------------------------------------------------------------

# Below those that the kernel hands out by itself; somebody else may take it first, so whoever asks tries again.
free_port() {
    python3 -c '
import random, socket
while True:
    port = random.randrange(10000, 32000)
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        continue
    print(port)
    break'
}

accepts() { # PORT
    : 2>/dev/null <"/dev/tcp/127.0.0.1/$1"
}

# Starts an nginx with the http block of standard input, in which PORT is a port that is free, and WORK the room. Sets
# nginx_pid and nginx_port.
start_nginx() { # NAME
    local block attempt
    block=$(cat)
    for attempt in 1 2 3 4 5; do
        nginx_port=$(free_port)
        mkdir -p "$work/$1"
        cat >"$work/$1/nginx.conf" <<END_OF_CONF
daemon off;
# The room is its owner's alone.
user $(id -un);
worker_processes 2;
worker_rlimit_nofile $(ulimit -n);
pid $work/$1/pid;
error_log $work/$1.log;
events { worker_connections 16000; }
http {
    access_log off;
    client_body_temp_path $work/$1;
    proxy_temp_path $work/$1;
    fastcgi_temp_path $work/$1;
    uwsgi_temp_path $work/$1;
    scgi_temp_path $work/$1;
    types { }
    default_type text/plain;
    keepalive_requests 1000000000;
    keepalive_timeout 900;
    ${block//PORT/$nginx_port}
}
END_OF_CONF
        start "$1" nginx -c "$work/$1/nginx.conf"
        nginx_pid=$!
        for ((tenths = 0; tenths < 100; tenths++)); do
            ! accepts "$nginx_port" || return 0
            kill -0 "$nginx_pid" 2>/dev/null || break
            sleep 0.1
        done
    done
    fail "no nginx: $(tail -n 3 "$work/$1.log")"
}

# A backend that costs next to nothing: nginx with a body of six bytes. Sets backend_url.
start_backend() {
    start_nginx backend <<'END_OF_BLOCK'
server { listen 127.0.0.1:PORT backlog=4096; location / { return 200 "hello\n"; } }
END_OF_BLOCK
    backend_url=http://127.0.0.1:$nginx_port
}

# An nginx in the place of the gate, in the clear or with the gate's own certificate. It asks for the same passwords as the
# gate does.
start_rival() { # NAME clear|tls
    local listen="listen 127.0.0.1:PORT backlog=4096;"
    [[ $2 = clear ]] || listen="listen 127.0.0.1:PORT ssl backlog=4096;
        ssl_certificate $(find "$work/tls" -name '*.crt' ! -name 'ca.crt' | head -n 1);
        ssl_certificate_key $(find "$work/tls" -name '*.key' ! -name 'ca.key' | head -n 1);"
    start_nginx "$1" <<END_OF_BLOCK
upstream backend { server ${backend_url#http://}; keepalive 64; }
    server {
        $listen
        auth_basic Registry;
        auth_basic_user_file $work/users;
        location / {
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
    }
END_OF_BLOCK
}

# ---- what asks -----------------------------------------------------------------------------------------------------

# A valid user at full speed, from 127.0.0.1. Sets rate (answers a second), p50 and p99 (milliseconds), errors (answers
# that were no success, and connections that broke).
full_speed() { # PORT SECONDS USER:PASSWORD [CONNECTIONS]
    wrk -t1 -c"${4:-8}" -d"$2"s --timeout 10s -H "Authorization: Basic $(printf '%s' "$3" | base64 -w0)" \
        -s "$load/report.lua" "http://127.0.0.1:$1/" >"$work/wrk.out" 2>&1 || fail "wrk: $(cat "$work/wrk.out")"
    read -r rate p50 p99 errors < <(sed -n 's/^figures //p' "$work/wrk.out")
}

# Starts a program of this directory that prints `name=figure` words; `figures NAME` waits for it and sets them.
measure() { # NAME PROGRAM ARGUMENT...
    : >"$work/$1.out"
    python3 "$load/$2" "${@:3}" >"$work/$1.out" 2>"$work/$1.log" </dev/null &
    measuring=$!
    started+=("$measuring")
}

figures() { # NAME PID: sets the variables that the program names
    wait "$2" || fail "$1: $(tail -n 5 "$work/$1.log")"
    local word
    local words
    read -r -a words <"$work/$1.out"
    for word in "${words[@]}"; do
        [[ $word =~ ^[a-z0-9_]+=[0-9.-]+$ ]] || fail "$1 said \"$word\""
        printf -v "${word%%=*}" '%s' "${word#*=}"
    done
}

# ---- what is seen of a process -------------------------------------------------------------------------------------

resident_kib() { # PID
    awk '/^VmRSS:/ { print $2 }' "/proc/$1/status"
}

threads() { # PID
    awk '/^Threads:/ { print $2 }' "/proc/$1/status"
}

descriptors() { # PID
    find "/proc/$1/fd" -mindepth 1 -maxdepth 1 | wc -l
}

# One user and a hash that was made once: names cost nothing then.
hash_of() { # PASSWORD HTPASSWD-FLAG...
    htpasswd -nb "${@:2}" x "$1" | sed -n 's/^x://p'
}
