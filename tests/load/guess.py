#!/usr/bin/env python3
"""Guesses passwords over eight connections, each as fast as it is answered, until it is told to end (SIGTERM) or for so
many seconds: guess.py PORT SECONDS one|many [RATE]

  one    random passwords of the user alice, from 127.0.0.2
  many   random users and passwords, from 200 addresses in turn, four guesses each

RATE bounds the guesses a second. It is light, so that what is measured beside it is the gate and not this program.
"""

import base64
import itertools
import os
import select
import signal
import socket
import sys
import time

CONNECTIONS = 8
ADDRESSES = 200
GUESSES_FROM_EACH = 4

port, seconds, kind = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
rate = float(sys.argv[4]) if len(sys.argv) > 4 else 0
sources = itertools.cycle(["127.0.0.2"] if kind == "one" else [f"127.1.0.{1 + n}" for n in range(ADDRESSES)])
salt = os.urandom(4).hex()
numbers = itertools.count()
answers = {}
broken = 0
ending = False


def end(_signal, _frame):
    global ending
    ending = True


def guess():
    number = next(numbers)
    user = "alice" if kind == "one" else f"guess{number}"
    credentials = base64.b64encode(f"{user}:{salt}{number}".encode())
    return b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic " + credentials + b"\r\n\r\n"


class Connection:
    def __init__(self):
        self.left = GUESSES_FROM_EACH if kind == "many" else -1
        self.pending = b""
        self.sock = socket.socket()
        self.sock.bind((next(sources), 0))
        self.sock.connect(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        poll.register(self.sock, select.EPOLLIN)
        connections[self.sock.fileno()] = self
        self.ask()

    def ask(self):
        global next_time
        if rate:
            next_time = max(next_time, time.monotonic()) + 1 / rate
            time.sleep(max(0, next_time - time.monotonic()))
        self.left -= 1
        self.sock.send(guess())

    def hear(self):
        """Whether the connection can go on."""
        piece = self.sock.recv(16384)
        if not piece:
            return False
        self.pending += piece
        at = self.pending.find(b"\r\n\r\n")
        if at < 0:
            return True
        head = self.pending[:at]
        lower = head.lower()
        field = lower.find(b"\r\ncontent-length:")
        length = int(lower[field + 17:].split(b"\r\n", 1)[0]) if field >= 0 else 0
        if len(self.pending) < at + 4 + length:
            return True
        status = head[9:12].decode()
        answers[status] = answers.get(status, 0) + 1
        self.pending = b""
        if self.left == 0 or b"\r\nconnection: close" in lower:
            self.left = 0
            return False
        self.ask()
        return True

    def close(self):
        del connections[self.sock.fileno()]
        self.sock.close()


signal.signal(signal.SIGTERM, end)
poll = select.epoll()
connections = {}
begin = next_time = time.monotonic()
while not ending and time.monotonic() - begin < seconds:
    try:
        while len(connections) < CONNECTIONS:
            Connection()
    except OSError:
        # The gate is being restarted, which is no reason to stop.
        broken += 1
        time.sleep(0.02)
    for number, _ in poll.poll(0.1):
        connection = connections[number]
        try:
            goes_on = connection.hear()
        except OSError:
            goes_on = False
        if not goes_on:
            broken += connection.left != 0
            connection.close()
took = time.monotonic() - begin
print(f"guesses={sum(answers.values()) / took:.1f} broken={broken}",
      *(f"said{status}={answers.get(status, 0)}" for status in ("401", "429", "503")),
      f"said_else={sum(count for status, count in answers.items() if status not in ('401', '429', '503'))}")
