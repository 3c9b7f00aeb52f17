"""Who is there, in three steps, each of them proven (R8, R11): the broker has the device's connection, its agent answers, its
web server answers. Shown by the API, the list and the status topic, within a few seconds of a change."""
import contextlib
import json
import re
import signal
import time

import pytest
from broker_fixture import Client
from plain_browser import PlainBrowser
from stack_under_test import LOOPBACK, wait_until
from watched_origin import Origin

CHECK_MS = 1000  # the agent looks at an unused web server
SOON_S = 3.0
UNANSWERED_S = 6.0  # two PINGs, or one greeting, and the looks in between
NAMES = iter(f"present-{number}" for number in range(1, 100))


@pytest.fixture
def origin():
    server = Origin()
    yield server
    server.close()


@pytest.fixture
def device(stack, scratch_device, origin):
    name = next(NAMES)
    scratch_device(name, services={"web": {"url": f"http://{LOOPBACK}:{origin.port}"}}, service_check_ms=CHECK_MS)
    done = stack.register(name)
    assert done.returncode == 0, done.stderr
    return name


def look(stack, name):
    return stack.portal(f"/api/v1/devices/{name}").json()


def becomes(stack, name, state, seconds=SOON_S):
    begun = time.monotonic()
    wait_until(lambda: look(stack, name)["state"] == state, seconds, 0.1)
    print(f"{state} after {time.monotonic() - begun:.1f} s")


def shown_in_the_list(stack, browser, name):
    """The class and the text of the device's status in the portal's list."""
    browser.open(f"{stack.env['PORTAL_URL']}/devices?q={name}")
    return re.search(r'<span class="status ([a-z-]+)">([^<]+)</span>', browser.answer.text()).groups()


@contextlib.contextmanager
def ear(stack, name):
    """The status messages of that device, as they come."""
    with Client(stack, stack.env["MONITOR_USER"], stack.env["MONITOR_PASSWORD"]) as client:
        client.subscribe(f"shutport/v1/status/{name}")
        yield client


def test_every_state_of_a_devices_life_is_shown(stack, device, origin):
    browser = PlainBrowser(stack)
    browser.sign_in()
    assert look(stack, device)["state"] in ("unknown", "offline")
    with stack.agent_running(device) as agent:
        becomes(stack, device, "online")
        assert shown_in_the_list(stack, browser, device) == ("online", "Online")
        # its web server ends: nobody asks for a page, the agent notices by itself
        origin.close()
        becomes(stack, device, "no_web_server", CHECK_MS / 1000 + SOON_S)
        assert shown_in_the_list(stack, browser, device) == ("no-web-server", "No web server")
        assert stack.device(device).status == 502
        origin.open()
        becomes(stack, device, "online", CHECK_MS / 1000 + SOON_S)
        # the agent stands still, and its connection with it
        agent.send_signal(signal.SIGSTOP)
        time.sleep(1.1)
        seen_at = look(stack, device)["last_seen_at"]
        becomes(stack, device, "unresponsive", UNANSWERED_S)
        assert shown_in_the_list(stack, browser, device) == ("unresponsive", "Does not respond")
        assert look(stack, device)["last_seen_at"] == seen_at, "looking at it does not make it seen"
        agent.send_signal(signal.SIGCONT)
        wait_until(lambda: look(stack, device)["last_seen_at"] > seen_at, UNANSWERED_S)
        becomes(stack, device, "online", UNANSWERED_S)
        agent.kill()
        agent.wait()
        becomes(stack, device, "offline")
        assert shown_in_the_list(stack, browser, device) == ("offline", "Offline")


def test_a_page_that_cannot_be_fetched_is_noticed_at_once(stack, scratch_device, origin):
    """Without waiting for the agent's own look, which is switched off."""
    name = next(NAMES)
    scratch_device(name, services={"web": {"url": f"http://{LOOPBACK}:{origin.port}"}}, service_check_ms=0)
    assert stack.register(name).returncode == 0
    with stack.agent_running(name):
        wait_until(lambda: stack.works(name, "/now/a"), 15.0)
        origin.close()
        assert stack.device(name, "/now/b").status == 502
        becomes(stack, name, "no_web_server", 1.5)
        origin.open()
        assert stack.device(name, "/now/c").status == 200
        becomes(stack, name, "online", 1.5)


def test_the_status_topic_says_which_services_are_silent(stack, device, origin):
    with ear(stack, device) as client, stack.agent_running(device):
        said = lambda: json.loads(client.receive(5.0)[1])  # noqa: E731
        first = said()
        assert first["state"] == "online" and first["silent_services"] == []
        assert re.fullmatch(r"[0-9a-f]{16}", first["instance"])
        origin.close()
        wait_until(lambda: said()["silent_services"] == ["web"], 10.0)
        origin.open()
        wait_until(lambda: said()["silent_services"] == [], 10.0)


def test_looking_is_bounded_and_so_is_knocking(stack, device, origin):
    """Whoever looks a hundred times in a second costs the device next to nothing."""
    with stack.agent_running(device):
        becomes(stack, device, "online")
        time.sleep(1.0)
        before = origin.accepted_count
        begun = time.monotonic()
        for _ in range(100):
            look(stack, device)
        took = time.monotonic() - begun
        assert origin.accepted_count - before <= 2 + 2 * took
