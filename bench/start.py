#!/usr/bin/env python3
"""How soon a server is ready and how much memory it holds when nothing happens: on an empty folder and on one with the documents
of examples/finance. nginx with one worker is measured the same way and printed beside; the targets are absolute."""

import glob
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time

import serving

TOP = os.environ["KF_TOP"]
ROUNDS = 20
SETTLE_S = 2

NGINX = """
worker_processes 1;
daemon off;
pid %(folder)s/pid;
error_log stderr crit;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path %(folder)s/body; proxy_temp_path %(folder)s/proxy; fastcgi_temp_path %(folder)s/fastcgi;
    uwsgi_temp_path %(folder)s/uwsgi; scgi_temp_path %(folder)s/scgi;
    server { listen 127.0.0.1:%(port)d; location / { return 200 'ready'; } }
}
"""


def finance_arguments():
    return "--config", os.path.join(TOP, "examples/finance/keepfast.yaml")


def fill(data):
    with serving.Served(data, *finance_arguments()) as served:
        client = served.client("finance")
        for path in sorted(glob.glob(os.path.join(TOP, "examples/finance/data/*.json"))):
            with open(path, "rb") as file:
                answer = client.put("/docs/" + os.path.basename(path), file.read())
            if answer.status != 201:
                raise RuntimeError(f"{path}: {answer}")
        client.close()


def ready_ms(folder_of_round, *arguments):
    times = []
    for _ in range(ROUNDS):
        with serving.Served(folder_of_round(), *arguments) as served:
            times.append(served.ready_ms)
    return statistics.median(times)


def idle_mb(data, space, arguments, requests):
    with serving.Served(data, *arguments) as served:
        client = served.client(space)
        for method, path, body in requests:
            answer = client.ask(method, path, body)
            if answer.status >= 300:
                raise RuntimeError(f"{method} {path}: {answer}")
        client.close()
        time.sleep(SETTLE_S)
        return serving.pss_mb(served.process.pid)


class Nginx:
    """ready_ms: from exec until it takes a connection."""

    def __init__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        folder = tempfile.mkdtemp(dir=serving.TMP)
        config = os.path.join(folder, "conf")
        with open(config, "w", encoding="utf-8") as file:
            file.write(NGINX % {"folder": folder, "port": self.port})
        start = time.perf_counter()
        self.process = subprocess.Popen(["nginx", "-e", os.path.join(folder, "errors"), "-c", config], stdin=subprocess.DEVNULL)
        while not self.answers():
            if self.process.poll() is not None:
                raise RuntimeError("nginx has ended")
        self.ready_ms = (time.perf_counter() - start) * 1000

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return connection.recv(100).startswith(b"HTTP/1.1 200")
        except ConnectionError:
            time.sleep(0.0002)
            return False

    def pss_mb(self):
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return sum(serving.pss_mb(p) for p in [pid, *file.read().split()])

    def stop(self):
        self.process.terminate()
        self.process.wait(15)


def nginx_figures():
    times = []
    for _ in range(ROUNDS):
        nginx = Nginx()
        times.append(nginx.ready_ms)
        nginx.stop()
    nginx = Nginx()
    for _ in range(3):
        nginx.answers()
    time.sleep(SETTLE_S)
    memory = nginx.pss_mb()
    nginx.stop()
    return statistics.median(times), memory


def main():
    finance = os.path.join(serving.TMP, "finance")
    os.makedirs(os.path.join(serving.TMP, "keepfast-remote"), mode=0o700)  # of its configuration; servers start here
    fill(finance)
    targets = {"start": {"target": 20, "aim": 10}, "idle": {"target": 8, "aim": 5}}

    def empty():
        return tempfile.mkdtemp(dir=serving.TMP)

    serving.figure("start.empty", ready_ms(empty), "ms", better="less", **targets["start"])
    serving.figure("start.finance", ready_ms(lambda: finance, *finance_arguments()), "ms", better="less", **targets["start"])
    some = [("PUT", "/docs/one.json", b'{"a":1}'), ("GET", "/docs/one.json", None), ("GET", "/docs", None), ("GET", "/status", None)]
    serving.figure("idle.empty", idle_mb(empty(), "one", (), some), "MB", better="less", **targets["idle"])
    some = [("GET", "/docs/kredyty.json", None), ("GET", "/docs", None), ("GET", "/status", None),
            ("PUT", "/docs/cele.json", b'{"cele":[]}')]
    serving.figure("idle.finance", idle_mb(finance, "finance", finance_arguments(), some), "MB", better="less", **targets["idle"])
    start, memory = nginx_figures()
    serving.figure("start.nginx", start, "ms", better="less")
    serving.figure("idle.nginx", memory, "MB", better="less")
    shutil.rmtree(finance)


if __name__ == "__main__":
    main()
