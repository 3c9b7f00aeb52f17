"""A browser that goes away frees its place in the bridge within 2 s and closes the service's connection on the device,
wherever its request stands (S18)."""
import contextlib
import re
import socket
import time
import urllib.request

import pytest
from stack_under_test import LOOPBACK, wait_until
from watched_origin import Origin

GONE_S = 2.0
NAME = "leaver"


@pytest.fixture(scope="module")
def origin():
    server = Origin()
    yield server
    server.close()


@pytest.fixture(scope="module")
def device(stack, origin):
    done = stack.run("device", "add", NAME, f"http://{LOOPBACK}:{origin.port}")
    assert done.returncode == 0, done.stderr
    yield stack
    stack.run("device", "rm", NAME)


def metric(stack, name):
    with urllib.request.urlopen(stack.env["METRICS_URL"], timeout=5.0) as answer:
        return int(re.search(rf"(?m)^shutport_(?:bridge_)?{name} (\d+)$", answer.read().decode()).group(1))


def head(stack, method, path, *fields):
    lines = [f"{method} {path} HTTP/1.1", f"Host: {stack.device_host(NAME)}:{stack.https_port}",
             f"Authorization: Bearer {stack.env['API_TOKEN']}", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def before_the_first_byte(stack, browser, path):
    browser.sendall(head(stack, "GET", path))


def in_the_middle_of_a_download(stack, browser, path):
    browser.sendall(head(stack, "GET", path))
    assert browser.recv(4096).startswith(b"HTTP/1.1 200")


def while_the_answer_does_not_fit(stack, browser, path):
    """The browser reads nothing: everything on the way is full when it leaves."""
    browser.sendall(head(stack, "GET", path))
    time.sleep(1.0)


def in_the_middle_of_an_upload(stack, browser, path):
    browser.sendall(head(stack, "POST", path, "Content-Length: 1000000000") + b"y" * 262144)


def while_the_upload_does_not_fit(stack, browser, path):
    browser.sendall(head(stack, "POST", path, "Content-Length: 1000000000"))
    browser.settimeout(1.0)
    with contextlib.suppress(TimeoutError):
        while True:
            browser.sendall(b"y" * 65536)  # until nothing fits any more


def in_a_tunnel(stack, browser, path):
    browser.sendall(head(stack, "GET", path, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
    assert browser.recv(4096).startswith(b"HTTP/1.1 101")
    browser.sendall(b"hello")
    assert browser.recv(4096) == b"hello"


def with_a_close(browser):
    browser.close()


def with_a_reset(browser):
    browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    browser.close()


def with_fin_only(browser):
    """The browser says no more and keeps its socket open."""
    browser.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("leave", [with_a_close, with_a_reset, with_fin_only])
@pytest.mark.parametrize("path, stand", [
    ("/wait/60/", before_the_first_byte),
    ("/drip/", in_the_middle_of_a_download),
    ("/flood/100000000", while_the_answer_does_not_fit),
    ("/sip/", in_the_middle_of_an_upload),
    ("/sip/full-", while_the_upload_does_not_fit),
    ("/tunnel/", in_a_tunnel),
])
def test_a_browser_that_leaves(device, origin, path, stand, leave):
    if stand is while_the_upload_does_not_fit and leave is with_fin_only:
        leave = with_a_close  # a FIN cannot be sent before the bytes in front of it: the kernel of the browser holds it back
    target = path + leave.__name__ if path[-1] in "/-" else path
    origin.visits.clear()
    connections, in_flight = metric(device, "door_connections"), metric(device, "relay_inflight")
    with device.tls(device.device_host(NAME)) as browser:
        stand(device, browser, target)
        wait_until(lambda: origin.visits_to(target))
        assert metric(device, "relay_inflight") == in_flight + 1
        assert not origin.is_over(target)
        leave(browser)
        begun = time.monotonic()
        wait_until(lambda: origin.is_over(target), GONE_S)
        wait_until(lambda: metric(device, "relay_inflight") == in_flight, GONE_S)
        wait_until(lambda: metric(device, "door_connections") == connections, GONE_S)
        assert time.monotonic() - begun < GONE_S


def test_the_others_are_not_disturbed_by_one_that_leaves(device, origin):
    """The same device, at the same time: nothing but the one stream ends."""
    with device.tls(device.device_host(NAME)) as stays, device.tls(device.device_host(NAME)) as leaves:
        stays.sendall(head(device, "GET", "/drip/stays"))
        leaves.sendall(head(device, "GET", "/drip/leaves"))
        assert stays.recv(4096) and leaves.recv(4096)
        leaves.close()
        wait_until(lambda: origin.is_over("/drip/leaves"), GONE_S)
        assert not origin.is_over("/drip/stays")
        assert stays.recv(4096)
