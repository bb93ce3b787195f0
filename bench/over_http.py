#!/usr/bin/env python3
"""HTTP beside its limits, in alternating rounds: reads of a 2 KB document against nginx returning a constant of that size, saves of
2 KB documents against bare_epoll, a bare epoll server that runs the same statements and commits once per batch. The load is wrk
on one thread; every server has one thread of its own. The door alone (http_door) shows what the server costs without router and store.

The same over TLS, with the same certificate on both sides, and with a token in each request, plain and over TLS; saves over TLS against the
same saves without. What an idle connection takes, plain and over TLS, beside nginx."""

import json
import os
import re
import resource
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import time
import urllib.request

BUILD = os.environ["KF_BUILD"]
TMP = os.environ["TMPDIR"]
SIZE = 2048
CROWD = 1000
ROUNDS = 3
SECONDS = 2
NAMES = 1000

# Successive saves of a name differ, so that each makes a version. Strings are made once: making them must not be what is measured.
SAVE = """
local requests, at = {}, 0
AUTHORIZATION = os.getenv("BENCH_AUTHORIZATION")
for turn = 1, 3 do
    for i = 1, NAMES do
        local text = string.format('{"n": %d, "turn": %d, "text": "', i, turn)
        local body = text .. string.rep("x", SIZE - #text - 2) .. '"}'
        requests[#requests + 1] = wrk.format("PUT", string.format("/v1/bench/docs/doc-%d.json", i),
            {["Content-Type"] = "application/json", ["Host"] = "localhost", ["Authorization"] = AUTHORIZATION}, body)
    end
end
function request()
    at = at % #requests + 1
    return requests[at]
end
""".replace("NAMES", str(NAMES)).replace("SIZE", str(SIZE))

NGINX = """
worker_processes 1;
daemon off;
pid %(folder)s/pid;
error_log stderr crit;
events { worker_connections 8192; }
http {
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    ssl_certificate %(cert)s; ssl_certificate_key %(key)s; ssl_protocols TLSv1.2 TLSv1.3;
    client_body_temp_path %(folder)s/body; proxy_temp_path %(folder)s/proxy; fastcgi_temp_path %(folder)s/fastcgi;
    uwsgi_temp_path %(folder)s/uwsgi; scgi_temp_path %(folder)s/scgi;
    server {
        listen 127.0.0.1:%(port)d;
        listen 127.0.0.1:%(secure)d ssl;
        location / { default_type application/json; return 200 '%(body)s'; }
    }
}
"""


def document():
    text = '{"n": 1, "turn": 0, "text": "'
    return text + "x" * (SIZE - len(text) - 2) + '"}'


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A process that prints its address in its first line, or is known to be at `address`."""

    token = secure = None

    def __init__(self, argv, address=None):
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if address is None:
            line = self.process.stdout.readline()
            match = re.search(r"127\.0\.0\.1:\d+", line)
            if not match:
                self.stop()
                raise RuntimeError(f"{argv[0]} said {line!r}")
            address = match[0]
        self.address = address

    def wait(self, path):
        for _ in range(100):
            try:
                return self.ask("GET", path)
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"nobody at {self.address}")

    def ask(self, method, path, body=None):
        headers = {"Content-Type": "application/json"} if body else {}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(f"http://{self.address}{path}", body, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.read()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(15)


def rate(server, path, connections, script=None, tls=False):
    """Requests per second."""
    seconds = SECONDS if connections < CROWD else 3 * SECONDS  # for a crowd to shake hands
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    environment = dict(os.environ)
    if server.token:
        argv += ["-H", f"Authorization: Bearer {server.token}"]
        environment["BENCH_AUTHORIZATION"] = f"Bearer {server.token}"
    if script:
        argv += ["-s", script]
    place = f"https://{server.secure}" if tls else f"http://{server.address}"
    done = subprocess.run(argv + [f"{place}{path}"], capture_output=True, text=True, check=True, env=environment)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(done.stdout)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1])


def compare(name, ours, theirs, against, target=None, aim=None):
    """Alternating rounds of two functions; the medians are compared."""
    values, bases = [], []
    for _ in range(ROUNDS):
        values.append(ours())
        bases.append(theirs())
    figure = {"name": name, "value": round(statistics.median(values)), "unit": "1/s", "base": round(statistics.median(bases)),
              "against": against}
    if target:
        figure.update(target=target, aim=aim)
    print(json.dumps(figure), flush=True)


def flush_latency():
    """Median of a 4 KiB append with fdatasync, in milliseconds: durable figures mean little without it."""
    fd = os.open(os.path.join(TMP, "flush"), os.O_WRONLY | os.O_CREAT, 0o600)
    times = []
    for _ in range(300):
        os.write(fd, b"x" * 4096)
        start = time.perf_counter()
        os.fdatasync(fd)
        times.append(time.perf_counter() - start)
    os.close(fd)
    return statistics.median(times) * 1000


def certificate():
    """The same pair for both sides."""
    cert, key = os.path.join(TMP, "cert.pem"), os.path.join(TMP, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
                    "-subj", "/CN=localhost", "-days", "2"], check=True, capture_output=True)
    os.chmod(key, 0o600)
    return {"cert": cert, "key": key}


def start_nginx(pair):
    port, secure = free_port(), free_port()
    folder = os.path.join(TMP, "nginx")
    os.mkdir(folder)
    config = os.path.join(folder, "conf")
    with open(config, "w", encoding="utf-8") as file:
        file.write(NGINX % {"folder": folder, "port": port, "secure": secure, "body": document(), **pair})
    server = Server(["nginx", "-e", os.path.join(folder, "errors"), "-c", config], f"127.0.0.1:{port}")
    assert server.wait("/") == document().encode()
    server.secure = f"127.0.0.1:{secure}"
    return server


def start_keepfast():
    program = os.path.join(BUILD, "keepfast")
    data = os.path.join(TMP, "data")
    server = Server([program, "serve", "--data", data, "--listen", "127.0.0.1:0"])
    server.ask("PUT", "/v1/bench/docs/read.json", document().encode())
    assert server.ask("GET", "/v1/bench/docs/read.json") == document().encode()
    return server


def start_with_token(pair):
    """Plain and TLS, and nothing without a token."""
    program = os.path.join(BUILD, "keepfast")
    data, config = os.path.join(TMP, "data-token"), os.path.join(TMP, "token.yaml")
    secure = free_port()
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"tls: {{ cert: {pair['cert']}, key: {pair['key']} }}\n")
    made = subprocess.run([program, "token", "create", "bench", "--at", data, "--rights", "read,write,admin"], capture_output=True, text=True,
                          check=True)
    server = Server([program, "serve", "--data", data, "--config", config, "--listen", "http://127.0.0.1:0", "--listen",
                     f"127.0.0.1:{secure}"])
    server.secure, server.token = f"127.0.0.1:{secure}", made.stdout.strip()
    server.ask("PUT", "/v1/bench")
    server.ask("PUT", "/v1/bench/docs/read.json", document().encode())
    assert server.ask("GET", "/v1/bench/docs/read.json") == document().encode()
    return server


def measure_reads(keepfast, door, nginx):
    against = "nginx returning a constant"
    for connections, target, aim in ((1, None, None), (64, 0.6, 0.9)):
        compare(f"http.read.2k.{connections}", lambda: rate(keepfast, "/v1/bench/docs/read.json", connections),
                lambda: rate(nginx, "/", connections), against, target, aim)
    compare("http.door.2k.64", lambda: rate(door, f"/const/{SIZE}", 64), lambda: rate(nginx, "/", 64), against)


def save_script():
    script = os.path.join(TMP, "save.lua")
    with open(script, "w", encoding="utf-8") as file:
        file.write(SAVE)
    return script


def measure_writes(keepfast, bare):
    script = save_script()
    against = "bare epoll, same statements, one commit per batch"
    for connections, target, aim in ((1, None, None), (16, None, None), (64, 0.6, 0.85)):
        compare(f"http.save.2k.{connections}", lambda: rate(keepfast, "/", connections, script), lambda: rate(bare, "/", connections, script),
                against, target, aim)


def measure_with_token(keepfast, nginx):
    against = "nginx returning a constant"
    for tls, name in ((False, "http.token"), (True, "https.token")):
        for connections, target, aim in ((1, None, None), (16, None, None), (64, 0.75, 0.9), (CROWD, None, None)):
            compare(f"{name}.read.2k.{connections}", lambda: rate(keepfast, "/v1/bench/docs/read.json", connections, tls=tls),
                    lambda: rate(nginx, "/", connections, tls=tls), against + (" over TLS" if tls else ""), target, aim)
    script = save_script()
    for connections in (1, 16, 64, CROWD):
        compare(f"https.token.save.2k.{connections}", lambda: rate(keepfast, "/", connections, script, tls=True),
                lambda: rate(keepfast, "/", connections, script), "the same without TLS")


def memory(pids):
    """What these processes alone take, in bytes."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith(("Private_Clean:", "Private_Dirty:"))) * 1024
    return total


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def idle_memory(server, path, tls):
    """Bytes of one connection that was used and waits, of CROWD of them."""
    pids = [server.process.pid, *children(server.process.pid)]
    host, port = (server.secure if tls else server.address).split(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    token = f"Authorization: Bearer {server.token}\r\n" if server.token else ""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{token}\r\n".encode()

    def one():
        wire = socket.create_connection((host, int(port)), 20)
        wire = context.wrap_socket(wire) if tls else wire
        wire.sendall(request)
        while b"\r\n\r\n" not in wire.recv(65536):
            pass
        return wire

    held = [one() for _ in range(50)]  # what the first ones set up is not theirs
    before = memory(pids)
    held += [one() for _ in range(CROWD)]
    time.sleep(0.2)
    taken = (memory(pids) - before) / CROWD
    for wire in held:
        wire.close()
    time.sleep(0.5)
    return taken


def measure_memory(keepfast, nginx):
    for tls in (False, True):
        figure = {"name": f"{'https' if tls else 'http'}.idle", "value": round(idle_memory(keepfast, "/healthz", tls)), "unit": "B",
                  "base": round(idle_memory(nginx, "/", tls)), "against": "nginx", "better": "less"}
        print(json.dumps(figure), flush=True)


def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    print(json.dumps({"name": "disk.fdatasync.4k", "value": round(flush_latency(), 3), "unit": "ms"}), flush=True)
    servers = []
    pair = certificate()
    try:
        for start in (
            lambda: start_nginx(pair),
            lambda: Server([os.path.join(BUILD, "bench", "http_door")]),
            lambda: Server([os.path.join(BUILD, "bench", "bare_epoll"), os.path.join(TMP, "bare.db")]),
            start_keepfast,
            lambda: start_with_token(pair),
        ):
            servers.append(start())
        nginx, door, bare, keepfast, with_token = servers
        measure_reads(keepfast, door, nginx)
        measure_writes(keepfast, bare)
        measure_memory(with_token, nginx)
        measure_with_token(with_token, nginx)
    finally:
        for server in servers:
            server.stop()


if __name__ == "__main__":
    sys.exit(main())
