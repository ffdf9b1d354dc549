#!/usr/bin/env python3
"""The services of the recipe, each of which says every request that it sees:

  service.py hello PORT                     answers Hello world, once it has read the body
  service.py api PORT USER:PASSWORD CACHE   an auth API: 200 or 401, with Cache-Control: CACHE
  service.py mute ADDRESS:PORT              over UDP, as a resolver that never answers; says nothing of what it sees

Prints where it listens, then `METHOD TARGET original=URI user=NAME authorization=yes|no` for each request.
"""

import base64
import http.server
import os
import socket
import sys

role = sys.argv[1]
if role == "mute":
    address, port = sys.argv[2].split(":")
    mute = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    mute.bind((address, int(port)))
    print(f"listening on udp://{sys.argv[2]}", flush=True)
    while True:
        mute.recv(512)
port = int(sys.argv[2])
if role == "api":
    wanted = "Basic " + base64.b64encode(sys.argv[3].encode()).decode()
    cache = sys.argv[4]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An idle connection that is never closed would hold its thread.
    timeout = 60
    # An answer goes out whole, or its body waits for the client's ACK of its head.
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def handle_any(self):
        left = int(self.headers.get("Content-Length", 0))
        while left:
            piece = self.rfile.read(min(left, 1 << 16))
            if not piece:
                return
            left -= len(piece)
        authorization = self.headers.get("Authorization")
        seen = (
            f"{self.command} {self.path} original={self.headers.get('X-Original-URI', '-')}"
            f" user={self.headers.get('X-Remote-User', '-')} authorization={'yes' if authorization else 'no'}\n"
        )
        # In one call, so that no two threads write into each other's line.
        os.write(sys.stdout.fileno(), seen.encode("latin-1"))
        if role == "hello":
            self.answer(200, b"Hello world\n")
        elif authorization == wanted:
            self.answer(200, b"yes\n", {"Cache-Control": cache})
        else:
            self.answer(401, b"no\n", {"Cache-Control": cache, "WWW-Authenticate": 'Basic realm="Registry"'})

    def answer(self, status, body, fields=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (fields or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


server = Server(("127.0.0.1", port), Handler)
print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
