"""What is measured: each case with its load, its gates and the bars that Portreeve is held to.

A case yields, for one gate and one run, the figures of that run by name. Higher is better for a rate, lower for a cost;
`HIGHER` says which is which.
"""

import dataclasses
import pathlib
import time
import typing

import loads
from peers import ALL, CADDY, HAPROXY, PORTREEVE, RECIPE, TUNED, Peer, binary
from room import HERE

RATE, COST, PEAK = "rate", "CPU", "peak MiB"
HIGHER = {RATE}


@dataclasses.dataclass(frozen=True)
class Bar:
    """Portreeve's figure divided by the peer's, at least (for a rate) or at most (for what costs)."""

    figure: str
    peer: str
    ratio: float


@dataclasses.dataclass(frozen=True)
class Limit:
    """Portreeve's figure alone, at most."""

    figure: str
    most: float


@dataclasses.dataclass
class Case:
    name: str
    auth: str
    peers: list
    # What the rate and the CPU are of, and the factor that makes readable numbers of them.
    units: dict
    load: typing.Callable
    bars: list
    uploads: bool = False


class Plan:
    """How much of everything: all of it, or what fits in three minutes."""

    def __init__(self, quick):
        self.quick = quick
        self.users = 100 if quick else 1000
        # Eight streams have a quarter each, so that they do not take eight times as long as one.
        self.size = {1: 1 << 28, 8: 1 << 26} if quick else {1: 1 << 30, 8: 1 << 28}
        self.seconds = 1 if quick else 3
        self.streams = (1,) if quick else (1, 8)
        self.connections = (8, 64) if quick else (8, 64, 256)
        self.runs = 2 if quick else 5


def bulk(plan, room):
    for tls in (True, False):
        for direction in (loads.pull, loads.push):
            for streams in plan.streams:
                if tls:
                    bars = [Bar(RATE, RECIPE, 3), Bar(RATE, TUNED, 1.4), Bar(COST, TUNED, 0.85)]
                    bars += [Bar(RATE, HAPROXY, 1), Bar(RATE, CADDY, 1)]
                else:
                    bars = [Bar(RATE, RECIPE, 4), Bar(RATE, TUNED, 1), Bar(COST, TUNED, 1)]
                size = plan.size[streams]

                def load(peer, tls=tls, direction=direction, streams=streams, size=size):
                    return loads.transfer(direction, peer.port(tls), tls, streams, size, room.blobs / "blob")

                yield Case(
                    f"{direction.__name__} {'TLS' if tls else 'clear'} {streams} x {size >> 20} MiB",
                    "sha",
                    ALL,
                    {RATE: ("GiB/s", 1), COST: ("s/GiB", 1), PEAK: ("MiB", 1)},
                    load,
                    bars if streams == 1 else [],
                    uploads=direction is loads.push,
                )


REQUESTS = {RATE: ("requests/s", 1), COST: ("us/request", 1e6), PEAK: ("MiB", 1)}


def requests(plan, _):
    for tls in (False, True):
        for count in plan.connections:

            def load(peer, tls=tls, count=count):
                return loads.small(peer.port(tls), tls, count, plan.seconds)

            most = 1.1 if count == 256 else 1
            yield Case(
                f"requests {'TLS' if tls else 'clear'} {count} connections",
                "sha",
                ALL,
                REQUESTS,
                load,
                [Bar(COST, peer, most) for peer in (RECIPE, TUNED)] + [Bar(RATE, peer, 1) for peer in (RECIPE, TUNED)],
            )


def bcrypt(plan, room):
    """The password file's users in turn. Portreeve has seen each once before; for nginx there is no such thing."""
    values = room.file("values", "".join(f"{loads.basic(user)}\n" for user in room.users))

    def load(peer):
        if peer.name == PORTREEVE and not getattr(peer, "warm", False):
            # More than three newcomers at once from one address are told to come again.
            seconds = loads.first_logins(peer.clear, room.users, 2)
            peer.warm = True
            peer.note = f"First logins of {len(room.users)} users at Portreeve, 2 at once: {seconds:.1f} s"
        # The others check a hash for each request: some take longer to give a figure at all.
        seconds = plan.seconds if peer.name == PORTREEVE else max(plan.seconds, 3)
        return loads.small(peer.clear, False, 8, seconds, HERE / "rotate.lua", [str(values)])

    yield Case(
        f"bcrypt cost 10, {len(room.users)} users in turn, 8 connections",
        "bcrypt",
        [PORTREEVE, RECIPE, TUNED],
        REQUESTS,
        load,
        [Bar(RATE, RECIPE, 1000)],
    )


def handshakes(plan, _):
    for resume in (False, True):

        def load(peer, resume=resume):
            return loads.connections(peer.tls, resume, plan.seconds)

        yield Case(
            f"connections TLS {'resumed' if resume else 'full'}",
            "sha",
            ALL,
            {RATE: ("connections/s", 1), COST: ("us/connection", 1e6), PEAK: ("MiB", 1)},
            load,
            [Bar(RATE, RECIPE, 1), Bar(RATE, TUNED, 1)] if resume else [],
        )


def api(plan, _):
    for auth, name, bars in (
        ("lifetime", "answers hold 30 s", [Bar(RATE, RECIPE, 3)]),
        ("always", "asked for each request", []),
    ):

        def load(peer):
            return loads.small(peer.clear, False, 64, plan.seconds)

        yield Case(f"auth API {name}, 64 connections", auth, [PORTREEVE, RECIPE, TUNED], REQUESTS, load, bars)


def of(plan, room):
    for family in (bulk, requests, bcrypt, handshakes, api):
        yield from family(plan, room)


READY, IDLE, BINARY = "ready ms", "idle MiB", "binary MiB"
START_LIMITS = [Limit(READY, 20), Limit(IDLE, 4), Limit(BINARY, 4)]
START = "start"


def start_once(room, name):
    """The figures of one start: to the first answer, and what is resident after it."""
    peer = Peer(room, name, "sha", room.backend)
    # Whatever is still being set up behind the first answer.
    time.sleep(0.2)
    figures = {
        READY: peer.ready * 1000,
        IDLE: peer.program.memory("VmRSS"),
        BINARY: pathlib.Path(binary(name)).resolve().stat().st_size / (1 << 20),
    }
    peer.program.stop()
    room.programs.remove(peer.program)
    return figures
