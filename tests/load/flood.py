#!/usr/bin/env python3
"""A flood of full handshakes: flood.py PORT SECONDS AT-ONCE ADDRESSES

So many at once, from so many addresses, each closed as soon as it is whole and followed by the next. No session
is resumed, and no password is sent.
"""

import collections
import socket
import ssl
import struct
import sys
import time

from client import figures
from tasks import Tasks, opened

port, seconds, at_once, addresses = (int(word) for word in sys.argv[1:])
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
# What makes it dear for this side.
tls.check_hostname = False
tls.verify_mode = ssl.CERT_NONE
tls.minimum_version = ssl.TLSVersion.TLSv1_3
tasks = Tasks()
end = time.monotonic() + seconds
whole, wrong = 0, collections.Counter()


def one(number):
    global whole
    while time.monotonic() < end:
        try:
            sock = yield from opened(port, f"127.5.0.{1 + number % addresses}", tls, segment=None)
            # By a reset, so that no port is left over.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
            whole += 1
        except OSError as error:
            wrong[repr(error)] += 1
            yield 0.05


for number in range(at_once):
    tasks.start(one(number))
tasks.run()
for why, count in wrong.most_common(3):
    print(f"{count} times: {why}", file=sys.stderr)
figures(handshakes=whole / seconds, broken=sum(wrong.values()))
