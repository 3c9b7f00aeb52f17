"""The first of the attacks that must fail: identity and isolation at the door (S1, S2, S7-S11, S16, S24). What is refused must
also never reach the device: the service's own log is the witness."""
import base64
import contextlib
import http.server
import itertools
import re
import socket
import ssl
import subprocess
import threading

import pytest

from plain_browser import PlainBrowser
from stack_under_test import Stack, settings, wait_until

numbers = itertools.count(1)


@pytest.fixture
def witness(stack):
    """(path nobody else uses, seen()) - has the pages device been asked for it?"""
    path = f"/witness-{next(numbers)}"
    log = stack.device_file("pages", "service.log")
    return path, lambda: path in log.read_text(errors="replace")


def head(stack, lines, name="pages"):
    """A request head with this stack's token and Host, as bytes; `lines` replace or follow them."""
    host = f"{stack.device_host(name)}:{stack.https_port}"
    text = "\r\n".join(lines).replace("HOST", host).replace("TOKEN", stack.env["API_TOKEN"])
    return text.encode("latin-1") + b"\r\n\r\n"


def status_of(raw):
    found = re.match(rb"HTTP/1\.[01] (\d{3})", raw)
    return int(found.group(1)) if found else None


# --- S7: the gate ----------------------------------------------------------------------------------------------------

AUTH = "Authorization: Bearer TOKEN"
MALFORMED = {
    "no host": ["GET PATH HTTP/1.1", AUTH],
    "two hosts": ["GET PATH HTTP/1.1", "Host: HOST", "Host: HOST", AUTH],
    "space before colon": ["GET PATH HTTP/1.1", "Host: HOST", AUTH, "X-A : b"],
    "space in name": ["GET PATH HTTP/1.1", "Host: HOST", AUTH, "X A: b"],
    "empty name": ["GET PATH HTTP/1.1", "Host: HOST", AUTH, ": b"],
    "folded field": ["GET PATH HTTP/1.1", "Host: HOST", AUTH, "X-A: b", " c"],
    "nul in value": ["GET PATH HTTP/1.1", "Host: HOST", AUTH, "X-A: b\0c"],
    "cr in value": ["GET PATH HTTP/1.1", "Host: HOST", AUTH, "X-A: b\rX-B: c"],
    "control in target": ["GET PATH\x01 HTTP/1.1", "Host: HOST", AUTH],
    "raw byte in target": ["GET PATH\xe9 HTTP/1.1", "Host: HOST", AUTH],
    "two spaces": ["GET  PATH HTTP/1.1", "Host: HOST", AUTH],
    "no version": ["GET PATH", "Host: HOST", AUTH],
    "version 2": ["GET PATH HTTP/2.0", "Host: HOST", AUTH],
    "version 1.10": ["GET PATH HTTP/1.10", "Host: HOST", AUTH],
    "lower-case version": ["GET PATH http/1.1", "Host: HOST", AUTH],
    "length and chunked": ["POST PATH HTTP/1.1", "Host: HOST", AUTH, "Content-Length: 5", "Transfer-Encoding: chunked"],
    "two lengths": ["POST PATH HTTP/1.1", "Host: HOST", AUTH, "Content-Length: 0", "Content-Length: 5"],
    "length list": ["POST PATH HTTP/1.1", "Host: HOST", AUTH, "Content-Length: 0, 5"],
    "length with plus": ["POST PATH HTTP/1.1", "Host: HOST", AUTH, "Content-Length: +5"],
    "negative length": ["POST PATH HTTP/1.1", "Host: HOST", AUTH, "Content-Length: -5"],
    "hex length": ["POST PATH HTTP/1.1", "Host: HOST", AUTH, "Content-Length: 0x5"],
    "length over 64 bit": ["POST PATH HTTP/1.1", "Host: HOST", AUTH, "Content-Length: 18446744073709551621"],
    "unknown coding": ["POST PATH HTTP/1.1", "Host: HOST", AUTH, "Transfer-Encoding: gzip"],
    "hidden chunked": ["POST PATH HTTP/1.1", "Host: HOST", AUTH, "Transfer-Encoding: xchunked"],
    "chunked not last": ["POST PATH HTTP/1.1", "Host: HOST", AUTH, "Transfer-Encoding: chunked, identity"],
    "two codings": ["POST PATH HTTP/1.1", "Host: HOST", AUTH, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    "coding with 1.0": ["POST PATH HTTP/1.0", "Host: HOST", AUTH, "Transfer-Encoding: chunked"],
    "absolute form elsewhere": ["GET https://portal.localhostPATH HTTP/1.1", "Host: HOST", AUTH],
    "user in host": ["GET PATH HTTP/1.1", "Host: a@HOST", AUTH],
    "no slash": ["GET nowhere HTTP/1.1", "Host: HOST", AUTH],
    "connect": ["CONNECT HOST HTTP/1.1", "Host: HOST", AUTH],
    "unknown method": ["FROBNICATE PATH HTTP/1.1", "Host: HOST", AUTH],
    "lower-case method": ["get PATH HTTP/1.1", "Host: HOST", AUTH],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_is_refused_at_the_gate(stack, witness, name):
    path, seen = witness
    lines = [line.replace("PATH", path) for line in MALFORMED[name]]
    smuggled = head(stack, [f"GET {path}-smuggled HTTP/1.1", "Host: HOST", AUTH])
    raw = stack.raw(stack.device_host("pages"), head(stack, lines) + smuggled, wait_s=2)
    assert status_of(raw) in (400, 405, 421, 501, 505), raw[:200]
    assert len(re.findall(rb"HTTP/1\.1 \d{3} ", raw)) == 1, "what followed was read as a request"
    assert not seen()


def test_a_line_that_ends_in_lf_alone_is_refused(stack, witness):
    path, seen = witness
    raw = stack.raw(stack.device_host("pages"), head(stack, [f"GET {path} HTTP/1.1", "Host: HOST", AUTH]).replace(b"\r\n", b"\n"), wait_s=2)
    assert status_of(raw) == 400 and not seen()


def test_a_head_that_is_too_large_is_431(stack, witness):
    path, seen = witness
    raw = stack.raw(stack.device_host("pages"), head(stack, [f"GET {path} HTTP/1.1", "Host: HOST", AUTH, "X-A: " + "b" * 200000]), wait_s=2)
    assert status_of(raw) in (400, 431, 414) and not seen()


def test_pipelined_requests_are_answered_one_by_one_in_order(stack):
    request = [head(stack, [f"GET /bytes/{size} HTTP/1.1", "Host: HOST", AUTH]) for size in (3, 0, 5)]
    closing = head(stack, ["GET /landed HTTP/1.1", "Host: HOST", AUTH, "Connection: close"])
    raw = stack.raw(stack.device_host("pages"), b"".join(request) + closing)
    assert [int(number) for number in re.findall(rb"HTTP/1\.1 (\d{3})", raw)] == [200, 200, 200, 200]
    assert [int(length) for length in re.findall(rb"(?i)content-length: (\d+)", raw)][:3] == [3, 0, 5]


def test_a_body_is_no_request(stack, witness):
    path, seen = witness
    inner = head(stack, [f"GET {path} HTTP/1.1", "Host: HOST", AUTH])
    raw = stack.raw(stack.device_host("pages"), head(stack, ["POST /echo HTTP/1.1", "Host: HOST", AUTH, "Connection: close",
                                                              f"Content-Length: {len(inner)}"]) + inner)
    assert status_of(raw) == 200 and raw.endswith(inner) and not seen()


# --- S1: one principal -----------------------------------------------------------------------------------------------

def test_host_decides_and_must_agree_with_sni(stack, witness):
    path, seen = witness
    raw = stack.raw(stack.device_host("pages"), head(stack, [f"GET {path} HTTP/1.1", "Host: HOST", AUTH]),
                    sni=stack.device_host("printer"), wait_s=2)
    assert status_of(raw) == 421 and not seen()


@pytest.mark.parametrize("host", ["elsewhere.example.com", "dev.localhost", "a.b.dev.localhost", "pages.dev.localhost.evil.example.com",
                                  "pages--.dev.localhost", "127.0.0.1", "*.dev.localhost"])
def test_a_host_that_is_none_of_ours_is_421(stack, host):
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {stack.env['API_TOKEN']}\r\n\r\n".encode()
    with contextlib.suppress(ssl.SSLCertVerificationError):
        context = ssl.create_default_context(cafile=stack.env["CA_FILE"])
        context.check_hostname = False
        with socket.create_connection((stack.at, stack.https_port), 5) as raw, context.wrap_socket(raw) as link:
            link.settimeout(2)
            link.sendall(request)
            assert status_of(link.recv(65536)) in (400, 421)


@pytest.mark.parametrize("field", ["X-Forwarded-Host", "X-Original-URL", "X-Rewrite-URL", "Forwarded", "X-Host"])
def test_no_other_field_changes_where_a_request_goes(stack, field):
    answer = stack.device("pages", "/headers", fields={field: stack.device_host("printer")})
    assert answer.status == 200 and answer.json()["target"] == "/headers"


# --- S8: what the device is told -------------------------------------------------------------------------------------

def seen_by_device(stack, **fields):
    answer = stack.device("pages", "/headers", **fields)
    assert answer.status == 200, answer.text()
    return [(name.lower(), value) for name, value in answer.json()["fields"]]


def test_the_device_never_sees_our_credentials(stack):
    fields = seen_by_device(stack)
    assert not any(stack.env["API_TOKEN"] in value for _, value in fields)
    assert "authorization" not in dict(fields)
    secret = base64.b64encode(f"x:{stack.env['API_TOKEN']}".encode()).decode()
    assert "authorization" not in dict(seen_by_device(stack, token=False, fields={"Authorization": f"Basic {secret}"}))


def test_the_devices_own_authorization_goes_through(stack):
    fields = dict(seen_by_device(stack, token=False, fields={"Authorization": "Basic ZGV2aWNlOm93bg==",
                                                             "Shutport-Authorization": f"Bearer {stack.env['API_TOKEN']}"}))
    assert fields["authorization"] == "Basic ZGV2aWNlOm93bg==" and "shutport-authorization" not in fields


def test_no_relay_cookie_reaches_the_device(stack):
    browser = PlainBrowser(stack)
    browser.sign_in()
    browser.connect("pages")
    names = list(browser.cookies[stack.device_host("pages")])
    assert any(name.startswith("__Host-") for name in names)
    answer = browser.open(f"https://{stack.device_host('pages')}:{stack.https_port}/headers")
    cookies = [value for name, value in answer.json()["fields"] if name.lower() == "cookie"]
    assert not any("shutport" in value.lower() for value in cookies)
    assert any("theme=plain" in value for value in cookies)


def test_forwarded_fields_are_ours_and_hop_by_hop_fields_end_here(stack):
    fields = seen_by_device(stack, fields={
        "X-Forwarded-For": "203.0.113.9", "X_Forwarded_For": "203.0.113.9", "X-Forwarded-Proto": "gopher", "Forwarded": "for=203.0.113.9",
        "Connection": "X-Named, keep-alive", "X-Named": "1", "Keep-Alive": "1", "TE": "gzip;q=0.5, trailers", "Proxy-Authorization": "x",
        "Upgrade": "h2c", "X-Kept": "yes"})
    names = [name for name, _ in fields]
    assert not any("203.0.113.9" in value or "gopher" in value for _, value in fields)
    assert dict(fields)["x-forwarded-proto"] == "https"
    assert dict(fields)["x-forwarded-host"] == f"{stack.device_host('pages')}:{stack.https_port}"
    assert not {"x-named", "keep-alive", "proxy-authorization", "upgrade"} & set(names)
    assert dict(fields).get("te") in (None, "trailers")  # the bridge's own word: it does pass trailers on
    assert dict(fields)["x-kept"] == "yes"
    assert names.count("host") == 1


# --- S2, S24: who may ------------------------------------------------------------------------------------------------

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("credential", ["none", "unknown token", "malformed", "cookie of nobody"])
def test_without_a_right_no_method_reaches_a_device(stack, witness, method, credential):
    path, seen = witness
    fields = {"none": {}, "unknown token": {"Authorization": "Bearer shp_" + "A" * 43}, "malformed": {"Authorization": "Bearer"},
              "cookie of nobody": {"Cookie": "__Host-shutport=" + "A" * 43}}[credential]
    answer = stack.device("pages", path, method, token=False, fields=fields)
    assert answer.status in (401, 403, 302, 303)
    assert not seen()


def test_an_upgrade_passes_the_same_gate(stack, witness):
    path, seen = witness
    answer = stack.device("pages", path, token=False, fields={"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                                                             "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
    assert answer.status in (401, 403, 302, 303) and not seen()


@pytest.mark.parametrize("path, method", [("/api/v1/devices", "GET"), ("/api/v1/devices/printer", "DELETE"), ("/devices", "GET")])
def test_a_stranger_gets_nothing_from_the_portal(stack, path, method):
    answer = stack.portal(path, method, token=False)
    assert answer.status in (401, 403, 302, 303)
    assert "printer" not in answer.text().replace("/devices/printer", "")
    assert stack.device("printer").status == 200


@pytest.fixture(scope="module")
def two_users():
    """A stack where users see only their own devices, with a second user: (stack, token of that user)."""
    with Stack("two-users", settings_chosen=["bridge.list_shows=own"]) as stack:
        secret = stack.folder / "secrets" / "alice"
        secret.write_text("correct horse battery staple\n")
        secret.chmod(0o600)
        done = stack.bridge_command("user", "add", "alice", "--password-file", str(secret))
        assert done.returncode == 0, done.stderr
        done = stack.bridge_command("token", "add", "alice", "--name", "test")
        token = re.search(r"shp_[A-Za-z0-9_-]+", done.stdout).group()
        wait_until(lambda: stack.portal("/api/v1/devices", token=token).status == 200, 5)
        yield stack, token
        assert not stack.sanitizer_reports()


def test_a_foreign_device_looks_like_none(two_users):
    stack, alice = two_users
    foreign = stack.device("pages", "/landed", token=alice)
    absent = stack.device("no-such-device", "/landed", token=alice)
    assert foreign.status == absent.status == 404
    assert foreign.text().replace("pages", "X") == absent.text().replace("no-such-device", "X")
    assert foreign.field("Retry-After") == absent.field("Retry-After")


def test_the_list_of_another_user_is_empty_and_they_cannot_deregister(two_users):
    stack, alice = two_users
    assert stack.portal("/api/v1/devices", token=alice).json()["devices"] == []
    assert stack.portal("/api/v1/devices/printer", "DELETE", token=alice).status in (403, 404)
    assert stack.device("printer").status == 200


# --- S9, S11: origins ------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def hostile(stack):
    """A device whose answers try to reach beyond its own origin; .seen is what it was asked."""
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        seen = []

        def do_GET(self):
            Handler.seen.append((self.command, self.path))
            length = int(self.headers.get("Content-Length") or 0)
            self.rfile.read(length)
            self.send_response(200)
            for value in ("tossed=1; Domain=dev.localhost; Path=/", "__Host-shutport=stolen; Path=/; Secure",
                          "__host-SHUTPORT-state=stolen; Path=/; Secure", "fine=1; Path=/"):
                self.send_header("Set-Cookie", value)
            self.send_header("Strict-Transport-Security", "max-age=99999999; includeSubDomains")
            self.send_header("Clear-Site-Data", '"*"')
            self.send_header("Alt-Svc", 'h3=":443"')
            self.send_header("Content-Length", "2")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(b"ok")

        do_POST = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    done = stack.run("device", "add", "hostile", f"http://127.0.0.1:{server.server_port}")
    assert done.returncode == 0, done.stderr
    yield Handler
    stack.run("device", "rm", "hostile")
    server.shutdown()


def test_a_device_cannot_set_what_reaches_beyond_its_origin(stack, hostile):
    answer = stack.device("hostile")
    cookies = answer.all_fields("Set-Cookie")
    assert [line.split(";")[0] for line in cookies if "shutport" in line.lower()] == []
    assert not any("domain=" in line.lower() for line in cookies)
    assert any(line.startswith("fine=1") for line in cookies)
    hsts = answer.field("Strict-Transport-Security") or ""
    assert "includesubdomains" not in hsts.lower()
    assert answer.field("Clear-Site-Data") is None and answer.field("Alt-Svc") is None


@pytest.mark.parametrize("origin", ["https://printer.dev.localhost:PORT", "https://portal.localhost:PORT", "https://evil.example.com", "null",
                                    "http://hostile.dev.localhost:PORT", "https://hostile.dev.localhost"])
def test_a_post_from_another_origin_is_refused_before_the_device(stack, hostile, origin):
    browser = PlainBrowser(stack)
    browser.sign_in()
    browser.connect("hostile")
    hostile.seen.clear()
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies[stack.device_host("hostile")].items())
    answer = stack.device("hostile", "/act", "POST", token=False, body=b"x=1",
                          fields={"Cookie": cookie, "Origin": origin.replace("PORT", str(stack.https_port))})
    assert answer.status == 403
    upgrade = stack.device("hostile", "/ws", token=False,
                           fields={"Cookie": cookie, "Origin": origin.replace("PORT", str(stack.https_port)), "Connection": "Upgrade",
                                   "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
    assert upgrade.status == 403
    assert hostile.seen == []
    good = stack.device("hostile", "/act", "POST", token=False, body=b"x=1",
                        fields={"Cookie": cookie, "Origin": f"https://{stack.device_host('hostile')}:{stack.https_port}"})
    assert good.status == 200 and hostile.seen == [("POST", "/act")]


# --- S10: the ticket -------------------------------------------------------------------------------------------------

class Recorder(PlainBrowser):
    """Remembers the form post that carried the ticket."""
    ticket = None

    def _ask(self, url, method, body, fields, before):
        if method == "POST" and "/.shutport/" in url:
            self.ticket = url, body, dict(fields), before, dict(self.cookies.get(url.split("/")[2].split(":")[0], {}))
        return super()._ask(url, method, body, fields, before)


def test_a_ticket_works_once_and_only_where_it_was_made_for(stack):
    browser = Recorder(stack)
    browser.sign_in()
    assert browser.connect("pages").status == 200
    url, body, fields, before, cookies = browser.ticket
    assert "ticket" not in url

    replay = PlainBrowser(stack)
    replay.url = before
    replay.cookies[stack.device_host("pages")] = dict(cookies)
    replay.open(url, "POST", body, fields)
    assert replay.answer.status >= 400 or replay.form_with("User name")
    replay.open(f"https://{stack.device_host('pages')}:{stack.https_port}/headers")
    assert replay.form_with("User name")


# --- S16: the floor of TLS -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("port", ["HTTPS_PORT", "MQTT_PORT"])
@pytest.mark.parametrize("version, accepted", [("-tls1", False), ("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)])
def test_tls_below_1_2_is_refused(stack, port, version, accepted):
    done = subprocess.run(["openssl", "s_client", "-connect", f"{stack.at}:{stack.env[port]}", "-servername", settings.PORTAL_HOST, version,
                           "-cipher", "ALL:@SECLEVEL=0"], input=b"", capture_output=True, timeout=10, check=False)
    assert (b"BEGIN CERTIFICATE" in done.stdout) == accepted, done.stderr


def test_the_token_is_in_no_log(stack):
    secrets = {stack.env["API_TOKEN"], stack.env["ADMIN_PASSWORD"], *(stack.token(name) for name in ("printer", "pages", "slow"))}
    for part in ("broker", "bridge", "printer", "pages", "slow"):
        text = stack.log(part)
        assert not [secret for secret in secrets if secret in text], part
