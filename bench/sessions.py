#!/usr/bin/env python3
"""Sessions beside others, in alternating rounds with one load program (session_load, on one thread): durable appends of 200 bytes with a
client id to 1,000 streams, the last 50 entries of them, memory of 100,000 sessions, and what an append costs when there are a million.

Beside Redis with `appendfsync always`, which appends and trims in one script and knows no client ids; its log is never written anew meanwhile.
Its lists have bodies alone, 10 KB of fifty; beside them are lists of what an answer of ours says: number, id, kind, time and body.
Beside bare_epoll, which makes the same rows in one transaction of SQLite for each batch, and beside workerd, whose durable object has one
table with the client id as a key: an object for each stream, and where all connections append to one stream, one object, which is where
workerd is fastest, for it commits what comes together."""

import hashlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import serving

TOP, BUILD = os.environ["KF_TOP"], os.environ["KF_BUILD"]
LOAD = os.path.join(BUILD, "bench", "session_load")
SECONDS, ROUNDS = 2, 5
STREAMS = 1000
CROWD, CROWD_ENTRIES = 100_000, 10
MANY = 1_000_000

SCRIPT = "local n = redis.call('RPUSH', KEYS[1], ARGV[1]) redis.call('LTRIM', KEYS[1], -100, -1) return n"

REDIS = """
port %(port)d
bind 127.0.0.1
dir %(folder)s
save ""
appendonly yes
appendfsync always
auto-aof-rewrite-percentage 0
logfile %(folder)s/log
"""

WORKERD = """
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [(name = "worker", esModule = embed "durable_object.js")],
      compatibilityDate = "2026-04-26",
      durableObjectNamespaces = [(className = "Room", uniqueKey = "room", enableSql = true)],
      durableObjectStorage = (localDisk = "disk"),
      bindings = [(name = "ROOM", durableObjectNamespace = "Room")],
    )),
    (name = "disk", disk = (path = "%(folder)s/disk", writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:%(port)d", http = (), service = "main")],
);
"""


def folder():
    return tempfile.mkdtemp(dir=serving.TMP)


class Peer:
    """A program that takes connections at a port of its own."""

    protocol, script = "http", ""

    def __init__(self, argv, port):
        self.address = f"127.0.0.1:{port}"
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        for _ in range(500):
            try:
                with socket.create_connection(("127.0.0.1", port), 5):
                    return
            except ConnectionError:
                time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"{argv[0]} takes no connections")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(15)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def written(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


class Redis(Peer):
    protocol, script = "redis", hashlib.sha1(SCRIPT.encode()).hexdigest()

    def __init__(self):
        place, port = folder(), free_port()
        super().__init__(["redis-server", written(os.path.join(place, "conf"), REDIS % {"folder": place, "port": port})], port)
        with socket.create_connection(("127.0.0.1", port), 5) as wire:
            wire.sendall(f"*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n${len(SCRIPT)}\r\n{SCRIPT}\r\n".encode())
            answer = wire.recv(100).decode()
        if self.script not in answer:
            raise RuntimeError(f"redis-server said {answer!r}")


def start_workerd():
    modules = subprocess.run([os.path.join(TOP, "tools/npm-modules.sh"), "peers"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    place, port = folder(), free_port()
    os.mkdir(os.path.join(place, "disk"))
    shutil.copy(os.path.join(TOP, "bench/durable_object.js"), place)
    config = written(os.path.join(place, "config.capnp"), WORKERD % {"folder": place, "port": port})
    return Peer([os.path.join(modules, "node_modules/@cloudflare/workerd-linux-64/bin/workerd"), "serve", config], port)


class Line:
    """A program of bench/ that says its address."""

    protocol, script = "http", ""

    def __init__(self, *argv):
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(15)
        self.process.stdout.close()


class Keepfast(serving.Served):
    protocol, script = "http", ""

    def __init__(self, data, *arguments):
        super().__init__(data, *arguments)
        client = self.client("bench")
        client.put("/docs/there.json", b"{}")
        client.close()


def load(server, what, connections, seconds=SECONDS, streams=STREAMS, stride=1, protocol=None):
    """(answers per second, 99 of 100 came within so many ms)"""
    argv = [LOAD, protocol or server.protocol, server.address, what, str(connections), str(seconds), str(streams), str(stride), server.script]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{argv} ended with {done.returncode}")
    answers, took, _, late_us = done.stdout.split()
    return float(answers) / float(took), int(late_us) / 1000


def compare(name, ours, others, rounds=ROUNDS):
    """Alternating rounds; medians. others: [(against, function, target, aim)]"""
    mine, late, theirs = [], [], [[] for _ in others]
    for _ in range(rounds):
        rate, late_ms = ours()
        mine.append(rate)
        late.append(late_ms)
        for rates, (_, other, _, _) in zip(theirs, others):
            rates.append(other()[0])
    for rates, (against, _, target, aim) in zip(theirs, others):
        rest = {} if target is None else {"target": target, "aim": aim}
        ratios = sorted(a / b for a, b in zip(mine, rates))
        print(f"{name} against {against}: ratios from {ratios[0]:.2f} to {ratios[-1]:.2f}", flush=True)
        serving.figure(f"{name}.{against.split()[0].strip(',').lower()}", statistics.median(mine), "1/s", base=round(statistics.median(rates), 1),
                       against=against, **rest)
    serving.figure(f"{name}.p99", statistics.median(late), "ms", better="less")


def measure_appends(keepfast, redis, bare, workerd, door):
    for connections, redis_aim, bare_target, bare_aim in ((1, 1.3, 0.8, 0.9), (16, 1.3, None, None), (64, 1.3, 0.6, 0.8)):
        others = [
            ("Redis, appendfsync always", lambda: load(redis, "append", connections), 1.0, redis_aim),
            ("bare epoll, same rows, one commit per batch", lambda: load(bare, "append", connections), bare_target, bare_aim),
        ]
        if connections == 64:
            others.append(("workerd, durable object for each stream", lambda: load(workerd, "append", 64), 25, 40))
            others.append(("door alone, nothing is done", lambda: load(door, "append", 64, protocol="http:/const/24"), None, None))
        compare(f"append.{connections}", lambda: load(keepfast, "append", connections), others)
    compare("append.64.one_stream", lambda: load(keepfast, "append", 64, streams=1), [
        ("Redis, appendfsync always", lambda: load(redis, "append", 64, streams=1), None, None),
        ("workerd, one durable object", lambda: load(workerd, "append", 64, streams=1), None, None),
    ])


def measure_reads(keepfast, redis):
    compare("last50.64", lambda: load(keepfast, "last", 64), [
        ("Redis, LRANGE", lambda: load(redis, "last", 64), 1.0, None),
        ("LRANGE of whole entries, 15 KB as ours", lambda: load(redis, "last", 64, protocol="redis-whole"), None, None),
    ])


# --------------------------------------------------------------------------------------------- memory


def private_bytes(server):
    with open(f"/proc/{server.process.pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(("Private_Clean:", "Private_Dirty:"))) * 1024


def fill(server, streams, entries, stride=1, protocol=None):
    load(server, "fill", 64, seconds=entries, streams=streams, stride=stride, protocol=protocol)


def measure_memory():
    """Hot: just appended to. Idle: there, and not used since the server started."""
    data = folder()
    config = written(os.path.join(data, "bench.yaml"), "limits: { memory: 2GiB }\n")
    each = {}
    redis = Redis()
    keepfast = Keepfast(data, "--config", config)
    for name, server in (("hot", keepfast), ("redis", redis)):
        before = private_bytes(server)
        fill(server, CROWD, CROWD_ENTRIES)
        each[name] = (private_bytes(server) - before) / CROWD
        server.stop()
    with Keepfast(folder(), "--config", config) as empty, Keepfast(data, "--config", config) as idle:
        time.sleep(1)
        each["idle"] = (private_bytes(idle) - private_bytes(empty)) / CROWD
    print(f"{CROWD} sessions of {CROWD_ENTRIES} entries of 200 bytes", flush=True)
    for name in ("hot", "idle"):
        serving.figure(f"memory.{name}", each[name], "B", base=round(each["redis"], 1), against="Redis, all in memory", better="less")
    shutil.rmtree(data)


# ----------------------------------------------------------------------------------------- a million


def measure_million():
    """Microseconds of an append with 64 connections: among a million streams to a thousand of them, and to all."""
    with Keepfast(folder()) as few, Keepfast(folder()) as many:
        fill(few, STREAMS, 1)
        start = time.monotonic()
        fill(many, MANY, 1)
        serving.figure("streams.born", MANY / (time.monotonic() - start), "1/s")
        for name, streams, stride in (("1000", STREAMS, MANY // STREAMS), ("all", MANY, 1)):
            pairs = [(load(many, "append", 64, streams=streams, stride=stride)[0], load(few, "append", 64)[0]) for _ in range(ROUNDS)]
            serving.figure(f"append.cost.million.{name}", 1e6 / statistics.median(p[0] for p in pairs), "us",
                           base=round(1e6 / statistics.median(p[1] for p in pairs), 3), against="1,000 streams", target=1.2, aim=1.0,
                           better="less")


def main():
    chosen = sys.argv[1:] or ["appends", "reads", "memory", "million"]
    servers = []
    try:
        if {"appends", "reads"} & set(chosen):
            for start in (
                lambda: Keepfast(folder()),
                Redis,
                lambda: Line(os.path.join(BUILD, "bench", "bare_epoll"), os.path.join(folder(), "bare.db")),
                start_workerd,
                lambda: Line(os.path.join(BUILD, "bench", "http_door")),
            ):
                servers.append(start())
            for server in servers[:2]:
                fill(server, STREAMS, 1)
            load(servers[2], "append", 64)
        if "appends" in chosen:
            measure_appends(*servers)
        if "reads" in chosen:
            for server in servers[:2]:
                fill(server, STREAMS, 60)
            fill(servers[1], STREAMS, 60, protocol="redis-whole")
            measure_reads(*servers[:2])
    finally:
        for server in servers:
            server.stop()
    if "memory" in chosen:
        measure_memory()
    if "million" in chosen:
        measure_million()


if __name__ == "__main__":
    sys.exit(main())
