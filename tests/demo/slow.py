#!/usr/bin/env python3
"""Demo device 'slow': thinks for 3 s before it answers, and drips a body on /drip.

usage: slow.py PORT      (loopback only)
"""
import http.server
import sys
import time
import urllib.parse

THINK_S = 3.0
DRIP_S = 0.25
DRIPS = 40


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "DemoSlow/1"

    def do_GET(self):
        if urllib.parse.urlsplit(self.path).path == "/drip":
            self.drip()
        else:
            self.think()

    def think(self):
        begun = time.monotonic()
        time.sleep(THINK_S)
        body = (f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Slow device</title><h1>Slow device</h1>'
                f'<p>This took {time.monotonic() - begun:.1f} s. <a href="/drip">A page that drips</a></p>').encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def drip(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(DRIPS):
            line = b"drip %d of %d\n" % (number + 1, DRIPS)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            time.sleep(DRIP_S)
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, form, *arguments):
        sys.stderr.write("%s %s\n" % (time.strftime("%H:%M:%S"), form % arguments))


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
