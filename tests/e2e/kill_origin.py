"""A device's web server that keeps a diary: every POST it ran, with the hash of what it got, on disk before it answers.

usage: kill_origin.py PORT DIARY
GET /data/SEED/LENGTH answers LENGTH bytes made from SEED; GET /long/LENGTH answers bytes of which no two MiB are alike;
POST /do/ID runs the side effect of ID.
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


def long_pieces(length):
    """The bytes of /long/LENGTH, in pieces: no piece is like another, so none can stand in for another."""
    noise = random.Random(0).randbytes(PIECE + 4096)
    for number in range(-(-length // PIECE)):
        piece = number.to_bytes(8, "big") + noise[8 + number % 4096:PIECE + number % 4096]
        yield piece[:length - number * PIECE]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        _, kind, *words = self.path.split("/")
        if kind == "long":
            self.answer_head(int(words[0]))
            for piece in long_pieces(int(words[0])):
                self.wfile.write(piece)
        else:
            seed, length = words
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

    def answer_head(self, length):
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def answer(self, body):
        self.answer_head(len(body))
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    server.diary = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    server.serve_forever()


if __name__ == "__main__":
    main()
