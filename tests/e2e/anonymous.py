#!/usr/bin/env python3
"""One client of a registry: anonymous.py WHAT USER NAME, with the registry in $TARGET and its CA in $CA. USER - is nobody.

What real libraries do is done by them; of clients that are written in Go or Java their handshake is replayed as their sources
have it (containerd core/remotes/docker/auth, go-containerregistry pkg/v1/remote/transport, jib RegistryAuthenticator, regclient
internal/auth, watchtower pkg/registry/auth). Exits 1 where the client would not get what it wants.
"""

import os
import re
import sys
import urllib.parse

import requests

what, user, name = sys.argv[1:4]
host, ca = os.environ["TARGET"], os.environ["CA"]
repository, tag = name.rsplit(":", 1)
known = None if user == "-" else (user, "s3cret")
scope = f"repository:{repository}:pull"
ACCEPT = {"Accept": "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"}
http = requests.Session()
http.verify = ca
# A .netrc has no say.
http.trust_env = False
manifest = f"https://{host}/v2/{repository}/manifests/{tag}"


def get(url, **more):
    return http.request(more.pop("method", "GET"), url, headers={**ACCEPT, **more.pop("headers", {})}, **more)


def challenge(answer, fold=False):
    """Scheme and parameters."""
    value = answer.headers["WWW-Authenticate"]
    scheme, rest = value.split(" ", 1)
    assert not re.search(r'""', rest), rest
    return scheme.lower(), dict(re.findall(r'(\w+)="([^"]*)"', rest.lower() if fold else rest))


def token(realm, query, auth=known):
    answer = http.get(f"{realm}?{query}", auth=auth)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said["token"] == said["access_token"] and said["expires_in"] >= 60 and "." not in said["token"]
    return {"Authorization": "Bearer " + said["token"]}


def ping():
    answer = http.get(f"https://{host}/v2/")
    assert answer.status_code == 401
    scheme, parameters = challenge(answer)
    assert scheme == "bearer" and parameters["realm"] == f"https://{host}/v2/token", parameters
    return parameters


def wants(answer):
    sys.exit(0 if answer.status_code == 200 else f"{answer.status_code}: {answer.text}")


def oras_pull():
    import time

    import oras.client

    # It tries five times what is refused, longer and longer apart.
    time.sleep = lambda seconds: None
    client = oras.client.OrasClient(hostname=host, auth_backend="basic", tls_verify=ca)
    if known:
        client.auth.set_basic_auth(*known)
    if what.endswith("push"):
        client.push(target=f"{host}/{name}", files=["artifact.txt"])
    else:
        client.pull(target=f"{host}/{name}", outdir="pulled")


def dxf_pull():
    import dxf

    def auth(client, response):
        client.authenticate(*known, response=response)

    client = dxf.DXF(host, repository, auth if known else None, tlsverify=ca)
    if what.endswith("push"):
        client.set_alias(tag, client.push_blob("artifact.txt"))
    else:
        client.get_manifest(tag)


def sdk_pull():
    import docker

    client = docker.from_env()
    auth = {"username": known[0], "password": known[1]} if known else {}
    if what.endswith("push"):
        client.images.get("local").tag(f"{host}/{repository}", tag)
        said = client.images.push(f"{host}/{repository}", tag, auth_config=auth or None)
        sys.exit(said if "error" in said else 0)
    client.images.pull(f"{host}/{repository}", tag, auth_config=auth or None)


def containerd_post_pull():
    """Asked for a token it posts a form first where it has a password, and gets it by a GET where that is not known."""
    parameters = ping()
    if known:
        form = {"grant_type": "password", "service": parameters["service"], "client_id": "containerd-client",
                "username": known[0], "password": known[1], "scope": scope}
        assert http.post(parameters["realm"], data=form).status_code == 404
    query = urllib.parse.urlencode({"service": parameters["service"], "scope": scope})
    wants(get(manifest, headers=token(parameters["realm"], query), method="HEAD"))


def ggcr_pull():
    """Pings, gets a token, and at a 401 gets another for the scope that it is told."""
    parameters = ping()
    query = urllib.parse.urlencode({"scope": scope, "service": parameters["service"]})
    answer = get(manifest, headers=token(parameters["realm"], query))
    if answer.status_code == 401:
        scheme, again = challenge(answer)
        assert scheme == "bearer" and again["scope"] == scope, again
        query = urllib.parse.urlencode({"scope": again["scope"], "service": again["service"]})
        answer = get(manifest, headers=token(again["realm"], query))
    wants(answer)


def jib_pull():
    """Its parameters are not escaped, and what has dots is taken for a JSON web token."""
    parameters = ping()
    query = f"service={parameters['service']}&scope={scope}"
    wants(get(manifest, headers=token(parameters["realm"], query)))


def regclient_pull():
    """Asks for what it wants; a Basic challenge it answers, and where a token is refused it gives up."""
    answer = get(manifest)
    if answer.status_code == 401 and known:
        assert challenge(answer)[0] == "basic"
        answer = get(manifest, auth=known)
    wants(answer)


def watchtower_pull():
    """Folds the challenge to lower case."""
    answer = http.get(f"https://{host}/v2/", headers={"Accept": "*/*", "User-Agent": "Watchtower (Docker)"})
    scheme, parameters = challenge(answer, fold=True)
    assert scheme == "bearer"
    query = urllib.parse.urlencode({"service": parameters["service"], "scope": scope})
    wants(get(manifest, headers=token(parameters["realm"], query), method="HEAD"))


def keep_token():
    parameters = ping()
    with open("kept", "w", encoding="ascii") as kept:
        kept.write(token(parameters["realm"], "service=" + parameters["service"])["Authorization"])


def long_push():
    """20 layers by the token that was kept."""
    with open("kept", encoding="ascii") as kept:
        headers = {"Authorization": kept.read()}
    import hashlib

    layers = []
    for _ in range(20):
        layer = os.urandom(1000)
        digest = "sha256:" + hashlib.sha256(layer).hexdigest()
        place = http.post(f"https://{host}/v2/{repository}/blobs/uploads/", headers=headers)
        assert place.status_code == 202, place.text
        done = http.put(f"{place.headers['Location']}&digest={digest}", data=layer, headers=headers)
        assert done.status_code == 201, done.text
        layers.append({"mediaType": "application/octet-stream", "size": 1000, "digest": digest})
    kind = "application/vnd.oci.image.manifest.v1+json"
    text = {"schemaVersion": 2, "mediaType": kind, "config": layers[0], "layers": layers}
    done = http.put(manifest, json=text, headers={**headers, "Content-Type": kind})
    assert done.status_code == 201, done.text


globals()[what.replace("_push", "_pull") if what != "long_push" else what]()
