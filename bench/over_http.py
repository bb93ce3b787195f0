#!/usr/bin/env python3
"""HTTP beside its limits, in alternating rounds: reads of a 2 KB document against nginx returning a constant of that size, saves of
2 KB documents against bare_epoll, a bare epoll server that runs the same statements and commits once per batch. The load is wrk
on one thread; every server has one thread of its own. The door alone (http_door) shows what the server costs without router and store."""

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
import urllib.request

BUILD = os.environ["KF_BUILD"]
TMP = os.environ["TMPDIR"]
SIZE = 2048
ROUNDS = 3
SECONDS = 2
NAMES = 1000

# Successive saves of a name differ, so that each makes a version. Strings are made once: making them must not be what is measured.
SAVE = """
local requests, at = {}, 0
for turn = 1, 3 do
    for i = 1, NAMES do
        local text = string.format('{"n": %d, "turn": %d, "text": "', i, turn)
        local body = text .. string.rep("x", SIZE - #text - 2) .. '"}'
        requests[#requests + 1] = wrk.format("PUT", string.format("/v1/bench/docs/doc-%d.json", i),
            {["Content-Type"] = "application/json", ["Host"] = "localhost"}, body)
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
events { worker_connections 1024; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path %(folder)s/body; proxy_temp_path %(folder)s/proxy; fastcgi_temp_path %(folder)s/fastcgi;
    uwsgi_temp_path %(folder)s/uwsgi; scgi_temp_path %(folder)s/scgi;
    server {
        listen 127.0.0.1:%(port)d;
        location / { default_type application/json; return 200 '%(body)s'; }
    }
}
"""


def document():
    text = '{"n": 1, "turn": 0, "text": "'
    return text + "x" * (SIZE - len(text) - 2) + '"}'


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A process that prints its address in its first line, or is known to be at `address`."""

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
        request = urllib.request.Request(f"http://{self.address}{path}", body, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.read()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(15)


def rate(server, path, connections, script=None):
    """Requests per second."""
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s"]
    if script:
        argv += ["-s", script]
    done = subprocess.run(argv + [f"http://{server.address}{path}"], capture_output=True, text=True, check=True)
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


def start_nginx():
    port = free_port()
    folder = os.path.join(TMP, "nginx")
    os.mkdir(folder)
    config = os.path.join(folder, "conf")
    with open(config, "w", encoding="utf-8") as file:
        file.write(NGINX % {"folder": folder, "port": port, "body": document()})
    server = Server(["nginx", "-e", os.path.join(folder, "errors"), "-c", config], f"127.0.0.1:{port}")
    assert server.wait("/") == document().encode()
    return server


def start_keepfast():
    program = os.path.join(BUILD, "keepfast")
    data = os.path.join(TMP, "data")
    server = Server([program, "serve", "--data", data, "--listen", "127.0.0.1:0"])
    server.ask("PUT", "/v1/bench/docs/read.json", document().encode())
    assert server.ask("GET", "/v1/bench/docs/read.json") == document().encode()
    return server


def measure_reads(keepfast, door, nginx):
    against = "nginx returning a constant"
    for connections, target, aim in ((1, None, None), (64, 0.6, 0.9)):
        compare(f"http.read.2k.{connections}", lambda: rate(keepfast, "/v1/bench/docs/read.json", connections),
                lambda: rate(nginx, "/", connections), against, target, aim)
    compare("http.door.2k.64", lambda: rate(door, f"/const/{SIZE}", 64), lambda: rate(nginx, "/", 64), against)


def measure_writes(keepfast, bare):
    script = os.path.join(TMP, "save.lua")
    with open(script, "w", encoding="utf-8") as file:
        file.write(SAVE)
    against = "bare epoll, same statements, one commit per batch"
    for connections, target, aim in ((1, None, None), (16, None, None), (64, 0.6, 0.85)):
        compare(f"http.save.2k.{connections}", lambda: rate(keepfast, "/", connections, script), lambda: rate(bare, "/", connections, script),
                against, target, aim)


def main():
    print(json.dumps({"name": "disk.fdatasync.4k", "value": round(flush_latency(), 3), "unit": "ms"}), flush=True)
    servers = []
    try:
        for start in (
            start_nginx,
            lambda: Server([os.path.join(BUILD, "bench", "http_door")]),
            lambda: Server([os.path.join(BUILD, "bench", "bare_epoll"), os.path.join(TMP, "bare.db")]),
            start_keepfast,
        ):
            servers.append(start())
        nginx, door, bare, keepfast = servers
        measure_reads(keepfast, door, nginx)
        measure_writes(keepfast, bare)
    finally:
        for server in servers:
            server.stop()


if __name__ == "__main__":
    sys.exit(main())
