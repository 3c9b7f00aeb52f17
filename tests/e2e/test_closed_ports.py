"""Every port of the device is shut, and its web server is usable all the same (R14).

    user ---- server ---- device         three network namespaces; user and device cannot reach each other
    browser   broker      agent
              bridge      printer (a real one)

From the user's place exactly broker and bridge are open at the server. From the server's place, which can reach the
device's address, nothing at all is open there. Meanwhile the user sees the printer's page through the portal.
"""
import contextlib
import pathlib
import re
import subprocess

import pytest

import namespaces
from namespaces import process_in
from stack_under_test import ROOT, STACK_BUILD, Stack, wait_until

HERE = pathlib.Path(__file__).parent
PRINTER_PORT = 8631
NAME = "shut-printer"


def scan(namespace, address):
    done = namespaces.python_in(namespace, HERE / "scan_ports.py", address, timeout=120)
    assert done.returncode == 0, done.stderr
    return {int(line) for line in done.stdout.split()}


def listeners(namespace, protocol):
    """{(address in hex, port)} of every socket of that namespace that waits for something from outside."""
    states = {"tcp": "0A", "udp": "07"}
    found = set()
    for family in ("", "6"):
        done = subprocess.run(["ip", "netns", "exec", namespace, "cat", f"/proc/net/{protocol}{family}"], capture_output=True,
                              text=True, check=True)
        for line in done.stdout.splitlines()[1:]:
            words = line.split()
            if words[3] == states[protocol]:
                address, port = words[1].split(":")
                found.add((address, int(port, 16)))
    return found


LOOPBACKS = ("0100007F", "00000000000000000000000001000000")


@pytest.fixture(scope="module")
def world():
    """(stack, user's, server's and device's namespace, device's address), with the printer registered and online."""
    with contextlib.ExitStack() as cleanup:
        net = cleanup.enter_context(namespaces.network())
        user, server, device = net.add("user"), net.add("server"), net.add("device")
        at, _ = net.join(server, user)
        server_side, device_address = net.join(server, device)
        namespaces.ip("-n", device, "route", "add", f"{at}/32", "via", server_side)
        stack = cleanup.enter_context(Stack("ports", at=at, in_namespace=server))
        folder = stack.make_agent(NAME, {"web": {"url": f"http://127.0.0.1:{PRINTER_PORT}"}})
        demo = ROOT / "tests" / "demo"
        cleanup.enter_context(process_in(device, folder / "printer.stderr", "/usr/bin/python3", demo / "printer.py", PRINTER_PORT,
                                         folder, folder / "service.pid", "A shut printer"))
        # Names under .localhost lead to loopback; what stands in for DNS here is stopped once the device is registered.
        agent = [str(STACK_BUILD / "device-agent" / "shutport-agent"), "--config", str(folder / "agent.conf")]
        with process_in(device, folder / "forward.stderr", "/usr/bin/python3", demo / "forward.py", "127.0.0.1",
                        stack.https_port, at):
            def registered():
                return subprocess.run(["ip", "netns", "exec", device, *agent, "register", "--password-file",
                                       str(stack.folder / "secrets" / "admin")], capture_output=True, check=False).returncode == 0
            wait_until(registered, 10, 0.3)
        cleanup.enter_context(process_in(device, folder / "agent.log", *agent))
        wait_until(lambda: page(stack, user)[0] == "200", 15, 0.3)
        yield stack, user, server, device, device_address


def page(stack, namespace, path="/"):
    """(status, body) of the printer's page as a user in that namespace gets it."""
    host = stack.device_host(NAME)
    done = subprocess.run(["ip", "netns", "exec", namespace, "curl", "--silent", "--max-time", "10", "--cacert", stack.env["CA_FILE"],
                           "--connect-to", f"::{stack.at}:{stack.https_port}", "--header",
                           f"Authorization: Bearer {stack.env['API_TOKEN']}", "--write-out", "\n%{http_code}",
                           f"https://{host}:{stack.https_port}{path}"], capture_output=True, check=False)
    body, _, status = done.stdout.rpartition(b"\n")
    return status.decode(), body


def test_the_printer_is_usable_from_a_network_that_cannot_reach_it(world):
    stack, user, _, _, device_address = world
    done = subprocess.run(["ip", "netns", "exec", user, "curl", "--silent", "--max-time", "2", f"http://{device_address}:{PRINTER_PORT}/"],
                          capture_output=True, check=False)
    assert done.returncode != 0
    status, body = page(stack, user)
    assert status == "200" and b"A shut printer" in body
    assert page(stack, user, "/icon.png")[1].startswith(b"\x89PNG")
    assert page(stack, user, "/media")[0] == page(stack, user, "/supplies")[0] == "200"


def test_from_outside_only_broker_and_bridge_are_open(world):
    stack, user, _, _, _ = world
    assert scan(user, stack.at) == {stack.https_port, int(stack.env["MQTT_PORT"])}


def test_no_port_of_the_device_is_open_while_its_page_is_served(world):
    stack, user, server, _, device_address = world
    assert scan(server, device_address) == set()
    assert page(stack, user)[0] == "200"


def test_the_scan_can_see_an_open_port(world):
    """The same scan finds a listener when there is one, so that an empty result means something."""
    _, _, server, device, device_address = world
    opener = ("import socket, time; s = socket.create_server(('0.0.0.0', 40404)); "
              "t = socket.create_server(('%s', 443)); time.sleep(60)" % device_address)
    with process_in(device, "/dev/null", "/usr/bin/python3", "-c", opener):
        wait_until(lambda: ("00000000", 40404) in listeners(device, "tcp"), 5)
        assert scan(server, device_address) == {443, 40404}


def test_device_and_agent_listen_on_loopback_only(world):
    stack, _, _, device, _ = world
    tcp = listeners(device, "tcp")
    panel_port = int(re.search(r"panel_port = (\d+)", stack.device_file(NAME, "agent.conf").read_text()).group(1))
    assert {port for address, port in tcp} == {PRINTER_PORT, panel_port}
    assert all(address in LOOPBACKS for address, _ in tcp)
    assert listeners(device, "udp") == set()
