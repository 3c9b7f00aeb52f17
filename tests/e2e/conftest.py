"""One stack for the whole session; tests that must break more than can be mended start one of their own."""
import os
import shutil

import pytest

from stack_under_test import WORK, Stack

LONG_FIRST = ("test_kills", "test_transfers_survive", "test_run", "test_soak", "test_bad_network", "test_grace", "test_liveness",
              "test_memory", "test_agent", "test_broker", "test_broker_proof", "test_isolation", "test_errors", "test_ctl")


def pytest_sessionstart(session):
    if os.geteuid() != 0:
        raise pytest.UsageError("the end-to-end tests make network namespaces and small file systems: run them as root")
    WORK.mkdir(parents=True, exist_ok=True)


def pytest_configure(config):
    config.addinivalue_line("markers", "long: only with SHUTPORT_LONG, as ./test --long sets it")
    config.addinivalue_line("markers", "alone: judges how fast something is, so nothing else should run at the same time")


def pytest_collection_modifyitems(items):
    """The long tier's only when asked for. The long ones first, so that two processes end at about the same time."""
    if not os.environ.get("SHUTPORT_LONG"):
        items[:] = [item for item in items if not item.get_closest_marker("long")]
    items.sort(key=lambda item: LONG_FIRST.index(item.path.stem) if item.path.stem in LONG_FIRST else len(LONG_FIRST))


def pytest_sessionfinish(session, exitstatus):
    """What a failed run leaves is for looking at."""
    if exitstatus == 0:
        shutil.rmtree(WORK, ignore_errors=True)


@pytest.fixture(scope="session")
def stack():
    with Stack("session") as running:
        yield running
    reports = running.sanitizer_reports()
    assert not reports, "\n".join(reports)


@pytest.fixture
def undisturbed(stack):
    """Nothing else was disturbed: the same processes, and every demo device still answers."""
    names = ("broker", "bridge", "printer", "pages")
    before = {name: stack.pid(name) for name in names}
    yield
    assert {name: stack.pid(name) for name in names} == before
    assert stack.device("printer").status == 200
    assert stack.device("pages", "/landed").status == 200


@pytest.fixture
def scratch_device(stack, request):
    """make(NAME): an agent's folder in the session's stack, removed afterwards (deregistered too, if need be)."""
    made = []

    def make(name, **more):
        made.append(name)
        return stack.make_agent(name, **more)

    yield make
    for name in made:
        stack.portal(f"/api/v1/devices/{name}", "DELETE")
        shutil.rmtree(stack.device_file(name), ignore_errors=True)
