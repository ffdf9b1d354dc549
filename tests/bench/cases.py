"""What is measured: each case with its load, its gates and the bars that Portreeve is held to.

A ratio is the median of the ratios of each turn, in which all are measured one after the other.

A case yields, for one gate and one run, the figures of that run by name. Higher is better for a rate, lower for a cost;
`HIGHER` says which is which.
"""

import dataclasses
import pathlib
import platform
import time
import typing

import loads
from peers import BEFORE, CADDY, HAPROXY, LEAN, PORTREEVE, RECIPE, TUNED, Peer, binary, with_before
from room import HERE, PAGE

RATE, COST, PEAK = "rate", "CPU", "peak MiB"
HIGHER = {RATE}
# nginx's library, and ours, have code for it: AES through TLS costs a third less.
AVX512 = " avx512f " in pathlib.Path("/proc/cpuinfo").read_text()
USUAL = with_before(RECIPE, TUNED, HAPROXY, CADDY)


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
    # How often each is measured, where that is not what the plan says.
    runs: int | None = None

    def __post_init__(self):
        # As good as it was, but for what differs between two runs of the same program.
        if BEFORE in self.peers:
            self.bars = [*self.bars, Bar(COST, BEFORE, 1.05), Bar(RATE, BEFORE, 0.95)]


class Plan:
    """How much of everything: all of it, or what fits in three minutes."""

    def __init__(self, quick):
        self.quick = quick
        self.users = 100 if quick else 1000
        # Eight streams have a quarter each, so that they do not take eight times as long as one.
        self.size = {1: 1 << 28, 8: 1 << 26} if quick else {1: 1 << 30, 8: 1 << 28}
        self.seconds = 1 if quick else 3
        self.page_seconds = 1 if quick else 2
        self.page_connections = (64,) if quick else (8, 64, 256)
        self.streams = (1,) if quick else (1, 8)
        self.connections = (8, 64) if quick else (8, 64, 256)
        self.runs = 2 if quick else 5
        # Where little is between bar and figure.
        self.pairs = 3 if quick else 9


def bulk(plan, room):
    for tls in (True, False):
        for direction in (loads.pull, loads.push):
            for streams in plan.streams:
                bars = []
                if tls:
                    dearest = 0.70 if AVX512 and direction is loads.pull else 0.85
                    if streams == 1:
                        bars = [Bar(RATE, RECIPE, 3), Bar(RATE, TUNED, 1.4), Bar(COST, TUNED, dearest)]
                        bars += [Bar(RATE, HAPROXY, 1), Bar(RATE, CADDY, 1)]
                else:
                    dearest = 0.7 if direction is loads.pull else 1
                    if streams == 1 or direction is loads.pull:
                        bars = [Bar(RATE, TUNED, 1), Bar(COST, TUNED, dearest)]
                    if streams == 1:
                        bars.append(Bar(RATE, RECIPE, 4))
                size = plan.size[streams]

                def load(peer, tls=tls, direction=direction, streams=streams, size=size):
                    return loads.transfer(direction, peer.port(tls), tls, streams, size, room.blob)

                yield Case(
                    f"{direction.__name__} {'TLS' if tls else 'clear'} {streams} x {size >> 20} MiB",
                    "sha",
                    USUAL,
                    {RATE: ("GiB/s", 1), COST: ("s/GiB", 1), PEAK: ("MiB", 1)},
                    load,
                    bars,
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
                USUAL,
                REQUESTS,
                load,
                [Bar(COST, peer, most) for peer in (RECIPE, TUNED)] + [Bar(RATE, peer, 1) for peer in (RECIPE, TUNED)],
            )


def pages(plan, room):
    """Small requests as registries answer them: 4 KiB, the head by one call and the body by another, or both by one.

    With the peers that are best at it, and more often than the rest, in turn: ratios count.
    """
    for path, pieces in (("apart", 2), ("together", 1)):
        seen = loads.segments(room.backend, f"/{path}")
        if abs(seen - pieces) > 0.2:
            raise RuntimeError(f"the backend answers /{path} in {seen:.1f} pieces, not {pieces}")
        for tls in (False, True):
            for count in plan.page_connections:

                def load(peer, tls=tls, count=count, path=path):
                    return loads.small(peer.port(tls), tls, count, plan.page_seconds, f"/{path}")

                bars = [Bar(COST, LEAN, 0.7 if tls else 0.75), Bar(RATE, LEAN, 1.15)]
                yield Case(
                    f"{PAGE >> 10} KiB {'TLS' if tls else 'clear'} {path} {count} connections",
                    "sha",
                    with_before(LEAN, HAPROXY),
                    REQUESTS,
                    load,
                    bars if tls else [*bars, Bar(COST, HAPROXY, 0.85)],
                    runs=plan.pairs,
                )


def bcrypt(plan, room):
    """The password file's users in turn. Portreeve has seen each once before; for nginx there is no such thing."""
    values = room.file("values", "".join(f"{loads.basic(user)}\n" for user in room.users))

    def load(peer):
        remembers = peer.name in (PORTREEVE, BEFORE)
        if remembers and not getattr(peer, "warm", False):
            # More than three newcomers at once from one address are told to come again.
            seconds = loads.first_logins(peer.clear, room.users, 2)
            peer.warm = True
            peer.note = f"First logins of {len(room.users)} users at {peer.name}, 2 at once: {seconds:.1f} s"
        # The others check a hash for each request: some take longer to give a figure at all.
        seconds = plan.seconds if remembers else max(plan.seconds, 3)
        return loads.small(peer.clear, False, 8, seconds, script=HERE / "rotate.lua", arguments=[str(values)])

    yield Case(
        f"bcrypt cost 10, {len(room.users)} users in turn, 8 connections",
        "bcrypt",
        with_before(RECIPE, TUNED),
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
            USUAL,
            {RATE: ("connections/s", 1), COST: ("us/connection", 1e6), PEAK: ("MiB", 1)},
            load,
            [Bar(RATE, RECIPE, 1), Bar(RATE, TUNED, 1)] if resume else [],
        )


def api(plan, _):
    for auth, name, bars in (
        ("lifetime", "answers hold 30 s", [Bar(RATE, RECIPE, 3)]),
        ("always", "asked for each request", [Bar(RATE, RECIPE, 1), Bar(COST, RECIPE, 1.1)]),
    ):

        def load(peer):
            return loads.small(peer.clear, False, 64, plan.seconds)

        yield Case(f"auth API {name}, 64 connections", auth, with_before(RECIPE, TUNED), REQUESTS, load, bars)


def of(plan, room):
    for family in (bulk, requests, pages, bcrypt, handshakes, api):
        yield from family(plan, room)


READY, IDLE, BINARY = "ready ms", "idle MiB", "binary MiB"
START_LIMITS = [Limit(READY, 20), Limit(IDLE, 4), Limit(BINARY, 5.5 if platform.machine() == "x86_64" else 4)]
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
