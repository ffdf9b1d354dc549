#!/usr/bin/env python3
"""Transfers killed in the middle: cuts.py CASE TLS-PORT CA CREDENTIALS STORE REGISTRY-PID

  client     the client goes away while its upload is under way, in each of the ways there are
  upload     the registry is killed while an upload is under way
  download   the registry is killed while an answer is under way

The digest that a killed upload names is that of the part that was sent: if anything on the way took the part for the
whole, the registry would store it, and that is looked for in its store.
"""

import base64
import hashlib
import os
import signal
import socket
import ssl
import struct
import sys
import time

case, port, ca, credentials, store, registry = sys.argv[1:7]
AUTHORIZATION = "Authorization: Basic " + base64.b64encode(credentials.encode()).decode()
PART = 4 << 20
WHOLE = 64 << 20
# What the registry may still hold in its own buffers of what has reached it.
BUFFERED = 128 << 10


def fail(sentence):
    print(f"  FAILED: {sentence}")
    sys.exit(1)


def check(sentence, well, seen=""):
    if not well:
        fail(f"{sentence}: {seen}")
    print(f"  ok: {sentence}")


def wait_until(what, condition):
    end = time.monotonic() + 20
    while not condition():
        if time.monotonic() > end:
            fail(f"waited in vain until {what}")
        time.sleep(0.02)


def connect():
    """A connection whose end is never taken for a clean one when it is not."""
    sock = socket.create_connection(("127.0.0.1", int(port)), timeout=60)
    context = ssl.create_default_context(cafile=ca)
    return context.wrap_socket(sock, server_hostname="registry.test", suppress_ragged_eofs=False)


def send_head(sock, method, target, *fields):
    lines = [f"{method} {target} HTTP/1.1", f"Host: registry.test:{port}", AUTHORIZATION, *fields]
    sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")


def read_head(stream):
    status = stream.readline().split()
    fields = {}
    while line := stream.readline().strip():
        name, value = line.decode("latin-1").split(":", 1)
        fields[name.lower()] = value.strip()
    return int(status[1]), fields


def ask(method, target, *fields):
    with connect() as sock:
        send_head(sock, method, target, "Connection: close", "Content-Length: 0", *fields)
        return read_head(sock.makefile("rb"))


def open_upload(digest):
    """The target that takes the whole blob."""
    status, fields = ask("POST", "/v2/cut/uploads/blobs/uploads/")
    if status != 202:
        fail(f"no upload begins: {status}")
    return fields["location"].split(f":{port}", 1)[1] + "&digest=" + digest


def chunk(data):
    return b"%x\r\n" % len(data) + data + b"\r\n"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def data_of(digest):
    return os.path.join(store, "docker/registry/v2/blobs/sha256", digest[7:9], digest[7:], "data")


def received(target):
    """How much of an upload has come to the registry's disk."""
    upload = target.split("?")[0].rsplit("/", 1)[1]
    path = os.path.join(store, "docker/registry/v2/repositories/cut/uploads/_uploads", upload, "data")
    return os.path.getsize(path) if os.path.exists(path) else 0


def requests_seen():
    """The access log of the registry has a line for each request that has ended."""
    with open(os.path.join(os.path.dirname(store), "registry.log"), encoding="utf-8", errors="replace") as log:
        return sum('"PUT /v2/cut/' in line for line in log)


def nothing_stored(how, digest):
    status, _ = ask("HEAD", "/v2/cut/uploads/blobs/" + digest)
    check(f"{how}: the registry knows nothing of it", status == 404, status)
    check(f"{how}: nothing of it is stored", not os.path.exists(data_of(digest)), data_of(digest))


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    socket.socket.close(sock)


def close_notify(sock):
    try:
        sock.settimeout(5)
        sock.unwrap()
    except OSError:
        pass
    sock.close()


def client_goes_away():
    ways = {
        "a reset": reset,
        "a bare end": socket.socket.close,
        "a proper end of TLS": close_notify,
    }
    for framing in ("Content-Length", "chunks"):
        for way, leave in ways.items():
            part = os.urandom(PART)
            digest = digest_of(part)
            target = open_upload(digest)
            before = requests_seen()
            sock = connect()
            if framing == "chunks":
                send_head(sock, "PUT", target, "Transfer-Encoding: chunked")
                sock.sendall(chunk(part))
            else:
                send_head(sock, "PUT", target, f"Content-Length: {WHOLE}")
                sock.sendall(part)
            wait_until("the part is at the registry", lambda: received(target) >= PART - BUFFERED)
            leave(sock)
            wait_until("the registry has ended the request", lambda: requests_seen() > before)
            nothing_stored(f"upload in {framing} cut by {way} of the client", digest)
    part = os.urandom(PART)
    digest = digest_of(part)
    with connect() as sock:
        send_head(sock, "PUT", open_upload(digest), "Transfer-Encoding: chunked", "Connection: close")
        sock.sendall(chunk(part) + b"0\r\n\r\n")
        status, _ = read_head(sock.makefile("rb"))
    check("a whole one is stored", status == 201 and os.path.exists(data_of(digest)), status)


def registry_dies_during_upload():
    part = os.urandom(PART)
    digest = digest_of(part)
    target = open_upload(digest)
    with connect() as sock:
        send_head(sock, "PUT", target, f"Content-Length: {WHOLE}", "Content-Type: application/octet-stream")
        sock.sendall(part)
        wait_until("the part is at the registry", lambda: received(target) >= PART - BUFFERED)
        os.kill(int(registry), signal.SIGKILL)
        try:
            for _ in range(PART, WHOLE, PART):
                sock.sendall(part)
        except OSError:
            pass  # The gate has given up reading; its answer must be there all the same.
        status, fields = read_head(sock.makefile("rb"))
    check("the registry dies under an upload: the client sees 502", status == 502, status)
    check("as JSON", fields.get("content-type", "").startswith("application/json"), fields)
    status, _ = ask("GET", "/v2/")
    check("the gate lives on, and says 502 while the registry is away", status == 502, status)
    print("digest", digest)


def registry_dies_during_download():
    blob = os.urandom(WHOLE)
    digest = digest_of(blob)
    with connect() as sock:
        send_head(sock, "PUT", open_upload(digest), f"Content-Length: {WHOLE}", "Connection: close")
        sock.sendall(blob)
        status, _ = read_head(sock.makefile("rb"))
        check("a blob of 64 MiB is there", status == 201, status)
    with connect() as sock:
        send_head(sock, "GET", "/v2/cut/uploads/blobs/" + digest)
        stream = sock.makefile("rb")
        status, fields = read_head(stream)
        got = bytearray(stream.read(PART))
        os.kill(int(registry), signal.SIGKILL)
        end = "a proper end"
        try:
            while piece := stream.read1(1 << 16):
                got += piece
        except (ssl.SSLEOFError, ssl.SSLError, ConnectionError) as error:
            end = type(error).__name__
    check("its answer began well", status == 200 and int(fields["content-length"]) == WHOLE, status)
    check("the registry dies under a download: the rest does not come", PART <= len(got) < WHOLE, len(got))
    check("what came is what was sent", blob.startswith(bytes(got)))
    check(f"and it ends in a way that nobody takes for whole ({end})", end != "a proper end", end)


{
    "client": client_goes_away,
    "upload": registry_dies_during_upload,
    "download": registry_dies_during_download,
    "gone": lambda: nothing_stored("upload cut by the death of the registry", sys.argv[7]),
}[case]()
