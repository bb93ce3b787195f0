#!/usr/bin/env python3
# test: timeout=240
"""TLS and the doors beyond this machine, from outside: curl, openssl s_client and the command line against the real program."""

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import keepfast
from keepfast import PROGRAM, Server, at_time, folder, run, wait_for
from tap import check, equal, main, note, test

WORDS = {"TLS 1.0": "-tls1", "TLS 1.1": "-tls1_1", "TLS 1.2": "-tls1_2", "TLS 1.3": "-tls1_3"}


def openssl(*words, stdin=b""):
    return subprocess.run(["openssl", *map(str, words)], input=stdin, capture_output=True, timeout=60)


class Pair:
    """A certificate and its key, in a folder of their own; `ca` signs it, else it signs itself."""

    number = 0

    def __init__(self, names="DNS:localhost,IP:127.0.0.1", days=30, ca=None, bits="ec"):
        Pair.number += 1
        self.folder = folder()
        self.cert, self.key = self.folder / "cert.pem", self.folder / "key.pem"
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if bits == "ec" else ["-newkey", f"rsa:{bits}"]
        words = ["req", "-x509", *new, "-nodes", "-keyout", self.key, "-out", self.cert, "-subj", f"/CN=test {Pair.number}",
                 "-days", days, "-addext", f"subjectAltName={names}", "-set_serial", 5000 + Pair.number]
        if ca:
            words += ["-CA", ca.cert, "-CAkey", ca.key, "-addext", "basicConstraints=critical,CA:FALSE"]
        done = openssl(*words)
        check(done.returncode == 0, done.stderr.decode())
        os.chmod(self.key, 0o600)
        self.serial = 5000 + Pair.number

    def settings(self):
        return f"tls: {{ cert: {self.cert}, key: {self.key} }}\n"


_authority = []


def authority():
    if not _authority:
        _authority.append(Pair("DNS:authority", days=300))
    return _authority[0]


def server(pair=None, config="", **kw):
    return Server(folder() / "data", config=(pair.settings() if pair else "") + config, **kw)


def context(ca=None):
    made = ssl.create_default_context(cafile=str(ca.cert) if ca else None)
    if not ca:
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made


def https(started, ca=None):
    """A client of keepfast.py over TLS."""
    client = keepfast.Client(started.address)
    client.connection = http.client.HTTPSConnection(started.address, timeout=30, context=context(ca))
    return client


def serial_shown(started):
    host, port = started.address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), 10) as plain, context().wrap_socket(plain, server_hostname="localhost") as wire:
        text = ssl.DER_cert_to_PEM_cert(wire.getpeercert(True))
    return int(openssl("x509", "-noout", "-serial", stdin=text.encode()).stdout.split(b"=")[1], 16)


def metric(client, name, headers=None):
    text = client.get("/metrics", raw=True, headers=headers).body.decode()
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(name + " "))


def found(client, code, headers=None):
    """What doctor says of it."""
    client.put("/docs/doctor.json", "1", headers=headers)
    items = client.get("/doctor", headers=headers).json()["items"]
    item = next((item for item in items if item["code"] == code), None)
    check(item, f"doctor finds {code}: {items}")
    return item


def curl(*words):
    done = subprocess.run(["curl", "-sS", "--noproxy", "*", *map(str, words)], capture_output=True, timeout=60)
    return done.returncode, done.stdout, done.stderr.decode()


@test
def documents_go_over_tls():
    ca = authority()
    with server(Pair(ca=ca)) as started:
        client = https(started, ca)
        body = json.dumps({"text": "x" * 300000})
        equal(client.put("/docs/a.json", body).status, 201, "a write")
        equal(client.get("/docs/a.json").body.decode(), body, "what was put comes back")
        status, out, err = curl("--cacert", ca.cert, f"https://{started.address}/v1/default/docs/a.json")
        equal((status, out.decode()), (0, body), f"curl, {err}")
        status, out, _ = curl("--cacert", ca.cert, "-w", "%{http_code} %{http_version}", "-o", "/dev/null",
                              f"https://localhost:{started.address.split(':')[1]}/healthz")
        equal(out, b"200 1.1", "HTTP/1.1, whatever else curl offers")
        check(metric(client, "keepfast_tls_not_after_timestamp_seconds") > time.time() + 29 * 86400, "the expiry is shown")
        equal(metric(client, "keepfast_tls_reload_failed"), 0, "and nothing is wrong")
        # The command line of this machine goes on by the Unix socket.
        equal(run("get", "a.json", at=f"{started.data}#default").out.decode().strip(), body, "by the socket")
        equal(started.stop(), 0, "it stops")


@test
def strangers_are_refused_by_their_clients():
    for name, pair, ca in (
        ("signed by itself", Pair(), None),
        ("of another authority", Pair(ca=authority()), Pair("DNS:other")),
        ("of another name", Pair("DNS:elsewhere.example.org", ca=authority()), authority()),
    ):
        with server(pair) as started:
            trust = ["--cacert", ca.cert] if ca else []
            status, _, err = curl(*trust, f"https://{started.address}/healthz")
            check(status == 60, f"curl, {name}: {status} {err}")
            done = run("ls", at=f"https://{started.address}/default", env={"SSL_CERT_FILE": str(ca.cert) if ca else ""})
            equal(done.status, 3, f"keepfast, {name}: {done}")
            check(b"--ca-file" in done.err and b"is not believed" in done.err, f"{name}: {done}")


@test
def the_command_line_speaks_tls():
    ca = authority()
    with server(Pair(ca=ca)) as started:
        place = f"https://{started.address}/default"
        check(run("put", "a.json", "-", at=place, stdin=b'{"a":1}', env={"SSL_CERT_FILE": str(ca.cert)}).status == 0, "SSL_CERT_FILE")
        equal(run("get", "a.json", "--ca-file", ca.cert, at=place).out.strip(), b'{"a":1}', "--ca-file")
        hashed = folder()
        name = openssl("x509", "-noout", "-hash", "-in", ca.cert).stdout.decode().strip()
        shutil.copy(ca.cert, hashed / f"{name}.0")
        equal(run("get", "a.json", at=place, env={"SSL_CERT_DIR": str(hashed)}).status, 0, "SSL_CERT_DIR")
        done = run("get", "a.json", "--ca-file", "/nowhere", at=place)
        equal(done.status, 3, f"a file that is not there: {done}")
        backup = folder() / "b.zip"
        equal(run("backup", backup, "--ca-file", ca.cert, at=place).status, 0, "a backup")
        equal(run("restore", backup, "--replace", "--ca-file", ca.cert, at=place).status, 0, "and back")
        done = run("get", "a.json", at=f"http://{started.address}/default")
        check(done.status != 0 and b"https://" in done.err, f"http to a port of TLS: {done}")
    with server() as started:
        done = run("get", "a.json", at=f"https://{started.address}/default")
        equal(done.status, 3, f"https to a port without TLS: {done}")


@test
def old_versions_are_refused():
    with server(Pair()) as started:
        for version, word in WORDS.items():
            done = openssl("s_client", "-connect", started.address, word, "-ign_eof", "-cipher", "ALL:@SECLEVEL=0",
                           stdin=b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answered = b"HTTP/1.1 200" in done.stdout
            equal(answered, version in ("TLS 1.2", "TLS 1.3"), f"{version}: {done.stdout[-300:]} {done.stderr[-300:]}")
        for cipher in ("aNULL", "eNULL", "RC4", "DES-CBC3-SHA", "AES128-SHA", "AES128-GCM-SHA256"):
            done = openssl("s_client", "-connect", started.address, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0", stdin=b"Q")
            check(b"Cipher    : 0000" in done.stdout or b"Cipher is (NONE)" in done.stdout or done.returncode != 0,
                  f"{cipher}: {done.stdout[-300:]}")
        done = openssl("s_client", "-connect", started.address, "-tls1_2", "-legacy_renegotiation",
                       stdin=b"R\nGET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        check(b"HTTP/1.1 200" not in done.stdout.split(b"RENEGOTIATING")[-1], "nothing is renegotiated")
        equal(https(started).get("/healthz", raw=True).status, 200, "and the server goes on")


@test
def plain_http_to_tls_is_told_so():
    with server(Pair()) as started:
        client = http.client.HTTPConnection(started.address, timeout=10)
        client.request("GET", "/healthz")
        answer = client.getresponse()
        problem = json.loads(answer.read())
        equal((answer.status, problem["code"]), (400, "bad_request"), "an answer")
        check("https://" in problem["detail"], problem["detail"])
        for first in (b"\0" * 64, b"SSH-2.0-a\r\n", b"\x16\x03\x01\x00\x05hello"):
            host, port = started.address.split(":")
            with socket.create_connection((host, int(port)), 10) as wire:
                wire.sendall(first)
                try:
                    got = wire.recv(4096)
                except ConnectionResetError:
                    got = b""
                check(not got.startswith(b"HTTP") or first.startswith(b"SSH"), f"{first[:10]}: {got!r}")


@test
def an_expired_certificate_is_served_and_said():
    pair = Pair(days=1)
    with server(pair, env=at_time("+3d"), config="log: { format: json }\n") as started:
        check(metric(https(started), "keepfast_tls_not_after_timestamp_seconds") < time.time() + 2 * 86400, "its expiry is shown")
        equal(found(https(started), "tls_ends")["level"], "error", "and by doctor")
        lines = [json.loads(line) for line in started.stderr().splitlines() if '"tls.certificate"' in line]
        check(lines and lines[0]["lvl"] == "error" and "expired" in lines[0]["detail"], f"and said: {lines}")


@test
def sighup_changes_certificates_under_load():
    one, two = Pair(), Pair()
    with server(one) as started:
        over, failed, answered = threading.Event(), [], [0]

        def load():
            client = https(started)
            while not over.is_set():
                try:
                    good = client.get("/healthz", raw=True).status == 200
                except Exception as reason:
                    failed.append(repr(reason))
                    return
                answered[0] += good
                if answered[0] % 7 == 0:
                    client.close()

        workers = [threading.Thread(target=load) for _ in range(4)]
        kept = https(started)
        kept.get("/healthz", raw=True)
        for worker in workers:
            worker.start()
        equal(serial_shown(started), one.serial, "the first one")
        now = one
        for turn in range(6):
            now = two if turn % 2 == 0 else Pair()
            for name in ("cert.pem", "key.pem"):
                os.replace(shutil.copy(now.folder / name, one.folder / (name + ".new")), one.folder / name)
            os.kill(started.process.pid, signal.SIGHUP)
            wait_for(lambda: serial_shown(started) == now.serial, 10)
        # Half a pair changes nothing.
        shutil.copy(Pair().cert, one.cert)
        os.kill(started.process.pid, signal.SIGHUP)
        wait_for(lambda: "tls.reload" in started.stderr(), 10)
        equal(serial_shown(started), now.serial, "the old one stays")
        equal(metric(kept, "keepfast_tls_reload_failed"), 1, "and that is shown, by a connection of before")
        check("is not the key" in found(https(started), "tls_not_reloaded")["detail"], "and by doctor")
        over.set()
        for worker in workers:
            worker.join()
        note(f"{answered[0]} answered while seven certificates came")
        equal(failed, [], "no request failed")
        check(answered[0] > 20, "there was load")
        equal(started.stop(), 0, "it stops")


def sessions(started, version):
    """A way to connect: connected(session) gives an open connection that has had an answer, kept by the caller."""
    host, port = started.address.rsplit(":", 1)
    made = context()
    made.minimum_version = made.maximum_version = version

    def connected(session=None):
        wire = made.wrap_socket(socket.create_connection((host, int(port)), 10), server_hostname="localhost", session=session)
        wire.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        check(wire.recv(4096).startswith(b"HTTP/1.1 200"), "it is served")
        return wire

    return connected


@test
def a_session_goes_on_whichever_loop_takes_it():
    pair = Pair()
    with server(pair, arguments=("--loops", "3")) as started:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            connected = sessions(started, version)
            first = connected()
            check(not first.session_reused, "there was none before")
            # A connection goes to the loop with the fewest: of those that stay, each loop has some.
            open_ones = [first] + [connected(first.session) for _ in range(8)]
            equal([wire.session_reused for wire in open_ones[1:]], [True] * 8, f"{version.name}: resumed by all loops")
            loads = metric(https(started), "keepfast_tls_loads_total")
            new = Pair()
            for name in ("cert.pem", "key.pem"):
                os.replace(shutil.copy(new.folder / name, pair.folder / (name + ".new")), pair.folder / name)
            os.kill(started.process.pid, signal.SIGHUP)
            wait_for(lambda: metric(https(started), "keepfast_tls_loads_total") > loads, 10)
            wait_for(lambda: {serial_shown(started) for _ in range(6)} == {new.serial}, 10)
            again = [connected(open_ones[-1].session) for _ in range(6)]
            equal([wire.session_reused for wire in again], [True] * 6, f"{version.name}: after a new certificate")
            for wire in open_ones + again:
                wire.close()
        equal(started.stop(), 0, "it stops")


@test
def a_change_of_the_files_is_noticed():
    one, two = Pair(), Pair()
    with server(one) as started:
        for name in ("cert.pem", "key.pem"):
            os.replace(shutil.copy(two.folder / name, one.folder / (name + ".new")), one.folder / name)
        start = time.monotonic()
        wait_for(lambda: serial_shown(started) == two.serial, 60, 0.5)
        note(f"after {time.monotonic() - start:.0f} s")
        os.kill(started.process.pid, signal.SIGHUP)
        equal(https(started).get("/healthz", raw=True).status, 200, "and SIGHUP on top harms nothing")


@test
def sighup_without_tls_ends_nothing():
    with server() as started:
        check("libssl" not in Path(f"/proc/{started.process.pid}/maps").read_text(), "OpenSSL is not loaded without a certificate")
        os.kill(started.process.pid, signal.SIGHUP)
        time.sleep(0.2)
        equal(started.client().get("/healthz", raw=True).status, 200, "it serves")


@test
def sighup_while_it_starts_ends_nothing():
    data = folder() / "data"
    slow = ("strace", "-f", "-qq", "-o", folder() / "calls", "-e", "trace=listen", "-e", "inject=listen:delay_enter=1500000:when=1")
    with subprocess.Popen([*slow, PROGRAM, "serve", "--data", data, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_for(lambda: (data / "_keepfast.db.lock").exists() and children.read_text().split())
        program = int(children.read_text().split()[0])
        os.kill(program, signal.SIGHUP)
        check(process.stdout.readline().startswith("keepfast ready"), "it becomes ready")
        os.kill(program, signal.SIGHUP)
        time.sleep(0.2)
        os.kill(program, signal.SIGTERM)
        equal(process.wait(15), 0, "and ends when it is told to")


@test
def a_handshake_has_its_time():
    with server(Pair()) as started:
        host, port = started.address.split(":")
        slow = [socket.create_connection((host, int(port)), 30) for _ in range(40)]
        for n, wire in enumerate(slow):
            wire.sendall(b"\x16\x03\x01\x02\x00"[: n % 6])
        start = time.monotonic()
        good = https(started)
        for wire in slow:
            equal(good.get("/healthz", raw=True).status, 200, "a good client meanwhile")
            wire.settimeout(15)
            try:
                equal(wire.recv(10), b"", "closed")
            except ConnectionResetError:
                pass
            wire.close()
        took = time.monotonic() - start
        check(8 < took < 13, f"after {took:.1f} s")


def own_address():
    """An address of this machine, not loopback where it has another."""
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        probe.connect(("192.0.2.1", 9))  # sends nothing
        return probe.getsockname()[0]
    except OSError:
        return "127.0.0.1"
    finally:
        probe.close()


def start(data, config, *arguments, program=(PROGRAM,)):
    """keepfast serve that is expected to end by itself: its exit status and words, or None when it became ready."""
    file = data.parent / "s.yaml"
    file.write_text(config)
    file.chmod(0o644)
    process = subprocess.Popen([*map(str, program), "serve", "--data", str(data), "--config", str(file), *arguments], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    ready = process.stdout.readline()
    if ready:
        process.kill()
    words = process.stderr.read()
    process.wait()
    process.stdout.close()
    process.stderr.close()
    return (None if ready else process.returncode), words, ready


@test
def starts_beyond_loopback_need_tls_and_a_token():
    pair = Pair()
    insecure = "listen_insecure: true\n"
    cases = (  # configuration, address, with a token, exit status (None: ready), words
        ("", "0.0.0.0:0", False, 3, "tls.cert"),
        ("", "0.0.0.0:0", True, 3, "tls.cert"),
        (insecure, "0.0.0.0:0", False, 3, "keepfast token create"),
        (insecure, "0.0.0.0:0", True, None, "listen.insecure"),
        (pair.settings(), "0.0.0.0:0", False, 3, "keepfast token create"),
        (pair.settings(), "0.0.0.0:0", True, None, ""),
        (pair.settings(), "http://0.0.0.0:0", True, 3, "listen_insecure"),
        (pair.settings() + insecure, "http://0.0.0.0:0", True, None, "listen.insecure"),
        ("", "https://127.0.0.1:0", True, 3, "tls.cert and tls.key"),
        (pair.settings(), "http://127.0.0.1:0", False, None, ""),
        ("", "keepfast.example.org:0", True, 3, "in digits"),
        ("tls: { cert: /nowhere, key: /nowhere }\n", "127.0.0.1:0", False, 3, "there is no file"),
        (f"tls: {{ cert: {pair.cert} }}\n", "127.0.0.1:0", False, 3, "go together"),
    )
    for config, address, token, status, words in cases:
        data = folder() / "data"
        if token:
            equal(run("token", "create", "one", at=str(data)).status, 0, "a token")
        got, said, ready = start(data, config, "--listen", address)
        equal(got, status, f"{config!r} {address} {token}: {said}")
        check(words in said, f"{config!r} {address} {token}: {said!r} says {words!r}")
        if ready:
            wanted = "https://" if pair.settings() in config and not address.startswith("http://") else "http://"
            check(ready.split()[-1].startswith(wanted), f"{address}: {ready}")
    pair.key.chmod(0o640)
    got, said, _ = start(folder() / "data", pair.settings(), "--listen", "127.0.0.1:0")
    check(got == 3 and "chmod 600" in said, f"a key that others may read: {got} {said}")
    note(f"{len(cases) + 1} starts")


@test
def a_key_of_the_machine_may_be_a_groups():
    """Root's, as Debian's ssl-cert has it, for a server that is not root; nobody else's, and not the world's."""
    pair, place, user, group = Pair(), Path(tempfile.mkdtemp(dir="/tmp")), 65534, 54321
    try:
        place.chmod(0o755)
        program, cert, key, data = (place / name for name in ("keepfast", "cert.pem", "key.pem", "data"))
        shutil.copy(PROGRAM, program)
        shutil.copy(pair.cert, cert)
        data.mkdir(mode=0o700)
        os.chown(data, user, user)
        cases = ((0, group, 0o640, group, None), (0, group, 0o440, group, None), (user, user, 0o600, group, None),
                 (0, group, 0o644, group, 3), (0, group, 0o660, group, 3), (user, group, 0o640, group, 3), (0, group, 0o640, user, 3))
        for owner, gid, mode, member, status in cases:
            shutil.copy(pair.key, key)
            key.chmod(mode)
            os.chown(key, owner, gid)
            as_user = ("setpriv", f"--reuid={user}", f"--regid={user}", f"--groups={member}")
            got, said, _ = start(data, f"tls: {{ cert: {cert}, key: {key} }}\n", "--listen", "127.0.0.1:0", program=(*as_user, program))
            equal(got, status, f"owner {owner}, group {gid}, {mode:o}, member of {member}: {said}")
            check(status is None or str(key) in said, f"which file: {said}")
        note(f"{len(cases)} starts")
    finally:
        shutil.rmtree(place)


@test
def plain_http_beyond_this_machine_is_said():
    data = folder() / "data"
    token = run("token", "create", "one", "--rights", "read,write,admin", at=str(data)).out.decode().strip()
    equal(run("put", "b.json", "-", at=f"{data}#default", stdin=b"1").status, 0, "a store")
    with Server(data, config="listen_insecure: true\n", arguments=("--listen", "0.0.0.0:0")) as started:
        check("listen.insecure" in started.stderr(), "in the log")
        started.address = f"{own_address()}:{started.address.rsplit(':', 1)[1]}"
        found(started.client(), "plain_http", {"Authorization": f"Bearer {token}"})
        done = run("get", "b.json", at=f"http://{started.address}/default", env={"KEEPFAST_TOKEN": token})
        check(own_address() == "127.0.0.1" or (done.status == 3 and b"read on the way" in done.err),
              f"and the command line sends no token: {done}")


@test
def other_machines_show_a_token():
    address = own_address()
    pair, data = Pair(f"DNS:localhost,IP:{address}", ca=authority()), folder() / "data"
    made = run("token", "create", "one", at=str(data))
    equal(made.status, 0, f"a token: {made}")
    equal(run("put", "b.json", "-", at=f"{data}#default", stdin=b"1").status, 0, "a store")
    token = made.out.decode().strip()
    with Server(data, config=pair.settings() + "allow_hosts: [keepfast.example.org]\n", arguments=("--listen", "0.0.0.0:0")) as started:
        bearer = {"Authorization": f"Bearer {token}"}
        port = started.address.rsplit(":", 1)[1]  # the last one that it names
        started.address = f"{address}:{port}"
        note("from this machine's own address" if address != "127.0.0.1" else "from loopback: there is no other address")
        client = https(started, authority())
        equal(client.get("/docs", headers={}).code, "auth_required", "none")
        equal(client.get("/healthz", raw=True).status, 200, "what is open to all")
        equal(client.put("/docs/a.json", "1", headers=bearer).status, 201, "with one")
        equal(client.get("/docs/a.json", headers={**bearer, "Host": "keepfast.example.org:444"}).status, 200, "a name that is allowed")
        equal(client.get("/docs/a.json", headers={**bearer, "Host": f"{address}:1"}).status, 200, "its address in digits")
        for host in ("evil.example.org", "192.0.2.1", f"{address}.nip.io", "0.0.0.0"):
            equal(client.get("/docs/a.json", headers={**bearer, "Host": host}).code, "forbidden", host)
        secret = folder() / "token"
        secret.write_text(token + "\n")
        secret.chmod(0o600)
        place = f"https://{address}:{port}/default"
        done = run("get", "a.json", "--ca-file", authority().cert, "--token-file", secret, at=place)
        equal((done.status, done.out.strip()), (0, b"1"), f"the command line: {done}")
        done = run("get", "a.json", "--ca-file", authority().cert, at=place, env={"KEEPFAST_TOKEN": token})
        equal(done.status, 0, f"by the variable: {done}")
        done = run("get", "a.json", "--ca-file", authority().cert, at=place)
        equal(done.status, 4, f"without: {done}")


@test
def pages_of_others_ask_before():
    with server(config="allow_origins: [\"https://app.example.org\"]\n") as started:
        client = http.client.HTTPConnection(started.address, timeout=10)

        def ask(method, path, **headers):
            client.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = client.getresponse()
            answer.read()
            return answer

        app = "https://app.example.org"
        answer = ask("OPTIONS", "/v1/default/docs/a.json", Origin=app, Access_Control_Request_Method="PUT",
                     Access_Control_Request_Headers="authorization,if-match")
        equal(answer.status, 204, "a preflight needs no token and no space")
        equal(answer.headers["Access-Control-Allow-Origin"], app, "the page")
        check("PUT" in answer.headers["Access-Control-Allow-Methods"], "its method")
        check("authorization" in answer.headers["Access-Control-Allow-Headers"].lower(), "its headers")
        check(answer.headers["Access-Control-Allow-Credentials"] is None, "no cookies")
        answer = ask("GET", "/v1/default/docs/a.json", Origin=app)
        equal((answer.status, answer.headers["Access-Control-Allow-Origin"]), (404, app), "an answer that the page may read")
        answer = ask("OPTIONS", "/v1/default/docs/a.json")
        equal((answer.status, answer.headers["Allow"]), (204, "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"), "OPTIONS of nobody's page")
        equal(ask("OPTIONS", "/v2").status, 404, "of no route")
        for origin in ("https://evil.example.org", "null", "https://app.example.org.evil.org"):
            answer = ask("OPTIONS", "/v1/default/docs/a.json", Origin=origin, Access_Control_Request_Method="PUT")
            equal((answer.status, answer.headers["Access-Control-Allow-Origin"]), (403, None), origin)


main()
