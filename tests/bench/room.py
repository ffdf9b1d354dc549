"""What all that runs has in common: a directory that goes away, a certificate, password files, the blob.

Owns the files, and the backend's and the API's programs. Nothing of it outlives the run.
"""

import base64
import functools
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from program import Program, free_port

USER, PASSWORD = "bench", "correct-horse"
# A blob of a registry's larger kind, and an answer of its smaller one: a manifest.
BLOB = 1 << 30
PAGE = 4096
HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def basic(user):
    return "Basic " + base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()


class Room:
    """The files of one run, and the backend that all gates share."""

    def __init__(self, users):
        (ROOT / "target").mkdir(exist_ok=True)
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="bench.", dir=ROOT / "target"))
        # In memory, so that no disk is measured; nginx's workers must be able to read it.
        self.blobs = pathlib.Path(tempfile.mkdtemp(prefix="bench.", dir="/dev/shm"))
        self.programs = []
        self.users = [f"user{i}" for i in range(users)]
        self.make_certificate()
        self.make_passwords()
        self.blobs.chmod(0o755)
        (self.blobs / "page").write_bytes(os.urandom(PAGE))
        self.start_backend()

    @functools.cached_property
    def blob(self):
        """Made when the first asks for it, since small requests need none."""
        path = self.blobs / "blob"
        with open(path, "wb") as blob:
            piece = os.urandom(1 << 20)
            for _ in range(BLOB >> 20):
                blob.write(piece)
        return path

    def file(self, name, text):
        path = self.path / name
        path.write_text(text)
        return path

    def start(self, name, command):
        program = Program(name, [str(part) for part in command], self.path)
        self.programs.append(program)
        return program

    def make_certificate(self):
        """ECDSA on P-256 for all, self-signed."""
        self.cert, self.key = self.path / "cert.pem", self.path / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
            + ["-days", "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
            + ["-keyout", self.key, "-out", self.cert],
            check=True,
            capture_output=True,
        )
        self.pem = self.file("both.pem", self.cert.read_text() + self.key.read_text())

    def make_passwords(self):
        digest = base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()
        made = subprocess.run(
            ["htpasswd", "-nbBC", "10", USER, PASSWORD], check=True, capture_output=True, text=True
        )
        self.bcrypt = made.stdout.strip().partition(":")[2]
        self.htpasswd = {
            "sha": self.file("sha", f"{USER}:{{SHA}}{digest}\n"),
            # All have one hash, which is as dear to check as a thousand, and is made in a moment.
            "bcrypt": self.file("bcrypt", "".join(f"{user}:{self.bcrypt}\n" for user in [USER, *self.users])),
        }
        for file in self.htpasswd.values():
            file.chmod(0o644)
        self.path.chmod(0o755)

    def start_backend(self):
        """Serves the blob and small answers, hands bodies to the sink, and is the auth API too."""
        self.backend, self.api, self.sink = free_port(), free_port(), free_port()
        self.start("sink", [sys.executable, HERE / "sink.py", self.sink])
        allowed = basic(USER)
        conf = self.file(
            "backend.conf",
            f"""
daemon off; user root; worker_processes 2; pid {self.path}/backend.pid; error_log {self.path}/backend.err;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
    access_log off; sendfile on; sendfile_max_chunk 2m; tcp_nodelay on;
    keepalive_requests 100000000; keepalive_timeout 300s; client_max_body_size 0;
    server {{
        listen 127.0.0.1:{self.backend} backlog=1024; root {self.blobs};
        location = /small {{ return 200 "{{}}\\n"; }}
        location = /blob {{ }}
        # The same page, as nginx sends a file by default, the head by one call and the body by another, and from memory by
        # one call for both.
        open_file_cache max=8; open_file_cache_valid 1h;
        location = /apart {{ alias {self.blobs}/page; sendfile on; tcp_nopush off; }}
        location = /together {{ alias {self.blobs}/page; sendfile off; }}
    }}
    server {{
        listen 127.0.0.1:{self.api} backlog=1024;
        location /lifetime {{
            if ($http_authorization != "{allowed}") {{ return 401; }}
            add_header Cache-Control "max-age=30"; return 200 "";
        }}
        location /always {{
            if ($http_authorization != "{allowed}") {{ return 401; }}
            add_header Cache-Control "no-store"; return 200 "";
        }}
    }}
}}
""",
        )
        self.start("backend", ["nginx", "-c", conf]).await_answer(self.backend)

    def close(self):
        for program in reversed(self.programs):
            program.stop()
        shutil.rmtree(self.blobs, ignore_errors=True)
        if os.environ.get("KEEP"):
            print(f"kept {self.path}", file=sys.stderr)
        else:
            shutil.rmtree(self.path, ignore_errors=True)
