"""What a device that is online and that nobody asks costs the bridge: at most 2 KiB resident, registry row, presence and greeting
included. SHUTPORT_IDLE_DEVICES is how many; the figure means something only with thousands, so it belongs to the long tier.
"""
import concurrent.futures
import json
import os
import re
import socket
import ssl
import struct
import time

import pytest
from stack_under_test import LOOPBACK, RELEASE_BUILD, Stack, wait_until

COUNT = int(os.environ.get("SHUTPORT_IDLE_DEVICES", "10000"))
WORKERS = 4
BYTES_MAX = 2048
OTHER_BYTES = 3 << 20  # connections, pool threads and pages of the heap that this many registrations touch once
GREETED_S = 8.0        # by then sessions that nobody answered are gone again
SERVICES = ["web"]
STATUS = {"state": "online", "version": "0.1.0", "instance": "9f86d081884c7d65", "services": SERVICES,
          "service_hosts": {"web": "127.0.0.1:8631"}, "silent_services": [], "addresses": ["192.0.2.7"]}


def rss_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) << 10


def register(stack, numbers):
    """{device id: token}, over one connection."""
    connection = stack.connection("portal.localhost", timeout=60.0)
    tokens = {}
    for number in numbers:
        device = {"name": f"idle-{number}", "serial_number": f"S{number:06}", "model": "Idle 1", "place": "3F"}
        connection.request("POST", "/api/v1/registrations", body=json.dumps({"device": device, "services": SERVICES}),
                           headers={"Authorization": f"Bearer {stack.env['API_TOKEN']}", "Content-Type": "application/json"})
        answer = connection.getresponse()
        body = json.loads(answer.read())
        assert answer.status == 201, body
        tokens[body["device_id"]] = body["token"]
    connection.close()
    return tokens


def text(value):
    data = value.encode()
    return struct.pack(">H", len(data)) + data


def packet(kind, body):
    length, size = b"", len(body)
    while True:
        size, low = divmod(size, 128)
        length += bytes([low | (128 if size else 0)])
        if not size:
            return bytes([kind]) + length + body


def say_online(stack, context, device, token):
    """The least that a device says: connected, online, and then the broker forgets it without a will."""
    with socket.create_connection((LOOPBACK, int(stack.env["MQTT_PORT"]))) as plain, \
            context.wrap_socket(plain, server_hostname=stack.env["MQTT_HOST"]) as link:
        link.sendall(packet(0x10, text("MQTT") + b"\x05\xc2\x00\x3c\x00" + text(device) + text(device) + text(token)))
        assert link.recv(64)[:1] == b"\x20"
        link.sendall(packet(0x30, text(f"shutport/v1/status/{device}") + b"\0" + json.dumps(STATUS).encode()) + packet(0xE0, b""))


@pytest.mark.long
def test_an_idle_online_device_costs_the_bridge_at_most_2_kib():
    with Stack("idle", build=RELEASE_BUILD) as stack:
        pid = stack.pid("bridge")
        context = ssl.create_default_context(cafile=stack.env["CA_FILE"])
        register(stack, [COUNT + 1])
        before = rss_bytes(pid)
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            parts = pool.map(lambda first: register(stack, range(first, COUNT, WORKERS)), range(WORKERS))
            tokens = {device: token for part in parts for device, token in part.items()}
            assert len(tokens) == COUNT
            list(pool.map(lambda item: say_online(stack, context, *item), tokens.items()))
        wait_until(lambda: known(stack) >= COUNT, 120.0, 1.0)
        time.sleep(GREETED_S)
        each = (rss_bytes(pid) - before - OTHER_BYTES) / COUNT
        print(f"{COUNT} devices: {(rss_bytes(pid) - before) / COUNT:.0f} bytes each, {each:.0f} without {OTHER_BYTES >> 20} MiB of others")
        assert each <= BYTES_MAX
        assert stack.pid("bridge") == pid


def known(stack):
    """How many devices the bridge has heard of since they were registered."""
    count, after = 0, ""
    while after is not None:
        answer = stack.portal(f"/api/v1/devices?q=idle-&after={after}")
        assert answer.status == 200
        body = answer.json()
        count += sum(row["state"] != "unknown" for row in body["devices"])
        after = body["next"]
    return count
