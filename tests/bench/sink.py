#!/usr/bin/env python3
"""A backend that takes any body and answers 201: sink.py PORT.

As cheap as can be, so that what is measured is the gate: with MSG_TRUNC the kernel drops what has arrived without copying
it. Framing is by Content-Length alone, which is all that the loads send.
"""

import socket
import sys
import threading

PIECE = 1 << 20


def serve(client):
    buffer = bytearray(PIECE)
    head = b""
    with client:
        while True:
            while b"\r\n\r\n" not in head:
                more = client.recv(65536)
                if not more:
                    return
                head += more
            fields, _, rest = head.partition(b"\r\n\r\n")
            left = -len(rest)
            for line in fields.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    left += int(value)
            while left > 0:
                dropped = client.recv_into(buffer, min(left, PIECE), socket.MSG_TRUNC)
                if dropped == 0:
                    return
                left -= dropped
            client.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
            head = b""


def guarded(client):
    try:
        serve(client)
    except OSError:
        pass


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=512)
while True:
    accepted, _ = listener.accept()
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=guarded, args=(accepted,), daemon=True).start()
