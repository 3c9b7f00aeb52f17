"""A device's web server inside the test: every connection, what ran on it, and when it ended stand in `visits`.

/now/ID          answers at once
/wait/SECONDS/ID does its work, then answers after so long
/drip/ID         an answer without end, a piece each 20 ms
/flood/LENGTH    that many bytes, as fast as they are taken
/sip/ID          takes the body, a KiB each 20 ms
/tunnel/ID       with Upgrade: an echo
What has a side effect (POST) counts as run once its whole body is there; of /sip only the visit counts.
"""
import contextlib
import select
import socket
import threading
import time

HEAD_BYTES_MAX = 65536
PIECE = b"x" * 1024
PAUSE_S = 0.02


class Visit:
    """One connection that carried at least one request."""

    def __init__(self, target):
        self.target = target
        self.ended_at = None


class Origin:
    def __init__(self):
        self.visits = []
        self.ran = []  # (id, when), in order
        self.accepted_count = 0
        self.port = 0
        self.listener = None
        self.links = set()
        self.open()

    def open(self):
        """Listen; on the same port as before, so that a web server can come back."""
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def close(self):
        """Nobody listens any more, and all connections end, as when the process is killed."""
        for link in [self.listener, *self.links]:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def visits_to(self, target):
        return [visit for visit in list(self.visits) if visit.target == target]

    def is_over(self, target):
        """It was visited, and every such connection has ended."""
        visits = self.visits_to(target)
        return bool(visits) and all(visit.ended_at for visit in visits)

    def runs_of(self, name):
        return [when for ran, when in list(self.ran) if ran == name]

    # --- one connection ---

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                link, _ = listener.accept()
                self.accepted_count += 1
                threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link):
        visit = None
        self.links.add(link)
        with contextlib.suppress(OSError), link:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            rest = b""
            while True:
                head, rest = self._head(link, rest)
                if not head:
                    break
                method, target = head.split(" ", 2)[:2]
                if not visit:
                    visit = Visit(target)
                    self.visits.append(visit)
                visit.target = target
                rest = self._answer(link, method, target, head.lower(), rest)
                if rest is None:
                    break
        self.links.discard(link)
        if visit:
            visit.ended_at = time.monotonic()

    @staticmethod
    def _head(link, rest):
        while b"\r\n\r\n" not in rest and len(rest) < HEAD_BYTES_MAX:
            piece = link.recv(65536)
            if not piece:
                return None, b""
            rest += piece
        head, _, rest = rest.partition(b"\r\n\r\n")
        return head.decode("latin-1"), rest

    def _answer(self, link, method, target, head, rest):
        """The bytes behind the request; None when the connection is to end."""
        _, kind, *words = target.split("/")
        if kind == "tunnel":
            return self._tunnel(link, rest)
        if kind == "sip":
            return self._sip(link)
        length = next((int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length:")), 0)
        while len(rest) < length:
            piece = link.recv(65536)
            if not piece:
                return None
            rest += piece
        if method == "POST":
            self.ran.append((words[-1], time.monotonic()))
        if kind == "wait" and self._leaves_within(link, float(words[0])):
            return None
        if kind == "drip":
            self._drip(link)
            return None
        body = PIECE * (int(words[0]) // len(PIECE)) if kind == "flood" else words[-1].encode()
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        return rest[length:]

    @staticmethod
    def _leaves_within(link, seconds):
        readable, _, _ = select.select([link], [], [], seconds)
        return bool(readable)

    def _drip(self, link):
        link.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not self._leaves_within(link, PAUSE_S):
            link.sendall(b"400\r\n" + PIECE + b"\r\n")

    @staticmethod
    def _sip(link):
        """The other end's leaving is seen although bytes of it still wait here."""
        hang_up = select.poll()
        hang_up.register(link, select.POLLRDHUP)
        while not hang_up.poll(PAUSE_S * 1000):
            link.recv(len(PIECE))

    @staticmethod
    def _tunnel(link, rest):
        link.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + rest)
        while piece := link.recv(65536):
            link.sendall(piece)
