"""SIGKILL of broker, bridge, agent and web server at random moments while requests run: nothing with a side effect runs
twice (S5, G1), no success is false and no body is short but clean (S6, G2), nothing runs after its error was told (G3), and
service is back soon (G4).

SHUTPORT_KILLS and SHUTPORT_SEED choose how many kills and which; the seed is printed.
"""
import contextlib
import hashlib
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time

import kill_origin
import pytest
from stack_under_test import LOOPBACK, RELEASE_BUILD, Stack, wait_until

pytestmark = pytest.mark.alone

KILLS = int(os.environ.get("SHUTPORT_KILLS", "60"))
SEED = int(os.environ.get("SHUTPORT_SEED", str(time.time_ns() % 1_000_000)))
WORKERS = 8
PAUSE_S = 0.05        # between the requests of one worker
PAUSE_FAILED_S = 0.25  # after one that failed: errors come back faster than answers
BODY_MAX = 1 << 20
LARGE_BODY = 8 << 20
OUTCOME_UNKNOWN = "E2008"
NAME = "victim"
BACK_S = 3.0


class Origin:
    """The device's web server; always on the same port, so that it can come back."""

    def __init__(self, folder):
        self.diary_path = folder / "diary"
        with contextlib.closing(socket.socket()) as probe:
            probe.bind((LOOPBACK, 0))
            self.port = probe.getsockname()[1]
        self.start()

    def start(self):
        self.process = subprocess.Popen([sys.executable, kill_origin.__file__, str(self.port), str(self.diary_path)],
                                        stderr=subprocess.DEVNULL)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def diary(self):
        """{id: [(hash, when), ...]}"""
        ran = {}
        for line in self.diary_path.read_text().splitlines():
            name, digest, when = line.split()
            ran.setdefault(name, []).append((digest, float(when)))
        return ran


class Worker(threading.Thread):
    """One client, half of its requests with a side effect. What it saw stands in the lists."""

    def __init__(self, stack, number):
        super().__init__(daemon=True)
        self.stack = stack
        self.number = number
        self.random = random.Random(f"{SEED}/{number}")
        self.stopping = threading.Event()
        self.posts = {}   # id -> (status or exception name, problem code, when told, hash sent, hash answered)
        self.wrong = []   # bodies that came back whole and differ
        self.gets = {"ok": 0, "failed": 0}
        self.connection = None

    def exchange(self, method, path, body=None):
        """(status, body); raises on anything but a whole answer."""
        if not self.connection:
            self.connection = self.stack.connection(self.stack.device_host(NAME), timeout=70.0)
        fields = {"Authorization": f"Bearer {self.stack.env['API_TOKEN']}"}
        try:
            self.connection.request(method, path, body=body, headers=fields)
            response = self.connection.getresponse()
            got = response.read()
        except BaseException:
            self.drop()
            raise
        if response.will_close:
            self.drop()
        return response.status, got

    def drop(self):
        if self.connection:
            self.connection.close()
            self.connection.sock = None
        self.connection = None

    def size(self):
        if self.random.random() < 0.02:
            return LARGE_BODY
        return int(BODY_MAX ** self.random.random()) if self.random.random() < 0.9 else 0

    def post(self, name):
        body = self.random.randbytes(min(self.size(), BODY_MAX))
        sent = hashlib.sha256(body).hexdigest()
        try:
            status, got = self.exchange("POST", f"/do/{name}", body)
        except (OSError, http.client.HTTPException) as problem:
            self.posts[name] = (type(problem).__name__, None, time.monotonic(), sent, None)
            return False
        code = json.loads(got)["code"] if status >= 400 else None
        self.posts[name] = (status, code, time.monotonic(), sent, got.decode() if status == 200 else None)
        return status == 200

    def get(self, name):
        length = self.size()
        try:
            status, got = self.exchange("GET", f"/data/{name}/{length}")
        except (OSError, http.client.HTTPException):
            self.gets["failed"] += 1
            return False
        if status == 200:
            self.gets["ok"] += 1
            if got != kill_origin.data_of(name, length):
                self.wrong.append((name, length, len(got)))
        else:
            self.gets["failed"] += 1
        return status == 200

    def run(self):
        count = 0
        while not self.stopping.is_set():
            count += 1
            name = f"w{self.number}-{count}"
            went_well = (self.post if self.random.random() < 0.5 else self.get)(name)
            time.sleep(PAUSE_S if went_well else PAUSE_FAILED_S)
        self.drop()


def kill_one(stack, origin, chance):
    """SIGKILL of one part; returns its name once a new one runs."""
    part = chance.choice(["broker", "bridge", NAME, "origin"])
    if part == "origin":
        origin.stop()
        time.sleep(chance.uniform(0.0, 1.0))
        origin.start()
    else:
        wait_until(lambda: stack.pid(part), 5.0, 0.01)
        stack.kill(part)
    return part


def seconds_until_good(stack):
    begun = time.monotonic()
    wait_until(lambda: stack.works(NAME, "/data/x/10"), 20.0, 0.02)
    return time.monotonic() - begun


@pytest.fixture
def victim(tmp_path):
    origin = Origin(tmp_path)
    with Stack("kills", build=RELEASE_BUILD) as stack:  # how soon it is back is judged
        done = stack.run("device", "add", NAME, f"http://{LOOPBACK}:{origin.port}")
        assert done.returncode == 0, done.stderr
        yield stack, origin
        reports = stack.sanitizer_reports()
        assert not reports, "\n".join(reports)
    origin.stop()


def test_kills_duplicate_nothing_and_fake_nothing(victim):
    stack, origin = victim
    print(f"seed {SEED}, {KILLS} kills")
    chance = random.Random(SEED)
    workers = [Worker(stack, number) for number in range(WORKERS)]
    for worker in workers:
        worker.start()
    back = []
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.1, 1.5))
        part = kill_one(stack, origin, chance)
        back.append((seconds_until_good(stack), part))
    for worker in workers:
        worker.stopping.set()
    for worker in workers:
        worker.join(90.0)
        assert not worker.is_alive(), f"seed {SEED}: a request hangs"
    judge(workers, origin.diary(), sorted(back))


def judge(workers, ran, back):
    posts = {name: saw for worker in workers for name, saw in worker.posts.items()}
    told = {}
    for status, code, *_ in posts.values():
        told[f"{status} {code or ''}"] = told.get(f"{status} {code or ''}", 0) + 1
    gets = {key: sum(worker.gets[key] for worker in workers) for key in ("ok", "failed")}
    print(f"{len(posts)} POSTs: {told}; GETs: {gets}; slowest back: {back[-3:]}")
    twice = {name: runs for name, runs in ran.items() if len(runs) > 1}
    assert not twice, f"seed {SEED}: run twice: {twice}"
    for name, (status, code, when, sent, answered) in posts.items():
        runs = ran.get(name, [])
        if status == 200:
            assert [digest for digest, _ in runs] == [sent] and answered == sent, f"seed {SEED}: false success of {name}"
        for digest, ran_at in runs:
            assert digest == sent, f"seed {SEED}: {name} ran with a body that was not sent"
            if isinstance(status, int) and status >= 400 and code != OUTCOME_UNKNOWN:
                assert ran_at < when, f"seed {SEED}: {name} ran after {status} {code} was told"
    wrong = [entry for worker in workers for entry in worker.wrong]
    assert not wrong, f"seed {SEED}: clean but wrong bodies: {wrong}"
    assert sum(1 for saw in posts.values() if saw[0] == 200) > len(posts) / 2, "most requests fail: nothing was tested"
    slow = back[int(len(back) * 0.99)]
    assert slow[0] < BACK_S, f"seed {SEED}: service was away {slow[0]:.1f} s after {slow[1]} was back"
