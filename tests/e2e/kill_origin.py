"""A device's web server that keeps a diary: every POST it ran, with the hash of what it got, on disk before it answers.

usage: kill_origin.py PORT DIARY
GET /data/SEED/LENGTH answers LENGTH bytes made from SEED; POST /do/ID runs the side effect of ID.
"""
import hashlib
import http.server
import os
import random
import sys
import time

PIECE = 65536


def data_of(seed, length):
    return random.Random(seed).randbytes(length)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        _, _, seed, length = self.path.split("/")
        self.answer(data_of(seed, int(length)))

    def do_POST(self):
        left = int(self.headers["Content-Length"])
        digest = hashlib.sha256()
        while left > 0:
            piece = self.rfile.read(min(PIECE, left))
            if not piece:
                return  # cut short: nothing is run
            digest.update(piece)
            left -= len(piece)
        line = f"{self.path.rsplit('/', 1)[1]} {digest.hexdigest()} {time.monotonic()}\n"
        os.write(self.server.diary, line.encode())
        os.fsync(self.server.diary)
        self.answer(digest.hexdigest().encode())

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    server.diary = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    server.serve_forever()


if __name__ == "__main__":
    main()
