#!/usr/bin/env python3
"""Counts the lines of an access log, and those that are not as the README has them: lines.py text|json FILE"""

import ipaddress
import json
import re
import sys

# No control character, nothing that hides or turns the direction of writing, no bare quote or backslash.
PLAIN = r"[^\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\"\\]"
ESCAPED = r'\\(?:"|\\|x[0-9a-f]{2})'
QUOTED = f"(?:{PLAIN}|{ESCAPED})*"
COLUMN = f'(?:-|""|(?:(?! ){PLAIN}|{ESCAPED})+)'
TEXT = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (?P<peer>[0-9a-f.:]+) " + COLUMN
    + rf' "(?P<asked>{QUOTED})" (?P<status>[2-5]\d\d) up=\d+ down=\d+ ms=\d+(?: wait=\d+)? id=[0-9a-f]{{16}}'
    + rf'( claimed={COLUMN})?( note="{QUOTED}")?\n')
FIELDS = {"time": str, "peer": str, "user": (str, type(None)), "method": str, "target": str, "status": int, "up": int,
          "down": int, "ms": int, "wait": int, "id": str, "claimed": str, "note": str, "action": str, "repository": str,
          "reference": str, "digest": str}
NOT_ALWAYS = {"wait", "claimed", "note", "action", "repository", "reference", "digest"}


def text(line):
    found = TEXT.fullmatch(line)
    if not found or " " not in found["asked"]:
        return False
    ipaddress.ip_address(found["peer"])
    return True


def one_only(pairs):
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name twice")
    return made


def as_json(line):
    if not line.endswith("}\n"):
        return False
    entry = json.loads(line, object_pairs_hook=one_only)
    if not FIELDS.keys() - NOT_ALWAYS <= entry.keys() <= FIELDS.keys():
        return False
    if not all(isinstance(value, FIELDS[name]) for name, value in entry.items()):
        return False
    ipaddress.ip_address(entry["peer"])
    return (re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["time"]) is not None
            and re.fullmatch(r"[0-9a-f]{16}", entry["id"]) is not None and 200 <= entry["status"] < 600)


well = {"text": text, "json": as_json}[sys.argv[1]]
lines = odd = 0
# What is not UTF-8 is odd too: it becomes lone surrogates.
with open(sys.argv[2], encoding="utf-8", errors="surrogateescape", newline="\n") as log:
    for line in log:
        lines += 1
        try:
            fine = well(line) and not re.search("[\ud800-\udfff]", line)
        except ValueError:
            fine = False
        if not fine:
            odd += 1
            print(repr(line[:600]), file=sys.stderr)
print(f"lines={lines} odd={odd}")
