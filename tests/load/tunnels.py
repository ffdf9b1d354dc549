#!/usr/bin/env python3
"""Many WebSockets in which nothing moves: tunnels.py CLEAR-PORT TLS-PORT CA USER PASSWORD CLEAR-TUNNELS TLS-TUNNELS PID

Measures what the gate holds before them, with those in the clear, and with those through TLS beside them; what it computes while
all are silent; and how long a request takes without them and among them. Then a message goes through each, they are closed, and
it is waited until the gate has no more descriptors than before.
"""

import os
import sys
import time

from client import answer, authorization, connect, context, figures, percentile, request

# None of them has so many that the ports of one would matter.
FROM_EACH = 100
SAMPLES = 400
SILENT_SECONDS = 5
# A timer that is no longer wanted stays where it is, and goes off once, when a head or a handshake would have been too late: until
# all of these have gone off it computes a little for each tunnel, and never again.
WINDOWS = 12
QUIET_PERCENT = 0.2
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
# "ping", masked with noughts.
MESSAGE = b"\x81\x84\0\0\0\0ping"

clear_port, tls_port, ca, user, password, in_clear, by_tls, pid = sys.argv[1:]
clear_port, tls_port, in_clear, by_tls, pid = (int(each) for each in (clear_port, tls_port, in_clear, by_tls, pid))
tls = context(ca)
credentials = authorization(user, password)
asked = request("/v2/", credentials)
wanted = request(
    "/socket", credentials, b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    b"Sec-WebSocket-Key: " + KEY + b"\r\n",
)


def status_of(name):
    with open(f"/proc/{pid}/status") as lines:
        return sum(int(line.split()[1]) for line in lines if line.startswith(name + ":"))


def threads():
    return len(os.listdir(f"/proc/{pid}/task"))


def descriptors():
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu():
    """Of all its threads, by the kernel's clock of the process, which is finer than its ticks."""
    return time.clock_gettime((~pid << 3) | 2)


def percent_computed():
    """What it computes while nobody asks for anything."""
    begun, computed = time.monotonic(), cpu()
    time.sleep(SILENT_SECONDS)
    return (cpu() - computed) / (time.monotonic() - begun) * 100


def settle():
    """Until what a moment ago was done is put away: two looks that say the same."""
    last = None
    for _ in range(50):
        now = status_of("VmRSS"), threads(), descriptors()
        if now == last:
            return
        last = now
        time.sleep(0.5)


def visits():
    """How long requests take, each on a new connection through TLS."""
    times = []
    for _ in range(SAMPLES):
        begin = time.monotonic()
        with connect(tls_port, "127.0.0.3", tls) as sock:
            sock.sendall(asked)
            status, _ = answer(sock)
        times.append(time.monotonic() - begin)
        if status != 200:
            raise ConnectionError(f"status {status}")
    return times


def exchange(sock):
    sock.sendall(MESSAGE)
    back = b""
    while len(back) < len(MESSAGE):
        piece = sock.recv(len(MESSAGE) - len(back))
        if not piece:
            raise ConnectionError("closed in the midst of a message")
        back += piece
    if back != MESSAGE:
        raise ConnectionError(f"something else came back: {back!r}")


def tunnel(port, number, context=None):
    sock = connect(port, f"127.1.1.{1 + number // FROM_EACH}", context)
    sock.sendall(wanted)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        # Nothing comes behind it before something was sent.
        piece = sock.recv(4096)
        if not piece:
            raise ConnectionError(f"closed after {head!r}")
        head += piece
    if not head.startswith(b"HTTP/1.1 101 ") or ACCEPT not in head:
        raise ConnectionError(f"no tunnel: {head!r}")
    exchange(sock)
    return sock


# Once for what is made only once.
for port, context in ((clear_port, None), (tls_port, tls)):
    for number in range(20):
        tunnel(port, number, context).close()
visits()
without = visits()
settle()
resident_before, threads_before, descriptors_before = status_of("VmRSS"), threads(), descriptors()
idle_cpu = percent_computed()

begun = time.monotonic()
tunnels = [tunnel(clear_port, number) for number in range(in_clear)]
clear_took = time.monotonic() - begun
settle()
resident_clear = status_of("VmRSS")
begun = time.monotonic()
tunnels += [tunnel(tls_port, in_clear + number, tls) for number in range(by_tls)]
tls_took = time.monotonic() - begun
settle()
resident_with, threads_with, descriptors_with = status_of("VmRSS"), threads(), descriptors()

first_cpu = silent_cpu = percent_computed()
for _ in range(WINDOWS):
    if silent_cpu <= QUIET_PERCENT:
        break
    silent_cpu = percent_computed()
among = visits()
threads_among = threads()

second = 0
begun = time.monotonic()
for sock in tunnels:
    try:
        exchange(sock)
        second += 1
    except OSError as error:
        print(f"a second message: {error!r}", file=sys.stderr)
second_took = time.monotonic() - begun

for sock in tunnels:
    sock.close()
begun = time.monotonic()
while descriptors() > descriptors_before and time.monotonic() - begun < 20:
    time.sleep(0.05)
gone_took = time.monotonic() - begun
settle()

figures(
    resident_before=resident_before,
    resident_with=resident_with,
    clear_each=(resident_clear - resident_before) / max(in_clear, 1),
    tls_each=(resident_with - resident_clear) / max(by_tls, 1),
    clear_rate=in_clear / clear_took,
    tls_rate=by_tls / tls_took,
    threads_before=threads_before,
    threads_with=threads_with,
    threads_among=threads_among,
    descriptors_before=descriptors_before,
    descriptors_with=descriptors_with,
    descriptors_after=descriptors(),
    gone_took=gone_took,
    idle_cpu=idle_cpu,
    first_cpu=first_cpu,
    silent_cpu=silent_cpu,
    without_p50=percentile(without, 50),
    among_p50=percentile(among, 50),
    among_p99=percentile(among, 99),
    second=second,
    second_took=second_took,
    resident_after=status_of("VmRSS"),
)
