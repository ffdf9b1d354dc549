#!/usr/bin/env python3
"""A client that sends all before it reads: send_all_first.py URL CA CREDENTIALS BYTES TIMES, with http.client.

Prints the status of each answer; anything else that happens is printed as the name of the error.
"""

import base64
import http.client
import ssl
import sys
import urllib.parse

url = urllib.parse.urlsplit(sys.argv[1])
ca, credentials, size, times = sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
body = bytes(size)
fields = {"Authorization": "Basic " + base64.b64encode(credentials.encode()).decode()}
for _ in range(times):
    if url.scheme == "https":
        context = ssl.create_default_context(cafile=ca)
        connection = http.client.HTTPSConnection(url.netloc, timeout=60, context=context)
    else:
        connection = http.client.HTTPConnection(url.netloc, timeout=60)
    try:
        connection.request("PUT", url.path, body, fields)
        answer = connection.getresponse()
        answer.read()
        print(answer.status)
    except (OSError, http.client.HTTPException) as error:
        print(type(error).__name__)
    finally:
        connection.close()
