#!/usr/bin/env python3
"""A backend that does well what is asked under /good/, and anything else anywhere else: chaos_backend.py [CERTIFICATE KEY]

  GET /good/length|chunked|close/N   N bytes that are known from N alone: see content()
  PUT /good/...                      takes everything, answers with its length and sha256
  everything else                    an end, a reset, half a head, 1xx without end, garbage, a cut, a drip, an early answer,
                                     silence; rarely an answer

Prints where it listens, in the clear, or with TLS where it is given a certificate. A connection on which it did not do well is
never one that another request could be sent on.
"""

import hashlib
import random
import socket
import ssl
import struct
import sys
import threading
import time

BIG = 2_000_000


def content(size):
    return hashlib.shake_128(str(size).encode()).digest(size)


class Closed(Exception):
    pass


class Connection:
    def __init__(self, sock):
        self.sock = sock
        self.pending = b""

    def more(self):
        piece = self.sock.recv(65536)
        if not piece:
            raise Closed
        self.pending += piece

    def take(self, count):
        while len(self.pending) < count:
            self.more()
        taken, self.pending = self.pending[:count], self.pending[count:]
        return taken

    def line(self):
        while b"\r\n" not in self.pending:
            self.more()
        line, self.pending = self.pending.split(b"\r\n", 1)
        return line

    def head(self):
        first = self.line().decode("latin-1").split(" ")
        fields = {}
        while line := self.line():
            name, value = line.split(b":", 1)
            fields[name.lower()] = value.strip()
        return first[0], first[1], fields

    def body(self, fields):
        """Length and digest of all of it."""
        digest, total = hashlib.sha256(), 0
        if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
            while size := int(self.line().split(b";")[0], 16):
                digest.update(self.take(size))
                total += size
                self.take(2)
            while self.line():
                pass
        else:
            left = int(fields.get(b"content-length", b"0"))
            while left:
                if not self.pending:
                    self.more()
                piece = self.take(min(left, len(self.pending)))
                digest.update(piece)
                total += len(piece)
                left -= len(piece)
        return total, digest.hexdigest()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Closed

    def end(self):
        """By a reset or in order."""
        if random.random() < 0.5:
            self.reset()
        raise Closed


def chunks(body):
    at = 0
    while at < len(body):
        size = min(random.choice((1, 100, 7000, 70000)), len(body) - at)
        yield b"%x\r\n" % size + body[at:at + size] + b"\r\n"
        at += size
    yield b"0\r\n\r\n"


def good(peer, method, target, fields):
    length, digest = peer.body(fields)
    send = peer.sock.sendall
    if method == "PUT":
        said = f"{length} sha256:{digest}\n".encode()
        send(b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n" % len(said) + said)
        return
    kind, size = target.split("/")[2:4]
    body = content(int(size))
    if kind == "length":
        send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        send(body)
    elif kind == "chunked":
        send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        send(b"".join(chunks(body)))
    else:
        send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        send(body)
        try:
            # With a close-notify: else it would be a cut.
            peer.sock.unwrap() if isinstance(peer.sock, ssl.SSLSocket) else peer.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        raise Closed


def bad(peer, method, fields):
    send = peer.sock.sendall
    trick = random.randrange(16)
    if random.random() < 0.5:
        peer.body(fields)
    time.sleep(random.choice((0, 0, 0.001, 0.05)))
    size = random.randrange(1, random.choice((100, 10_000, BIG)))
    body = random.randbytes(size)
    # What ends well must say that it ends: nobody could know on a connection that was kept.
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size
    cut = random.randrange(size)
    if trick == 0:
        peer.end()
    elif trick == 1:
        send(head[:random.randrange(len(head))])
        peer.end()
    elif trick == 2:
        for _ in range(random.choice((1, 5, 31, 33, 400))):
            send(random.choice((b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n")))
        if random.random() < 0.5:
            peer.end()
        send(head + body)
    elif trick == 3:
        send(random.choice((random.randbytes(200), b"HTTP/1.1 999999 \r\n\r\n", b"SSH-2.0-x\r\n", b"\r\n" * 500,
                            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
                            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000)))
    elif trick == 4:
        send(head + body[:cut])
        peer.end()
    elif trick == 5:
        whole = b"".join(chunks(body))
        send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + whole[:random.randrange(len(whole))])
        peer.end()
    elif trick == 6:
        send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n" + body)
    elif trick == 7:
        send(head)
        for at in range(min(100, size)):
            send(body[at:at + 1])
            time.sleep(0.01)
    elif trick == 8:
        send(b"HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbig\n")
        time.sleep(random.choice((0, 0.1)))
    elif trick == 9:
        send(head + body)
        peer.sock.shutdown(socket.SHUT_WR)
        time.sleep(0.5)
    elif trick == 10:
        send(head.replace(b"close", b"keep-alive") + body + b"HTTP/1.1 200 OK\r\n\r\nfor nobody")
        # Longer than a connection is kept for what cannot be asked twice.
        time.sleep(2)
    elif trick == 11:
        time.sleep(random.choice((1, 3, 8)))
    elif trick == 12:
        send(b"HTTP/1.1 200 OK\r\n\r\n" + body)
        peer.end()
    elif trick == 13:
        send(b"HTTP/1.1 204 No Content\r\n\r\n" + body[:cut + 1])
        time.sleep(2)
    elif trick == 14:
        send(head + body[:cut])
        if not isinstance(peer.sock, ssl.SSLSocket):
            peer.sock.send(b"!", socket.MSG_OOB)
        send(body[cut:])
    else:
        # All of it, and slowly read.
        send(head + body)
    peer.end()


def serve(sock, tls):
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(90)
        if tls:
            sock = tls.wrap_socket(sock, server_side=True, suppress_ragged_eofs=True)
        peer = Connection(sock)
        while True:
            method, target, fields = peer.head()
            if target.startswith("/good/"):
                good(peer, method, target, fields)
            else:
                bad(peer, method, fields)
    except (OSError, ValueError, IndexError, Closed):
        pass
    finally:
        sock.close()


def main():
    tls = None
    if len(sys.argv) > 1:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(sys.argv[1], sys.argv[2])
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(f"listening on {'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve, args=(sock, tls), daemon=True).start()


if __name__ == "__main__":
    main()
