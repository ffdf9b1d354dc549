#!/usr/bin/env python3
"""A backend that takes bodies by their length, and answers 201 with what it got: sink.py

"N sha256:HEX", as tests/e2e/backend.py has it, but for hundreds of bodies at once in one thread. Says on which port it
listens. Ends when it is told to.
"""

import hashlib
import socket
import sys

from tasks import READ, Tasks, receive, send, whenever

tasks = Tasks()
listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
listener.setblocking(False)


def serve(sock):
    with sock:
        try:
            pending = b""
            while True:
                while b"\r\n\r\n" not in pending:
                    more = yield from receive(sock)
                    if not more:
                        return
                    pending += more
                head, _, body = pending.partition(b"\r\n\r\n")
                length = 0
                for field in head.split(b"\r\n")[1:]:
                    name, _, value = field.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                digest, left, pending = hashlib.sha256(body[:length]), length - len(body), body[length:]
                while left > 0:
                    more = yield from receive(sock, min(left, 1 << 18))
                    if not more:
                        return
                    digest.update(more)
                    left -= len(more)
                said = f"{length} sha256:{digest.hexdigest()}\n".encode()
                yield from send(sock, b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n" % len(said) + said)
        except (OSError, ValueError):
            # The client finds out by itself.
            return


def accept():
    while True:
        try:
            sock, _ = yield from whenever(listener, READ, listener.accept)
        except TimeoutError:
            # No connection for a while.
            continue
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tasks.start(serve(sock))


print(f"listening on 127.0.0.1:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
tasks.start(accept())
tasks.run()
