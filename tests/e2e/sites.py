#!/usr/bin/env python3
"""What stands behind the hosts of tests/e2e/sites beside the registry, in plain HTTP:

  sites.py page REGISTRY   sites.html under /, and the registry at that address for whoever reads under /v2/
  sites.py echo            answers with what it was sent: the line, the fields, the body

Prints where it listens.
"""

import http.server
import os
import sys
import urllib.error
import urllib.request

role = sys.argv[1]
page = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sites.html")
# The machine's proxies have no say on loopback.
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


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
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if role == "echo":
            self.answer(200, {"Content-Type": "text/plain"}, f"{self.requestline}\n{self.headers}".encode() + body)
        elif self.command not in ("GET", "HEAD"):
            self.answer(405, {"Allow": "GET, HEAD"})
        elif self.path.startswith("/v2/"):
            self.from_registry()
        elif self.path.split("?")[0] == "/":
            with open(page, "rb") as file:
                self.answer(200, {"Content-Type": "text/html; charset=utf-8"}, file.read())
        else:
            self.answer(404)

    def from_registry(self):
        fields = {"Accept": self.headers.get("Accept", "*/*")}
        asked = urllib.request.Request(sys.argv[2] + self.path, method=self.command, headers=fields)
        try:
            got = direct.open(asked, timeout=20)
        except urllib.error.HTTPError as refusal:
            got = refusal
        with got:
            kept = ("Content-Type", "Docker-Content-Digest", "Link")
            self.answer(got.status, {name: got.headers[name] for name in kept if name in got.headers}, got.read())

    def answer(self, status, fields=None, body=b""):
        self.send_response(status)
        for name, value in (fields or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_OPTIONS = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


server = Server(("127.0.0.1", 0), Handler)
print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
