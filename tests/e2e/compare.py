#!/usr/bin/env python3
"""The same requests to the registry itself and through the gate: compare.py PLAIN-PORT TLS-PORT CA CREDENTIALS [judged]

With "judged" the gate has an access file, and says itself of some requests that they are none of a registry.

Everything must be the same, byte for byte: status line, header fields in their order, body. Left out are the date, what
each side says of its own connection, the framing fields (the bytes they frame are compared), and what the registry
invents anew for each upload. Prints one line for each request; exits 1 if any differs.
"""

import base64
import hashlib
import json
import re
import socket
import ssl
import sys

plain_port, tls_port, ca, credentials = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
judged = sys.argv[5:] == ["judged"]
HOST = f"registry.test:{tls_port}"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OWN = {"date", "connection", "keep-alive", "transfer-encoding", "content-length"}


def connect(gate):
    sock = socket.create_connection(("127.0.0.1", tls_port if gate else plain_port), timeout=30)
    if gate:
        context = ssl.create_default_context(cafile=ca)
        sock = context.wrap_socket(sock, server_hostname="registry.test")
    return sock


def read_chunked(stream):
    body = b""
    while size := int(stream.readline().split(b";")[0], 16):
        body += stream.read(size)
        assert stream.readline() == b"\r\n", "a chunk without its end"
    while stream.readline() not in (b"\r\n", b""):
        pass
    return body


def ask(gate, method, target, fields=(), body=b""):
    """Status, status line, fields and body of the answer, and whether the body is whole. Straight to the registry, it is
    told what the gate would tell it."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {HOST}", "Connection: close", *fields]
    if gate:
        lines.append("Authorization: Basic " + base64.b64encode(credentials.encode()).decode())
    else:
        lines.append("X-Forwarded-Proto: https")
    if body:
        lines.append(f"Content-Length: {len(body)}")
    with connect(gate) as sock:
        sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        stream = sock.makefile("rb")
        status = stream.readline().decode("latin-1").rstrip("\r\n")
        answer = []
        while line := stream.readline().decode("latin-1").rstrip("\r\n"):
            name, value = line.split(":", 1)
            answer.append((name, value.strip()))
        known = {name.lower(): value for name, value in answer}
        code = int(status.split()[1])
        whole = True
        if method == "HEAD" or code in (204, 304):
            payload = None
        elif known.get("transfer-encoding", "").lower() == "chunked":
            payload = read_chunked(stream)
        elif "content-length" in known:
            payload = stream.read(int(known["content-length"]))
            # The registry's 416 announces the length of the blob and ends after its message.
            whole = len(payload) == int(known["content-length"])
        else:
            payload = stream.read()
        return code, status, answer, payload, whole


def comparable(answer):
    """Without the fields that may differ, and with the registry's inventions masked."""
    _, status, fields, payload, whole = answer
    boundary = b"NONE"
    kept = []
    # The length of what a HEAD leaves out is news from the registry; each side writes it where it writes its framing.
    left_out = [("Content-Length", value) for name, value in fields if payload is None and name.lower() == "content-length"]
    for name, value in fields:
        if name.lower() in OWN:
            continue
        value = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID", value)
        value = re.sub(r"_state=[^&]*", "_state=STATE", value)
        if match := re.search(r"boundary=(\w+)", value):
            boundary = match[1].encode()
            value = value.replace(match[1], "BOUNDARY")
        kept.append((name, value))
    return status, kept + left_out, payload and payload.replace(boundary, b"BOUNDARY"), whole


def shown_of(comparable_answer):
    status, kept, payload, whole = comparable_answer
    return f"{status} {kept} {'' if payload is None else payload[:200]} {'whole' if whole else 'CUT SHORT'}"


def seed():
    """Two repositories with an image of the same blob, straight into the registry."""
    blob = bytes(range(256)) * 4096
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).encode()
    digests = ["sha256:" + hashlib.sha256(data).hexdigest() for data in (blob, config)]
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digests[1], "size": len(config)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digests[0], "size": len(blob)}],
    }).encode()
    for repository in ("team/app", "team/tool", "zoo"):
        for data, digest in zip((blob, config), digests):
            code, _, fields, *_ = ask(False, "POST", f"/v2/{repository}/blobs/uploads/", ["Content-Length: 0"])
            assert code == 202, code
            place = dict((name.lower(), value) for name, value in fields)["location"]
            target = place.split(HOST, 1)[1] + "&digest=" + digest
            code, *_ = ask(False, "PUT", target, ["Content-Type: application/octet-stream"], data)
            assert code == 201, code
        code, *_ = ask(False, "PUT", f"/v2/{repository}/manifests/v1", [f"Content-Type: {OCI_MANIFEST}"], manifest)
        assert code == 201, code
    return digests[0], "sha256:" + hashlib.sha256(manifest).hexdigest()


blob, manifest = seed()
accept = [f"Accept: {OCI_MANIFEST}"]
empty = ["Content-Length: 0"]
quoted = blob.replace(":", "%3A")
upload = "/v2/team/new/blobs/uploads/"
# What is asked, the status that shows that the question was the one that was meant, and what must be seen in the fields.
QUESTIONS = [
    ("GET", "/v2/", [], b"", 200, "Docker-Distribution-Api-Version: registry/2.0"),
    ("GET", "/v2/_catalog", [], b"", 200, ""),
    ("GET", "/v2/_catalog?n=1", [], b"", 200, 'Link: </v2/_catalog?last=team%2Fapp&n=1>; rel="next"'),
    ("GET", "/v2/_catalog?last=team%2Fapp&n=1", [], b"", 200, "Link: "),
    ("GET", "/v2/team/app/tags/list", [], b"", 200, ""),
    ("GET", "/v2/team/app/manifests/v1", accept, b"", 200, "Docker-Content-Digest: " + manifest),
    ("HEAD", "/v2/team/app/manifests/v1", accept, b"", 200, "Content-Length: "),
    ("GET", "/v2/team/app/manifests/" + manifest, accept, b"", 200, ""),
    ("GET", "/v2/team/app/manifests/v1", [*accept, f'If-None-Match: "{manifest}"'], b"", 304, ""),
    ("GET", "/v2/team/app/manifests/none", accept, b"", 404, ""),
    ("HEAD", "/v2/team/app/manifests/none", accept, b"", 404, ""),
    ("PUT", "/v2/team/app/manifests/bad", [f"Content-Type: {OCI_MANIFEST}"], b"{", 400, ""),
    ("HEAD", "/v2/team/app/blobs/" + blob, [], b"", 200, "Content-Length: 1048576"),
    ("GET", "/v2/team/app/blobs/" + blob, [], b"", 200, "Etag: "),
    ("GET", "/v2/team/app/blobs/" + blob, ["Range: bytes=1000-1999"], b"", 206, "Content-Range: bytes 1000-1999/1048576"),
    ("GET", "/v2/team/app/blobs/" + blob, ["Range: bytes=1048000-"], b"", 206, ""),
    ("GET", "/v2/team/app/blobs/" + blob, ["Range: bytes=-7"], b"", 206, ""),
    ("GET", "/v2/team/app/blobs/" + blob, ["Range: bytes=0-1,7-8"], b"", 206, "multipart/byteranges"),
    ("GET", "/v2/team/app/blobs/" + blob, ["Range: bytes=9999999-"], b"", 416, ""),
    ("GET", "/v2/team/app/blobs/" + blob, [f'If-None-Match: "{blob}"'], b"", 304, ""),
    ("GET", "/v2/team/app/blobs/sha256:" + "0" * 64, [], b"", 404, ""),
    ("GET", "/v2/team/app/blobs/" + quoted, [], b"", 200, ""),
    ("POST", upload, empty, b"", 202, f"Location: https://{HOST}/v2/team/new/blobs/uploads/UUID?_state=STATE"),
    ("POST", f"{upload}?mount={quoted}&from=team%2Fapp", empty, b"", 201, f"Location: https://{HOST}/v2/team/new/blobs/{blob}"),
    ("POST", f"{upload}?mount={blob}&from=team/app", empty, b"", 201, ""),
    ("POST", f"{upload}?mount=sha256%3A{'0' * 64}&from=team%2Fapp", empty, b"", 202, ""),
    ("PUT", f"{upload}not-an-upload?digest={blob}", empty, b"", 404, ""),
    ("GET", "/v2/nobody/knows/tags/list", [], b"", 404, ""),
    ("DELETE", "/v2/nobody/knows/manifests/" + manifest, [], b"", 404, ""),
    ("GET", "/v2/UPPER/case/tags/list", [], b"", 404, ""),
    ("PATCH", "/v2/team/app/tags/list", empty, b"", 405, ""),
    ("GET", "/nothing", [], b"", 404, ""),
]
# What no right is for, whatever a registry says.
JUDGED = {("GET", "/v2/UPPER/case/tags/list"): 404, ("PATCH", "/v2/team/app/tags/list"): 403}

differ = False
for method, target, fields, body, status, shown in QUESTIONS:
    direct = ask(False, method, target, fields, body)
    gated = ask(True, method, target, fields, body)
    asked = f"{method} {target} {' '.join(f for f in fields if not f.startswith(('Accept', 'Content-')))}".rstrip()
    want, got = comparable(direct), comparable(gated)
    if judged and (method, target) in JUDGED:
        verdict = JUDGED[method, target]
        if gated[0] == verdict:
            print(f"  ok: the gate itself says {verdict}: {asked}")
        else:
            print(f"  FAILED: {asked}: not {verdict}: {shown_of(got)}")
            differ = True
        continue
    if direct[0] != status or shown not in "\n".join(f"{name}: {value}" for name, value in want[1]):
        print(f"  FAILED: {asked}: not the answer of the registry that was meant: {shown_of(want)}")
        differ = True
    elif want != got:
        print(f"  FAILED: {asked}\n    registry: {shown_of(want)}\n    gate:     {shown_of(got)}")
        differ = True
    else:
        print(f"  ok: the same, byte for byte: {asked} ({status})".replace("0" * 64, "0..."))
sys.exit(differ)
