"""A TCP proxy that does to connections what networks do: cut them, swallow their bytes, delay them, narrow them."""
import collections
import contextlib
import socket
import threading
import time

PIECE = 262144
LINE_BYTES_MAX = 8 << 20  # what a delayed line holds at most: enough for 300 MB/s at 25 ms


class Line:
    """One direction of one connection: bytes come out `delay_s` later, at most `rate` bytes a second."""

    def __init__(self, proxy, source, target):
        self.proxy, self.source, self.target = proxy, source, target
        self.waiting = collections.deque()
        self.bytes = 0
        self.changed = threading.Condition()
        self.ended = False
        threading.Thread(target=self.fill, daemon=True).start()
        threading.Thread(target=self.drain, daemon=True).start()

    def fill(self):
        piece_max = PIECE if not self.proxy.rate else max(1460, self.proxy.rate // 100)
        room = LINE_BYTES_MAX if not self.proxy.rate else max(65536, self.proxy.rate // 5)
        with contextlib.suppress(OSError):
            while piece := self.source.recv(piece_max):
                with self.changed:
                    self.changed.wait_for(lambda: self.bytes < room or self.ended)
                    self.waiting.append((time.monotonic() + self.proxy.delay_s, piece))
                    self.bytes += len(piece)
                    self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def drain(self):
        with contextlib.suppress(OSError):
            while True:
                with self.changed:
                    self.changed.wait_for(lambda: self.waiting or self.ended)
                    if not self.waiting:
                        break
                    due, piece = self.waiting.popleft()
                time.sleep(max(0.0, due - time.monotonic()))
                while self.proxy.is_swallowing:
                    time.sleep(0.05)
                if self.proxy.rate:
                    time.sleep(len(piece) / self.proxy.rate)
                self.target.sendall(piece)
                with self.changed:
                    self.bytes -= len(piece)
                    self.changed.notify_all()
        with contextlib.suppress(OSError):
            self.target.shutdown(socket.SHUT_WR)
        with self.changed:
            self.ended = True
            self.changed.notify_all()


class FaultProxy:
    """`target()` names the (address, port) to connect to, asked for each connection."""

    def __init__(self, target, delay_s=0.0, rate=0, address="127.0.0.1"):
        self.target = target
        self.delay_s = delay_s  # each way
        self.rate = rate        # bytes a second each way; 0 = any
        self.is_swallowing = False
        self.pairs = []
        self.listener = socket.create_server((address, 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                try:
                    far = socket.create_connection(self.target(), 5.0)
                except OSError:
                    near.close()
                    continue
                for end in (near, far):
                    end.settimeout(None)
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.pairs.append((near, far))
                Line(self, near, far)
                Line(self, far, near)

    def cut(self):
        """All connections end now, with a reset; new ones are served."""
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                    end.shutdown(socket.SHUT_RDWR)
                    end.close()
        return len(pairs)

    def close(self):
        self.listener.close()
        self.cut()
