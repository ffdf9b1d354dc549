#!/usr/bin/env python3
"""A gate that is told to stop while a second one already listens on the same socket, as an upgrade does it, and slow pulls go on:
upgrade.py PROGRAM CA USER PASSWORD TARGET FILE PULLS RATE LOG SETTING...

The socket is handed over as systemd does it. A bystander asks on a new connection each time, from before the upgrade until the
first gate has ended. RATE is of each pull, in bytes a second; what is pulled has to be FILE.
"""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time

from client import answer, authorization, connect, context, figures, percentile, request

program, ca, user, password, target, file, pulls, rate, log, *settings = sys.argv[1:]
pulls, rate = int(pulls), int(rate)
tls = context(ca)
known = authorization(user, password)
with open(file, "rb") as opened:
    whole = opened.read()
digest = hashlib.sha256(whole).digest()
# How much is read at once: little, so that the kernel's buffers stay as full as they are.
PIECE = 16_384

listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
port = listener.getsockname()[1]


def start(number):
    """Returns once it serves."""
    path = f"{log}-{number}.log"
    with open(path, "w") as said:
        # The number of the process is known to itself alone.
        gate = subprocess.Popen(
            ["sh", "-c", 'exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"', "sh", program, "serve",
             "--listen", f"https://127.0.0.1:{port}", *settings],
            stdin=listener, stdout=subprocess.DEVNULL, stderr=said)
    until = time.monotonic() + 20
    while True:
        with open(path) as said:
            if "listening on" in said.read():
                return gate
        if gate.poll() is not None or time.monotonic() > until:
            sys.exit(f"gate {number} does not listen")
        time.sleep(0.01)


lock = threading.Lock()
right = wrong = begun = 0


def pull():
    global right, wrong, begun
    try:
        with connect(port, "127.0.0.5", tls, timeout=60) as sock:
            sock.sendall(request(target, known))
            pending = b""
            while b"\r\n\r\n" not in pending:
                pending += sock.recv(PIECE)
            with lock:
                begun += 1
            head, body = pending.split(b"\r\n\r\n", 1)
            seen, got = hashlib.sha256(body), len(body)
            since = time.monotonic()
            while got < len(whole):
                data = sock.recv(PIECE)
                if not data:
                    break
                seen.update(data)
                got += len(data)
                ahead = got / rate - (time.monotonic() - since)
                if ahead > 0:
                    time.sleep(ahead)
        fine = b" 200 " in head.split(b"\r\n")[0] and seen.digest() == digest
        why = f"{got} bytes"
    except (OSError, ValueError) as error:
        fine, why = False, repr(error)
    if not fine:
        print(f"a pull: {why}", file=sys.stderr)
    with lock:
        right, wrong = right + fine, wrong + (not fine)


times, errors = [], 0
is_over = threading.Event()


def bystander():
    global errors
    while not is_over.is_set():
        begin = time.monotonic()
        try:
            with connect(port, "127.0.0.6", tls) as sock:
                sock.sendall(request("/v2/", known))
                status, _ = answer(sock)
                if status != 200:
                    raise ConnectionError(f"status {status}")
        except (OSError, ValueError) as error:
            errors += 1
            print(f"the bystander after {time.monotonic() - begin:.3f} s: {error!r}", file=sys.stderr)
        times.append(time.monotonic() - begin)
        time.sleep(0.01)


first = start(1)
pulling = [threading.Thread(target=pull) for _ in range(pulls)]
for thread in pulling:
    thread.start()
until = time.monotonic() + 30
while begun < pulls and time.monotonic() < until:
    time.sleep(0.05)
watching = threading.Thread(target=bystander)
watching.start()
time.sleep(2)
second = start(2)
stopped = time.monotonic()
going_on = sum(thread.is_alive() for thread in pulling)
first.send_signal(signal.SIGTERM)
try:
    code = first.wait(timeout=90)
except subprocess.TimeoutExpired:
    code = 999
    first.kill()
drained = time.monotonic() - stopped
is_over.set()
watching.join()
for thread in pulling:
    thread.join()
second.send_signal(signal.SIGINT)
second.send_signal(signal.SIGTERM)
second.wait()
figures(going_on=going_on, right=right, wrong=wrong, code=code, drained=drained, count=len(times), errors=errors,
        p50=percentile(times, 50), p99=percentile(times, 99), longest=max(times, default=0.0) * 1000)
