#!/usr/bin/env python3
"""A valid client among all the others: valid.py TLS-PORT CA USER PASSWORD FILE SECONDS

It asks, uploads and downloads, in turn on a connection that it keeps and on a new one, and looks at every byte.
"""

import hashlib
import os
import sys
import time

from client import authorization, connect, context, figures, request

port, ca, user, password, file, seconds = sys.argv[1:]
tls = context(ca)
known = authorization(user, password)
with open(file, "rb") as opened:
    whole = opened.read()
# A keep-alive connection ends some day, as the gate or the client wants.
REQUESTS_OF_ONE = 30


def exchange(sock, head, body=b""):
    sock.sendall(head)
    sock.sendall(body)
    with sock.makefile("rb") as stream:
        status = int(stream.readline().split(b" ")[1])
        length = 0
        while (line := stream.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line[15:])
        return status, stream.read(length)


def ask(sock):
    status, body = exchange(sock, request("/v2/", known))
    return status == 200 and body == b"{}"


def download(sock):
    status, body = exchange(sock, request("/file", known))
    return status == 200 and body == whole


def upload(sock):
    body = os.urandom(int.from_bytes(os.urandom(2)) * 8)
    head = request("/sink", known, f"Content-Length: {len(body)}\r\n".encode(), method="PUT")
    status, said = exchange(sock, head, body)
    return status == 201 and said == f"{len(body)} sha256:{hashlib.sha256(body).hexdigest()}\n".encode()


requests = errors = 0
kept = None
end = time.monotonic() + float(seconds)
while time.monotonic() < end:
    work = (ask, upload, ask, download)[requests % 4]
    new = requests % 8 < 4
    try:
        if new:
            with connect(int(port), "127.0.0.9", tls, timeout=60) as sock:
                fine = work(sock)
        else:
            if kept is None:
                kept = connect(int(port), "127.0.0.9", tls, timeout=60)
            fine = work(kept)
            if requests % REQUESTS_OF_ONE == 0:
                kept.close()
                kept = None
        if not fine:
            raise ConnectionError("not the answer that it should be")
    except (OSError, ValueError, IndexError) as error:
        errors += 1
        print(f"request {requests} ({work.__name__}, {'new' if new else 'kept'}): {error!r}", file=sys.stderr)
        if not new and kept is not None:
            kept.close()
            kept = None
    requests += 1
    time.sleep(0.1)
figures(requests=requests, errors=errors)
