"""Two ways to a web server of the test's own (http_origin.py): directly, and through the relay."""
import contextlib
import shutil
import socket
import ssl

import pytest

from http_origin import Link, Origin, Reply

DEVICE = "surface"


class Way:
    """One of the two ways to an origin."""

    def __init__(self, origin, own_origin, connect, token=None):
        self.origin, self.own, self.connect, self.token = origin, own_origin, connect, token
        self.host = own_origin.partition("://")[2]

    def head(self, method, target, fields=(), version="1.1"):
        """`@` in a value is the origin as this side knows it."""
        lines = [f"{method} {target} HTTP/{version}", f"Host: {self.host}"]
        lines += [f"{name}: {value.replace('@', self.own)}" for name, value in fields]
        if self.token:
            lines.append(f"Shutport-Authorization: Bearer {self.token}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    @contextlib.contextmanager
    def link(self):
        with self.connect() as sock:
            yield Link(sock)

    def ask(self, link, key, method="GET", path="", fields=(), version="1.1", body=b""):
        more = [("Content-Length", str(len(body)))] if body else []
        link.send(self.head(method, f"/{key}{path}", [*fields, *more], version), body)
        return Reply(link, method)


@pytest.fixture(scope="module")
def ways(stack):
    """{"direct": Way, "relay": Way}, each to an origin of its own with the same scripts."""
    scripts = {}

    def connect_directly():
        sock = socket.create_connection(("127.0.0.1", direct.port), 60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def connect_to_relay():
        raw = socket.create_connection((stack.at, stack.https_port), 60)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(raw, server_hostname=host, suppress_ragged_eofs=False)

    host = stack.device_host(DEVICE)
    context = ssl.create_default_context(cafile=stack.env["CA_FILE"])
    with Origin(scripts) as direct, Origin(scripts) as relayed:
        done = stack.run("device", "add", DEVICE, f"http://{relayed.authority}")
        assert done.returncode == 0, done.stderr
        yield {
            "direct": Way(direct, f"http://{direct.authority}", connect_directly),
            "relay": Way(relayed, f"https://{host}:{stack.https_port}", connect_to_relay, stack.env["API_TOKEN"]),
        }
        stack.run("device", "rm", DEVICE)
        shutil.rmtree(stack.device_file(DEVICE), ignore_errors=True)
        assert not direct.faults + relayed.faults
