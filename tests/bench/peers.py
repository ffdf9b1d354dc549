"""Portreeve and its peers, each with a listener in the clear and one through TLS, before the same backend.

nginx stands here three times: as recipes for registries have it, tuned for large bodies, and lean, as an expert has it for
small requests. Beside Portreeve there may be the Portreeve of before. Owns their configurations. `auth` is how they know who
asks: `sha` or `bcrypt` (a password file), `lifetime` or `always` (an API that allows 30 seconds of reuse, or none). All write
an access log to a file.

A gate has one backend here: the one that serves, or the sink, so uploads have gates of their own.
"""

import os
import platform
import shutil
import struct

from program import free_port
from room import PASSWORD, ROOT, USER

PORTREEVE, BEFORE, HAPROXY, CADDY = "portreeve", "before", "haproxy", "caddy"
RECIPE, TUNED, LEAN = "nginx recipe", "nginx tuned", "nginx lean"
# In the order of the table.
EVERY = [PORTREEVE, BEFORE, RECIPE, TUNED, LEAN, HAPROXY, CADDY]
# What is measured is what is shipped; see packaging/build.
SHIPPED = f"target/dist/portreeve-*-{platform.machine()}-linux"


def with_before(*peers):
    """These, and the Portreeve of before if there is one."""
    return [PORTREEVE, *([BEFORE] if os.environ.get("PORTREEVE_BEFORE") else []), *peers]


def shipped():
    found = sorted(ROOT.glob(SHIPPED))
    return str(found[-1]) if found else None


def binary(peer):
    if peer == PORTREEVE:
        return os.environ.get("PORTREEVE") or shipped()
    if peer == BEFORE:
        return os.environ.get("PORTREEVE_BEFORE")
    return shutil.which(peer.split()[0])


def is_static(program):
    """Whether it is an ELF file that names no interpreter, and so loads no library."""
    with open(program, "rb") as file:
        head = file.read(64)
        if head[:6] != b"\x7fELF\x02\x01":
            return False
        offset, (size, count) = struct.unpack_from("<Q", head, 32)[0], struct.unpack_from("<HH", head, 54)
        file.seek(offset)
        segments = file.read(size * count)
    interpreter = 3
    return all(struct.unpack_from("<I", segments, at)[0] != interpreter for at in range(0, len(segments), size))


class Peer:
    """One gate that runs: its program and its ports."""

    def __init__(self, room, peer, auth, backend):
        self.name = peer
        self.clear, self.tls = free_port(), free_port()
        command = COMMANDS[peer](self, room, auth, backend)
        self.program = room.start(f"{peer}-{auth}".replace(" ", "-"), command)
        self.ready = self.program.await_answer(self.clear)

    def port(self, tls):
        return self.tls if tls else self.clear


def portreeve(peer, room, auth, backend):
    command = [binary(peer.name), "serve", "--backend", f"http://127.0.0.1:{backend}"]
    command += ["--listen", f"http://127.0.0.1:{peer.clear}", "--listen", f"https://127.0.0.1:{peer.tls}"]
    command += ["--tls-cert", room.cert, "--tls-key", room.key]
    if auth in room.htpasswd:
        return command + ["--htpasswd", room.htpasswd[auth]]
    return command + ["--auth-backend", f"http://127.0.0.1:{room.api}/{auth}"]


def nginx(peer, room, auth, backend, main, http, proxy, upstream):
    """`main`, `http` and `proxy` are what a configuration has of its own at each level."""
    who = f'auth_basic "Registry"; auth_basic_user_file {room.htpasswd.get(auth)};'
    api = ""
    if auth not in room.htpasswd:
        who = "auth_request /auth;"
        api = f"""
        location = /auth {{
            internal; proxy_pass http://api/{auth}; {proxy}
            proxy_pass_request_body off; proxy_set_header Content-Length "";
            proxy_set_header X-Original-URI $request_uri; proxy_set_header X-Original-Method $request_method;
        }}"""
    name = peer.name.replace(" ", "-") + f"-{auth}-{peer.clear}"
    conf = room.file(
        f"{name}.conf",
        f"""
daemon off; user root; pid {room.path}/{name}.pid; error_log {room.path}/{name}.err; worker_rlimit_nofile 8192;
{main}
events {{ worker_connections 4096; }}
http {{
    {http}
    # As many requests on a connection as the others allow.
    keepalive_requests 100000000;
    client_body_temp_path {room.path}/body; proxy_temp_path {room.path}/proxy;
    upstream backend {{ server 127.0.0.1:{backend}; {upstream} }}
    upstream api {{ server 127.0.0.1:{room.api}; {upstream} }}
    server {{
        listen 127.0.0.1:{peer.clear} backlog=1024; listen 127.0.0.1:{peer.tls} ssl backlog=1024;
        ssl_certificate {room.cert}; ssl_certificate_key {room.key}; ssl_protocols TLSv1.2 TLSv1.3;
        client_max_body_size 0; chunked_transfer_encoding on;
        location / {{
            {who}
            proxy_pass http://backend; {proxy}
            proxy_set_header Host $http_host; proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
            proxy_read_timeout 900;
        }}{api}
    }}
}}
""",
    )
    return [binary(peer.name), "-c", conf]


def nginx_recipe(peer, room, auth, backend):
    """As recipes for registries have it, with nginx's defaults for the rest: one worker, no connection kept behind."""
    log = f"access_log {room.path}/recipe.access;"
    return nginx(
        peer, room, auth, backend, "", log, "proxy_buffering off; proxy_request_buffering off;", ""
    )


def nginx_tuned(peer, room, auth, backend):
    """By hand for large bodies and for many requests. Uploads are not spooled: that would only cost."""
    return nginx(
        peer,
        room,
        auth,
        backend,
        "worker_processes 2;",
        f"""access_log {room.path}/tuned.access combined buffer=64k flush=1s; sendfile on; tcp_nodelay on; tcp_nopush on;
    ssl_session_cache shared:tls:10m; ssl_session_tickets on; ssl_buffer_size 16k; client_body_buffer_size 1m;""",
        """proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off; proxy_buffering on;
            proxy_buffer_size 256k; proxy_buffers 16 256k; proxy_busy_buffers_size 1m; proxy_max_temp_file_size 0;""",
        "keepalive 256;",
    )


def nginx_lean(peer, room, auth, backend):
    """For many small requests: buffers as they are by default, which are small, connections kept to the backend."""
    return nginx(
        peer,
        room,
        auth,
        backend,
        "worker_processes 2;",
        f"access_log {room.path}/lean.access combined buffer=64k flush=1s;",
        """proxy_http_version 1.1; proxy_set_header Connection "";""",
        "keepalive 256;",
    )


def haproxy(peer, room, auth, backend):
    """It knows no {SHA}, so it compares plain text in its place, which costs less."""
    conf = room.file(
        f"haproxy-{auth}-{peer.clear}.cfg",
        f"""
global
    maxconn 4000
    nbthread 2
    log stdout format raw local0
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode http
    log global
    option httplog
    timeout connect 5s
    timeout client 300s
    timeout server 900s
userlist users
    user {USER} insecure-password {PASSWORD}
frontend gate
    bind 127.0.0.1:{peer.clear} backlog 1024
    bind 127.0.0.1:{peer.tls} backlog 1024 ssl crt {room.pem}
    http-request auth unless {{ http_auth(users) }}
    default_backend behind
backend behind
    http-reuse always
    server one 127.0.0.1:{backend}
""",
    )
    return [binary(HAPROXY), "-db", "-f", conf]


def caddy(peer, room, auth, backend):
    """It knows no {SHA} either; its bcrypt answers are remembered, as they are by default."""
    site = f"""
    log {{
        output file {room.path}/caddy-{peer.clear}.access
    }}
    basicauth {{
        {USER} {room.bcrypt}
    }}
    reverse_proxy 127.0.0.1:{backend}
"""
    conf = room.file(
        f"caddy-{peer.clear}.conf",
        f"""
{{
    admin off
    auto_https off
}}
http://:{peer.clear} {{{site}}}
https://:{peer.tls} {{
    tls {room.cert} {room.key}{site}}}
""",
    )
    return ["env", f"HOME={room.path}", binary(CADDY), "run", "--config", conf, "--adapter", "caddyfile"]


COMMANDS = {
    PORTREEVE: portreeve, BEFORE: portreeve, RECIPE: nginx_recipe, TUNED: nginx_tuned, LEAN: nginx_lean, HAPROXY: haproxy,
    CADDY: caddy,
}  # fmt: skip
