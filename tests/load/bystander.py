#!/usr/bin/env python3
"""A client that has nothing to do with the load, and makes a small request every so often: bystander.py PORT ...

On a new connection for each, or on one that is kept. Requests come when they are due, however long the ones before take: a
gate that stands still for a second is met by all of that second, not by one. Each counts from when it was due to the last
byte of its answer. Ends at TERM, or after --seconds. What it prints is for figures of lib.sh.
"""

import argparse
import collections
import signal
import sys
import time

from client import authorization, context, figures, percentile, request
from tasks import Tasks, answer_of, opened, send

# A request that waits so long has not been served.
PATIENCE = 30

parser = argparse.ArgumentParser()
parser.add_argument("port", type=int)
parser.add_argument("user")
parser.add_argument("password")
parser.add_argument("--ca", help="through TLS")
parser.add_argument("--every", type=float, default=0.05, help="seconds")
parser.add_argument("--seconds", type=float, default=300)
parser.add_argument("--kept", action="store_true", help="one connection for all, and so one request at a time")
parser.add_argument("--target", default="/v2/")
parser.add_argument("--source", default="127.0.0.3")
parser.add_argument("--prefix", default="by", help="of the names that are printed")
arguments = parser.parse_args()

tls = context(arguments.ca) if arguments.ca else None
asked = request(arguments.target, authorization(arguments.user, arguments.password))
times, wrong = [], collections.Counter()
until = time.monotonic() + arguments.seconds
tasks = Tasks()


def ended(*_):
    global until
    until = 0


signal.signal(signal.SIGTERM, ended)


def ask(sock):
    yield from send(sock, asked)
    status, _ = yield from answer_of(sock)
    if status != 200:
        raise ConnectionError(f"status {status}")


def once(due):
    try:
        sock = yield from opened(arguments.port, arguments.source, tls, segment=None)
        with sock:
            yield from ask(sock)
    except (OSError, ValueError, IndexError) as error:
        wrong[repr(error)] += 1
    times.append(time.monotonic() - due)


def new():
    due = time.monotonic()
    while due < until:
        tasks.start(once(due))
        due += arguments.every
        # Not longer than it takes to hear of the end.
        yield max(0, due - time.monotonic())
    # Those that are under way.
    last = time.monotonic() + PATIENCE
    while tasks.running > 1 and time.monotonic() < last:
        yield 0.05
    wrong["never answered"] += tasks.running - 1
    tasks.stop()


def kept():
    due, sock = time.monotonic(), None
    while due < until:
        try:
            if sock is None:
                sock = yield from opened(arguments.port, arguments.source, tls, segment=None)
            yield from ask(sock)
        except (OSError, ValueError, IndexError) as error:
            wrong[repr(error)] += 1
            if sock is not None:
                sock.close()
            sock = None
        now = time.monotonic()
        # Those that came due meanwhile have waited for this one too.
        while due <= now:
            times.append(now - due)
            due += arguments.every
        yield max(0, due - time.monotonic())


tasks.start(kept() if arguments.kept else new())
tasks.run()
for why, count in (+wrong).most_common(5):
    print(f"{count} times: {why}", file=sys.stderr)
values = {
    "count": len(times),
    "errors": sum(wrong.values()),
    "p50": percentile(times, 50),
    "p99": percentile(times, 99),
    "max": max(times, default=0.0) * 1000,
}
figures(**{f"{arguments.prefix}_{name}": value for name, value in values.items()})
