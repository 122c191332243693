"""Which addresses a dump may be fetched from, and what fetching does with a server of its own.

The database pod's tests (test_pod.py) run this file in each image, with the image's Python. It also runs by itself."""

import contextlib
import hashlib
import http.server
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import seed_fetch

CONTENT = b"SELECT 1;\n" * 100_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        path, _, rest = self.path.partition("?")
        if path == "/dump":
            self.answer(200, CONTENT)
        elif path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:1000])
        elif path == "/endless":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(CONTENT)
        elif path == "/to":
            self.send_response(302)
            self.send_header("Location", rest)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.answer(404, b"")

    def answer(self, status, content):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        # Who has read enough hangs up.
        with contextlib.suppress(OSError):
            self.wfile.write(content)


@contextlib.contextmanager
def a_server(folder):
    """An https server under the name dumps.example; gives its address and who trusts it."""
    key, certificate = folder / "key", folder / "certificate"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        + ["-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=dumps.example"]
        + ["-addext", "subjectAltName=DNS:dumps.example"],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1], ssl.create_default_context(cafile=certificate)
    finally:
        server.shutdown()
        server.server_close()


class FetchTests(unittest.TestCase):
    def test_only_public_addresses_are_connected_to(self):
        for address in ("93.184.216.34", "8.8.8.8", "2606:4700::1111", "2a00:1450:4001::1"):
            self.assertIsNone(seed_fetch.refusal(address), address)
        for address in (
            "127.0.0.1 127.8.8.8 0.0.0.0 10.96.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 100.64.0.1"
            " 100.100.100.200 192.0.0.192 198.18.0.1 198.19.255.1 168.63.129.16 224.0.0.1 255.255.255.255 ::1 ::"
            " ::ffff:127.0.0.1 ::ffff:10.0.0.1 fe80::1%eth0 fc00::1 fd00:ec2::254 64:ff9b::a00:1 2002:a00:1::1"
            " 2001:0:a00::1 2001:db8::1 ff02::1"
        ).split():
            self.assertIsNotNone(seed_fetch.refusal(address), address)
        with mock.patch.dict(os.environ, KUBERNETES_SERVICE_HOST="8.8.8.8"):
            self.assertIn("Kubernetes API", seed_fetch.refusal("8.8.8.8"))

    def test_only_https_urls_with_public_names_are_taken(self):
        self.assertEqual(seed_fetch.parse("https://a.example:8443/x/y?z=1#f"), ("a.example", 8443, "/x/y?z=1"))
        for url in (
            "http://a.example/ ftp://a.example/ file:///etc/passwd https:///x https://u:p@a.example/ https://u@a.example/"
            " https://localhost/ https://kubernetes/ https://x.default.svc/ https://x.default.svc.cluster.local./"
            " https://metadata.google.internal/ https://a.example:99999/ https://[::1/"
        ).split():
            with self.assertRaises(seed_fetch.Refused, msg=url):
                seed_fetch.parse(url)

    def test_a_name_with_one_private_address_is_refused_before_anything_is_sent(self):
        answers = [(2, 1, 6, "", ("8.8.8.8", 443)), (2, 1, 6, "", ("10.0.0.1", 443))]
        with mock.patch("socket.getaddrinfo", return_value=answers), self.assertRaises(seed_fetch.Refused) as caught:
            seed_fetch.resolve("rebinding.example", 443)
        self.assertIn("10.0.0.1 is not a public address", str(caught.exception))

    @contextlib.contextmanager
    def fetching(self):
        """fetch(path, …) against a server that counts as public at its one address."""
        with tempfile.TemporaryDirectory() as folder, a_server(Path(folder)) as (port, context):
            real, target = seed_fetch.refusal, Path(folder) / "dump"
            names = {"dumps.example": "127.0.0.1", "inside.example": "10.0.0.1", "other.example": "127.0.0.1"}

            def find(host, _, **__):
                return [(2, 1, 6, "", (names.get(host, host), port))]

            def public(address):
                return None if address == "127.0.0.1" else real(address)

            def fetch(path, sha256=SHA256, most=1 << 30, host="dumps.example"):
                url = "https://{}:{}{}".format(host, port, path)
                seed_fetch.fetch(url, sha256, target, most, context)
                return target.read_bytes()

            with mock.patch("socket.getaddrinfo", find), mock.patch.object(seed_fetch, "refusal", public):
                yield fetch

    def refused(self, fetch, says, *arguments, kind=seed_fetch.Refused, **settings):
        with self.assertRaises(kind) as caught:
            fetch(*arguments, **settings)
        self.assertIn(says, str(caught.exception))

    def test_a_file_is_fetched_also_after_redirects(self):
        with self.fetching() as fetch:
            self.assertEqual(fetch("/dump"), CONTENT)
            self.assertEqual(fetch("/to?/to?/dump"), CONTENT)
            self.refused(fetch, "more than 5 redirects", "/to?" * 6 + "/dump")

    def test_a_redirect_is_checked_as_the_url_was(self):
        with self.fetching() as fetch:
            self.refused(fetch, "10.0.0.1 is not a public address", "/to?https://inside.example/dump")
            self.refused(fetch, "169.254.169.254 is not a public address", "/to?https://169.254.169.254/latest")
            self.refused(fetch, "is not an https URL", "/to?http://dumps.example/dump")
            self.refused(fetch, "not a public host name", "/to?https://kubernetes.default.svc/")

    def test_another_checksum_and_too_many_bytes_are_refused(self):
        with self.fetching() as fetch:
            self.refused(fetch, "has the SHA-256 " + SHA256, "/dump", sha256="0" * 64)
            self.refused(fetch, "is larger than", "/dump", most=1000)
            self.refused(fetch, "is larger than", "/endless", most=3_000_000)

    def test_what_may_pass_is_told_apart(self):
        unavailable = {"kind": seed_fetch.Unavailable}
        with self.fetching() as fetch:
            self.refused(fetch, "answers 404", "/nothing?signature=secret", **unavailable)
            self.refused(fetch, "", "/short", **unavailable)
            # A certificate for another name.
            self.refused(fetch, "cannot be fetched", "/dump", host="other.example", **unavailable)

    def test_a_query_is_not_shown(self):
        self.assertEqual(seed_fetch.shown("https://a.example/x?signature=secret#y"), "https://a.example/x?…")


if __name__ == "__main__":
    unittest.main()
