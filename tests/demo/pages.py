#!/usr/bin/env python3
"""Demo device 'pages': what web pages of devices do that a relay can get wrong - cookies (several at once), absolute
links and redirects built from Host, a form, images, chunked answers, events. Also the fixtures of the end-to-end tests.

usage: pages.py PORT      (loopback only)
"""
import html
import http.cookies
import http.server
import json
import struct
import sys
import time
import urllib.parse
import zlib

CHUNK_BYTES = 64 * 1024
BYTES_MAX = 1 << 30


def pattern(offset, length):
    """Bytes that differ everywhere, so that a lost, doubled or swapped piece shows: each 8 are their own offset."""
    first = offset // 8
    count = (offset + length + 7) // 8 - first
    words = struct.pack(f">{count}Q", *range(first, first + count))
    return words[offset - first * 8:][:length]


def png(red, green, blue, size=48):
    row = b"\0" + bytes((red, green, blue)) * size

    def piece(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + piece(b"IHDR", header) + piece(b"IDAT", zlib.compress(row * size)) + piece(b"IEND", b"")


IMAGES = {"/images/red.png": png(200, 40, 40), "/images/green.png": png(40, 160, 60), "/images/blue.png": png(40, 80, 200)}

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<link rel="icon" href="/images/green.png"><link rel="stylesheet" href="/style.css"></head>
<body><h1>{title}</h1>{body}<p><a href="/">Start</a></p></body></html>"""
STYLE = b"body{font-family:sans-serif;margin:2rem;max-width:40rem}img{margin:.3rem;border-radius:6px}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "DemoPages/1"

    def setup(self):
        super().setup()
        self.connection.setsockopt(6, 1, 1)  # TCP_NODELAY

    def log_message(self, form, *arguments):
        sys.stderr.write("%s %s\n" % (time.strftime("%H:%M:%S"), form % arguments))

    def send(self, status, body, kind="text/html; charset=utf-8", fields=()):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in fields:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_page(self, title, body, fields=()):
        self.send(200, PAGE.format(title=html.escape(title), body=body).encode(), fields=fields)

    def own_origin(self):
        """As simple firmware does it: whatever Host says."""
        return f"http://{self.headers.get('Host', 'localhost')}"

    def outer_origin(self):
        """As software that knows of proxies does it."""
        host = self.headers.get("X-Forwarded-Host") or self.headers.get("Host", "localhost")
        return f"{self.headers.get('X-Forwarded-Proto', 'http')}://{host}"

    # --- request bodies ---

    def body(self):
        """The request body, piece by piece."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                data = self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return
                yield data
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            data = self.rfile.read(min(left, CHUNK_BYTES))
            if not data:
                raise ConnectionError("the request ended early")
            left -= len(data)
            yield data

    # --- pages ---

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        for _ in self.body():  # a GET may carry one; it has no meaning here
            pass
        if url.path in IMAGES:
            self.send(200, IMAGES[url.path], "image/png", [("Cache-Control", "max-age=60")])
        elif url.path.startswith("/bytes/"):
            self.send_bytes(int(url.path.removeprefix("/bytes/")), chunked="chunked" in query)
        elif handler := self.ROUTES.get(url.path):
            handler(self, query)
        else:
            self.send(404, PAGE.format(title="Not found", body="<p>There is no such page here.</p>").encode())

    do_HEAD = do_GET

    def show_start(self, _query):
        images = "".join(f'<img src="{path}" alt="{path}" width="48" height="48">' for path in IMAGES)
        outer = html.escape(self.outer_origin(), quote=True)
        body = f"""<p>{images}</p><ul>
<li><a id="cookies" href="/cookies">Cookies</a></li><li><a id="form" href="/form">A form</a></li>
<li><a id="redirect" href="/redirect">Redirect to an absolute URL</a></li>
<li><a id="redirect-path" href="/redirect-path">Redirect to a path</a></li>
<li><a id="absolute" href="{outer}/landed">Absolute link</a></li>
<li><a id="headers" href="/headers">What the device is sent</a></li></ul>"""
        visits = int(self.cookies().get("visits", "0") or 0) + 1
        self.send_page("Demo pages", body, [("Set-Cookie", f"visits={visits}; Path=/"),
                                            ("Set-Cookie", "theme=plain; Path=/; Max-Age=3600"),
                                            ("Set-Cookie", "session=demo-session; Path=/; HttpOnly; SameSite=Lax")])

    def cookies(self):
        jar = http.cookies.SimpleCookie()
        try:
            jar.load("; ".join(self.headers.get_all("Cookie") or []))
        except http.cookies.CookieError:
            return {}
        return {name: morsel.value for name, morsel in jar.items()}

    def show_cookies(self, _query):
        rows = "".join(f"<li><code>{html.escape(name)}={html.escape(value)}</code></li>"
                       for name, value in sorted(self.cookies().items()))
        self.send_page("Cookies", f'<ul id="cookies">{rows}</ul>')

    def show_form(self, _query):
        self.send_page("A form", """<form method="post" action="/form"><label>Text <input name="text"></label>
<button>Send</button></form>""")

    def show_landed(self, query):
        text = html.escape((query.get("text") or [""])[0])
        self.send_page("Landed", f'<p>You are where you should be.</p><p id="text">{text}</p>')

    def redirect(self, _query):
        self.send(302, b"", fields=[("Location", f"{self.own_origin()}/landed?text=absolute")])

    def redirect_path(self, _query):
        self.send(302, b"", fields=[("Location", "/landed?text=path")])

    def show_headers(self, _query):
        seen = {"method": self.command, "target": self.path, "version": self.request_version,
                "fields": [[name, value] for name, value in self.headers.items()]}
        self.send(200, json.dumps(seen, indent=1).encode(), "application/json")

    def show_style(self, _query):
        self.send(200, STYLE, "text/css")

    def show_events(self, query):
        """Server-sent events, 5 a second unless told otherwise; the end of the connection ends them."""
        count = int((query.get("count") or ["20"])[0])
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for number in range(count):
            self.wfile.write(b"data: %d\n\n" % number)
            self.wfile.flush()
            time.sleep(0.2)
        self.close_connection = True

    def send_bytes(self, count, chunked=False):
        if count > BYTES_MAX:
            self.send(400, b"too many bytes\n", "text/plain")
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(count))))
        self.end_headers()
        if self.command == "HEAD":
            return
        for offset in range(0, count, CHUNK_BYTES):
            data = pattern(offset, min(CHUNK_BYTES, count - offset))
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    # --- posts ---

    def do_POST(self):
        path = urllib.parse.urlsplit(self.path).path
        if path == "/echo":
            self.echo()
            return
        data = b"".join(self.body())
        if path == "/form":
            text = urllib.parse.parse_qs(data.decode("utf-8", "replace")).get("text", [""])[0]
            target = f"{self.own_origin()}/landed?{urllib.parse.urlencode({'text': text})}"
            self.send(303, b"", fields=[("Location", target)])
        else:
            self.send(404, b"no such place to send to\n", "text/plain")

    do_PUT = do_POST

    def echo(self):
        """The body comes back; with a length when it came with one, so that 100 MB need no memory here."""
        chunked = "Content-Length" not in self.headers
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", self.headers["Content-Length"])
        self.end_headers()
        for data in self.body():
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    ROUTES = {"/": show_start, "/cookies": show_cookies, "/form": show_form, "/landed": show_landed,
              "/redirect": redirect, "/redirect-path": redirect_path, "/headers": show_headers,
              "/style.css": show_style, "/events": show_events}


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
