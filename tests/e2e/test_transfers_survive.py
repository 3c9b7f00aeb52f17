"""A long download and a long upload each live through killed brokers and cut connections: equal hashes, and curl sees no
error (field: nobody else does that).

SHUTPORT_TRANSFER_BYTES chooses the length: 1 GiB in the long tier, a quarter of that every day.
"""
import hashlib
import os
import random
import re
import subprocess
import threading
import time

import kill_origin
import pytest
from fault_proxy import FaultProxy
from stack_under_test import LOOPBACK, Stack
from test_kills import Origin

LENGTH = int(os.environ.get("SHUTPORT_TRANSFER_BYTES") or (1 << 30 if os.environ.get("SHUTPORT_LONG") else 1 << 28))
FAULTS = 5  # of each kind
NAME = "origin"


def expected_hash():
    digest = hashlib.sha256()
    for piece in kill_origin.long_pieces(LENGTH):
        digest.update(piece)
    return digest.hexdigest()


class Setting:
    def __init__(self, stack, origin, agents, bridges):
        self.stack, self.origin, self.agents, self.bridges = stack, origin, agents, bridges

    def url(self, path):
        return f"https://{self.stack.device_host(NAME)}:{self.stack.https_port}{path}"

    def curl(self, *words):
        env = self.stack.env
        return subprocess.Popen(["curl", "--silent", "--show-error", "--fail", "--cacert", env["CA_FILE"], "--header",
                                 f"Authorization: Bearer {env['API_TOKEN']}", *words], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def disturb(self, curl, log):
        """Kill the broker and cut connections in turn, while the transfer runs; notes what was done."""
        for number in range(2 * FAULTS):
            time.sleep(random.uniform(0.4, 1.2))
            if curl.poll() is not None:
                return
            if number % 2 == 0:
                self.stack.kill("broker")
                log.append("broker killed")
            else:
                cut = self.agents.cut() if number % 4 == 1 else self.bridges.cut()
                log.append(f"{cut} connections cut")


@pytest.fixture
def setting(tmp_path):
    stack = Stack("transfers")

    def broker():
        conf = (stack.folder / "broker.conf").read_text()
        return LOOPBACK, int(re.search(r"(?m)^listener (\d+)", conf).group(1))

    agents, bridges = FaultProxy(broker), FaultProxy(broker)
    stack.chosen += [f"bridge.broker_public_port={agents.port}", f"bridge.broker_port={bridges.port}"]
    origin = Origin(tmp_path)
    with stack:
        done = stack.run("device", "add", NAME, f"http://{LOOPBACK}:{origin.port}")
        assert done.returncode == 0, done.stderr
        yield Setting(stack, origin, agents, bridges)
        reports = stack.sanitizer_reports()
        assert not reports, "\n".join(reports)
    origin.stop()
    agents.close()
    bridges.close()


def while_disturbed(setting, curl, work):
    log = []
    disturber = threading.Thread(target=setting.disturb, args=(curl, log))
    disturber.start()
    result = work()
    problem = curl.stderr.read().decode()
    code = curl.wait(60.0)
    disturber.join()
    print(f"{LENGTH >> 20} MiB; {', '.join(log)}")
    assert code == 0, f"curl: {problem}, after {log}"
    assert len(log) == 2 * FAULTS, f"the transfer was over too soon to be disturbed: {log}"
    return result


def test_a_download_survives(setting):
    curl = setting.curl("--limit-rate", str(LENGTH // 16), setting.url(f"/long/{LENGTH}"))

    def read():
        digest, count = hashlib.sha256(), 0
        while piece := curl.stdout.read(1 << 20):
            digest.update(piece)
            count += len(piece)
        return digest.hexdigest(), count

    assert while_disturbed(setting, curl, read) == (expected_hash(), LENGTH)


def test_an_upload_survives_and_runs_once(setting, tmp_path):
    path = tmp_path / "upload"
    with open(path, "wb") as file:
        for piece in kill_origin.long_pieces(LENGTH):
            file.write(piece)
    curl = setting.curl("--limit-rate", str(LENGTH // 16), "--request", "POST", "--upload-file", str(path), "--header", "Expect:",
                        setting.url("/do/upload"))
    answered = while_disturbed(setting, curl, lambda: curl.stdout.read().decode())
    assert answered == expected_hash()
    assert [digest for digest, _ in setting.origin.diary()["upload"]] == [answered]
