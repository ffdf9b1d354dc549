#!/usr/bin/env python3
"""Many clients that have asked once and stay: crowd.py TLS-PORT CA USER PASSWORD CONNECTIONS PID...

Measures what the processes hold before and with them, and how long a request takes without them (before they come and
after they have gone) and among them; then each asks once more.
"""

import sys
import time

from client import answer, authorization, connect, context, figures, percentile, request

# Of each kind of request, and each time: so many medians of so many requests. The lowest median counts, so that what else
# the machine does for a moment is not taken for the crowd's doing.
BATCHES = 8
SAMPLES = 60
# None of them has so many that a limit by address, or the ports of one, would matter.
FROM_EACH = 100

port, ca, user, password, count, *pids = sys.argv[1:]
port, count = int(port), int(count)
tls = context(ca)
asked = request("/v2/", authorization(user, password))


def ask(sock):
    sock.sendall(asked)
    status, _ = answer(sock)
    if status != 200:
        raise ConnectionError(f"status {status}")


def visit():
    with connect(port, "127.0.0.3", tls) as sock:
        ask(sock)


def take(medians, work):
    """All the times that it took; their medians are added."""
    every = []
    for _ in range(BATCHES):
        times = []
        for _ in range(SAMPLES):
            begin = time.monotonic()
            work()
            times.append(time.monotonic() - begin)
        medians.append(percentile(times, 50))
        every += times
    return every


def status_of(name):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/status") as lines:
            total += sum(int(line.split()[1]) for line in lines if line.startswith(name + ":"))
    return total


def settle():
    """Until what a moment ago was done is put away: two looks that say the same."""
    last = None
    for _ in range(50):
        now = status_of("VmRSS"), status_of("Threads")
        if now == last:
            return
        last = now
        time.sleep(0.5)


kept_without, kept_with, new_without, new_with = [], [], [], []
kept = connect(port, "127.0.0.3", tls)
# Once for what is made only once.
for _ in range(50):
    ask(kept)
    visit()
take(kept_without, lambda: ask(kept))
take(new_without, visit)
settle()
resident_before, threads_before = status_of("VmRSS"), status_of("Threads")

crowd = []
for number in range(count):
    sock = connect(port, f"127.1.1.{1 + number // FROM_EACH}", tls)
    ask(sock)
    crowd.append(sock)
settle()
resident_with, threads_with = status_of("VmRSS"), status_of("Threads")
take(kept_with, lambda: ask(kept))
new_p99 = percentile(take(new_with, visit), 99)

second = 0
for sock in crowd:
    try:
        ask(sock)
        second += 1
    except OSError as error:
        print(f"a second request: {error!r}", file=sys.stderr)
for sock in crowd:
    sock.close()
crowd.clear()
settle()
take(kept_without, lambda: ask(kept))
take(new_without, visit)

figures(
    resident_before=resident_before,
    resident_with=resident_with,
    resident_each=(resident_with - resident_before) / count,
    threads_before=threads_before,
    threads_with=threads_with,
    kept_without=min(kept_without),
    kept_with=min(kept_with),
    new_without=min(new_without),
    new_with=min(new_with),
    new_p99=new_p99,
    second=second,
)
