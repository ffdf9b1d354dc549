#!/usr/bin/env python3
"""A byte that one side sends is there at once on the other, although more are coming later.

Backend and clients are both in this program, so that they read the same clock. It says where its backend listens, and
reads from standard input, once the gate is there: TLS-PORT PLAIN-PORT CA CREDENTIALS
"""

import base64
import socket
import ssl
import sys
import threading
import time

BYTES = 15
PAUSE = 0.2
LIMIT = 0.050
FRAMINGS = ("length", "chunks", "close")

times = {}  # what is sent or has arrived, by its name: a list of times


def drip(name, send):
    """Each byte is sent at its own time, whatever the one before took."""
    begin = time.monotonic()
    sent = times.setdefault(name, [])
    for number in range(BYTES):
        time.sleep(max(0, begin + number * PAUSE - time.monotonic()))
        sent.append(time.monotonic())
        send(b"%c" % (65 + number))


def catch(name, stream, framing):
    arrived = times.setdefault(name, [])
    for number in range(BYTES):
        if framing == "chunks":
            assert int(stream.readline().split(b";")[0], 16) == 1, "more than a byte in a chunk"
        byte = stream.read(1)
        arrived.append(time.monotonic())
        assert byte == b"%c" % (65 + number), byte
        if framing == "chunks":
            assert stream.readline() == b"\r\n"


def sender(sock, framing):
    if framing == "chunks":
        return lambda byte: sock.sendall(b"1\r\n" + byte + b"\r\n")
    return sock.sendall


def read_head(stream):
    lines = []
    while (line := stream.readline().strip()):
        lines.append(line.decode("latin-1"))
    return lines


def back(sock):
    """One request: GET /NAME/FRAMING drips down, PUT /NAME/FRAMING is a drip on its way up."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with sock, sock.makefile("rb") as stream:
        method, target, _ = read_head(stream)[0].split()
        framing = target.rsplit("/", 1)[1]
        if method == "GET":
            field = {"length": f"Content-Length: {BYTES}", "chunks": "Transfer-Encoding: chunked", "close": "X-None: 1"}
            sock.sendall(f"HTTP/1.1 200 OK\r\nConnection: close\r\n{field[framing]}\r\n\r\n".encode())
            drip("sent " + target, sender(sock, framing))
            if framing == "chunks":
                sock.sendall(b"0\r\n\r\n")
        else:
            catch("arrived " + target, stream, framing)
            if framing == "chunks":
                read_head(stream)
            sock.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")


def front(scheme, port, method, framing):
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if scheme == "https":
        sock = ssl.create_default_context(cafile=ca).wrap_socket(sock, server_hostname="localhost")
    target = f"/{scheme}-{method}/{framing}"
    lines = [f"{method} {target} HTTP/1.1", f"Host: localhost:{port}", "Connection: close",
             "Authorization: Basic " + base64.b64encode(credentials.encode()).decode()]
    with sock, sock.makefile("rb") as stream:
        if method == "PUT":
            lines.append({"length": f"Content-Length: {BYTES}", "chunks": "Transfer-Encoding: chunked"}[framing])
        sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        if method == "PUT":
            drip("sent " + target, sender(sock, framing))
            if framing == "chunks":
                sock.sendall(b"0\r\n\r\n")
            assert read_head(stream)[0].split()[1] == "204"
        else:
            head = read_head(stream)
            assert head[0].split()[1] == "200", head
            # What the backend ends by closing comes in chunks to a client of HTTP/1.1.
            chunked = any(line.lower() == "transfer-encoding: chunked" for line in head)
            catch("arrived " + target, stream, "chunks" if chunked else framing)


def accept():
    while True:
        threading.Thread(target=back, args=(listener.accept()[0],), daemon=True).start()


listener = socket.create_server(("127.0.0.1", 0))
print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
tls_port, plain_port, ca, credentials = sys.stdin.readline().split()
threading.Thread(target=accept, daemon=True).start()

drips = [(scheme, int(port), method, framing)
         for scheme, port in (("https", tls_port), ("http", plain_port))
         for method in ("GET", "PUT")
         for framing in FRAMINGS if (method, framing) != ("PUT", "close")]
threads = [threading.Thread(target=front, args=one) for one in drips]
for thread in threads:
    thread.start()
    time.sleep(PAUSE / len(drips))  # so that not all of them send at the same moment
for thread in threads:
    thread.join()

late = False
for scheme, _, method, framing in drips:
    target = f"/{scheme}-{method}/{framing}"
    sent, arrived = times.get("sent " + target, []), times.get("arrived " + target, [])
    way = "down" if method == "GET" else "up"
    if len(sent) != BYTES or len(arrived) != BYTES:
        print(f"  FAILED: {scheme} {way} ({framing}): {len(sent)} bytes sent, {len(arrived)} arrived")
        late = True
        continue
    delays = sorted(there - here for here, there in zip(sent, arrived))
    # The median: a byte that is held back waits for the next one, 200 ms, and so do all of them; a single late one is
    # the machine's doing.
    usual, worst = delays[len(delays) // 2], delays[-1]
    late = late or usual > LIMIT
    print(f"  {'FAILED' if usual > LIMIT else 'ok'}: {scheme} {way} ({framing}): a byte takes {usual * 1000:.1f} ms, "
          f"{worst * 1000:.1f} at most")
sys.exit(late)
