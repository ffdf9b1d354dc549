"""What the clients of this directory share: a connection from a chosen address, a request, an answer, percentiles.

They are for a gate that is well-behaved: an answer has a Content-Length, and what is odd is an exception.
"""

import base64
import socket
import ssl


def authorization(user, password):
    return b"Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()) + b"\r\n"


def request(target, *fields, method="GET"):
    """A whole request without a body; fields end in CRLF."""
    return f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n".encode() + b"".join(fields) + b"\r\n"


def context(ca):
    made = ssl.create_default_context(cafile=ca)
    # What these clients do not need, and each connection would hold.
    made.options |= ssl.OP_NO_TICKET
    return made


def connect(port, source="127.0.0.1", tls=None, timeout=20):
    """Without delay, as every client of a registry has it."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=timeout, source_address=(source, 0))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls is None:
        return sock
    try:
        return tls.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)
    except BaseException:
        sock.close()
        raise


def answer(sock):
    """Reads one answer whole: its status and how long its body was."""
    pending = b""
    while b"\r\n\r\n" not in pending:
        piece = sock.recv(16384)
        if not piece:
            raise ConnectionError(f"closed after {len(pending)} bytes of an answer")
        pending += piece
    head, body = pending.split(b"\r\n\r\n", 1)
    first, *fields = head.split(b"\r\n")
    length = 0
    for field in fields:
        name, value = field.split(b":", 1)
        if name.lower() == b"content-length":
            length = int(value)
    got = len(body)
    while got < length:
        piece = sock.recv(65536)
        if not piece:
            raise ConnectionError(f"closed after {got} bytes of {length}")
        got += len(piece)
    return int(first.split(b" ")[1]), got


def percentile(times, of):
    """In milliseconds, of times in seconds."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * of / 100))] * 1000 if ordered else 0.0


def figures(**named):
    """What a script reads."""
    print(*(f"{name}={value:.3f}" if isinstance(value, float) else f"{name}={value}" for name, value in named.items()),
          flush=True)
