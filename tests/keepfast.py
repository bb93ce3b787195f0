"""What tests from outside share: the real program, its server on a folder of its own, requests, processes.

A server is started on a free port of 127.0.0.1 with its data in the test's own TMPDIR, and ended by its own pid.
"""

import contextlib
import glob
import http.client
import http.server
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path

from described import Description

PROGRAM = os.environ.get("KEEPFAST") or str(Path(__file__).resolve().parent.parent / "build" / "keepfast")


def folder(prefix="kf-"):
    """A new empty folder, 0700."""
    return Path(tempfile.mkdtemp(prefix=prefix))


def certificate():
    """(certificate, key) of one that signs itself, in a folder of their own."""
    place = folder()
    cert, key = place / "cert.pem", place / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
                    "-subj", "/CN=localhost", "-days", "2"], check=True, capture_output=True, timeout=60)
    key.chmod(0o600)
    return cert, key


_description = []


def description():
    """What the program says of its own routes."""
    if not _description:
        done = subprocess.run([PROGRAM, "reference", "--json"], capture_output=True, check=True, timeout=60)
        _description.append(Description(done.stdout))
    return _description[0]


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """Of a problem, "" for any other answer."""
        if self.headers.get("Content-Type") != "application/problem+json":
            return ""
        return self.json()["code"]

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


class Client:
    """One connection that is kept. `space` is put before the path unless `raw`. Each answer must be described (described.py)."""

    met = set()  # of all clients: which operation gave which status or code

    def __init__(self, address, space="default", timeout=60):
        self.space = space
        if address.startswith("/"):
            self.connection = UnixConnection(address, timeout)
        else:
            self.connection = http.client.HTTPConnection(address, timeout=timeout)

    def ask(self, method, path, body=None, headers=None, raw=False):
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)) and not hasattr(body, "read"):
            body = json.dumps(body, ensure_ascii=False)
        if isinstance(body, str):
            body = body.encode()
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        if not raw:
            path = f"/v1/{self.space}{path}"
        try:
            try:
                self.connection.request(method, path, body, headers)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before all of it was sent: the answer is there to be read
            answer = self.connection.getresponse()
            answer = Answer(answer.status, answer.headers, answer.read())
        except Exception:
            self.connection.close()
            raise
        self.met.add(description().check(method, path, answer.status, answer.headers, answer.body))
        return answer

    def get(self, path, **kw):
        return self.ask("GET", path, **kw)

    def put(self, path, body, **kw):
        return self.ask("PUT", path, body, **kw)

    def post(self, path, body=None, **kw):
        return self.ask("POST", path, body, **kw)

    def patch(self, path, body, **kw):
        return self.ask("PATCH", path, body, **kw)

    def delete(self, path, **kw):
        return self.ask("DELETE", path, **kw)

    def close(self):
        self.connection.close()


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.unix_path = path

    def connect(self):
        import socket
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.unix_path)


class Server:
    """keepfast serve, on a folder or at postgres://…. `config` is the text of a keepfast.yaml."""

    def __init__(self, data, config=None, arguments=(), env=None, wrap=(), expect_ready=True, listen="127.0.0.1:0"):
        self.data = folder() / "data" if str(data).startswith("postgres") else Path(data)
        words = [*wrap, PROGRAM, "serve", "--data", str(data), "--listen", listen]
        if config is not None:
            self.config = self.data.parent / (self.data.name + ".yaml")
            self.config.write_text(config)
            words += ["--config", str(self.config)]
        self.errors = tempfile.NamedTemporaryFile("w+", prefix="kf-stderr-", delete=False)
        self.process = subprocess.Popen(words + list(arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True, env={**os.environ, **(env or {})})
        self.address = None
        if expect_ready:
            ready = self.process.stdout.readline()
            if not ready:
                raise RuntimeError(f"the server did not start: {self.stderr()}")
            self.ready = ready.split()  # with all addresses; the last one is used
            self.address = urllib.parse.urlparse(self.ready[-1]).netloc

    def client(self, space="default", **kw):
        return Client(self.address, space, **kw)

    @property
    def socket(self):
        return str(self.data / "_keepfast.sock")

    def stderr(self):
        return Path(self.errors.name).read_text()

    def turns(self):
        """How often each thread of the program has slept."""
        found = {}
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                found[task.name] = int((task / "status").read_text().split("\nvoluntary_ctxt_switches:")[1].split()[0])
        return found

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        return self.process.wait()

    def stop(self, timeout=20):
        """SIGTERM; the exit status."""
        self.process.terminate()
        return self.process.wait(timeout)

    def ends(self, seconds=10):
        """SIGTERM, and the seconds until it is gone: at most so many, by itself (not by its alarm), with status 0."""
        began = time.monotonic()
        status = self.stop(seconds)
        if status != 0 or "ended without waiting" in self.stderr():
            raise AssertionError(f"exit status {status}: {self.stderr()[-2000:]}")
        return time.monotonic() - began

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Done:
    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr

    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"exit {self.status}, stdout {self.out[:300]!r}, stderr {self.err[:500]!r}"


def run(*words, at=None, stdin=b"", env=None, timeout=60, cwd=None, wrap=()):
    """keepfast WORDS."""
    arguments = [*map(str, wrap), PROGRAM, *map(str, words)]
    if at is not None:
        arguments += ["--at", str(at)]
    done = subprocess.run(arguments, input=stdin, capture_output=True, timeout=timeout, cwd=cwd,
                          env={**os.environ, **(env or {})})
    return Done(done)


@contextlib.contextmanager
def made_up_server(answer):
    """An address at which each GET is answered with what answer(path) gives: for what no server of ours does."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = answer(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def at_time(shift):
    """An environment in which the clock says something else; {} for "". By the library alone: the program `faketime` stays as a parent, and
    would be ended in place of what it started."""
    if not shift:
        return {}
    library = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not library:
        raise RuntimeError("libfaketime is not installed")
    return {"LD_PRELOAD": library[0], "FAKETIME": shift, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}


def wait_for(what, seconds=10.0, every=0.02):
    """The first true result of what(), or an error after so long."""
    until = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        if time.monotonic() > until:
            raise TimeoutError(f"did not come true within {seconds} s")
        time.sleep(every)


def state(client):
    answer = client.get("/status")
    return answer.json()["store"]["state"] if answer.status == 200 else answer.code
