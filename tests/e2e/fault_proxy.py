"""A TCP proxy that does to connections what networks do: cut them, swallow their bytes, delay them, narrow them."""
import collections
import contextlib
import socket
import threading
import time

PIECE = 262144
PACKET = 1460
LINE_BYTES_MAX = 8 << 20  # what a delayed line of any speed holds at most: 80 MB/s at 100 ms
SOCKET_BYTES = 8192       # of a narrow line: its bottleneck is the line, not a socket buffer in front of it


class Line:
    """One direction of one connection. With a rate: bytes stand in a queue of `buffer_bytes` before the narrow place, pass
    it at that rate, and come out `delay_s` later, as on a link with a router before it."""

    def __init__(self, proxy, source, target):
        self.proxy, self.source, self.target = proxy, source, target
        self.waiting = collections.deque()
        self.bytes = 0
        self.free_at = 0.0  # when the narrow place has passed all it was given
        self.changed = threading.Condition()
        self.ended = False
        threading.Thread(target=self.fill, daemon=True).start()
        threading.Thread(target=self.drain, daemon=True).start()

    def passed_at(self, length):
        """When the last of these bytes is through the narrow place; waits for a place in the queue before it."""
        rate = self.proxy.rate
        if not rate:
            return time.monotonic()
        time.sleep(max(0.0, self.free_at - time.monotonic() - self.proxy.buffer_bytes / rate))
        self.free_at = max(self.free_at, time.monotonic()) + length / rate
        return self.free_at

    def fill(self):
        piece_max = min(PIECE, max(PACKET, self.proxy.rate // 200)) if self.proxy.rate else PIECE
        room = LINE_BYTES_MAX + self.proxy.rate * self.proxy.delay_s
        with contextlib.suppress(OSError):
            while piece := self.source.recv(piece_max):
                due = self.passed_at(len(piece)) + self.proxy.delay_s
                with self.changed:
                    self.changed.wait_for(lambda: self.bytes < room or self.ended)
                    self.waiting.append((due, piece))
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

    def __init__(self, target, delay_s=0.0, rate=0, address="127.0.0.1", port=0, buffer_bytes=32768):
        self.target = target
        self.delay_s = delay_s  # each way
        self.rate = rate        # bytes a second each way; 0 = any
        self.buffer_bytes = buffer_bytes  # of the queue before a narrow line
        self.is_swallowing = False
        self.pairs = []
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if rate and rate <= 1 << 20:  # inherited by what is accepted; only before listen() does it bound the window
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
        self.listener.bind((address, port))
        self.listener.listen(128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                try:
                    far = self.connect()
                except OSError:
                    near.close()
                    continue
                for end in (near, far):
                    end.settimeout(None)
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.pairs.append((near, far))
                Line(self, near, far)
                Line(self, far, near)

    def connect(self):
        far = socket.socket()
        try:
            if self.rate and self.rate <= 1 << 20:
                far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
            far.settimeout(5.0)
            far.connect(self.target())
        except OSError:
            far.close()
            raise
        return far

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
