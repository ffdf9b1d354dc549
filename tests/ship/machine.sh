# shellcheck shell=bash
# A machine for a script: the Debian of tests/ship/debian, booted by systemd-nspawn in the script's room, with a registry and
# a network of its own; a gate in it, configured; clients that ask all the time. Comes after tests/e2e/lib.sh and begin.
# Needs root.
# shellcheck disable=SC2034,SC2154  # lib.sh sets work and root, scripts use what is set here

if ! command -v systemd-nspawn >/dev/null; then
    DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends systemd-container
fi
machine=$work/machine

make_machine() {
    local base
    base=$("$root/tests/ship/debian")
    cp -a "$base" "$machine"
    # The name of the examples is this machine's.
    echo '127.0.0.1 localhost registry.example.com' >"$machine/etc/hosts"
}

inside() { # COMMAND...
    nsenter --target "$leader" --all -- env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"
}

# systemd-nspawn makes two groups for itself and the machine in the one that this runs in.
groups=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
power_off() {
    local status=$?
    set +e
    trap - ERR
    inside systemctl poweroff >/dev/null 2>&1 || true
    for ((tenths = 0; tenths < 200; tenths++)); do
        kill -0 "$nspawn" 2>/dev/null || break
        sleep 0.1
    done
    rmdir "$groups/payload" "$groups/supervisor" 2>/dev/null || true
    (exit "$status")
    finish
}
leads() {
    leader=$(pgrep --parent "$nspawn" | head -n 1) && [[ -n $leader ]]
}
booted() {
    # Its first children are not yet the machine.
    leads && [[ $(inside systemctl is-system-running) = @(running|degraded) ]]
}
boot_machine() {
    start machine systemd-nspawn --quiet --directory "$machine" --register=no --keep-unit --boot --private-network
    nspawn=$!
    trap power_off EXIT
    await 60 "the machine to have booted" booted
    await 20 "the registry in it" inside curl -fsS http://127.0.0.1:5000/v2/
}

# As the file that comes with the package says: the registry on this host, and a private CA.
configure_gate() {
    does "a password file for its group" inside install -m 640 -g portreeve /dev/null /etc/portreeve/htpasswd
    inside portreeve passwd --stdin /etc/portreeve/htpasswd alice <<<'correct horse' >"$work/said" 2>&1
    # The second case: from its heading to the next one.
    inside sed -i '/^# ---- 2\./,/^# ---- 3\./ s/^#\([a-z]\)/\1/' /etc/portreeve/portreeve.conf
    does "portreeve check finds nothing to say" inside portreeve check --config /etc/portreeve/portreeve.conf
}
ask() { # CURL-ARGUMENT...
    inside curl -sS --max-time 30 --cacert /var/lib/portreeve/ca.crt -o /dev/null -w '%{http_code}\n' "$@"
}
gate_process() {
    inside systemctl show -P MainPID portreeve
}

# ---- under load ----------------------------------------------------------------------------------------------------

answers() {
    cat "$machine"/root/one.* "$machine"/root/kept.* 2>/dev/null || true
}
answered() { # COUNT
    (($(answers | wc -l) > $1))
}
uploading() {
    inside journalctl -u portreeve -o cat | grep '"POST /v2/a/b/blobs/uploads/" 202' >/dev/null
}
# Clients with a connection for each request, clients that keep theirs, and an upload that takes longer than the rest.
start_load() {
    cat >"$machine/root/load" <<'END'
curl="curl -sS --cacert /var/lib/portreeve/ca.crt -u alice:correct\ horse --max-time 30"
one() { while [ -e /root/go ]; do eval "$curl -o /dev/null -w '%{http_code}\n' https://localhost/v2/" 2>&1; done; }
kept() { while [ -e /root/go ]; do eval "$curl -o /dev/null -w '%{http_code}\n' 'https://localhost/v2/_catalog?n=[1-50]'" 2>&1; done; }
for n in 1 2 3; do one >/root/one.$n & kept >/root/kept.$n & done
wait
END
    cat >"$machine/root/upload" <<'END'
curl="curl -sS --cacert /var/lib/portreeve/ca.crt -u alice:correct\ horse --max-time 60"
head -c 6000000 /dev/urandom >/root/blob
digest=$(sha256sum /root/blob | cut -d ' ' -f 1)
place=$(eval "$curl -X POST -o /dev/null -D - https://localhost/v2/a/b/blobs/uploads/" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
eval "$curl --limit-rate 1M -T /root/blob -H 'Content-Type: application/octet-stream' -o /dev/null -w '%{http_code}\n' '$place&digest=sha256:$digest'"
END
    touch "$machine/root/go"
    start load nsenter --target "$leader" --all -- sh /root/load
    load=$!
    start upload nsenter --target "$leader" --all -- sh /root/upload
    upload=$!
    await 30 "the load" answered 100
    await 20 "the upload" uploading
}
end_load() {
    local all
    await 30 "the load to go on" answered $(($(answers | wc -l) + 100))
    rm "$machine/root/go"
    wait "$load" "$upload"
    all=$(answers | wc -l)
    is "of $all requests none failed" "$all 200" "$(answers | sort | uniq -c | sed 's/^ *//')"
    is "and the upload ended well" 201 "$(cat "$work/upload.log")"
}
