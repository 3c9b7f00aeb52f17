"""A web server of a test's own, byte for byte: each case brings the script that answers it, and every request that came in
is kept as it came. The same reading of messages serves the tests' raw clients, so that both sides are judged by one eye.

Nothing here mends anything: what a peer frames wrongly raises Malformed.
"""
import collections
import contextlib
import socket
import ssl
import struct
import threading

LINE_BYTES_MAX = 1 << 20
WAIT_S = 60.0


class Malformed(Exception):
    """The peer sent what is no HTTP/1.x message."""


class Broken(Exception):
    """The connection ended in the middle of a message, or not in an orderly way."""


class Link:
    """A connected socket with a buffer. An end that was not orderly (a reset; TLS without close_notify) is Broken."""

    def __init__(self, sock):
        self.sock = sock
        self.pending = b""
        self.at_end = False

    def _more(self):
        if self.at_end:
            return False
        try:
            piece = self.sock.recv(65536)
        except (ConnectionError, ssl.SSLError) as problem:
            raise Broken(str(problem)) from problem
        self.pending += piece
        self.at_end = not piece
        return bool(piece)

    def has_more(self):
        return bool(self.pending) or self._more()

    def line(self):
        while b"\n" not in self.pending:
            if len(self.pending) > LINE_BYTES_MAX or not self._more():
                raise Broken(f"ended in a line: {self.pending[:80]!r}")
        line, _, self.pending = self.pending.partition(b"\n")
        if not line.endswith(b"\r"):
            raise Malformed(f"a line without CR: {line[:80]!r}")
        return line[:-1]

    def some(self, most=65536):
        """At least one byte; none at an orderly end."""
        self.has_more()
        piece, self.pending = self.pending[:most], self.pending[most:]
        return piece

    def exactly(self, count):
        pieces = []
        while count:
            piece = self.some(count)
            if not piece:
                raise Broken(f"ended {count} bytes too early")
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)

    def rest(self):
        return b"".join(iter(self.some, b""))

    def send(self, *pieces):
        self.sock.sendall(b"".join(pieces))

    def is_over(self):
        """The peer has closed in an orderly way, and nothing was left to read."""
        return not self.some(1)

    def reset(self):
        """Break it off: RST, not FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def read_fields(link):
    fields = []
    while line := link.line():
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1] = (fields[-1][0], f"{fields[-1][1]} {line.strip().decode('latin-1')}")
            continue
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip():
            raise Malformed(f"no field: {line[:80]!r}")
        fields.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))
    return fields


def values_of(fields, name):
    return [value for key, value in fields if key.lower() == name]


def read_chunks(link, into):
    """The pieces go to `into` as they come; returns the trailers."""
    while size := int(link.line().partition(b";")[0], 16):
        into(link.exactly(size))
        if link.line():
            raise Malformed("a chunk is longer than it said")
    return read_fields(link)


class Asked:
    """A request as it came in. The body is read when the script asks for it."""

    def __init__(self, link):
        self.link = link
        self.line = link.line().decode("latin-1")
        self.method, self.target, self.version = self.line.split(" ")
        self.fields = read_fields(link)
        self.here = ""  # the origin's own authority
        self.gate = None  # set by the client's side when it has seen a piece of the body
        self.body = None
        self.trailers = []
        lengths = values_of(self.fields, "content-length")
        self.is_chunked = values_of(self.fields, "transfer-encoding") == ["chunked"]
        if len(lengths) > 1 or (lengths and self.is_chunked):
            raise Malformed(f"framed twice: {self.fields}")
        self.length = int(lengths[0]) if lengths else None

    def read(self):
        """The whole body."""
        if self.body is None:
            pieces = []
            if self.is_chunked:
                self.trailers = read_chunks(self.link, pieces.append)
            else:
                pieces.append(self.link.exactly(self.length or 0))
            self.body = b"".join(pieces)
        return self.body

    def field(self, name):
        return ", ".join(values_of(self.fields, name.lower()))


class Origin:
    """Listens on loopback. `scripts[KEY](asked, link)` answers `/KEY` and everything below it; True: the connection is
    kept for another request. `asked[KEY]` are the requests so far, `faults` what should not have come."""

    def __init__(self, scripts):
        self.scripts = scripts
        self.asked = {}
        self.gates = collections.defaultdict(threading.Event)
        self.faults = []
        self.connections_count = 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.authority = f"127.0.0.1:{self.port}"
        self.is_open = True

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.is_open = False
        self.listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while self.is_open:
                sock, _ = self.listener.accept()
                self.connections_count += 1
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(WAIT_S)
        link = Link(sock)
        with sock, contextlib.suppress(OSError, Broken):
            try:
                while link.has_more() and self._answer(link):
                    pass
            except Malformed as problem:
                self.faults.append(str(problem))

    def _answer(self, link):
        asked = Asked(link)
        asked.here = self.authority
        key = asked.target.partition("?")[0].split("/")[1] if "/" in asked.target else asked.target
        if key not in self.scripts:
            self.faults.append(f"nobody asked for this: {asked.line}")
            return False
        asked.gate = self.gates[key]
        self.asked.setdefault(key, []).append(asked)
        return self.scripts[key](asked, link)


class Reply:
    """An answer, read to its end. `whole`: it ended as its framing says. `saw` is called for each piece of the body."""

    def __init__(self, link, method, saw=lambda piece: None):
        self.saw = saw
        self.interim = []
        self.fields, self.trailers, self.pieces = [], [], []
        self.framing = "none"
        self.whole = True
        self.status = 0
        self.line = ""
        try:
            self._read_heads(link)
            if self.status != 101:
                self._read_body(link, method)
        except Broken as problem:
            self.whole = False
            self.why = str(problem)
        self.body = b"".join(self.pieces)

    def _read_heads(self, link):
        while True:
            self.line = link.line().decode("latin-1")
            version, _, rest = self.line.partition(" ")
            if version not in ("HTTP/1.0", "HTTP/1.1"):
                raise Malformed(f"no status line: {self.line[:80]!r}")
            code, _, self.reason = rest.partition(" ")
            self.status = int(code)
            self.fields = read_fields(link)
            if self.status >= 200 or self.status == 101:
                return
            self.interim.append((self.status, self.fields))

    def _read_body(self, link, method):
        lengths = values_of(self.fields, "content-length")
        if len(lengths) > 1:
            raise Malformed(f"several lengths: {lengths}")
        if method == "HEAD" or self.status in (204, 304):
            return
        if values_of(self.fields, "transfer-encoding"):
            self.framing = "chunked"
            self.trailers = read_chunks(link, self._take)
        elif lengths:
            self.framing = "length"
            left = int(lengths[0])
            while left:
                piece = link.some(left)
                if not piece:
                    raise Broken(f"ended {left} bytes too early")
                self._take(piece)
                left -= len(piece)
        else:
            self.framing = "close"
            while piece := link.some():
                self._take(piece)

    def _take(self, piece):
        self.pieces.append(piece)
        self.saw(piece)

    def field(self, name):
        return ", ".join(values_of(self.fields, name.lower()))
