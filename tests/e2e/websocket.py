#!/usr/bin/env python3
"""WebSockets of PyPI's websockets on both sides of a gate, for tests/e2e/websocket.

    websocket.py server                     says where it listens
    websocket.py client HOST:PORT CA        alice:s3cret through TLS; a line with "ok:" for each check
    websocket.py patient HOST:PORT CA       the same, of a gate that allows two seconds of silence
    websocket.py held HOST:PORT CA          says "open" once it has a tunnel, and then how that has ended

What the server does is chosen by the path. A query that names a tunnel lets another one ask how that has ended.
"""

import asyncio
import base64
import collections
import json
import os
import ssl
import struct
import sys
import time

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK, InvalidStatus

MIB = 1 << 20
# The server's limit of one message, so that it has something to refuse.
MOST = 4 * MIB
# No check takes seconds, but the machine may have other work.
PATIENCE = 30
PAGE = """<!doctype html>
<title>A page with a WebSocket</title>
<p id="said">nothing yet</p>
<script>
const said = document.getElementById("said");
const socket = new WebSocket(`wss://${location.host}/browser`);
socket.onopen = () => socket.send("hello from a page");
socket.onmessage = event => { said.textContent = `heard: ${event.data}`; socket.send("shown"); };
socket.onclose = event => { said.textContent += `; closed with ${event.code}`; };
</script>
<script src="/shown.js"></script>
"""

# ---- the server ------------------------------------------------------------------------------------------------------

endings = collections.defaultdict(lambda: asyncio.get_running_loop().create_future())
shown = asyncio.Event()


async def echo(ws):
    """Fragments go back as fragments."""
    while True:
        pieces = [piece async for piece in ws.recv_streaming()]
        await ws.send(pieces[0] if len(pieces) == 1 else pieces)


async def pings(ws):
    """Ten at once and then ten one by one, and only then a message."""
    for pong in [await ws.ping(f"early {number}") for number in range(10)]:
        await pong
    for number in range(10):
        await (await ws.ping(f"late {number}"))
    await ws.send("20 pongs")


async def keeps_pinging(ws):
    while True:
        await (await ws.ping())
        await asyncio.sleep(0.5)


async def fields(ws):
    """Right behind the 101, before the client has said anything."""
    await ws.send(json.dumps([[name.lower(), value] for name, value in ws.request.headers.raw_items()]))
    await ws.wait_closed()


async def closes(ws):
    code, _, reason = (await ws.recv()).partition(" ")
    await ws.close(int(code), reason)


async def breaks_off(ws):
    await ws.recv()
    ws.transport.abort()


async def floods(ws):
    """As much as no socket takes, whether or not it is read."""
    for number in range(64):
        await ws.send(bytes([number]) * (MIB // 2))
    await ws.close(1000, "that was all")


async def told(ws):
    await ws.send(await endings[ws.request.path.partition("?")[2]])


async def browser(ws):
    await ws.send(await ws.recv())
    if await ws.recv() == "shown":
        shown.set()
    await ws.wait_closed()


HANDLERS = {
    "/echo": echo,
    "/pings": pings,
    "/keeps-pinging": keeps_pinging,
    "/silent": lambda ws: ws.wait_closed(),
    "/fields": fields,
    "/closes": closes,
    "/breaks-off": breaks_off,
    "/floods": floods,
    "/told": told,
    "/browser": browser,
}


async def handle(ws):
    path, _, tunnel = ws.request.path.partition("?")
    try:
        await HANDLERS[path](ws)
    except ConnectionClosed:
        # Its code is looked at below.
        pass
    await ws.wait_closed()
    if tunnel and path != "/told":
        endings[tunnel].set_result(f"{ws.close_code} {ws.close_reason or ''}")


async def answer(ws, request):
    """Pages beside the WebSockets. Nothing of what is none of these is answered here."""
    path = request.path.partition("?")[0]
    if path == "/page":
        text, kind = PAGE, "text/html"
    elif path == "/shown.js":
        # A page is loaded once this is there; a browser that waits for that has the echo in its page then.
        try:
            await asyncio.wait_for(shown.wait(), 15)
        except TimeoutError:
            pass
        text, kind = "", "text/javascript"
    else:
        return None if path in HANDLERS else ws.respond(404, "no such path\n")
    response = ws.respond(200, text)
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = kind
    return response


def chosen(_ws, offered):
    """A client that offers none gets none."""
    return next((one for one in ("v2.chat", "v1.chat") if one in offered), None)


async def server():
    # Pings come only where a check wants some.
    async with serve(
        handle, "127.0.0.1", 0, process_request=answer, select_subprotocol=chosen, max_size=MOST, open_timeout=60,
        ping_interval=None,
    ) as running:
        print(f"listening on http://127.0.0.1:{running.sockets[0].getsockname()[1]}", flush=True)
        await running.wait_closed()


# ---- the client ------------------------------------------------------------------------------------------------------

host, ca, tls = "", "", None


def basic(user="alice", password="s3cret"):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def tunnel(path, credentials=None, headers=None, **more):
    # The name is the certificate's, the address that of loopback: no name has to be known to the machine.
    return connect(
        f"wss://{host}{path}", host="127.0.0.1", port=int(host.rpartition(":")[2]), ssl=tls, proxy=None, max_size=None,
        additional_headers={**(basic() if credentials is None else credentials), **(headers or {})},
        **{"ping_interval": None, "compression": None, **more},
    )


def expect(what, wanted, got):
    if wanted != got:
        raise AssertionError(f"{what}: wanted {wanted!r}, got {got!r}")


async def ending(name):
    """How the server saw a tunnel end."""
    async with tunnel(f"/told?{name}") as ws:
        return await ws.recv()


async def closing(ws):
    """With what it was closed by the other side."""
    try:
        while True:
            await ws.recv()
    except ConnectionClosedOK as closed:
        return closed.rcvd.code, closed.rcvd.reason
    except ConnectionClosedError as closed:
        return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")


async def text_and_binary():
    """text and binary messages of every length that is written differently, from none to 1 MiB"""
    async with tunnel("/echo") as ws:
        for length in (0, 1, 125, 126, 127, 128, 65535, 65536, 65537, MIB):
            for message in ("x" * length, os.urandom(length)):
                await ws.send(message)
                if await ws.recv() != message:
                    raise AssertionError(f"{length} bytes came back as something else")
        for message in ("κόσμε ✓ 👋", "\x00\x7f\u0080\uffff\U0010ffff"):
            await ws.send(message)
            expect("text", message, await ws.recv())


async def fragments():
    """messages in fragments, with pings between them"""
    async with tunnel("/echo") as ws:
        pieces = ["one ", "", "two ", "x" * 70000]
        for wanted in (pieces, [piece.encode() for piece in pieces], [os.urandom(1000) for _ in range(300)]):

            async def between():
                for piece in wanted:
                    yield piece
                    await (await ws.ping())

            await ws.send(between())
            got = [piece async for piece in ws.recv_streaming()]
            expect("the whole", wanted[0][:0].join(wanted), wanted[0][:0].join(got))
            if len(got) < len(wanted):
                raise AssertionError(f"{len(wanted)} fragments came back as {len(got)}")


async def pipelined():
    """20,000 small messages, one behind the other, in their order"""
    async with tunnel("/echo") as ws:

        async def ask():
            for number in range(20000):
                await ws.send(str(number))

        asking = asyncio.create_task(ask())
        for number in range(20000):
            expect("message", str(number), await ws.recv())
        await asking


async def at_once():
    """100 tunnels at a time, each with what is its own"""

    async def one(number):
        async with tunnel("/echo") as ws:
            for step in range(20):
                await ws.send(f"{number} {step} " * 100)
                expect("message", f"{number} {step} " * 100, await ws.recv())

    await asyncio.gather(*(one(number) for number in range(100)))


async def client_pings():
    """pings of the client, with and without payload"""
    async with tunnel("/silent") as ws:
        for payload in (b"", b"x", b"\x00\xff" * 62 + b"!"):
            await (await ws.ping(payload))
        for pong in [await ws.ping() for _ in range(100)]:
            await pong
        await ws.pong(b"that nobody has asked for")
        await (await ws.ping())


async def server_pings():
    """pings of the server"""
    async with tunnel("/pings") as ws:
        expect("message", "20 pongs", await ws.recv())


async def deflate():
    """permessage-deflate: negotiated, with parameters, and used with what came before"""
    async with tunnel("/echo", compression="deflate") as ws:
        offered = ws.response.headers["Sec-WebSocket-Extensions"]
        if not offered.startswith("permessage-deflate;"):
            raise AssertionError(f"extensions: {offered}")
        expect("the client's", ["permessage-deflate"], [extension.name for extension in ws.protocol.extensions])
        for _ in range(3):
            for message in ("the same words again; " * 40000, os.urandom(100000), "", b""):
                await ws.send(message)
                if await ws.recv() != message:
                    raise AssertionError("it came back as something else")
        await ws.send(["in ", "fragments ", "too"])
        expect("message", "in fragments too", await ws.recv())
    async with tunnel("/echo") as ws:
        expect("not offered", None, ws.response.headers.get("Sec-WebSocket-Extensions"))


async def subprotocol():
    """a subprotocol: the server's choice among those that are offered, or none"""
    for offered, chosen in ((["v1.chat", "v2.chat"], "v2.chat"), (["v1.chat"], "v1.chat"), (None, None)):
        async with tunnel("/echo", subprotocols=offered) as ws:
            expect("subprotocol", chosen, ws.subprotocol)


async def request_fields():
    """the server sees Origin, cookies and Sec-WebSocket-*, and no password; what it says at once is there"""
    origin = f"https://{host}"
    async with tunnel("/fields", origin=origin, headers={"Cookie": "a=b; c=d", "X-Own": "yes"}) as ws:
        seen = json.loads(await ws.recv())
    values = {name: [value for other, value in seen if other == name] for name, _ in seen}
    for name, wanted in (
        ("host", [host]), ("origin", [origin]), ("cookie", ["a=b; c=d"]), ("x-own", ["yes"]), ("upgrade", ["websocket"]),
        ("connection", ["Upgrade"]), ("sec-websocket-version", ["13"]), ("x-forwarded-proto", ["https"]),
    ):
        expect(name, wanted, values.get(name))
    expect("keys", 1, len(values["sec-websocket-key"]))
    expect("passwords", None, values.get("authorization"))


async def closed_by_client():
    """a close that the client begins: the server has its code and its reason"""
    for number, (code, reason) in enumerate(((1000, ""), (1001, "going away"), (4321, "κ" * 61 + "!"))):
        async with tunnel(f"/echo?client-{number}") as ws:
            await ws.send("x")
            await ws.close(code, reason)
            expect("the answer", (code, reason), (ws.protocol.close_rcvd.code, ws.protocol.close_rcvd.reason))
        expect("at the server", f"{code} {reason}", await ending(f"client-{number}"))


async def closed_by_server():
    """a close that the server begins: the client has its code and its reason"""
    for number, (code, reason) in enumerate(((1000, ""), (1013, "try again"), (4999, "κ" * 61 + "!"))):
        async with tunnel(f"/closes?server-{number}") as ws:
            await ws.send(f"{code} {reason}")
            expect("the close", (code, reason), await closing(ws))
        expect("the answer", f"{code} {reason}", await ending(f"server-{number}"))


async def close_behind():
    """32 MiB that are not read at once, a close right behind them, and 8 MiB both ways"""
    async with tunnel("/floods", max_queue=1) as ws:
        for number in range(64):
            message = await ws.recv()
            if message != bytes([number]) * (MIB // 2):
                raise AssertionError(f"message {number} is another")
        expect("the close", (1000, "that was all"), await closing(ws))
    async with tunnel("/echo", max_queue=1) as ws:
        sent = [os.urandom(MIB) for _ in range(8)]

        async def ask():
            for message in sent:
                await ws.send(message)

        asking = asyncio.create_task(ask())
        for message in sent:
            if await ws.recv() != message:
                raise AssertionError("it came back as something else")
        await asking


async def broken_off():
    """a server or a client that breaks off: the other sees no close frame"""
    async with tunnel("/breaks-off") as ws:
        await ws.send("x")
        expect("at the client", (1006, ""), await closing(ws))
    async with tunnel("/echo?broken") as ws:
        await ws.send("x")
        await ws.recv()
        ws.transport.abort()
    expect("at the server", "1006 ", await ending("broken"))


class Raw:
    """A client that writes its bytes itself: what a library would not send, or not in such pieces."""

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", int(host.rpartition(":")[2]), ssl=tls, server_hostname=host.rpartition(":")[0]
        )
        return self

    async def __aexit__(self, *_):
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except (OSError, ssl.SSLError):
            # What the other side did last is no part of this.
            pass

    @staticmethod
    def request(path):
        name, value = next(iter(basic().items()))
        return (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{name}: {value}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()

    @staticmethod
    def frame(opcode, payload=b"", fin=True, masked=True, reserved=0):
        mask = os.urandom(4)
        length = len(payload)
        if length < 126:
            size, rest = length, b""
        elif length < 65536:
            size, rest = 126, struct.pack("!H", length)
        else:
            size, rest = 127, struct.pack("!Q", length)
        first = bytes([fin << 7 | reserved << 4 | opcode, masked << 7 | size]) + rest
        if not masked:
            return first + payload
        return first + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))

    async def write(self, *pieces):
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def switched(self):
        head = await self.reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            raise AssertionError(f"answer: {head!r}")
        if b"\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n" not in head.lower():
            raise AssertionError(f"its proof: {head!r}")

    async def read(self):
        """The first byte and the payload of a frame."""
        first, size = await self.reader.readexactly(2)
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return first, await self.reader.readexactly(size)

    async def end(self):
        return await self.reader.read()


async def in_pieces():
    """frames right behind the request, in one write, and byte by byte, with a close among them"""
    async with Raw() as raw:
        await raw.write(
            raw.request("/echo?pieces") + raw.frame(1, b"early") + raw.frame(9, b"ping") + raw.frame(1, b"too")
        )
        await raw.switched()
        # A pong may overtake.
        got = sorted([await raw.read() for _ in range(3)], key=lambda frame: frame[1])
        expect("frames", [(0x81, b"early"), (0x8A, b"ping"), (0x81, b"too")], got)
        frames = raw.frame(1, b"Hel", fin=False) + raw.frame(9, b"!") + raw.frame(0, b"lo", fin=True)
        await raw.write(*(frames[at:at + 1] for at in range(len(frames))))
        got = b""
        while True:
            first, payload = await raw.read()
            if first & 0x0F == 0x0A:
                expect("pong", b"!", payload)
                continue
            got += payload
            if first & 0x80:
                break
        expect("message", b"Hello", got)
        await raw.write(raw.frame(8, struct.pack("!H", 1000) + b"bye") + raw.frame(1, b"too late"))
        expect("close", (0x88, struct.pack("!H", 1000) + b"bye"), await raw.read())
        expect("and the end", b"", await raw.end())
    expect("at the server", "1000 bye", await ending("pieces"))


async def wrong_frames():
    """what the server refuses is its own to refuse: the client has its code"""
    for what, code, *frames in (
        ("a frame without a mask", 1002, Raw.frame(1, b"x", masked=False)),
        ("an opcode that is reserved", 1002, Raw.frame(3, b"x")),
        ("a bit that is reserved", 1002, Raw.frame(1, b"x", reserved=4)),
        ("a ping of 126 bytes", 1002, Raw.frame(9, b"x" * 126)),
        ("a ping in fragments", 1002, Raw.frame(9, b"x", fin=False)),
        ("a continuation of nothing", 1002, Raw.frame(0, b"x")),
        ("text that is no UTF-8", 1007, Raw.frame(1, b"\xce\xba\xed\xa0\x80")),
        ("a close with half a code", 1002, Raw.frame(8, b"\x03")),
        ("a close with a code that is none", 1002, Raw.frame(8, struct.pack("!H", 1005))),
        ("a message that is too long", 1009, Raw.frame(2, b"x" * (MOST + 1))),
    ):
        async with Raw() as raw:
            await raw.write(raw.request("/echo"))
            await raw.switched()
            try:
                await raw.write(*frames)
            except ConnectionError:
                # It need not read all of it.
                pass
            first, payload = await raw.read()
            expect(what, (0x88, code), (first, struct.unpack("!H", payload[:2])[0]))


async def refusals():
    """a wrong password and none: 401 and a challenge; a path that the server has not: its 404"""
    for credentials, path, status in (
        (basic(password="wrong"), "/echo", 401), (basic(user="mallory"), "/echo", 401), ({}, "/echo", 401),
        (None, "/nowhere", 404),
    ):
        try:
            async with tunnel(path, credentials=credentials):
                raise AssertionError(f"{credentials} {path}: it was let in")
        except InvalidStatus as refused:
            response = refused.response
        expect("status", status, response.status_code)
        challenge = response.headers.get("WWW-Authenticate", "")
        expect("a challenge", status == 401, challenge.startswith("Basic "))


async def client():
    for check in (
        text_and_binary, fragments, pipelined, at_once, client_pings, server_pings, deflate, subprotocol, request_fields,
        closed_by_client, closed_by_server, close_behind, broken_off, in_pieces, wrong_frames, refusals,
    ):
        begun = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                await check()
        except Exception as error:
            sys.exit(f"{check.__doc__}: {error!r}")
        print(f"  ok: {check.__doc__} ({time.monotonic() - begun:.1f} s)", flush=True)


# ---- the client that waits -------------------------------------------------------------------------------------------


async def patient():
    """Twenty pings of one side, half a second between them, are five times the silence that is allowed."""

    async def silent():
        async with tunnel("/silent?silent") as ws:
            begun = time.monotonic()
            expect("its end", (1006, ""), await closing(ws))
            took = time.monotonic() - begun
        if not 1.9 < took < 5:
            raise AssertionError(f"silence of 2 s ended it after {took:.1f} s")
        expect("at the server", "1006 ", await ending("silent"))
        return f"a tunnel in which nothing moves ends: after {took:.1f} s"

    async def by_client():
        async with tunnel("/silent?by-client") as ws:
            begun = time.monotonic()
            while time.monotonic() - begun < 10:
                await (await ws.ping())
                await asyncio.sleep(0.5)
            kept = time.monotonic()
            expect("its end", (1006, ""), await closing(ws))
            took = time.monotonic() - kept
        # The last ping was half a second before.
        if not 1.3 < took < 5:
            raise AssertionError(f"silence of 2 s after the pings ended it after {took:.1f} s")
        expect("at the server", "1006 ", await ending("by-client"))
        return f"a ping of the client each 0.5 s keeps one open for {kept - begun:.0f} s, and silence ends it {took:.1f} s later"

    async def by_server():
        async with tunnel("/keeps-pinging") as ws:
            begun = time.monotonic()
            try:
                async with asyncio.timeout(10):
                    await ws.recv()
            except TimeoutError:
                pass
            await (await ws.ping())
        return f"and so do pings of the server: {time.monotonic() - begun:.0f} s"

    for sentence in await asyncio.gather(silent(), by_client(), by_server()):
        print(f"  ok: {sentence}", flush=True)


async def held():
    async with tunnel("/echo") as ws:
        await ws.send("x")
        await ws.recv()
        print("open", flush=True)
        code, _ = await closing(ws)
        print(f"ended with {code}", flush=True)


if sys.argv[1] == "server":
    asyncio.run(server())
else:
    host, ca = sys.argv[2:4]
    tls = ssl.create_default_context(cafile=ca)
    asyncio.run({"client": client, "patient": patient, "held": held}[sys.argv[1]]())
