#!/usr/bin/env python3
"""A crowd that pulls and pushes at once, as slowly as it is told, and looks at every byte: transfers.py PORT ...

All are one user and come from one address. Pulls get /blob, which must be FILE; pushes put the same bytes to /sink, which
must answer with their length and digest. What it prints is for figures of lib.sh; what went wrong, and how often, goes to
standard error. Meanwhile it watches the processes that it is told of: threads, memory, CPU.
"""

import argparse
import collections
import hashlib
import ssl
import sys
import time

from client import authorization, context, figures, request
from tasks import SEGMENT, Tasks, answer_of, head_of, opened, receive, send

# A piece that is taken or sent at once: a whole record of TLS.
PIECE = 16384
# As small as a client's that has fallen asleep.
BUFFER = 32768
# So many connections may be in the making at once, until their request is sent: a fleet that starts is no flood, and a gate
# may count those against an address that have not asked for anything yet.
COMING_AT_ONCE = 200
SAMPLE = 0.25

parser = argparse.ArgumentParser()
parser.add_argument("port", type=int)
parser.add_argument("user")
parser.add_argument("password")
parser.add_argument("file")
parser.add_argument("--ca", help="through TLS")
parser.add_argument("--pulls", type=int, default=0)
parser.add_argument("--pushes", type=int, default=0)
parser.add_argument("--seconds", type=float, default=50, help="what each transfer shall take; 0 is as fast as it can be")
parser.add_argument("--arrivals", type=int, default=0, help="how many come in a second; 0 is as many as can")
parser.add_argument("--source", default="127.0.0.1")
parser.add_argument("--segment", type=int, default=SEGMENT, help="0 is what loopback has")
parser.add_argument("--pid", type=int, nargs="*", default=[])
arguments = parser.parse_args()

with open(arguments.file, "rb") as opened_file:
    blob = opened_file.read()
digest = f"{len(blob)} sha256:{hashlib.sha256(blob).hexdigest()}\n".encode()
rate = len(blob) / arguments.seconds if arguments.seconds else 0
tls = context(arguments.ca) if arguments.ca else None
known = authorization(arguments.user, arguments.password)
tasks = Tasks()


class Refused(Exception):
    """Another answer than the one that a client came for."""


COMING, ASKING, MOVING, DONE = "connecting", "before an answer", "in the midst", "done"
# How many are where, and how many were at most in the midst at once.
at = collections.Counter()
most_at_once = 0
well, wrong = collections.Counter(), collections.Counter()


class Client:
    """One of the crowd, from its beginning to its end, whatever that is."""

    def __init__(self, kind):
        self.kind, self.stage = kind, COMING
        at[COMING] += 1

    def goes_on(self, stage):
        global most_at_once
        at[self.stage] -= 1
        at[stage] += 1
        self.stage = stage
        most_at_once = max(most_at_once, at[MOVING])

    def run(self):
        try:
            buffer = BUFFER if rate else None
            sock = yield from opened(arguments.port, arguments.source, tls, buffer, arguments.segment)
            with sock:
                yield from self.kind(self, sock)
            well[self.kind] += 1
        except Refused as error:
            wrong[self.kind, f"status {error}"] += 1
        except (OSError, ValueError, IndexError) as error:
            wrong[self.kind, f"{self.stage}: {error!r}"] += 1
        self.goes_on(DONE)


def pause(began, moved):
    """How long to sleep until so many bytes are due."""
    return max(0, began + moved / rate - time.monotonic()) if rate else 0


def pull(client, sock):
    yield from send(sock, request("/blob", known))
    client.goes_on(ASKING)
    first, length, piece = yield from head_of(sock)
    if b" 200 " not in first:
        raise Refused(first.split(b" ")[1].decode())
    client.goes_on(MOVING)
    began, got = time.monotonic(), 0
    while True:
        if blob[got:got + len(piece)] != piece:
            raise ValueError(f"other bytes after {got}")
        got += len(piece)
        if got >= length:
            break
        # Also where no client is slow, so that all move on alike.
        yield pause(began, got)
        piece = yield from receive(sock, PIECE)
        if not piece:
            raise ConnectionError(f"the end after {got // 1048576} MiB")
    if got != len(blob):
        raise ValueError(f"{got} bytes instead of {len(blob)}")


def push(client, sock):
    head = request("/sink", known, f"Content-Length: {len(blob)}\r\n".encode(), method="PUT")
    yield from send(sock, head)
    client.goes_on(MOVING)
    view, sent, began, early = memoryview(blob), 0, time.monotonic(), b""
    while sent < len(blob) and not early:
        yield from send(sock, view[sent:sent + PIECE])
        sent = min(sent + PIECE, len(blob))
        yield pause(began, sent)
        try:
            early = sock.recv(PIECE)
            if not early:
                raise ConnectionError(f"the end instead of an answer, after {sent // 1048576} MiB")
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
    status, body = yield from answer_of(sock, early)
    if status != 201:
        raise Refused(status)
    if body != digest:
        raise ValueError(f"the sink got something else: {body[:80]}")


wanted = arguments.pulls + arguments.pushes


def come():
    """Both kinds in turn, in their proportion."""
    pulls = pushes = 0
    began = time.monotonic()
    while pulls + pushes < wanted:
        while at[COMING] >= COMING_AT_ONCE:
            yield 0.002
        if pulls * arguments.pushes <= pushes * arguments.pulls and pulls < arguments.pulls or pushes >= arguments.pushes:
            pulls += 1
            tasks.start(Client(pull).run())
        else:
            pushes += 1
            tasks.start(Client(push).run())
        # So that the clients that are there are served meanwhile.
        due = began + (pulls + pushes) / arguments.arrivals if arguments.arrivals else 0
        yield max(0, due - time.monotonic())


def of_processes(name):
    total = 0
    for pid in arguments.pid:
        with open(f"/proc/{pid}/status") as lines:
            total += sum(int(line.split()[1]) for line in lines if line.startswith(name + ":"))
    return total


def cpu():
    """Seconds of all threads, the ended ones too, by the kernel's clock of each process."""
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in arguments.pid)


most_threads = 0


def watch():
    global most_threads
    while at[DONE] < wanted:
        most_threads = max(most_threads, of_processes("Threads"))
        yield SAMPLE


begin, spent = time.monotonic(), cpu()
tasks.start(watch())
tasks.start(come())
tasks.run()
took, spent = time.monotonic() - begin, cpu() - spent
peak = of_processes("VmHWM")
for (what, why), count in wrong.most_common(8):
    print(f"{what.__name__}: {count} times: {why}", file=sys.stderr)
figures(
    pulls_well=well[pull],
    pushes_well=well[push],
    most_at_once=most_at_once,
    refused=sum(count for (_, why), count in wrong.items() if why.startswith("status")),
    cut=sum(count for (_, why), count in wrong.items() if not why.startswith("status")),
    threads_most=most_threads,
    peak_mib=peak / 1024,
    cpu=spent,
    took=took,
)
