#!/usr/bin/env python3
"""A valid client within chaos: chaos_valid.py PORT CA|- USER PASSWORD SECONDS

Asks, uploads and downloads in every framing, on a connection that it keeps and on new ones, and looks at every byte. Tells apart
what was right, what was wrong (an answer that looked whole and was not what it should be), refused (a status of five hundred) and
broken (no whole answer). As every client does, it asks again where nobody listens, and where a connection that it had kept was
closed before a byte of the answer.
"""

import hashlib
import http.client
import random
import socket
import sys
import time

from chaos_backend import content
from client import authorization, connect, context, figures

port, ca, user, password, seconds = sys.argv[1:]
tls = context(ca) if ca != "-" else None
credentials = authorization(user, password).decode().split(": ", 1)[1].strip()
end = time.monotonic() + float(seconds)
seen = {"right": 0, "wrong": 0, "refused": 0, "broken": 0, "again": 0}


class Client(http.client.HTTPConnection):
    def connect(self):
        until = time.monotonic() + 10
        while True:
            try:
                self.sock = connect(int(port), "127.0.0.9", tls, timeout=60)
                return
            except ConnectionRefusedError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)


def size():
    return random.randrange(random.choice((2, 1000, 100_000, 3_000_000)))


def pieces(body):
    for at in range(0, len(body), 20_000):
        yield body[at:at + 20_000]


def exchange(client, way, length):
    fields = {"Authorization": credentials}
    if way.startswith("put"):
        body = random.randbytes(length)
        wanted = 201, f"{length} sha256:{hashlib.sha256(body).hexdigest()}\n".encode()
        if way == "put chunked":
            client.request("PUT", "/good/put", pieces(body), fields, encode_chunked=True)
        else:
            client.request("PUT", "/good/put", body, fields)
    else:
        wanted = 200, content(length)
        client.request("GET", f"/good/{way}/{length}", headers=fields)
    answer = client.getresponse()
    return wanted, (answer.status, answer.read())


client, is_kept = None, False
while time.monotonic() < end:
    way, length = random.choice(("length", "chunked", "close", "put", "put chunked")), size()
    if client is None or random.random() < 0.2:
        if client is not None:
            client.close()
        client, is_kept = Client("localhost"), False
    begun = time.monotonic()
    for _ in range(3):
        try:
            wanted, got = exchange(client, way, length)
            if got == wanted:
                seen["right"] += 1
            else:
                kind = "refused" if got[0] >= 500 else "wrong"
                seen[kind] += 1
                print(f"{time.strftime('%T')} {kind}: {way} {length}: {got[0]}, {len(got[1])} bytes after "
                      f"{time.monotonic() - begun:.2f} s: {got[1][:100]}", file=sys.stderr)
            is_kept = client.sock is not None
            break
        except (OSError, http.client.HTTPException) as error:
            is_early = isinstance(error, (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError))
            client.close()
            client = Client("localhost")
            if is_kept and is_early:
                seen["again"] += 1
                is_kept = False
                continue
            is_kept = False
            seen["broken"] += 1
            print(f"{time.strftime('%T')} broken: {way} {length}: {error!r} after {time.monotonic() - begun:.2f} s",
                  file=sys.stderr)
            break
    time.sleep(random.choice((0, 0, 0.05)))
figures(**seen)
