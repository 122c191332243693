"""Tries to change something on every port of some pods, without a password. Run in a pod of another namespace.

Usage: closed.py ADDRESS:PORT,PORT… for each pod, with the ports that its containers name.
Prints a line a finding, and the ports that it tried; nothing was found where no line begins with `open`.
"""

import concurrent.futures
import http.client
import socket
import struct
import sys

METHODS = ["POST", "PUT", "PATCH", "DELETE"]
PATHS = [
    "/", "/batches", "/batches/1", "/rates", "/metrics", "/healthz", "/readyz", "/livez", "/config", "/restart", "/reload",
    "/reinitialize", "/switchover", "/failover", "/failsafe", "/sigterm", "/citus", "/mpp", "/patroni", "/cluster", "/history",
]  # fmt: skip
# Not let in; not for this caller; no such path; no such method, here or at all.
REFUSALS = {401, 403, 404, 405, 501}
ROLES = ["postgres", "replicator", "rates_owner", "rates_a", "rates_b", "rates_migrator", "rates_service"]
ALL_PORTS = range(1, 65536)


def listens(address, port):
    try:
        with socket.create_connection((address, port), timeout=5):
            return True
    except OSError:
        return False


def sockets(address):
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        return [port for port, found in zip(ALL_PORTS, pool.map(lambda port: listens(address, port), ALL_PORTS)) if found]


def speaks_http(address, port):
    try:
        connection = http.client.HTTPConnection(address, port, timeout=10)
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        return True
    except (OSError, http.client.HTTPException):
        return False


def by_http(address, port):
    for method in METHODS:
        for path in PATHS:
            connection = http.client.HTTPConnection(address, port, timeout=20)
            connection.request(method, path, body=b"{}", headers={"Content-Type": "application/json"})
            status = connection.getresponse().status
            connection.close()
            if status not in REFUSALS:
                yield "open: {} {} is answered {}".format(method, path, status)


def startup(address, port, **parameters):
    """PostgreSQL's first answer to a client: its kind, and the kind of authentication."""
    pairs = b"".join(text.encode() + b"\0" for pair in parameters.items() for text in pair)
    body = struct.pack("!I", 196608) + pairs + b"\0"
    with socket.create_connection((address, port), timeout=20) as connection:
        connection.sendall(struct.pack("!I", len(body) + 4) + body)
        answer = connection.recv(9)
    kind = answer[:1].decode()
    return kind, struct.unpack("!I", answer[5:9])[0] if kind == "R" and len(answer) == 9 else None


def by_postgres(address, port):
    scram = ("R", 10)
    for role in ROLES:
        for parameters in ({"database": "rates"}, {"database": "postgres"}, {"replication": "true"}):
            found = startup(address, port, user=role, **parameters)
            if found != scram and found[0] != "E":
                yield "open: {} {} is answered {}".format(role, parameters, found)


def main():
    for pod in sys.argv[1:]:
        address, _, named = pod.rpartition(":")
        found = sockets(address)
        print("{} listens on {}".format(address, found))
        missing = {int(port) for port in named.split(",") if port} - set(found)
        if missing:
            print("open: {} names ports that nobody listens on: {}".format(address, sorted(missing)))
        for port in found:
            if speaks_http(address, port):
                lines = by_http(address, port)
            elif port == 5432:
                lines = by_postgres(address, port)
            else:
                lines = ["open: it speaks neither HTTP nor PostgreSQL's protocol"]
            for line in lines:
                print("{} [{}:{}]".format(line, address, port))
    print("tried all")


main()
