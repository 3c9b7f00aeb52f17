"""Whatever the size, what comes through the relay is byte for byte what the service gives or was given (R13)."""
import hashlib

import pytest

from stack_under_test import curl

MIB = 1 << 20
SIZES = [0, 1, 1024, 64 * 1024, MIB, 100 * 1000 * 1000]


@pytest.fixture
def url(stack):
    return f"https://{stack.device_host('pages')}:{stack.https_port}"


def sha256(path):
    with open(path, "rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def write_noise(path, size):
    """Bytes without a pattern, the same each time."""
    with open(path, "wb") as out:
        block = hashlib.shake_256(b"shutport").digest(MIB)
        for offset in range(0, size, MIB):
            out.write(block[:min(MIB, size - offset)])


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", SIZES)
def test_a_download_equals_what_the_service_gives_directly(stack, url, tmp_path, size, framing):
    path = f"/bytes/{size}" + ("?chunked" if framing == "chunked" else "")
    direct, relayed = tmp_path / "direct", tmp_path / "relayed"
    done = curl(stack, "--output", str(direct), f"http://127.0.0.1:{stack.service_port('pages')}{path}")
    assert done.returncode == 0, done.stderr
    done = curl(stack, "--output", str(relayed), "--write-out", "%{http_code}", url + path)
    assert done.returncode == 0 and done.stdout == b"200", done.stderr
    assert relayed.stat().st_size == size
    assert sha256(relayed) == sha256(direct)


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", SIZES)
def test_an_upload_reaches_the_service_and_comes_back_unchanged(stack, url, tmp_path, size, framing):
    sent, back = tmp_path / "sent", tmp_path / "back"
    write_noise(sent, size)
    words = ["--header", "Transfer-Encoding: chunked"] if framing == "chunked" else []
    done = curl(stack, *words, "--header", "Expect:", "--request", "POST", "--data-binary", f"@{sent}", "--output", str(back),
                "--write-out", "%{http_code}", f"{url}/echo")
    assert done.returncode == 0 and done.stdout == b"200", done.stderr
    assert back.stat().st_size == size
    assert sha256(back) == sha256(sent)


def test_expect_100_continue_is_honoured(stack, url, tmp_path):
    sent = tmp_path / "sent"
    write_noise(sent, MIB)
    done = curl(stack, "--header", "Expect: 100-continue", "--data-binary", f"@{sent}", "--output", str(tmp_path / "back"),
                "--verbose", f"{url}/echo")
    assert done.returncode == 0, done.stderr
    assert b"HTTP/1.1 100" in done.stderr
    assert sha256(tmp_path / "back") == sha256(sent)


def test_head_has_the_length_and_no_body(stack):
    answer = stack.device("pages", "/bytes/4096", "HEAD")
    assert (answer.status, answer.field("Content-Length"), answer.body) == (200, "4096", b"")


def test_many_requests_on_one_connection_are_answered_in_order(stack):
    connection = stack.connection(stack.device_host("pages"))
    for size in (1, 70000, 0, 3, 200000):
        connection.request("GET", f"/bytes/{size}", headers={"Authorization": f"Bearer {stack.env['API_TOKEN']}"})
        answer = connection.getresponse()
        assert answer.status == 200 and len(answer.read()) == size
    connection.close()


def test_what_arrives_at_once_leaves_at_once(stack):
    """A body that drips for 40 s is passed on as it comes; gathered, its first lines would be far too late."""
    connection = stack.connection(stack.device_host("pages"), timeout=10)
    connection.request("GET", "/events?count=200", headers={"Authorization": f"Bearer {stack.env['API_TOKEN']}"})
    answer = connection.getresponse()
    lines = [answer.readline() for _ in range(3)]
    assert lines == [b"data: 0\n", b"\n", b"data: 1\n"]
    connection.close()
