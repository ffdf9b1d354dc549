#!/usr/bin/env python3
"""A black hole: a listener whose queue is full and that accepts nothing, so that a connect to it is never answered: hole.py

Says where it listens, and that it is full. Ends when it is told to.
"""

import select
import socket
import sys
import time

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(0)
port = listener.getsockname()[1]
stuck, waiting = [], []
# The kernel's queue holds one or two more than it was told.
for _ in range(16):
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex(("127.0.0.1", port))
    _, connected, _ = select.select([], [sock], [], 0.3)
    stuck.append(sock)
    if not connected:
        break
else:
    sys.exit("it takes whatever comes")
print(f"listening on 127.0.0.1:{port}", file=sys.stderr, flush=True)
while True:
    time.sleep(3600)
