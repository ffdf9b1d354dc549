#!/usr/bin/env python3
"""A valid client that opens a new connection for each request, one after another, or has one for all of them, and says how
long each took from the first packet to the last byte of the answer. What it prints is for figures of lib.sh.
"""

import argparse
import contextlib
import sys
import time

from client import answer, authorization, connect, context, figures, percentile, request

parser = argparse.ArgumentParser()
parser.add_argument("port", type=int)
parser.add_argument("user", help="{} in it is the number of the request")
parser.add_argument("password")
parser.add_argument("--first", type=int, default=0, help="the first number")
parser.add_argument("--count", type=int, default=1 << 30)
parser.add_argument("--seconds", type=float, default=60)
parser.add_argument("--pause", type=float, default=0, help="seconds between two requests")
parser.add_argument("--ca")
parser.add_argument("--source", default="127.0.0.3")
parser.add_argument("--retry", action="store_true", help="as long as nobody listens, try again: it is the same request")
parser.add_argument("--keep", action="store_true", help="one connection for all requests")
parser.add_argument("--prefix", default="visit", help="of the names that are printed")
arguments = parser.parse_args()

tls = context(arguments.ca) if arguments.ca else None
times, errors = [], 0
kept = connect(arguments.port, arguments.source, tls) if arguments.keep else None
end = time.monotonic() + arguments.seconds
for number in range(arguments.first, arguments.first + arguments.count):
    begin = time.monotonic()
    if begin > end:
        break
    asked = request("/v2/", authorization(arguments.user.format(number), arguments.password))
    try:
        while kept is None:
            try:
                sock = connect(arguments.port, arguments.source, tls)
                break
            except ConnectionRefusedError:
                if not arguments.retry or time.monotonic() - begin > 10:
                    raise
                time.sleep(0.01)
        with sock if kept is None else contextlib.nullcontext(kept) as sock:
            sock.sendall(asked)
            status, _ = answer(sock)
        if status != 200:
            raise ConnectionError(f"status {status}")
    except (OSError, ValueError) as error:
        errors += 1
        print(f"request {number}, after {time.monotonic() - begin:.3f} s: {error!r}", file=sys.stderr)
    times.append(time.monotonic() - begin)
    time.sleep(arguments.pause)

values = {
    "count": len(times),
    "errors": errors,
    "p50": percentile(times, 50),
    "p99": percentile(times, 99),
    "max": max(times, default=0.0) * 1000,
}
figures(**{f"{arguments.prefix}_{name}": value for name, value in values.items()})
