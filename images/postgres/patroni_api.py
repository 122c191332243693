"""The REST API of the pod's own Patroni. Reads are open to all; a change needs the password of the Secret."""

import base64
import json
import urllib.request

URL = "http://localhost:8008/"
PASSWORD = "/etc/rates/admin/patroni-password"


def get(path):
    with urllib.request.urlopen(URL + path, timeout=5) as answer:
        return json.load(answer)


def post(path, body, seconds):
    """Patroni's word on a change; urllib.error.HTTPError where it refuses. The file is read for each, as the password may be
    changed."""
    with open(PASSWORD, encoding="utf-8") as file:
        login = "patroni:" + file.read().rstrip("\n")
    headers = {
        "Content-Type": "application/json",
        "Authorization": "Basic " + base64.b64encode(login.encode()).decode(),
    }
    request = urllib.request.Request(URL + path, data=json.dumps(body).encode(), headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=seconds) as answer:
        return answer.read().decode(errors="replace").strip()
