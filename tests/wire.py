"""HTTP as bytes: what a client sends, exactly, and what comes back, to the last byte. For tests in which a library of HTTP would be too
polite, or would hide what differs."""

import socket
import ssl
import time

_trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_trusting.check_hostname, _trusting.verify_mode = False, ssl.CERT_NONE
_LOST = (BrokenPipeError, ConnectionResetError, ssl.SSLError)


class Reply:
    """`head` are the bytes up to the empty line. `whole`: the body came to the end that the head announces."""

    def __init__(self, head, body, whole):
        self.head, self.body, self.whole = head, body, whole
        lines = head.decode("latin1").split("\r\n")
        self.status = int(lines[0].split(" ")[1])
        self.fields = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:] if line]

    @property
    def headers(self):
        return dict(self.fields)

    def header(self, name):
        return next((value for key, value in self.fields if key.lower() == name.lower()), None)

    @property
    def closes(self):
        return (self.header("Connection") or "").lower() == "close"

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


class Wire:
    """One connection. `address` is host:port, https://host:port (any certificate is taken) or the path of a Unix socket; `source` an
    address of loopback to come from."""

    def __init__(self, address, source=None, timeout=15, buffer=0):
        if address.startswith("/"):
            self.socket = socket.socket(socket.AF_UNIX)
        else:
            self.socket = socket.socket()
        if buffer:  # what the kernel takes for us before we read
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        if source:
            self.socket.bind((source, 0))
        self.socket.settimeout(timeout)
        host, _, port = address.removeprefix("https://").rpartition(":")
        self.socket.connect(address if address.startswith("/") else (host, int(port)))
        if address.startswith("https://"):
            self.socket = _trusting.wrap_socket(self.socket)
        self.read = b""

    def send(self, data):
        """What the server refused to wait for is no error: its answer says why."""
        try:
            self.socket.sendall(data)
        except _LOST:
            pass

    def more(self):
        try:
            data = self.socket.recv(65536)
        except _LOST:
            return False
        self.read += data
        return bool(data)

    def until(self, mark):
        """What stands before it, which is taken with it; None when the connection ended before."""
        while mark not in self.read:
            if not self.more():
                return None
        before, self.read = self.read.split(mark, 1)
        return before

    def exactly(self, count):
        while len(self.read) < count and self.more():
            pass
        data, self.read = self.read[:count], self.read[count:]
        return data

    def chunks(self):
        body = b""
        while True:
            size = self.until(b"\r\n")
            if size is None:
                return body, False
            count = int(size, 16)
            piece = self.exactly(count + 2)
            body += piece[:count]
            if len(piece) < count + 2:
                return body, False
            if count == 0:
                return body, True

    def reply(self, no_body=False):
        """The next answer, None when the connection ended before it."""
        head = self.until(b"\r\n\r\n")
        while head is not None and head.startswith(b"HTTP/1.1 100"):
            head = self.until(b"\r\n\r\n")
        if head is None:
            return None
        answer = Reply(head, b"", True)
        if no_body or answer.status in (204, 304):
            return answer
        if (answer.header("Transfer-Encoding") or "").lower() == "chunked":
            body, whole = self.chunks()
        else:
            length = int(answer.header("Content-Length"))
            body = self.exactly(length)
            whole = len(body) == length
        return Reply(head, body, whole)

    def ask(self, method, target, token=None, body=None, headers=()):
        """`headers`: lines. A body without a line about its length gets one."""
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *headers]
        if token is not None:
            lines.append(f"Authorization: Bearer {token}")
        framed = any(line.lower().startswith(("content-length:", "transfer-encoding:")) for line in lines)
        if body is not None and not framed:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))
        return self.reply(no_body=method == "HEAD")

    def ended(self, seconds):
        """Whether the server ends the connection within this time; what it still sends is thrown away."""
        until = time.monotonic() + seconds
        while True:
            self.socket.settimeout(max(0.01, until - time.monotonic()))
            try:
                if not self.socket.recv(65536):
                    return True
            except _LOST:
                return True
            except socket.timeout:
                pass
            if time.monotonic() > until:
                return False

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def once(address, method, target, source=None, **kw):
    """One request on a connection of its own."""
    with Wire(address, source) as wire:
        return wire.ask(method, target, **kw)


def chunked(body, size=1000):
    """A body with its framing, to be sent with Transfer-Encoding: chunked."""
    pieces = [body[at:at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
