"""A program that was started: what it costs, and its end.

Owns the process group and the counters that the kernel keeps of it. It knows nothing of what the program does.
"""

import os
import pathlib
import signal
import socket
import subprocess
import time

# Below what the kernel hands out as client ports, so that none is taken between the look and the bind.
FIRST_PORT, LAST_PORT = 20000, 32000
_next_port = FIRST_PORT + os.getpid() * 7 % 8000


def free_port():
    """A port of loopback that nobody listens on, and that is given once in a run."""
    global _next_port
    for _ in range(LAST_PORT - FIRST_PORT):
        _next_port += 1
        if _next_port >= LAST_PORT:
            _next_port = FIRST_PORT
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", _next_port))
                return _next_port
            except OSError:
                continue
    raise RuntimeError("no free port")


class Program:
    """A running program with all its processes."""

    def __init__(self, name, command, room):
        self.name = name
        self.log = pathlib.Path(room) / f"{name}.log"
        self.began = time.perf_counter()
        with open(self.log, "ab") as log:
            # A group of its own, so that its end is the end of its workers too.
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def await_answer(self, port, seconds=20):
        """Seconds from the start of the program to its first answer on `port`."""
        ask = b"GET /small HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"
        while time.perf_counter() < self.began + seconds:
            if self.process.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=seconds) as client:
                    client.sendall(ask)
                    if client.recv(12).startswith(b"HTTP/1."):
                        return time.perf_counter() - self.began
            except OSError:
                pass
            time.sleep(0.0005)
        raise RuntimeError(f"{self.name} does not answer: {self.last_words()}")

    def last_words(self):
        return self.log.read_text(errors="replace")[-800:]

    def pids(self):
        """All processes of the program's session."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    # After the name in parentheses: state, parent, group, session.
                    session = (entry / "stat").read_text().rpartition(")")[2].split()[3]
                except OSError:
                    continue
                if int(session) == self.process.pid:
                    found.append(int(entry.name))
        return found

    def cpu(self):
        """CPU seconds of all processes so far: the kernel's clock of each, in nanoseconds, ended threads included.

        /proc/PID/stat has the same sum in steps of 10 ms, too coarse for a transfer of 300 ms.
        """
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self.pids())

    def forget_peak(self):
        for pid in self.pids():
            pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")

    def memory(self, field):
        """MiB of all processes: `VmRSS` now, `VmHWM` at most since `forget_peak`."""
        kib = 0
        for pid in self.pids():
            for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith(f"{field}:"):
                    kib += int(line.split()[1])
        return kib / 1024

    def stop(self):
        for number, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                pass
            try:
                self.process.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                continue
        # What of the group outlived its leader.
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
