#!/usr/bin/env python3
"""A stranger who sends TLS records without content, as many as the gate reads: empties.py TLS-PORT CA RECORDS SECONDS.

One empty record and then 32 key updates, again and again, which reset each other's limits in many libraries. RECORDS of them
are sealed before the first connection is said to begin; whenever the gate ends one, the next begins, until SECONDS are over.
The handshakes are Python's own, with secrets that are logged for this. What it prints is for figures of lib.sh.
"""

import hashlib
import hmac
import os
import socket
import ssl
import struct
import sys
import tempfile
import time

from client import context, figures
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HANDSHAKE, APPLICATION_DATA = b"\x16", b"\x17"
# RFC 8446, 4.6.3: one that asks for no answer.
KEY_UPDATE = b"\x18\0\0\x01\0"
# What follows the first time, when nothing is prepared.
LATER = 500


def expand(secret, label, length):
    """HKDF-Expand-Label (RFC 8446, 7.1) of no more than one block."""
    label = b"tls13 " + label
    info = struct.pack(">HB", length, len(label)) + label + b"\0\x01"
    return hmac.digest(secret, info, hashlib.sha384)[:length]


class Sealer:
    """What the client sends after its handshake."""

    def __init__(self, secret):
        self.set(secret)

    def set(self, secret):
        self.secret, self.sequence = secret, 0
        self.key = AESGCM(expand(secret, b"key", 32))
        self.iv = int.from_bytes(expand(secret, b"iv", 12), "big")

    def seal(self, kind, content):
        head = b"\x17\x03\x03" + struct.pack(">H", len(content) + 17)
        nonce = (self.iv ^ self.sequence).to_bytes(12, "big")
        self.sequence += 1
        return head + self.key.encrypt(nonce, content + kind, head)

    def without_content(self, count):
        records = []
        for number in range(count):
            if number % 33 == 0:
                records.append(self.seal(APPLICATION_DATA, b""))
            else:
                records.append(self.seal(HANDSHAKE, KEY_UPDATE))
                self.set(expand(self.secret, b"traffic upd", 48))
        return b"".join(records)


def begin(port, tls, log):
    """A socket on which the handshake is done, and what seals."""
    open(log, "w").close()
    sock = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=("127.0.0.4", 0))
    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = tls.wrap_bio(came, goes, server_hostname="localhost")
    while True:
        try:
            session.do_handshake()
            break
        except ssl.SSLWantReadError:
            sock.sendall(goes.read())
            piece = sock.recv(16384)
            if not piece:
                raise ConnectionError("closed within the handshake") from None
            came.write(piece)
    sock.sendall(goes.read())
    with open(log) as lines:
        secrets = dict(line.split(" ", 1) for line in lines if not line.startswith("#"))
    secret = bytes.fromhex(secrets["CLIENT_TRAFFIC_SECRET_0"].split()[1])
    if len(secret) != 48:
        raise ValueError(f"{session.cipher()} where TLS_AES_256_GCM_SHA384 was expected")
    return sock, Sealer(secret)


port, ca, count, seconds = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
tls = context(ca)
tls.minimum_version = ssl.TLSVersion.TLSv1_3
with tempfile.TemporaryDirectory() as room:
    tls.keylog_filename = log = os.path.join(room, "secrets")
    connections = failed = sent = 0
    longest = 0.0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            sock, sealer = begin(port, tls, log)
        except (OSError, ConnectionError) as error:
            failed += 1
            print(f"connection {connections + failed}: {error!r}", file=sys.stderr)
            time.sleep(0.01)
            continue
        connections += 1
        records = sealer.without_content(count if connections == 1 else LATER)
        start = time.monotonic()
        with sock:
            try:
                while time.monotonic() < end and records:
                    taken = sock.send(records[: 1 << 18])
                    sent += taken
                    records = records[taken:] if taken < len(records) else b""
                # All was taken: it was read, or it lies in the kernel. The end tells.
                sock.settimeout(max(end - time.monotonic(), 0.01))
                while sock.recv(16384):
                    pass
            except OSError:
                pass
        longest = max(longest, time.monotonic() - start)
figures(empties_connections=connections, empties_failed=failed, empties_sent=sent, empties_longest=longest * 1000)
