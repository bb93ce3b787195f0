"""A private PostgreSQL 15 for tests: a cluster in the test's own TMPDIR, on a socket there.

    with Cluster() as pg:
        pg.url("shop")                     postgres://kf@/postgres?host=…#shop
        pg.ask("SELECT 1")                 [["1"]], by psql
        pg.crash() pg.start()              what a crash leaves, and the start behind it
        pg.freeze() pg.thaw()              it hangs, and goes on

PostgreSQL refuses to run as root, so root steps down to nobody, whose the folder is then. With tcp=True it listens on a free port of
127.0.0.1, too (pg.port), which a faultproxy can stand before. `settings` are lines of postgresql.conf.

As a program it serves tests in C: `pg.py` starts one, prints its folder, and ends it when its standard input does."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SOCKET_MAX = 90  # of its folder: the path of a socket has 107 bytes


def programs():
    """Where initdb and its like are."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if not found:
        raise FileNotFoundError("initdb: install postgresql-15")
    return found[-1].parent


def _place():
    """A new folder that the one who runs the server can reach."""
    top = Path(tempfile.gettempdir())
    if os.geteuid() == 0 and top.stat().st_uid == 0 and top != Path("/tmp"):
        top.chmod(top.stat().st_mode | 0o011)
    place = Path(tempfile.mkdtemp(prefix="pg-"))
    if len(str(place)) > SOCKET_MAX:
        shutil.rmtree(place)
        place = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    return place


class Cluster:
    def __init__(self, tcp=False, settings=(), fsync=False):
        self.folder = _place()
        self.data = self.folder / "data"
        self.bin = programs()
        self.port = None
        self._wrap = []
        self._asides = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("nobody")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._wrap = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        self._run("initdb", "-D", self.data, "-U", "kf", "-A", "trust", "-N", "--no-instructions", "-E", "UTF8", "--locale=C")
        lines = [f"unix_socket_directories='{self.folder}'", f"fsync={'on' if fsync else 'off'}", "shared_buffers=32MB", "max_connections=60"]
        if tcp:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
            lines.append(f"port={self.port}")
        lines.append("listen_addresses='127.0.0.1'" if tcp else "listen_addresses=''")
        self.set(*lines, *settings)
        self.start()

    def _run(self, program, *words, check=True):
        return subprocess.run([*self._wrap, self.bin / program, *words], check=check, cwd="/", timeout=60, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def set(self, *lines):
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as file:
            file.write("".join(line + "\n" for line in lines))

    def start(self):
        self._run("pg_ctl", "-D", self.data, "-l", self.folder / "log", "-w", "start")

    def stop(self, mode="fast"):
        self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop", check=False)

    def crash(self):
        self.stop("immediate")

    def _all(self):
        """The server's processes."""
        first = self.pid()
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        return [first, *map(int, children)]

    def freeze(self):
        """From now on nothing moves and nobody is told: as behind a network that swallows everything."""
        self._tell_all(signal.SIGSTOP)

    def thaw(self):
        self._tell_all(signal.SIGCONT)

    def _tell_all(self, what):
        for pid in self._all():
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(pid, what)

    def reload(self):
        self._run("pg_ctl", "-D", self.data, "reload")

    def pid(self):
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def url(self, space=None, host=None, port=None, user="kf", database="postgres"):
        end = f"#{space}" if space else ""
        if port or host:
            return f"postgres://{user}@{host or '127.0.0.1'}:{port or self.port}/{database}{end}"
        more = f"&port={self.port}" if self.port else ""
        return f"postgres://{user}@/{database}?host={self.folder}{more}{end}"

    def ask(self, sql, user="kf", database="postgres"):
        """Rows as lists of text; NULL is an empty text. Fails when the statement does."""
        port = ["-p", str(self.port)] if self.port else []
        done = subprocess.run([self.bin / "psql", "-h", self.folder, *port, "-U", user, "-XAtq", "-F", "\x1f", "-R", "\x1e", "-v", "ON_ERROR_STOP=1",
                               database, "-c", sql], capture_output=True, timeout=60)
        if done.returncode:
            raise RuntimeError(done.stderr.decode())
        text = done.stdout.decode().removesuffix("\n")
        return [row.split("\x1f") for row in text.split("\x1e")] if text else []

    def ask_aside(self, sql):
        """As ask, and not waited for; ends with the cluster at the latest."""
        port = ["-p", str(self.port)] if self.port else []
        self._asides.append(subprocess.Popen([self.bin / "psql", "-h", self.folder, *port, "-U", "kf", "-XAtq", "postgres", "-c", sql],
                                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def number(self, sql):
        return int(self.ask(sql)[0][0])

    def session(self, user="kf", database="postgres"):
        return Session(self, user, database)

    def close(self):
        self.stop("immediate")
        for process in self._asides:
            process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Pooler:
    """pgbouncer before a cluster. mode: "session" gives a connection to one client for as long as it stays, "transaction" for a transaction.
    `settings` are lines of pgbouncer.ini."""

    def __init__(self, cluster, mode, settings=()):
        self.folder = _place()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        port = f" port={cluster.port}" if cluster.port else ""
        lines = ["[databases]", f"* = host={cluster.folder}{port}", "[pgbouncer]", "listen_addr = 127.0.0.1", f"listen_port = {self.port}",
                 "unix_socket_dir =", "auth_type = any", f"pool_mode = {mode}", "default_pool_size = 20", "ignore_startup_parameters = extra_float_digits", *settings]
        lines[1] += " user=kf"
        self._lines = lines
        self._write()
        wrap = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("nobody")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            wrap = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        with open(self.folder / "log", "wb") as log:
            self._process = subprocess.Popen([*wrap, "/usr/sbin/pgbouncer", self.folder / "ini"], cwd="/", stdin=subprocess.DEVNULL,
                                             stdout=log, stderr=log)
        until = time.monotonic() + 20
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.02)

    def _write(self):
        (self.folder / "ini").write_text("\n".join(self._lines) + "\n")

    def set_mode(self, mode):
        """Of the connections that come, and of those that are there when they have been given back."""
        self._lines = [f"pool_mode = {mode}" if line.startswith("pool_mode") else line for line in self._lines]
        self._write()
        self._process.send_signal(signal.SIGHUP)

    def _listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def close(self):
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Session:
    """A client that stays connected, for transactions that are left open: psql, told what to do.

    with pg.session() as other:
        other.ask("BEGIN")
        other.ask("INSERT INTO t VALUES(1)")          nobody sees it yet"""

    def __init__(self, cluster, user, database):
        port = ["-p", str(cluster.port)] if cluster.port else []
        self._psql = subprocess.Popen([cluster.bin / "psql", "-h", cluster.folder, *port, "-U", user, "-XAtq", "-F", "\x1f", database],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
        self._count = 0

    def ask(self, sql):
        """Rows as lists of text. Fails when the statement does; the session goes on."""
        self.send(sql)
        return self.answer()

    def send(self, sql):
        """The same without waiting: `answer` does, later."""
        self._count += 1
        self._psql.stdin.write(f"{sql};\n\\echo end-{self._count}\n")
        self._psql.stdin.flush()

    def answer(self):
        lines = []
        for line in self._psql.stdout:
            line = line.rstrip("\n")
            if line == f"end-{self._count}":
                break
            lines.append(line)
        else:
            raise RuntimeError("psql has ended: " + "\n".join(lines))
        if any(line.startswith(("ERROR:", "FATAL:")) for line in lines):
            raise RuntimeError("\n".join(lines))
        return [line.split("\x1f") for line in lines if line]

    def kill(self):
        """Goes without a word, as a client that dies does."""
        self._psql.kill()
        self._psql.wait()

    def close(self):
        if self._psql.poll() is None:
            self._psql.stdin.close()
            try:
                self._psql.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.kill()
        self._psql.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Cluster() as pg:
        print(pg.folder, flush=True)
        for line in sys.stdin:
            word = line.strip()
            if word == "crash":
                pg.crash()
            elif word == "stop":
                pg.stop()
            elif word == "start":
                pg.start()
            elif word == "freeze":
                pg.freeze()
            elif word == "thaw":
                pg.thaw()
            print(word, flush=True)


if __name__ == "__main__":
    main()
