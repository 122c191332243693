"""The Kubernetes API, as the pod's own account may use it. Knows nothing of Patroni."""

import http.client
import json
import os
import ssl

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount/"


class Refused(OSError):
    """An answer that is none of success; `status` is HTTP's."""

    def __init__(self, status, text):
        super().__init__("Kubernetes answered {}: {}".format(status, text))
        self.status = status


def read(name):
    with open(ACCOUNT + name, encoding="utf-8") as file:
        return file.read().strip()


def call(method, path, body=None, seconds=5):
    """The answer to a request in the pod's namespace; `body` is a JSON merge patch. OSError or ValueError where there is
    none in time."""
    connection = http.client.HTTPSConnection(
        os.environ["KUBERNETES_SERVICE_HOST"],
        int(os.environ["KUBERNETES_SERVICE_PORT"]),
        timeout=seconds,
        context=ssl.create_default_context(cafile=ACCOUNT + "ca.crt"),
    )
    headers = {"Authorization": "Bearer " + read("token"), "Content-Type": "application/merge-patch+json"}
    try:
        url = "/api/v1/namespaces/{}/{}".format(read("namespace"), path)
        connection.request(method, url, body=None if body is None else json.dumps(body), headers=headers)
        answer = connection.getresponse()
        text = answer.read().decode()
    except http.client.HTTPException as error:
        raise OSError("Kubernetes did not answer: {!r}".format(error)) from error
    finally:
        connection.close()
    if answer.status >= 300:
        raise Refused(answer.status, text.strip())
    return json.loads(text)
