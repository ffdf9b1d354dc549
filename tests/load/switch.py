#!/usr/bin/env python3
"""A backend that switches to a WebSocket wherever it is asked to, and says "hello" otherwise: switch.py

In a tunnel each byte comes back, whatever frame it is of. Thousands in one thread, and none of them costs anything while it is
silent. Says on which port it listens. Ends when it is told to.
"""

import base64
import hashlib
import socket
import sys

from tasks import READ, Tasks, receive, send, whenever

# RFC 6455, 1.3.
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
tasks = Tasks()
listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
listener.setblocking(False)


def patiently(sock):
    """What comes, however long that takes."""
    while True:
        try:
            return (yield from receive(sock))
        except TimeoutError:
            continue


def serve(sock):
    with sock:
        try:
            pending = b""
            while True:
                while b"\r\n\r\n" not in pending:
                    more = yield from patiently(sock)
                    if not more:
                        return
                    pending += more
                head, _, pending = pending.partition(b"\r\n\r\n")
                fields = {}
                for field in head.split(b"\r\n")[1:]:
                    name, _, value = field.partition(b":")
                    fields[name.lower()] = value.strip()
                if fields.get(b"upgrade") == b"websocket":
                    break
                yield from send(sock, b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n")
            accept = base64.b64encode(hashlib.sha1(fields[b"sec-websocket-key"] + MAGIC).digest())
            yield from send(
                sock,
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + pending,
            )
            while True:
                more = yield from patiently(sock)
                if not more:
                    return
                yield from send(sock, more)
        except (OSError, KeyError):
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


print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
tasks.start(accept())
tasks.run()
