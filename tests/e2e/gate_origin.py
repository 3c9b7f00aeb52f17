#!/usr/bin/python3
"""A device's own web server on loopback that tells what it was asked: /tell?anything is its own answer as JSON, /ticks never
ends, everything else is a page that names its path.

usage: gate_origin.py PORT
"""
import html
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/tell"):
            self.answer("application/json", json.dumps({"path": self.path, "fields": self.headers.items()}))
        elif self.path == "/ticks":
            self.tick()
        else:
            self.answer("text/html; charset=utf-8", "<!DOCTYPE html><html lang=en><title>The device's own page</title>"
                        f"<h1>The device's own page</h1><p id=path>{html.escape(self.path)}</p></html>")

    def answer(self, kind, text):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def tick(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            self.wfile.write(b"5\r\ntick\n\r\n")
            time.sleep(0.05)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
