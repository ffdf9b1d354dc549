"""What clients do: long transfers, small requests, new connections.

Each load returns (how much, in how many seconds); the caller reads what the gate spent. The clients are alike for all
gates and as cheap as can be: they share the processor with what they measure.
"""

import multiprocessing
import os
import re
import socket
import ssl
import struct
import subprocess
import time

from room import USER, basic

# Where one side says nothing for so long, the measurement is void.
SILENCE = 60
PIECE = 1 << 20
CONTEXT = multiprocessing.get_context("fork")


class Refused(Exception):
    """An answer that is not the one of a measurement."""


def client_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def connect(port, context, session=None):
    client = socket.create_connection(("127.0.0.1", port), timeout=SILENCE)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context is None:
        return client
    return context.wrap_socket(client, server_hostname="localhost", session=session)


def read_head(client):
    """The status, the length of the body, and what of it came with the head."""
    head = b""
    while b"\r\n\r\n" not in head:
        more = client.recv(65536)
        if not more:
            raise Refused("the end instead of an answer")
        head += more
    fields, _, rest = head.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", fields)
    return int(fields.split(b" ", 2)[1]), int(length[1]) if length else 0, rest


def request(method, path, *fields):
    return "\r\n".join(
        [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: {basic(USER)}", *fields, "", ""]
    ).encode()


# ---- long transfers ------------------------------------------------------------------------------------------------


def pull(port, tls, size, _):
    with connect(port, client_context() if tls else None) as client:
        client.sendall(request("GET", "/blob", f"Range: bytes=0-{size - 1}"))
        status, length, rest = read_head(client)
        if status != 206 or length != size:
            raise Refused(f"{status} with {length} bytes")
        left = length - len(rest)
        buffer = bytearray(PIECE)
        # In the clear the kernel drops what has arrived without copying it.
        flags = 0 if tls else socket.MSG_TRUNC
        while left > 0:
            taken = client.recv_into(buffer, min(left, PIECE), flags)
            if taken == 0:
                raise Refused(f"the end, {left} bytes before it")
            left -= taken


def push(port, tls, size, blob):
    with connect(port, client_context() if tls else None) as client, open(blob, "rb") as file:
        client.sendall(request("PUT", "/sink", f"Content-Length: {size}"))
        if tls:
            piece = file.read(PIECE)
            for _ in range(size // PIECE):
                client.sendall(piece)
        elif client.sendfile(file, 0, size) != size:
            raise Refused("not all was taken")
        status, _, _ = read_head(client)
        if status != 201:
            raise Refused(str(status))


def at_once(count, work, *arguments):
    """Runs `work` in so many processes that begin together: what each returned, and the seconds from first to last."""
    gate = CONTEXT.Barrier(count)
    results = CONTEXT.SimpleQueue()

    def one():
        gate.wait(SILENCE)
        began = time.monotonic()
        try:
            result = work(*arguments)
        except Exception as error:  # pylint: disable=broad-except
            result = error
        results.put((began, time.monotonic(), result))

    workers = [CONTEXT.Process(target=one, daemon=True) for _ in range(count)]
    for worker in workers:
        worker.start()
    done = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    for _, _, result in done:
        if isinstance(result, Exception):
            raise Refused(repr(result))
    return [result for _, _, result in done], max(end for _, end, _ in done) - min(start for start, _, _ in done)


def transfer(direction, port, tls, streams, size, blob):
    _, seconds = at_once(streams, direction, port, tls, size, blob)
    return streams * size / (1 << 30), seconds


# ---- small requests ------------------------------------------------------------------------------------------------


def small(port, tls, connections, seconds, path="/small", script=None, arguments=()):
    """Requests on connections that stay, by wrk."""
    command = ["wrk", "-t2", f"-c{connections}", f"-d{seconds}s", "--timeout", f"{SILENCE}s"]
    if script is None:
        command += ["-H", f"Authorization: {basic(USER)}"]
    else:
        command += ["-s", str(script)]
    command += [f"{'https' if tls else 'http'}://127.0.0.1:{port}{path}"]
    said = subprocess.run(
        command + (["--", *arguments] if arguments else []),
        check=True, capture_output=True, text=True, timeout=seconds + 2 * SILENCE,
    ).stdout
    done = re.search(r"(\d+) requests in ([\d.]+)(m?s|m),", said)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)", said)
    if not done or bad or done[1] == "0":
        raise Refused(bad[0] if bad else said[-200:])
    return int(done[1]), float(done[2]) * {"ms": 0.001, "s": 1, "m": 60}[done[3]]


def segments(port, path, count=50):
    """In how many pieces an answer comes, by what the kernel counts on a connection that is kept."""
    data_segs_in = 152
    with connect(port, None) as client:
        arrived = []
        for _ in range(count):
            client.sendall(request("GET", path))
            status, length, body = read_head(client)
            if status != 200:
                raise Refused(f"{status} for {path}")
            while len(body) < length:
                more = client.recv(65536)
                if not more:
                    raise Refused("the end instead of a body")
                body += more
            info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            arrived.append(struct.unpack_from("<I", info, data_segs_in)[0])
        # Not the first answer: until it is kept, a connection may hold the body back for the client's acknowledgement.
        return (arrived[-1] - arrived[0]) / (count - 1)


def warm(port):
    with connect(port, None) as client:
        client.sendall(request("GET", "/small"))
        status, _, _ = read_head(client)
        if status != 200:
            raise Refused(str(status))


def first_logins(port, users, connections):
    """Each user once, on a few connections that stay: the seconds it took."""

    def share(mine):
        with connect(port, None) as client:
            for user in mine:
                client.sendall(request("GET", "/small").replace(basic(USER).encode(), basic(user).encode()))
                status, _, _ = read_head(client)
                if status != 200:
                    raise Refused(f"{status} for {user}")

    counter = CONTEXT.Value("i", 0)

    def one():
        with counter.get_lock():
            number = counter.value
            counter.value += 1
        share(users[number::connections])

    return at_once(connections, one)[1]


# ---- new connections -----------------------------------------------------------------------------------------------


def shake(port, resume, seconds):
    """One connection after the other, with one request each, through TLS 1.3. Counts them."""
    context = client_context()
    ask = request("GET", "/small", "Connection: close")
    session = None
    count = -1
    until = None
    while until is None or time.monotonic() < until:
        with connect(port, context, session) as client:
            client.sendall(ask)
            status, _, _ = read_head(client)
            if status != 200:
                raise Refused(str(status))
            if client.session_reused != (session is not None):
                raise Refused("not resumed" if session else "resumed")
            if resume:
                # Tickets come with the answer, and each is used once, as RFC 8446 wants it.
                session = client.session
        count += 1
        # The first connection has no ticket yet.
        if until is None:
            until = time.monotonic() + seconds
    return count


def connections(port, resume, seconds, clients=4):
    counts, taken = at_once(clients, shake, port, resume, seconds)
    return sum(counts), taken
