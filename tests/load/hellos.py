#!/usr/bin/env python3
"""Clients that send nearly all of a ClientHello of 60 KB and stay: hellos.py PORT CONNECTIONS PID.

Measures what the process holds before, with them, and after they have gone; how long newcomers take among them is for visit.py.
What it prints is for figures of lib.sh.
"""

import select
import socket
import struct
import sys
import time

from client import figures

# None of them has so many that a limit by address, or the ports of one, would matter.
FROM_EACH = 100
SENT = 60_000
LENGTH = 61_000

port, count, pid = (int(word) for word in sys.argv[1:])
message = b"\x01" + struct.pack(">I", LENGTH)[1:]
message += bytes(SENT - len(message))
hello = b"".join(
    b"\x16\x03\x01" + struct.pack(">H", len(message[at : at + 16_000])) + message[at : at + 16_000]
    for at in range(0, SENT, 16_000)
)


def resident():
    with open(f"/proc/{pid}/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


before = most = resident()
crowd = []
begin = time.monotonic()
for number in range(count):
    address = f"127.2.{number // FROM_EACH // 250}.{1 + number // FROM_EACH % 250}"
    sock = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(address, 0))
    try:
        sock.sendall(hello)
    except OSError:
        # It had to make room before it had said all.
        pass
    crowd.append(sock)
    if number % 100 == 0:
        most = max(most, resident())
took = time.monotonic() - begin
most = max(most, resident())
time.sleep(0.5)
with_them = resident()
poll = select.poll()
for sock in crowd:
    poll.register(sock, select.POLLIN)
open_still = count - len(poll.poll(0))
for sock in crowd:
    sock.close()
# It comes down within seconds, not at once.
until = time.monotonic() + 10
while resident() > most / 2 and time.monotonic() < until:
    time.sleep(0.1)
came_down = time.monotonic() + 10 - until
figures(
    hellos_before=before,
    hellos_most=max(most, with_them),
    hellos_with=with_them,
    hellos_after=resident(),
    hellos_down=came_down,
    hellos_open=open_still,
    hellos_took=took,
)
