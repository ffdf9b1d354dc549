#!/usr/bin/env python3
"""Starts a gate and says how long it takes until a valid user has the first answer: begin.py USER PASSWORD COMMAND..."""

import re
import subprocess
import sys
import time

from client import answer, authorization, connect, figures, request

user, password, *command = sys.argv[1:]
asked = request("/v2/", authorization(user, password))
begin = time.monotonic()
gate = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
try:
    said = []
    for line in gate.stderr:
        said.append(line.decode())
        found = re.search(r"listening on http://127\.0\.0\.1:(\d+)", said[-1])
        if found:
            break
    else:
        sys.exit("it ended instead of listening: " + "".join(said))
    with connect(int(found[1])) as sock:
        sock.sendall(asked)
        status, _ = answer(sock)
    took = time.monotonic() - begin
    if status != 200:
        sys.exit(f"status {status}")
finally:
    gate.terminate()
    gate.wait(20)
figures(first_answer=took * 1000)
