"""What goes wrong is a clear error, nothing is lost, and nothing else is disturbed (R2, R4, R8; S3, S13, S16, S19)."""
import contextlib
import json
import os
import re
import subprocess
import time

import pytest

from broker_fixture import Client, Refused
from fake_tls_server import FakeServer, make_certificate
from plain_browser import PlainBrowser
from stack_under_test import Stack, settings, wait_until

pytestmark = pytest.mark.usefixtures("undisturbed")
NOT_AUTHORIZED = (0x86, 0x87)
HEARD_S = 1.0  # the broker knows of a change in the registry by then
MESSAGE_BYTES_MAX = 61440  # wire/limits.h
PACKET_BYTES_MAX = 62464   # broker-config/mosquitto.conf.in


def client(stack, name, secret):
    """Connect as somebody who has just been entered in the registry."""
    deadline = time.monotonic() + HEARD_S
    while True:
        try:
            return Client(stack, name, secret)
        except Refused:
            assert time.monotonic() < deadline, f"{name} is refused {HEARD_S} s after it was entered"
            time.sleep(0.05)


# --- registration and sign-in ----------------------------------------------------------------------------------------

def test_a_wrong_password_at_registration_is_said_and_nothing_is_stored(stack, scratch_device, tmp_path):
    scratch_device("err-password")
    wrong = tmp_path / "wrong"
    wrong.write_text("not the password\n")
    wrong.chmod(0o600)
    done = stack.register("err-password", wrong)
    assert done.returncode not in (0, 2), done.stderr
    assert re.search(r"user name or password", done.stderr + done.stdout, re.IGNORECASE)
    assert "not the password" not in done.stderr + done.stdout
    assert not stack.registration_file("err-password").exists()
    listed = {row["device_id"] for row in stack.portal("/api/v1/devices").json()["devices"]}
    assert "err-password" not in listed


def test_a_wrong_password_at_sign_in_is_said_and_no_session_begins(stack):
    browser = PlainBrowser(stack)
    answer = browser.sign_in(password="not the password")
    assert answer.status == 401
    assert "password" in browser.page.text.lower() and "not the password" not in answer.text()
    browser.open(stack.env["PORTAL_URL"] + "/devices")
    assert browser.form_with("User name")


def test_an_unknown_user_is_told_just_what_a_wrong_password_is(stack):
    known, unknown = PlainBrowser(stack), PlainBrowser(stack)
    known.sign_in(password="not the password")
    unknown.sign_in(user="nobody", password="not the password")
    assert (known.answer.status, known.page.text) == (unknown.answer.status, unknown.page.text)


def test_registering_over_a_wrong_certificate_sends_no_password(stack, scratch_device, tmp_path):
    folder = scratch_device("err-certificate")
    certificate, key = make_certificate(tmp_path, stack.folder / "certificates", host="elsewhere.example.com")
    with FakeServer(certificate, key) as fake:
        conf = (folder / "agent.conf").read_text()
        (folder / "agent.conf").write_text(conf.replace(f":{stack.https_port}", f":{fake.port}"))
        done = stack.register("err-certificate")
        assert done.returncode != 0 and re.search(r"certificate|subject name|SSL|TLS", done.stderr + done.stdout)
        assert fake.tried >= 1 and fake.heard == b""


# --- the constant connection -----------------------------------------------------------------------------------------

def agent_status(stack, name):
    done = stack.agent_command(name, "status")
    return done.stdout + done.stderr


def test_an_unknown_token_is_answered_with_not_registered(stack, scratch_device):
    scratch_device("err-token")
    assert stack.register("err-token").returncode == 0
    file = stack.registration_file("err-token")
    saved = json.loads(file.read_text())
    good = saved["token"]
    saved["token"] = good[:-8] + ("AAAAAAAA" if not good.endswith("AAAAAAAA") else "BBBBBBBB")
    file.write_text(json.dumps(saved))
    with stack.agent_running("err-token"):
        wait_until(lambda: "not registered" in stack.log("err-token"), 15)
        assert "not_registered" in agent_status(stack, "err-token") or "not registered" in agent_status(stack, "err-token")
        assert stack.device("err-token").status == 503
    # R23: a refusal never clears what is stored.
    assert json.loads(file.read_text()) == saved
    assert saved["token"] not in stack.log("err-token")


def test_a_revoked_token_cuts_the_session_within_2_s_and_is_dead(stack, scratch_device):
    scratch_device("err-revoked")
    assert stack.register("err-revoked").returncode == 0
    token = stack.token("err-revoked")
    with stack.agent_running("err-revoked"):
        wait_until(lambda: stack.works("err-revoked"), 15)
        assert stack.portal("/api/v1/devices/err-revoked", "DELETE").status == 204
        begun = time.monotonic()
        wait_until(lambda: "not registered" in stack.log("err-revoked"), 15)
        assert stack.device("err-revoked").status == 404
        with pytest.raises(Refused) as refusal:
            Client(stack, "err-revoked", token)
        assert refusal.value.code in NOT_AUTHORIZED
        assert re.search(r"access changed, client disconnected id=err-revoked", stack.log("broker"))
        assert time.monotonic() - begun < 15
    assert stack.registration_file("err-revoked").exists()


def test_revoking_ends_a_running_transfer_within_2_s(stack, scratch_device):
    scratch_device("err-cut")
    assert stack.register("err-cut").returncode == 0
    with stack.agent_running("err-cut"):
        wait_until(lambda: stack.works("err-cut"), 15)
        with contextlib.closing(stack.connection(stack.device_host("err-cut"), timeout=10)) as connection:
            connection.request("GET", "/events?count=200", headers={"Authorization": f"Bearer {stack.env['API_TOKEN']}"})
            answer = connection.getresponse()
            assert answer.readline() == b"data: 0\n"
            assert stack.portal("/api/v1/devices/err-cut", "DELETE").status == 204
            begun = time.monotonic()
            with pytest.raises(Exception):  # broken off, never a clean end: IncompleteRead, reset or TLS end
                while answer.readline():
                    pass
                raise EOFError("the response ended")
            assert time.monotonic() - begun < 3


def test_a_stolen_client_id_is_refused_and_the_victim_stays(stack):
    losses = stack.log("printer").count("lost")
    thief_token = stack.token("slow")
    for user in ("slow", "printer"):
        with pytest.raises(Refused) as refusal:
            Client(stack, "printer", thief_token, user=user)
        assert refusal.value.code in NOT_AUTHORIZED
    time.sleep(0.5)
    assert stack.log("printer").count("lost") == losses
    assert stack.device("printer").status == 200


# --- certificates of the broker --------------------------------------------------------------------------------------

@pytest.mark.parametrize("fault", ["expired", "wrong-name", "self-signed"])
def test_with_a_bad_broker_certificate_the_agent_never_sends_connect(stack, scratch_device, tmp_path, fault):
    name = f"err-{fault}"
    scratch_device(name)
    assert stack.register(name).returncode == 0
    if fault == "self-signed":
        certificate, key = tmp_path / "own.crt", tmp_path / "own.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
                        "-out", certificate, "-subj", "/CN=own", "-addext", "subjectAltName=IP:127.0.0.1"],
                       check=True, capture_output=True)
    else:
        host = "elsewhere.example.com" if fault == "wrong-name" else "127.0.0.1"
        certificate, key = make_certificate(tmp_path, stack.folder / "certificates", host=host, expired=fault == "expired")
    file = stack.registration_file(name)
    saved = json.loads(file.read_text())
    with FakeServer(certificate, key) as fake:
        saved["broker"]["port"] = fake.port
        file.write_text(json.dumps(saved))
        with stack.agent_running(name):
            wait_until(lambda: fake.tried >= 2, 20)
            wait_until(lambda: re.search(r"certificate|TLS|SSL", stack.log(name)), 5)
        assert fake.heard == b""


def test_the_same_fake_with_a_good_certificate_does_hear_connect(stack, scratch_device, tmp_path):
    """So that silence above means refusal and not a broken test."""
    scratch_device("err-control")
    assert stack.register("err-control").returncode == 0
    certificate, key = make_certificate(tmp_path, stack.folder / "certificates", host="127.0.0.1")
    file = stack.registration_file("err-control")
    saved = json.loads(file.read_text())
    with FakeServer(certificate, key) as fake:
        saved["broker"]["port"] = fake.port
        file.write_text(json.dumps(saved))
        with stack.agent_running("err-control"):
            wait_until(lambda: fake.heard, 20)
        assert fake.heard[:1] == b"\x10"  # CONNECT


# --- frames from a peer that has the right to send -------------------------------------------------------------------

def garbage():
    yield b""
    yield b"\0"
    yield b"\xff" * 64
    yield os.urandom(1400)
    yield os.urandom(MESSAGE_BYTES_MAX)
    yield os.urandom(MESSAGE_BYTES_MAX + 500)  # passes the broker, over the limit of a message
    for length in range(1, 60):
        yield b"\1" + os.urandom(length)


def test_garbage_from_a_device_disturbs_nobody(stack, scratch_device):
    scratch_device("err-garbage")
    assert stack.register("err-garbage").returncode == 0
    with client(stack, "err-garbage", stack.token("err-garbage")) as liar:
        for message in garbage():
            liar.publish(f"shutport/v1/up/err-garbage/{settings.BRIDGE_NAME}", message)
            liar.publish("shutport/v1/status/err-garbage", message)
        assert liar.is_connected()
        assert stack.device("pages", "/bytes/70000").body == stack.direct("pages", "/bytes/70000").body
    # the true device takes over from there
    with stack.agent_running("err-garbage"):
        wait_until(lambda: stack.works("err-garbage"), 15)


def test_garbage_from_a_bridge_disturbs_no_device(stack):
    secret = stack.folder / "secrets" / "err-bridge"
    done = stack.bridge_command("bridge", "add", "err-bridge", "--secret-file", str(secret))
    assert done.returncode == 0, done.stderr
    try:
        with client(stack, "err-bridge", secret.read_text().strip()) as liar:
            for message in garbage():
                liar.publish("shutport/v1/down/printer/err-bridge", message)
                liar.publish("shutport/v1/down/pages/err-bridge", message)
            assert liar.is_connected()
            assert stack.device("pages", "/bytes/70000").body == stack.direct("pages", "/bytes/70000").body
    finally:
        stack.bridge_command("bridge", "rm", "err-bridge")


def test_a_packet_over_the_brokers_limit_ends_its_sender_alone(stack, scratch_device):
    scratch_device("err-oversized")
    assert stack.register("err-oversized").returncode == 0
    with client(stack, "err-oversized", stack.token("err-oversized")) as liar:
        liar.publish(f"shutport/v1/up/err-oversized/{settings.BRIDGE_NAME}", bytes(PACKET_BYTES_MAX + 1))
        assert liar.ended.wait(5)


# --- full disks ------------------------------------------------------------------------------------------------------

@contextlib.contextmanager
def small_disk(folder, kib):
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=700", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder):
    """Until not one byte fits any more."""
    with open(folder / "filler", "ab", buffering=0) as out:
        for size in (4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    out.write(b"\0" * size)


def test_a_full_disk_at_the_device_is_said_and_leaves_no_half_registration(stack, scratch_device):
    folder = scratch_device("err-disk")
    with small_disk(folder / "state", 64) as disk:
        fill(disk)
        done = stack.register("err-disk")
        assert done.returncode != 0
        assert re.search(r"no space|disk|cannot be (stored|kept|written)|could not", done.stderr + done.stdout, re.IGNORECASE)
        assert not stack.registration_file("err-disk").exists()
        assert [path.name for path in disk.rglob("*") if path.is_file()] == ["filler"]
        (disk / "filler").unlink()
        # the same device comes again, with its owner's credentials: it keeps its name
        done = stack.register("err-disk")
        assert done.returncode == 0, done.stderr
        saved = json.loads(stack.registration_file("err-disk").read_text())
        assert saved["device_id"] == "err-disk"
        assert stack.registration_file("err-disk").stat().st_mode & 0o777 == 0o600
        with stack.agent_running("err-disk"):
            wait_until(lambda: stack.works("err-disk"), 15)


def test_a_full_disk_at_the_server_is_said_and_devices_go_on(tmp_path):
    """A stack of its own, whose registry lies on a disk that fills up."""
    with small_disk(tmp_path / "disk", 2048) as disk:
        registry = disk / "registry.db"
        with Stack("full-disk", settings_chosen=[f"bridge.database_file={registry}",
                                                 f"broker.plugin_opt_database={registry}"]) as stack:
            stack.make_agent("late")
            fill(disk)
            done = stack.register("late")
            assert done.returncode != 0
            assert re.search(r"E4002|registry|try again|503", done.stderr + done.stdout), done.stderr
            assert not stack.registration_file("late").exists()
            assert stack.device("printer").status == 200
            answer = stack.portal("/api/v1/registrations", "POST", body=json.dumps({"device": {"name": "late"}, "services": ["web"]}),
                                  fields={"Content-Type": "application/json"})
            assert answer.status == 503 and answer.json()["code"] == "E4002"
            (disk / "filler").unlink()
            done = stack.register("late")
            assert done.returncode == 0, done.stderr
            with stack.agent_running("late"):
                wait_until(lambda: stack.works("late"), 15)
            assert not stack.sanitizer_reports()
