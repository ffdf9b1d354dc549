#!/usr/bin/env python3
"""Connections torn at any moment: tear.py TLS-PORT PLAIN-PORT CA USER PASSWORD SECONDS

In a handshake, a head, an upload, a download, while idle, by a reset or without one; heads with what a log has to escape;
idle clients that come back, and such as do not. What the gate answers is not looked at: it must live through it.
"""

import base64
import random
import socket
import ssl
import struct
import sys
import threading
import time

from client import answer, authorization, connect, context, figures, request

THREADS = 24
tls_port, plain_port, ca, user, password, seconds = sys.argv[1:]
tls = context(ca)
known = authorization(user, password)
end = time.monotonic() + float(seconds)
lock = threading.Lock()
cuts = 0


def close(sock):
    """By a reset, or in the way that a program ends: without a close-notify."""
    if random.random() < 0.5:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif random.random() < 0.3:
        sock.shutdown(socket.SHUT_WR)
        time.sleep(random.random())
    sock.close()


def opened():
    source = f"127.2.0.{random.randrange(1, 200)}"
    if random.random() < 0.3:
        return connect(int(plain_port), source)
    return connect(int(tls_port), source, tls)


def piece(data):
    return data[:random.randrange(len(data) + 1)]


def handshake():
    outgoing = ssl.MemoryBIO()
    hello = tls.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    try:
        hello.do_handshake()
    except ssl.SSLWantReadError:
        pass
    sock = connect(int(tls_port), f"127.2.0.{random.randrange(1, 200)}")
    data = outgoing.read()
    sock.sendall(piece(data) if random.random() < 0.5 else data)
    # With the whole hello: before, while or after the gate answers.
    time.sleep(random.choice((0, 0.001, 0.01, 0.5)))
    return sock


def head():
    sock = opened()
    sock.sendall(piece(request("/v2/team/app/manifests/latest", known)))
    time.sleep(random.choice((0, 0.01, 1)))
    return sock


def upload():
    sock = opened()
    size = random.randrange(1, 2_000_000)
    body = random.randbytes(random.randrange(size))
    if random.random() < 0.5:
        sock.sendall(request("/sink", known, f"Content-Length: {size}\r\n".encode(), method="PUT") + body)
    else:
        chunk = b"%x\r\n" % len(body) + body + b"\r\n"
        sock.sendall(request("/v2/sink", known, b"Transfer-Encoding: chunked\r\n", method="PUT") + piece(chunk))
    return sock


def download():
    sock = opened()
    sock.sendall(request("/file", known))
    wanted = random.randrange(3_000_000)
    while wanted > 0:
        got = sock.recv(65536)
        if not got:
            break
        wanted -= len(got)
    return sock


def idle():
    sock = opened()
    for _ in range(random.randrange(1, 4)):
        sock.sendall(request("/v2/", known))
        answer(sock)
        time.sleep(random.choice((0.1, 1, 5)))
    return sock


def odd():
    """What a log must not show as it is."""
    sock = opened()
    words = ['"', "\\", "\x1b[2J", "\u202e", "\u2028", "é", " ", "\x7f", "\udcff", "-", "%22", "?password=x&a=b", ","]
    text = "".join(random.choices(words, k=random.randrange(1, 8)))
    raw = text.encode("utf-8", "surrogateescape")
    claimed = b"Authorization: Basic " + base64.b64encode(b"\n" + raw + b":x") + b"\r\n"
    if random.random() < 0.5:
        sock.sendall(request("/v2/", claimed))
    else:
        sock.sendall(b"GET /" + raw + b" HTTP/1.1\r\nHost: localhost\r\n" + random.choice((claimed, known)) + b"\r\n")
    answer(sock)
    return sock


def tear():
    global cuts
    while time.monotonic() < end:
        try:
            close(random.choice((handshake, head, upload, download, idle, odd))())
        except (OSError, ValueError, IndexError):
            # Torn by the other side, which is its right.
            pass
        with lock:
            cuts += 1
        time.sleep(random.random())


threads = [threading.Thread(target=tear) for _ in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
figures(cuts=cuts)
