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

# Thousands of connections need thousands of descriptors, here and in what is started from here. With a second number, so many
# will do where there are no more to be had.
raise_file_limit() { # COUNT [AT-LEAST]
    (($(ulimit -n) >= $1)) || ulimit -n "$1" 2>/dev/null || ulimit -n "$(ulimit -Hn)"
    (($(ulimit -n) >= ${2:-$1})) || {
        echo "$name: needs ${2:-$1} descriptors: ulimit -n" >&2
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
worker_processes ${nginx_workers:-2};
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
# gate does, and has what an expert gives it before a registry: buffers as they are by default, connections kept
# to the backend, nothing spooled. Sets nginx_pid, nginx_port, and rival_pids, those of its workers.
start_rival() { # NAME clear|tls
    local listen="listen 127.0.0.1:PORT backlog=4096;"
    [[ $2 = clear ]] || listen="listen 127.0.0.1:PORT ssl backlog=4096;
        ssl_certificate $(tls_file crt);
        ssl_certificate_key $(tls_file key);
        ssl_protocols TLSv1.2 TLSv1.3;"
    start_nginx "$1" <<END_OF_BLOCK
upstream backend { ${rival_servers:-server ${backend_url#http://};} keepalive 64; }
    server {
        $listen
        auth_basic Registry;
        auth_basic_user_file $work/users;
        client_max_body_size 0;
        location / {
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host \$http_host;
            proxy_connect_timeout 5s;
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
        }
    }
END_OF_BLOCK
    mapfile -t rival_pids < <(pgrep -P "$nginx_pid")
}

# The certificate of the gate, or its key.
tls_file() { # crt|key
    find "$work/tls" -name "*.$1" ! -name "ca.$1" | head -n 1
}

# HAProxy in the place of the gate, likewise. It knows no {SHA}, so it compares plain text. haproxy_servers may name several
# backends, each with its options. Sets haproxy_port and rival_pids.
start_haproxy() { # NAME clear|tls USER:PASSWORD...
    local bind attempt user users="" servers="" server
    for user in "${@:3}"; do
        users+="    user ${user%%:*} insecure-password ${user#*:}"$'\n'
    done
    for server in "${haproxy_servers[@]-${backend_url#http://}}"; do
        servers+="    server s${#servers} $server"$'\n'
    done
    cat "$(tls_file crt)" "$(tls_file key)" >"$work/$1.pem"
    for attempt in 1 2 3 4 5; do
        haproxy_port=$(free_port)
        bind="bind 127.0.0.1:$haproxy_port backlog 4096"
        [[ $2 = clear ]] || bind+=" ssl crt $work/$1.pem"
        cat >"$work/$1.cfg" <<END_OF_CONF
global
    maxconn 9000
    nbthread ${nginx_workers:-2}
defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 900s
    option redispatch 1
    retries 1
userlist users
${users}frontend gate
    $bind
    http-request auth unless { http_auth(users) }
    default_backend behind
backend behind
    http-reuse always
$servers
END_OF_CONF
        start "$1" haproxy -db -f "$work/$1.cfg"
        rival_pids=("$!")
        for ((tenths = 0; tenths < 100; tenths++)); do
            ! accepts "$haproxy_port" || return 0
            kill -0 "${rival_pids[0]}" 2>/dev/null || break
            sleep 0.1
        done
    done
    fail "no HAProxy: $(tail -n 3 "$work/$1.log")"
}

# A backend with a file for pulls, and a sink for pushes that says what it got. What is small is answered at once. Its buffers
# are small too, so that a slow client is felt by the gate and not swallowed by the kernel. Sets backend_url.
start_transfer_backend() { # FILE
    start sink python3 "$load/sink.py"
    await 20 "the sink" listens "$work/sink.log" "$!"
    local sink
    sink=$(sed -n 's/.*listening on //p' "$work/sink.log")
    mkdir -p "$work/files"
    ln "$1" "$work/files/blob"
    chmod -R a+rX "$work/files"
    start_nginx backend <<END_OF_BLOCK
sendfile on;
    sendfile_max_chunk 256k;
    server {
        listen 127.0.0.1:PORT backlog=4096 sndbuf=64k;
        client_max_body_size 0;
        location / { return 200 "hello\n"; }
        location = /blob { root $work/files; }
        location = /sink { proxy_pass http://$sink; proxy_request_buffering off; client_body_buffer_size 16k; }
    }
END_OF_BLOCK
    backend_url=http://127.0.0.1:$nginx_port
}

# What is started from now on runs on these processors alone.
pin() { # PROCESSORS
    taskset -pc "$1" $$ >/dev/null
}

# Whether a binary is the one that is shipped, or one that was built beside it.
linkage() { # BINARY
    if LC_ALL=C grep -qaE 'ld-(linux|musl)[a-z0-9_.-]*\.so' "$1"; then echo "not static"; else echo static; fi
}

# ---- Portreeve, the one of before, and its rivals --------------------------------------------------------------------

# Names with a comma between: which of gate, before, nginx and haproxy are measured; all, if none is named.
only=""
# A build for glibc, where a script stands one beside the static binary.
glibc=""
wanted() { # NAME
    [[ -z $only || ,$only, = *,"$1",* ]] || return 1
    case $1 in
        before) [[ -n ${PORTREEVE_BEFORE:-} ]] ;;
        glibc) [[ -x $glibc && ! $glibc -ef $portreeve ]] ;;
    esac
}

# A figure with a bar for the gate, and to be read for all others.
held() { # WHO WHAT FIGURE UNIT OPERATOR LIMIT
    if [[ $1 = gate ]]; then bar "$1: $2" "${@:3}"; else seen "$1: $2" "$3" "$4"; fi
}

# Starts the gate, or the one of before, with a listener through TLS and one in the clear. The one of before may need settings
# to do it at all: BEFORE_SETTINGS. gate_tls says with which certificate. Sets gate_pid, gate_port and plain_port.
gate_tls=()
start_portreeve() { # gate|before|glibc SETTING...
    local portreeve=$portreeve more=()
    [[ $1 != glibc ]] || portreeve=$glibc
    if [[ $1 = before ]]; then
        portreeve=$PORTREEVE_BEFORE
        read -r -a more <<<"${BEFORE_SETTINGS---max-connections-per-address 0}"
    fi
    seen "$1: binary" "$(linkage "$portreeve")"
    ((${#gate_tls[@]} > 0)) || gate_tls=(--tls-self-signed "$work/tls" --tls-name registry.test)
    "$portreeve" serve --listen https://127.0.0.1:0 --listen http://127.0.0.1:0 "${gate_tls[@]}" --htpasswd "$work/users" \
        "${more[@]}" "${@:2}" >"$work/$1.access" 2>"$work/$1.log" </dev/null &
    gate_pid=$!
    started+=("$gate_pid")
    await 20 "$1" listens "$work/$1.log" "$gate_pid"
    gate_port=$(port_of https "$work/$1.log")
    plain_port=$(port_of http "$work/$1.log")
}

# Stops it, and has it held to it that it said nothing of a bug.
stop_portreeve() { # gate|before|glibc
    held "$1" "messages of bugs" "$(grep -c 'this is a bug' "$work/$1.log" || true)" "" "==" 0
    stop "$gate_pid"
}

# A client that makes small requests beside what is measured, until `bystander_ends`. The figures go by the prefix. ca is an
# array: how the gate is trusted, empty in the clear.
declare -A bystanders
bystander_begins() { # WHO PREFIX PORT USER PASSWORD [ARGUMENT...]
    measure "$1-$2" bystander.py "$3" "$4" "$5" --prefix "$2" "${@:6}"
    bystanders[$1-$2]=$measuring
}

bystander_ends() { # WHO PREFIX WHAT MOST-MS
    kill "${bystanders[$1-$2]}"
    figures "$1-$2" "${bystanders[$1-$2]}"
    complaints "$1-$2"
    local of
    for of in count p50 max p99 errors; do
        of=${2}_$of
        case $of in
            *_count) seen "$1: $3: requests" "${!of}" ;;
            *_p50) seen "$1: $3: p50" "${!of}" ms ;;
            *_max) seen "$1: $3: longest" "${!of}" ms ;;
            *_p99) held "$1" "$3: p99" "${!of}" ms "<=" "$4" ;;
            *_errors) held "$1" "$3: failed" "${!of}" "" "==" 0 ;;
        esac
    done
}

# What a program that measures has to say beside its figures.
complaints() { # NAME
    [[ ! -s $work/$1.log ]] || sed "s/^/    $1: /" "$work/$1.log"
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

mebibytes() { # PID...: resident, of all
    local pid
    for pid in "$@"; do resident_kib "$pid"; done | awk '{ sum += $1 } END { printf "%.1f", sum / 1024 }'
}

# Of all threads, the ended ones too, by the kernel's clock of each process.
cpu_seconds() { # PID...
    python3 -c 'import sys, time; print(sum(time.clock_gettime((~int(pid) << 3) | 2) for pid in sys.argv[1:]))' "$@"
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
