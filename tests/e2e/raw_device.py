"""A device's web server that says exactly the bytes that a test wants, right or wrong, and remembers what it was asked."""
import contextlib
import socket
import threading
import time

HEAD_BYTES_MAX = 1 << 20


class RawDevice:
    """Answers with `name`; `.answers[PATH]` are the bytes for that path instead. `/endless` never ends by itself."""

    def __init__(self, name):
        self.name = name
        self.answers = {}
        self.asked = []  # (request line, whole head), but for /up, which is for waiting
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.is_open = True

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.is_open = False
        self.listener.close()

    def _accept(self):
        while self.is_open:
            with contextlib.suppress(OSError):
                link, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link):
        with link, contextlib.suppress(OSError):
            link.settimeout(60)
            pending = b""
            while True:
                while b"\r\n\r\n" not in pending:
                    piece = link.recv(65536)
                    if not piece or len(pending) > HEAD_BYTES_MAX:
                        return
                    pending += piece
                head, _, pending = pending.partition(b"\r\n\r\n")
                line = head.split(b"\r\n")[0].decode("latin-1")
                path = line.split(" ")[1]
                if path != "/up":
                    self.asked.append((line, head.decode("latin-1")))
                if path == "/endless":
                    self._tick(link)
                    return
                link.sendall(self.answers.get(path) or self._own_answer(line))

    def _own_answer(self, line):
        body = f"{self.name}\n".encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        return head if line.startswith("HEAD ") else head + body

    def _tick(self, link):
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
        while self.is_open:
            link.sendall(b"5\r\ntick\n\r\n")
            time.sleep(0.1)
