"""Thousands of clients in one thread: each is a generator that yields what it waits for.

A task yields a number (seconds to sleep) or a socket and the events it waits for. Helpers that may wait are generators
too, called with `yield from`. Where nothing moves on a socket for SILENCE seconds, its task gets a TimeoutError.
"""

import heapq
import itertools
import select
import socket
import ssl
import time

# Longer than any answer of a gate that keeps its time-outs may take, and short enough for a script to end.
SILENCE = 40
# How often the silent ones are looked for.
SWEEP = 0.5
READ, WRITE = select.EPOLLIN, select.EPOLLOUT
# What a connection of a network has, where loopback has 64 KiB: with that the kernel alone takes megabytes for a client that
# does not read, and no gate ever waits for it.
SEGMENT = 1448


class Tasks:
    """Runs tasks until all have ended, or `stop` was called."""

    def __init__(self):
        self.poll = select.epoll()
        self.sleeping = []
        self.order = itertools.count()
        # By descriptor: the task and until when it may wait.
        self.waiting = {}
        self.running = 0
        self.stopped = False

    def start(self, task):
        self.running += 1
        self.step(task, None)

    def stop(self):
        self.stopped = True

    def step(self, task, error):
        try:
            wanted = task.throw(error) if error else next(task)
        except StopIteration:
            self.running -= 1
            return
        now = time.monotonic()
        if isinstance(wanted, tuple):
            sock, events = wanted
            number = sock.fileno()
            try:
                self.poll.modify(number, events | select.EPOLLONESHOT)
            except FileNotFoundError:
                self.poll.register(number, events | select.EPOLLONESHOT)
            self.waiting[number] = task, now + SILENCE
        else:
            heapq.heappush(self.sleeping, (now + wanted, next(self.order), task))

    def run(self):
        swept = time.monotonic()
        while self.running and not self.stopped:
            now = time.monotonic()
            pause = SWEEP
            if self.sleeping:
                pause = min(pause, max(0, self.sleeping[0][0] - now))
            for number, _ in self.poll.poll(pause, 1024):
                found = self.waiting.pop(number, None)
                if found:
                    self.step(found[0], None)
            now = time.monotonic()
            while self.sleeping and self.sleeping[0][0] <= now:
                self.step(heapq.heappop(self.sleeping)[2], None)
            if now - swept > SWEEP:
                swept = now
                for number in [number for number, found in self.waiting.items() if found[1] < now]:
                    self.step(self.waiting.pop(number)[0], TimeoutError(f"nothing for {SILENCE} s"))


def whenever(sock, events, call, *arguments):
    """The result of the call, as soon as the socket lets it have one."""
    while True:
        try:
            return call(*arguments)
        except ssl.SSLWantReadError:
            wanted = READ
        except ssl.SSLWantWriteError:
            wanted = WRITE
        except BlockingIOError:
            wanted = events
        yield sock, wanted


def opened(port, source="127.0.0.1", tls=None, buffer=None, segment=SEGMENT):
    """A connection that does not block, through TLS if there is a context. `buffer` is for what arrives."""
    sock = socket.socket()
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if segment:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment)
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        # The port is chosen when the other side is known, so that one address has enough of them.
        sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
        sock.bind((source, 0))
        try:
            sock.connect(("127.0.0.1", port))
        except BlockingIOError:
            yield sock, WRITE
        failed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failed:
            raise OSError(failed, f"connect: {failed}")
        if tls:
            sock = tls.wrap_socket(
                sock, server_hostname="localhost", do_handshake_on_connect=False, suppress_ragged_eofs=False
            )
            yield from whenever(sock, READ, sock.do_handshake)
    except BaseException:
        sock.close()
        raise
    return sock


def send(sock, data):
    left = memoryview(data)
    while left:
        left = left[(yield from whenever(sock, WRITE, sock.send, left)):]


def receive(sock, most=16384):
    """Some bytes; none is the end."""
    return (yield from whenever(sock, READ, sock.recv, most))


def head_of(sock, begun=b""):
    """The status, the length of the body, and what of it came with the head."""
    head = begun
    while b"\r\n\r\n" not in head:
        more = yield from receive(sock)
        if not more:
            raise ConnectionError(f"the end after {len(head)} bytes of an answer")
        head += more
    head, _, rest = head.partition(b"\r\n\r\n")
    first, *fields = head.split(b"\r\n")
    length = 0
    for field in fields:
        name, _, value = field.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return first, length, rest


def answer_of(sock, begun=b""):
    """The status and the body of a whole answer."""
    first, length, body = yield from head_of(sock, begun)
    while len(body) < length:
        more = yield from receive(sock, 65536)
        if not more:
            raise ConnectionError(f"the end after {len(body)} bytes of {length}")
        body += more
    return int(first.split(b" ")[1]), body
