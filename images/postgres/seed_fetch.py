"""Fetches a dump over https, from public addresses only.

Whoever may write an environment's specification names the URL, and the pod that fetches it stands
inside the cluster: so no name, no redirect and no answer of a name server may lead it to what only
the cluster can reach. Every hop is resolved here, each of its addresses is checked, and the
connection goes to an address that was checked, not to the name again.
"""

import hashlib
import http.client
import ipaddress
import os
import re
import socket
import ssl
import time
import urllib.parse

REDIRECTS = 5
# For a connection, and for each piece that is read.
PATIENCE_SECONDS = 30
# For all of it.
DEADLINE_SECONDS = 3600
CHUNK = 1 << 18

# What is not the public internet, by the registries of IANA; 2002::/16 and 64:ff9b::/96 would lead to
# IPv4 addresses, and 168.63.129.16 is where one cloud has its metadata.
NOT_PUBLIC = [
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24"
        " 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4"
        " 168.63.129.16/32 2001::/23 2001:db8::/32 2002::/16 3fff::/20"
    ).split()
]
PUBLIC_IPV6 = ipaddress.ip_network("2000::/3")
LOCAL_NAMES = re.compile(r"(^|\.)(localhost|local|internal|svc|cluster\.local|home\.arpa)$")


class Refused(Exception):
    """Trying again would not help: the specification has to change, or what it names."""


class Unavailable(Exception):
    """It may come by itself."""


def refusal(address):
    """Why an address must not be connected to; nothing where it may be."""
    parsed = ipaddress.ip_address(address.split("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    if mapped is not None:
        parsed = mapped
    public = parsed.version == 4 or parsed in PUBLIC_IPV6
    if not public or any(parsed in network for network in NOT_PUBLIC if network.version == parsed.version):
        return "{} is not a public address".format(address)
    if address == os.environ.get("KUBERNETES_SERVICE_HOST"):
        return "{} is the Kubernetes API of this cluster".format(address)
    return None


def parse(url):
    """The host, the port and the target of a request for a URL."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port or 443
    except ValueError as error:
        raise Refused("{} is not a URL: {}".format(shown(url), error)) from error
    if parts.scheme != "https" or not host or re.search(r"[^!-~]", url):
        raise Refused("{} is not an https URL".format(shown(url)))
    if parts.username is not None or parts.password is not None:
        raise Refused("a URL with a user name or a password is not fetched")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if "." not in host or LOCAL_NAMES.search(host):
            raise Refused("{} is not a public host name".format(host)) from None
    return host, port, (parts.path or "/") + ("?" + parts.query if parts.query else "")


def shown(url):
    """A URL as it may be shown: a query may hold a signature."""
    return re.sub(r"[?#].*", "?…", url)


def resolve(host, port):
    """The addresses of a host, all of which may be connected to."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unavailable("{} has no address: {}".format(host, error)) from error
    for *_, address in found:
        why = refusal(address[0])
        if why:
            raise Refused("{} is not fetched from: {}".format(host, why))
    return found


class Connection(http.client.HTTPSConnection):
    """To one of the addresses that were checked."""

    def __init__(self, host, port, addresses, context):
        super().__init__(host, port, timeout=PATIENCE_SECONDS, context=context)
        self.addresses = addresses
        self.tls = context

    def connect(self):
        last = None
        for family, kind, protocol, _, address in self.addresses:
            plain = socket.socket(family, kind, protocol)
            plain.settimeout(PATIENCE_SECONDS)
            try:
                plain.connect(address)
                self.sock = self.tls.wrap_socket(plain, server_hostname=self.host)
                return
            except OSError as error:
                plain.close()
                last = error
        raise last or OSError("no address")


def request(url, context):
    """The answer to a GET, after redirects, each of which is checked as the first URL is."""
    for _ in range(REDIRECTS + 1):
        host, port, target = parse(url)
        connection = Connection(host, port, resolve(host, port), context)
        try:
            connection.request("GET", target, headers={"Accept-Encoding": "identity", "User-Agent": "rates-seed-load"})
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Unavailable("{} cannot be fetched: {}".format(shown(url), error)) from error
        if answer.status == 200:
            return connection, answer
        location = answer.headers.get("Location")
        connection.close()
        if answer.status not in (301, 302, 303, 307, 308) or not location:
            raise Unavailable("{} answers {} {}".format(shown(url), answer.status, answer.reason))
        url = urllib.parse.urljoin(url, location)
    raise Refused("more than {} redirects, the last one to {}".format(REDIRECTS, shown(url)))


def fetch(url, sha256, path, most, context=None):
    """Writes the file to `path` and returns its size; raises unless it is at most `most` bytes with that SHA-256."""
    end = time.monotonic() + DEADLINE_SECONDS
    connection, answer = request(url, context or ssl.create_default_context())
    too_large = Refused(
        "{} is larger than the database's volume of {} bytes: raise spec.database.storage.size".format(shown(url), most)
    )
    digest, size = hashlib.sha256(), 0
    try:
        if answer.length is not None and answer.length > most:
            raise too_large
        with open(path, "wb") as file:
            while True:
                chunk = answer.read(CHUNK)
                if not chunk:
                    break
                size += len(chunk)
                if size > most:
                    raise too_large
                if time.monotonic() > end:
                    raise Unavailable("{} was not fetched within {} s".format(shown(url), DEADLINE_SECONDS))
                digest.update(chunk)
                file.write(chunk)
            # A connection that ends early reads as an end.
            if answer.length:
                raise Unavailable("{} ended {} bytes early".format(shown(url), answer.length))
    except (http.client.HTTPException, ssl.SSLError, socket.timeout, ConnectionError) as error:
        raise Unavailable("{} broke off after {} bytes: {}".format(shown(url), size, error)) from error
    finally:
        connection.close()
    if digest.hexdigest() != sha256:
        raise Refused(
            "{} has the SHA-256 {}, and spec.database.seed.url.sha256 is {}: correct the one that is wrong".format(
                shown(url), digest.hexdigest(), sha256
            )
        )
    return size
