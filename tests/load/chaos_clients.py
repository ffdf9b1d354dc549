#!/usr/bin/env python3
"""Clients that do what no client should: chaos_clients.py TLS-PORT PLAIN-PORT CA USER PASSWORD SECONDS THREADS

Ends, resets, half-closes, partial handshakes and heads, garbage, cuts, bodies that do not end, slow readers, requests piled up
and not listened for. What is answered is not looked at.
"""

import random
import socket
import ssl
import struct
import sys
import threading
import time

from client import authorization, connect, context, figures, request

tls_port, plain_port, ca, user, password, seconds, threads = sys.argv[1:]
tls = context(ca)
known = authorization(user, password)
end = time.monotonic() + float(seconds)
lock = threading.Lock()
count = 0
NAP = (0, 0, 0.001, 0.01, 0.1, 0.5)


def source():
    return f"127.3.0.{random.randrange(1, 200)}"


def opened():
    if random.random() < 0.5:
        return connect(int(plain_port), source())
    return connect(int(tls_port), source(), tls)


def close(sock):
    how = random.randrange(4)
    if how == 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif how == 1:
        sock.shutdown(socket.SHUT_WR)
        nap()
    elif how == 2 and isinstance(sock, ssl.SSLSocket):
        # Waits for the gate's close-notify.
        sock.settimeout(1)
        sock = sock.unwrap()
    sock.close()


def nap():
    time.sleep(random.choice(NAP))


def piece(data):
    return data[:random.randrange(len(data) + 1)]


def target():
    size = random.randrange(random.choice((10, 10_000, 2_000_000)))
    return random.choice(("/chaos", "/chaos", f"/good/length/{size}", f"/good/chunked/{size}", f"/good/close/{size}"))


def ask(*fields, method="GET"):
    credentials = known if random.random() < 0.95 else authorization(user, "wrong")
    return request(target(), credentials, *fields, method=method)


def read_some(sock, most=1 << 30):
    got = 0
    sock.settimeout(2)
    while got < most:
        data = sock.recv(random.choice((1, 1000, 65536)))
        if not data:
            break
        got += len(data)


def handshake():
    sock = connect(int(tls_port), source())
    outgoing = ssl.MemoryBIO()
    hello = tls.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    try:
        hello.do_handshake()
    except ssl.SSLWantReadError:
        pass
    data = outgoing.read()
    sock.sendall(random.choice((piece(data), data, b"\x16\x03\x01", random.randbytes(300), request("/", known))))
    nap()
    return sock


def head():
    sock = opened()
    sock.sendall(piece(ask()))
    nap()
    return sock


def garbage():
    sock = opened()
    sock.sendall(random.choice((random.randbytes(500), b"GET / HTTP/1.1\r\n\r\n", b"GET  / HTTP/9\r\nHost: x\r\n\r\n",
                                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 80_000,
                                ask() + random.randbytes(100), b"\r\n" * 1000)))
    read_some(sock, 2000)
    return sock


def upload():
    sock = opened()
    size = random.randrange(1, random.choice((1000, 2_000_000)))
    fields = [f"Content-Length: {size}\r\n".encode()]
    if random.random() < 0.3:
        fields.append(b"Expect: 100-continue\r\n")
    sock.sendall(ask(*fields, method=random.choice(("PUT", "PATCH", "POST"))))
    body = random.randbytes(random.randrange(size + 1) if random.random() < 0.7 else size)
    for at in range(0, len(body), 50_000):
        sock.sendall(body[at:at + 50_000])
        if random.random() < 0.1:
            nap()
    if random.random() < 0.5:
        read_some(sock, 5000)
    return sock


def chunked_upload():
    sock = opened()
    sock.sendall(ask(b"Transfer-Encoding: chunked\r\n", method="PUT"))
    for _ in range(random.randrange(20)):
        size = random.randrange(1, random.choice((10, 100_000)))
        sock.sendall(b"%x\r\n" % size + random.randbytes(size) + b"\r\n")
        if random.random() < 0.1:
            nap()
    sock.sendall(random.choice((b"", b"0\r\n\r\n", b"0\r\n", b"zz\r\n", b"5\r\nhel", b"0\r\nX: " + b"y" * 10_000)))
    if random.random() < 0.5:
        read_some(sock, 5000)
    return sock


def download():
    sock = opened()
    sock.sendall(ask())
    if random.random() < 0.3:
        sock.shutdown(socket.SHUT_WR)
    if random.random() < 0.5:
        # Slowly.
        sock.settimeout(2)
        for _ in range(random.randrange(50)):
            if not sock.recv(1000):
                break
            time.sleep(0.02)
    else:
        read_some(sock, random.randrange(1_000_000))
    return sock


def pile():
    sock = opened()
    sock.settimeout(2)
    body = random.randbytes(500)
    for _ in range(random.choice((3, 50, 500))):
        sock.sendall(ask() if random.random() < 0.5 else ask(b"Content-Length: 500\r\n", method="PUT") + body)
    nap()
    if random.random() < 0.5:
        read_some(sock, random.randrange(100_000))
    return sock


def urgent():
    sock = connect(int(plain_port), source())
    asked = ask(b"Content-Length: 200000\r\n", method="PUT")
    sock.sendall(asked + random.randbytes(100_000))
    sock.send(b"!", socket.MSG_OOB)
    sock.sendall(random.randbytes(random.randrange(100_000)))
    read_some(sock, 2000)
    return sock


def idle():
    sock = opened()
    sock.sendall(request("/good/length/10", known))
    time.sleep(random.random() * 3)
    return sock


WORKS = (handshake, head, garbage, upload, upload, chunked_upload, chunked_upload, download, download, pile, urgent, idle)


def run():
    global count
    while time.monotonic() < end:
        try:
            close(random.choice(WORKS)())
        except (OSError, ValueError, IndexError):
            # Torn by the other side, which is its right.
            pass
        with lock:
            count += 1


running = [threading.Thread(target=run) for _ in range(int(threads))]
for thread in running:
    thread.start()
for thread in running:
    thread.join()
figures(chaos=count)
