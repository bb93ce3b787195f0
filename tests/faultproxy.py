"""A peer that misbehaves, for tests: stands on a free port of 127.0.0.1 before a real one and does to its connections what it is told.

    with FaultProxy(("127.0.0.1", port), http=True) as proxy:
        proxy.answer(429, retry_after=3, only="git-receive-pack", times=1)
        ...                      the client is given proxy.port
        proxy.pass_on()

What it can do; each call takes the place of the one before, for the connections that come after it:

    pass_on()                 as if it were not there
    refuse()                  nobody listens: "connection refused"
    no_answer_to_connect()    the packets of a new connection vanish
    black_hole()              connects, and nothing more ever moves
    slow(1)                   so many bytes a second, in both directions
    cut(down=N) cut(up=N)     ends the connection after N bytes from the peer, or from the client; reset=True: with a reset
    stall(down=N) stall(up=N) after N bytes nothing moves any more, and nobody is told
    flip(down=N) flip(up=N)   one bit of byte N is another one
    lose_answer()             the peer gets all and does its work, the client hears nothing
    hang_after_head()         the head of the answer comes, its body never  [http]
    answer(500)               an answer that the peer knows nothing of: 500, 403, 507, 429 with retry_after=  [http]
    redirect(url)             to there  [http]
    html()                    200, and a page for people  [http]
    endless()                 an answer that never ends: refs of git  [http]

With http=True each request is a connection of its own, and `only` (a part of the request's first line) and `times` say which and how
many of them it happens to; requests() has all that came, with their headers. FaultProxy(None) has no peer: it answers what it is
told to (404 at first) and shows what came to a place where nothing should have come.

Of the connections that are open, those that are held are let go when what is done changes, slow ones go on fast, the others go on as
they are; drop_connections() ends them all."""

import contextlib
import dataclasses
import http.client
import itertools
import select
import socket
import struct
import threading
import time
from base64 import b64decode

PIECE = 1 << 16
HEAD_MAX = 1 << 16
ENDLESS_MAX = 10 << 30  # of an endless answer, should nobody end it
PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><h1>Welcome to the network</h1></body></html>\n"


@dataclasses.dataclass
class Request:
    """One request as the side that got it saw it. What a kind of host does not tell is empty."""

    method: str
    target: str
    authorization: str = ""  # the header's value
    status: int = 0
    headers: dict = dataclasses.field(default_factory=dict)  # names in lower case
    at: float = 0.0

    @property
    def line(self):
        return f"{self.method} {self.target}"

    @property
    def credentials(self):
        """"user:token" of basic authentication, "" without."""
        scheme, _, value = self.authorization.partition(" ")
        return b64decode(value).decode("utf-8", "replace") if scheme.lower() == "basic" else ""


@dataclasses.dataclass
class Fault:
    do: str
    only: str = ""
    times: int | None = None
    up: int | None = None
    down: int | None = None
    rate: float = 0.0
    reset: bool = False
    stall: bool = False
    reply: bytes = b""


class FaultProxy:
    def __init__(self, peer, http=False):
        """peer: (address, port), something with an `address` of that form and a `kind` (a GitHost), or None."""
        self.host = peer if hasattr(peer, "address") else None
        self.peer = self.host.address if self.host else peer
        self.http = http or peer is None or (self.host is not None and self.host.kind == "http")
        self.connections = 0  # that came
        self.hit = 0  # connections or requests to which the fault happened
        self.bytes_up = self.bytes_down = 0
        self._requests = []
        self._lock = threading.Lock()
        self._turn = 0  # of what is done: who waits sees that it changed
        self._open = set()
        self._dead = set()  # of them: to be reset
        self._fillers = []
        self._ended = False
        self._fault = Fault("pass_on")
        self.listener, self.port = _bound()
        self.listener.listen(128)
        self._listening = threading.Event()
        self._listening.set()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        if peer is None:
            self.answer(404)

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def url(self, repo):
        """Of a repository of the host behind it."""
        return self.host.url(repo, port=self.port)

    def requests(self):
        with self._lock:
            return list(self._requests)

    # ------------------------------------------------------------------------------------- what is done

    def pass_on(self):
        self._set(Fault("pass_on"))

    def refuse(self):
        self._set(Fault("refuse"))

    def no_answer_to_connect(self):
        self._set(Fault("no_answer_to_connect"))

    def black_hole(self, **which):
        self._set(Fault("black_hole", **which))

    def slow(self, bytes_per_second, **which):
        self._set(Fault("relay", rate=bytes_per_second, **which))

    def cut(self, up=None, down=None, reset=False, **which):
        self._set(Fault("relay", up=up, down=down, reset=reset, **which))

    def stall(self, up=None, down=None, **which):
        self._set(Fault("relay", up=up, down=down, stall=True, **which))

    def flip(self, up=None, down=None, **which):
        self._set(Fault("flip", up=up, down=down, **which))

    def lose_answer(self, **which):
        self._set(Fault("lose_answer", **which))

    def hang_after_head(self, **which):
        self._need_http()
        self._set(Fault("hang_after_head", **which))

    def answer(self, status, body=b"", kind="text/plain", retry_after=None, location=None, date=None, **which):
        self._need_http()
        lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, 'Unknown')}", f"Content-Type: {kind}"]
        if retry_after is not None:
            lines.append(f"Retry-After: {retry_after}")
        if date is not None:
            lines.append(f"Date: {date}")
        if location is not None:
            lines.append(f"Location: {location}")
        lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
        self._set(Fault("reply", reply="\r\n".join(lines).encode() + body, **which))

    def redirect(self, url, status=302, **which):
        self.answer(status, location=url, **which)

    def html(self, **which):
        self.answer(200, PAGE, "text/html; charset=utf-8", **which)

    def endless(self, **which):
        self._need_http()
        self._set(Fault("endless", **which))

    def drop_connections(self):
        """Ends those that are open, with a reset."""
        with self._lock:
            open_now = list(self._open)
        self._over(*open_now, reset=True)

    def _need_http(self):
        if not self.http:
            raise ValueError("only with http=True")

    def _set(self, fault):
        if fault.only:
            self._need_http()
        with self._lock:
            before, self._fault = self._fault, fault
            self._turn += 1
        for filler in self._fillers:
            filler.close()
        self._fillers = []
        doors = ("refuse", "no_answer_to_connect")
        if before.do in doors or fault.do in doors:
            self._door(before.do, fault.do)

    def _door(self, before, do):
        """The port stays ours all the while: a socket that was shut keeps its address and can listen again. One that does not
        listen must not be shut: what it accepts later would begin at its end."""
        self._listening.clear()
        if before != "refuse":
            self.listener.shutdown(socket.SHUT_RD)
        if do == "no_answer_to_connect":
            # A full queue lets Linux drop the first packet of whoever comes next.
            self.listener.listen(0)
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(self.address)
                self._fillers.append(filler)
        elif do != "refuse":
            self.listener.listen(128)
            self._listening.set()

    # ------------------------------------------------------------------------------------- connections

    def _accept(self):
        while not self._ended:
            self._listening.wait()
            try:
                client = self.listener.accept()[0]
            except OSError:
                if self._listening.is_set() and not self._ended:
                    time.sleep(0.005)  # between being shut and being told so
                continue
            self.connections += 1
            threading.Thread(target=self._connection, args=(client,), daemon=True).start()

    def _connection(self, client):
        with self._kept(client), contextlib.suppress(OSError):
            head, request = b"", None
            if self.http:
                head = _read_head(client)
                request = _parse(head)
                if request is None:
                    return
                head = _closing(head)
            fault, turn = self._take(request)
            getattr(self, "_" + fault.do)(client, head, fault, turn)

    @contextlib.contextmanager
    def _kept(self, end):
        with self._lock:
            self._open.add(end)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(end)
            end.close()
            self._dead.discard(end)

    def _take(self, request):
        """What happens to this one."""
        with self._lock:
            fault = self._fault
            if request:
                self._requests.append(request)
            if fault.do == "pass_on" or fault.times == 0 or (request and fault.only not in request.line):
                return Fault("pass_on"), self._turn
            if fault.times is not None:
                fault.times -= 1
            self.hit += 1
            return fault, self._turn

    def _same(self, turn):
        return turn == self._turn and not self._ended

    def _hold(self, client, turn):
        """Until what is done changes or the client has left; what it sends stays unread."""
        poll = select.poll()
        poll.register(client, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        while self._same(turn) and not poll.poll(50):
            pass

    def _black_hole(self, client, _head, _fault, turn):
        self._hold(client, turn)

    # For what came through the door just before it was shut.
    _refuse = _no_answer_to_connect = _black_hole

    def _reply(self, client, _head, fault, turn):
        client.sendall(fault.reply)
        client.shutdown(socket.SHUT_WR)
        self._drain(client, turn)

    def _drain(self, client, turn):
        """What is still coming is read: closing on unread bytes would reset the connection and take the answer with it."""
        client.settimeout(2)
        while self._same(turn) and client.recv(PIECE):
            pass

    def _endless(self, client, _head, _fault, turn):
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n"
                       b"Cache-Control: no-cache\r\nConnection: close\r\n\r\n" + packet(b"# service=git-upload-pack\n") + b"0000")
        names = itertools.count()
        sent = 0
        while self._same(turn) and sent < ENDLESS_MAX:
            lines = b"".join(packet(b"%040x refs/heads/n%d%s\n" % (n + 1, n, b"\0ofs-delta" if n == 0 else b""))
                             for n in itertools.islice(names, 1000))
            client.sendall(lines)
            sent += len(lines)
            self.bytes_down += len(lines)

    # ------------------------------------------------------------------------------------- relaying

    def _pass_on(self, client, head, fault, turn):
        self._relay(client, head, fault, turn)

    def _relay(self, client, head, fault, turn, down=None):
        """Both directions until both have ended, or until one of them ends it for both."""
        with socket.create_connection(self.peer, timeout=10) as server, self._kept(server):
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._pump, args=(client, server, fault, turn, "up", head), daemon=True)
            thread.start()
            (down or self._pump)(server, client, fault, turn, "down")
            if self.http and down is None:
                thread.join(2)  # while it reads what the client still sends, the answer arrives
            if self.http or down:
                self._over(client, server)
            thread.join()

    def _pump(self, source, to, fault, turn, way, first=b""):
        left = getattr(fault, way) if fault.do == "relay" else None
        try:
            piece = first or source.recv(PIECE)
            while piece:
                piece = self._changed_by(fault, way, piece)
                if left is not None and len(piece) >= left:
                    self._send(to, piece[:left], fault, turn, way)
                    if fault.stall:
                        self._hold(source if way == "up" else to, turn)
                    self._over(source, to, reset=fault.reset)
                    return
                left = None if left is None else left - len(piece)
                self._send(to, piece, fault, turn, way)
                piece = source.recv(PIECE)
            if source not in self._dead:
                to.shutdown(socket.SHUT_WR)
        except OSError:
            if way == "up" and self.http:
                self._swallow(source)  # a peer may answer before it has read all
            else:
                self._over(source, to)

    def _swallow(self, client):
        with contextlib.suppress(OSError):
            while client.recv(PIECE):
                pass

    def _over(self, *ends, reset=False):
        """Wakes whoever reads from them. What is to be reset sends no end before: it goes when it is closed."""
        for end in ends:
            if end in self._dead:
                continue
            with contextlib.suppress(OSError):
                if reset:
                    self._dead.add(end)
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)

    def _changed_by(self, fault, way, piece):
        """flip: one bit, where the byte of that number comes by."""
        at = getattr(fault, way) if fault.do == "flip" else None
        if at is None:
            return piece
        setattr(fault, way, at - len(piece) if at >= len(piece) else None)
        if at >= len(piece):
            return piece
        return piece[:at] + bytes([piece[at] ^ 1]) + piece[at + 1:]

    def _flip(self, client, head, fault, turn):
        self._relay(client, head, dataclasses.replace(fault), turn)

    def _send(self, to, piece, fault, turn, way):
        with self._lock:
            self.bytes_up += len(piece) if way == "up" else 0
            self.bytes_down += len(piece) if way == "down" else 0
        while fault.rate and piece and self._same(turn):
            size = max(1, int(fault.rate / 10))
            to.sendall(piece[:size])
            piece = piece[size:]
            until = time.monotonic() + size / fault.rate
            while time.monotonic() < until and self._same(turn):
                time.sleep(min(0.05, max(0.0, until - time.monotonic())))
        to.sendall(piece)

    def _lose_answer(self, client, head, fault, turn):
        def nothing(source, *_):
            while source.recv(PIECE):
                pass
        self._relay(client, head, fault, turn, nothing)

    def _hang_after_head(self, client, head, fault, turn):
        def head_only(source, to, *_):
            to.sendall(_read_head(source).partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
            self._hold(to, turn)
            self._over(source, to)
        self._relay(client, head, fault, turn, head_only)

    # ------------------------------------------------------------------------------------- the end

    def close(self):
        if self._ended:
            return
        self._ended = True
        for filler in self._fillers:
            filler.close()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RD)
        self._listening.set()
        self._thread.join()
        self.listener.close()
        with self._lock:
            open_now = list(self._open)
        self._over(*open_now)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _bound():
    """A socket that keeps its port when it is shut: only one that was asked for by its number is kept."""
    with socket.socket() as first:
        listener = socket.socket()
        for each in (first, listener):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        first.bind(("127.0.0.1", 0))
        listener.bind(first.getsockname())
        return listener, first.getsockname()[1]


def packet(line):
    """As git frames its lines."""
    return b"%04x" % (len(line) + 4) + line


def _read_head(source):
    """To the empty line and what came along behind it; b"" when it never came."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = source.recv(PIECE)
        if not piece or len(head) > HEAD_MAX:
            return b""
        head += piece
    return head


def _closing(head):
    """The same request, on a connection that is to be closed behind the answer."""
    first, *lines = head.partition(b"\r\n\r\n")[0].split(b"\r\n")
    kept = [line for line in lines if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([first, *kept, b"Connection: close", b"", head.partition(b"\r\n\r\n")[2]])


def _parse(head):
    if not head:
        return None
    first, *lines = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    method, target = (first.split(" ") + ["", ""])[:2]
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(method, target, headers.get("authorization", ""), headers=headers, at=time.time())
