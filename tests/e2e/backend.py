#!/usr/bin/env python3
"""A backend for what a real registry does not do on demand: backend.py STATUS [UPLOAD-LOCATION [FILE]]

  GET /v2/, HEAD of a blob, POST of an upload   enough of a registry for a client to begin a push
  PUT, PATCH under /v2/                         STATUS at once, then nothing more of the body is read; the connection
                                                is closed half a second later, as Go's server does
  GET /file                                     FILE, by sendfile
  PUT /sink                                     takes everything, answers with its length and sha256

Prints where it listens. Fast enough not to be what is measured.
"""

import hashlib
import json
import os
import socket
import sys
import threading
import time

status = int(sys.argv[1])
location = sys.argv[2] if len(sys.argv) > 2 else "/v2/team/app/blobs/uploads/1"
source = sys.argv[3] if len(sys.argv) > 3 else None
REASONS = {200: "OK", 201: "Created", 202: "Accepted", 401: "Unauthorized", 404: "Not Found", 413: "Payload Too Large"}


def answer(sock, code, body=b"", fields=(), head_only=False):
    lines = [f"HTTP/1.1 {code} {REASONS[code]}", f"Content-Length: {len(body)}", *fields]
    sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if head_only else body))


def refuse(sock):
    code = {401: "UNAUTHORIZED", 413: "SIZE_INVALID"}[status]
    body = json.dumps({"errors": [{"code": code, "message": f"backend says {status}", "detail": None}]}).encode()
    fields = ["Content-Type: application/json", "Connection: close"]
    if status == 401:
        fields.append('WWW-Authenticate: Basic realm="backend"')
    answer(sock, status, body, fields)
    sock.shutdown(socket.SHUT_WR)
    time.sleep(0.5)


def swallow(sock, already, length):
    """By Content-Length alone: it is curl -T of a file that comes here."""
    digest, buffer = hashlib.sha256(already), memoryview(bytearray(1 << 20))
    left = length - len(already)
    while left:
        count = sock.recv_into(buffer, min(left, len(buffer)))
        if not count:
            return
        digest.update(buffer[:count])
        left -= count
    answer(sock, 201, f"{length} sha256:{digest.hexdigest()}\n".encode())


def send_file(sock):
    size = os.path.getsize(source)
    sock.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
    with open(source, "rb") as file:
        sock.sendfile(file)


def serve(sock):
    with sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pending = b""
        while True:
            while b"\r\n\r\n" not in pending:
                piece = sock.recv(65536)
                if not piece:
                    return
                pending += piece
            head, pending = pending.split(b"\r\n\r\n", 1)
            first, *fields = head.decode("latin-1").split("\r\n")
            method, target, _ = first.split(" ")
            known = {name.lower(): value.strip() for name, value in (field.split(":", 1) for field in fields)}
            if method in ("PUT", "PATCH") and target.startswith("/v2/"):
                return refuse(sock)
            if method == "PUT":
                return swallow(sock, pending, int(known["content-length"]))
            if target == "/file":
                send_file(sock)
            elif method == "POST":
                answer(sock, 202, fields=[f"Location: {location}", "Docker-Upload-UUID: 1", "Range: 0-0"])
            elif target == "/v2/":
                answer(sock, 200, b"{}", ["Docker-Distribution-Api-Version: registry/2.0"])
            else:
                answer(sock, 404, b"{}\n", head_only=method == "HEAD")


def guarded(sock):
    try:
        serve(sock)
    except OSError:
        pass  # The gate has hung up, which is its right.


listener = socket.create_server(("127.0.0.1", 0), backlog=128)
print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
while True:
    threading.Thread(target=guarded, args=(listener.accept()[0],), daemon=True).start()
