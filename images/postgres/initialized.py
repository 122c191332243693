"""Prints the system identifier that Kubernetes has on record for this cluster, or nothing.

Patroni keeps it in an annotation of the ConfigMap SCOPE-config. With `--wait`, returns only when
there is one. An API server that cannot be reached is asked again for a while.
"""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
PATIENCE_SECONDS = 60


def on_record():
    """The identifier, '' where there is none; an error where nobody knows."""
    host = os.environ["KUBERNETES_SERVICE_HOST"]
    url = "https://{}:{}/api/v1/namespaces/{}/configmaps/{}-config".format(
        "[" + host + "]" if ":" in host else host,
        os.environ["KUBERNETES_SERVICE_PORT"],
        os.environ["PATRONI_KUBERNETES_NAMESPACE"],
        os.environ["PATRONI_SCOPE"],
    )
    with open(ACCOUNT + "/token") as token:
        request = urllib.request.Request(url, headers={"Authorization": "Bearer " + token.read()})
    context = ssl.create_default_context(cafile=ACCOUNT + "/ca.crt")
    try:
        with urllib.request.urlopen(request, context=context, timeout=5) as answer:
            annotations = json.load(answer)["metadata"].get("annotations") or {}
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return ""
        raise
    return annotations.get("initialize", "")


def main():
    wait = "--wait" in sys.argv[1:]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            found = on_record()
        except (OSError, ValueError) as error:
            if not wait and time.monotonic() > deadline:
                sys.exit("initialized.py: {}".format(error))
            found = None
        if found or (found is not None and not wait):
            print(found)
            return
        time.sleep(0.5)


main()
