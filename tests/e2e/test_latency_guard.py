"""The only timed assertion: no 40 ms stall anywhere (S20). What the relay adds to a small request stays below 20 ms."""
import http.client
import statistics
import time

import pytest

pytestmark = pytest.mark.alone

GUARD_S = 0.020
ROUNDS = 60


def median_of(connection, path, fields):
    times = []
    for _ in range(ROUNDS):
        begun = time.monotonic()
        connection.request("GET", path, headers=fields)
        answer = connection.getresponse()
        body = answer.read()
        times.append(time.monotonic() - begun)
        assert answer.status == 200 and len(body) == 1024
    return statistics.median(times[ROUNDS // 10:])


def test_the_median_added_latency_is_below_20_ms(stack):
    token = {"Authorization": f"Bearer {stack.env['API_TOKEN']}"}
    straight = http.client.HTTPConnection("127.0.0.1", stack.service_port("pages"))
    direct = median_of(straight, "/bytes/1024", {})
    relayed = median_of(stack.connection(stack.device_host("pages")), "/bytes/1024", token)
    print(f"direct {direct * 1e3:.2f} ms, relayed {relayed * 1e3:.2f} ms")
    assert relayed - direct < GUARD_S


def test_a_post_adds_no_stall_either(stack):
    """Head and body in two pieces: where Nagle's algorithm would wait for an acknowledgement."""
    connection = stack.connection(stack.device_host("pages"))
    times = []
    for _ in range(ROUNDS):
        begun = time.monotonic()
        connection.putrequest("POST", "/echo")
        connection.putheader("Authorization", f"Bearer {stack.env['API_TOKEN']}")
        connection.putheader("Content-Length", "1024")
        connection.endheaders()
        connection.send(b"x" * 1024)
        answer = connection.getresponse()
        assert answer.status == 200 and len(answer.read()) == 1024
        times.append(time.monotonic() - begun)
    assert statistics.median(times) < GUARD_S + 0.005
