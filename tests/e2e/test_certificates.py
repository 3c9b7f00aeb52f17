"""broker-config/make-certificates: what it makes, what it keeps, what it renews and how it fails."""
import pathlib
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "broker-config" / "make-certificates"


def make(folder, *words):
    return subprocess.run([SCRIPT, folder, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)


def made(folder, *words):
    done = make(folder, *words)
    assert done.returncode == 0, done.stderr
    assert not list(folder.glob(".new*"))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def openssl(*words):
    return subprocess.run(["openssl", *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30, check=True).stdout


def names_of(path):
    told = openssl("x509", "-in", path, "-noout", "-ext", "subjectAltName").splitlines()[1]
    return {name.strip() for name in told.split(",")}


ALL = ("--host", "broker.example.com", "--host", "192.0.2.7", "--host", "::1", "--relay-domain", "dev.example.net", "--portal-host",
       "portal.example.com")


def test_certificates_name_what_was_asked_for_and_verify(tmp_path):
    made(tmp_path, *ALL)
    assert names_of(tmp_path / "broker.crt") == {"DNS:broker.example.com", "IP Address:192.0.2.7", "IP Address:0:0:0:0:0:0:0:1"}
    assert names_of(tmp_path / "bridge.crt") == {"DNS:portal.example.com", "DNS:dev.example.net", "DNS:*.dev.example.net"}
    for name in ("broker", "bridge"):
        openssl("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", tmp_path / "ca.crt", tmp_path / f"{name}.crt")
        text = openssl("x509", "-in", tmp_path / f"{name}.crt", "-noout", "-text")
        assert "NIST CURVE: P-256" in text and "ecdsa-with-SHA256" in text and "CA:FALSE" in text


def test_keys_are_for_their_owner_only_and_certificates_for_all(tmp_path):
    made(tmp_path / "new", *ALL)
    for path in (tmp_path / "new").glob("*.key"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "new" / "ca.crt").stat().st_mode & 0o777 == 0o644


def test_without_names_there_is_a_broker_for_this_machine_and_no_bridge(tmp_path):
    files = made(tmp_path)
    assert names_of(tmp_path / "broker.crt") == {"DNS:localhost", "IP Address:127.0.0.1"}
    assert "bridge.crt" not in files


def test_what_is_still_good_is_kept(tmp_path):
    assert made(tmp_path, *ALL) == made(tmp_path, *ALL)


def changed(before, after):
    return {name.split(".")[0] for name in after if before.get(name) != after[name]}


def test_only_what_is_no_longer_good_is_made_anew(tmp_path):
    before = made(tmp_path, *ALL)
    after = made(tmp_path, *ALL, "--host", "another.example.com")
    assert changed(before, after) == {"broker"}
    before, after = after, made(tmp_path, *ALL, "--host", "another.example.com", "--days", "20")
    assert changed(before, after) == {"broker", "bridge"}
    before, after = after, made(tmp_path, *ALL, "--host", "another.example.com", "--days", "20")
    assert changed(before, after) == {"broker", "bridge"}  # less than 30 days are left
    before = made(tmp_path, *ALL)
    (tmp_path / "broker.key").write_bytes(before["bridge.key"])
    assert changed(before, made(tmp_path, *ALL)) == {"broker"}
    (tmp_path / "ca.key").unlink()
    assert changed(before, made(tmp_path, *ALL)) == {"ca", "broker", "bridge"}


@pytest.mark.parametrize("words, code, said", [
    ((), 2, "usage"), (("DIR", "x"), 2, "one DIR only"), (("DIR", "--nonsense"), 2, "unknown option"), (("DIR", "--host"), 2, "needs a value"),
    (("DIR", "--host", "a b"), 2, "not a host name"), (("DIR", "--host", "a,DNS:b"), 2, "not a host name"),
    (("DIR", "--relay-domain", "a\nb"), 2, "not a host name"), (("DIR", "--host", ""), 2, "not a host name"),
    (("DIR", "--days", "x"), 2, "wants a number"), (("/proc/none",), 1, "cannot make the directory"),
])
def test_mistakes_are_named_and_nothing_is_made(tmp_path, words, code, said):
    folder = tmp_path / "new"
    done = subprocess.run([SCRIPT, *(str(folder) if word == "DIR" else word for word in words)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=60, check=False)
    assert done.returncode == code and said in done.stderr
    assert not folder.exists()


def test_a_disk_that_is_full_leaves_what_was_there(tmp_path):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", tmp_path], check=True)
    try:
        before = made(tmp_path, *ALL)
        with open(tmp_path / "filler", "wb", buffering=0) as filler:
            try:
                while filler.write(b"x" * 1024):
                    pass
            except OSError:
                pass
        assert make(tmp_path, *ALL, "--host", "another.example.com").returncode != 0
        (tmp_path / "filler").unlink()
        assert made(tmp_path, *ALL) == before
    finally:
        subprocess.run(["umount", tmp_path], check=True)
