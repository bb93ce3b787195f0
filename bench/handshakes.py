#!/usr/bin/env python3
"""What a handshake of TLS takes of the loop on which it runs: the server's processor time for a connection from accept to end, with a full
handshake and with a ticket, for a key of ECDSA P-256 and of RSA-2048; and what a good client on that loop sees while 200 others shake
hands at once: the longest of its answers, the median of some rounds."""

import multiprocessing
import os
import resource
import socket
import ssl
import statistics
import subprocess
import time

import serving

CROWD = 200
ROUNDS = 7
MANY = 400
TICKS = os.sysconf("SC_CLK_TCK")
KEYS = {"ecdsa": ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), "rsa": ("rsa:2048",)}
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
# A good client is not to wait longer than this, so that handshakes may stay where they are.
TARGET_MS = 100


def pair(kind):
    cert, key = os.path.join(serving.TMP, f"{kind}.pem"), os.path.join(serving.TMP, f"{kind}.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", *KEYS[kind], "-nodes", "-keyout", key, "-out", cert, "-subj", "/CN=localhost",
                    "-days", "2"], check=True, capture_output=True)
    os.chmod(key, 0o600)
    return cert, key


def trusting():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def connected(address, context, session=None):
    wire = context.wrap_socket(socket.create_connection(address, 10), server_hostname="localhost", session=session)
    wire.sendall(REQUEST)
    wire.recv(4096)
    return wire


def used_ms(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / TICKS


def cost_ms(pid, work):
    """Of one, the mean of many."""
    before = used_ms(pid)
    for _ in range(MANY):
        work()
    return (used_ms(pid) - before) / MANY


class Caller:
    """A client that has written its first message and not sent it."""

    def __init__(self, address, context):
        self.socket = socket.create_connection(address, 10)
        self.taken, self.given = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.taken, self.given, server_hostname="localhost")
        self.go_on()
        self.first = self.given.read()

    def go_on(self):
        try:
            self.tls.do_handshake()
            return True
        except ssl.SSLWantReadError:
            return False

    def end(self):
        while True:
            self.taken.write(self.socket.recv(65536))
            over = self.go_on()
            self.socket.sendall(self.given.read())
            if over:
                break
        self.socket.close()


def crowd(address, wire):
    """200 first messages at once when told to, and the rest of their handshakes as fast as one process can."""
    context = trusting()
    while True:
        callers = [Caller(address, context) for _ in range(CROWD)]
        wire.send("ready")
        if not wire.recv():
            return
        for caller in callers:
            caller.socket.sendall(caller.first)
        for caller in callers:
            caller.end()
        wire.send("over")


def longest_ms(good, wire):
    """Of a good client's answers while the crowd shakes hands; without it when `wire` is None."""
    longest, until = 0.0, time.perf_counter() + 0.5
    if wire:
        wire.recv()
        wire.send(True)
    while not wire.poll() if wire else time.perf_counter() < until:
        began = time.perf_counter()
        good.sendall(REQUEST)
        good.recv(4096)
        longest = max(longest, time.perf_counter() - began)
        time.sleep(0.001)
    if wire:
        wire.recv()
    return longest * 1000


def measure(kind):
    cert, key = pair(kind)
    config = os.path.join(serving.TMP, f"{kind}.yaml")
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"tls: {{ cert: {cert}, key: {key} }}\n")
    with serving.Served(os.path.join(serving.TMP, kind), "--config", config, "--loops", "1") as served:
        host, port = served.address.removeprefix("https://").split(":")
        address, context, pid = (host, int(port)), trusting(), served.process.pid
        good = connected(address, context)
        full = cost_ms(pid, lambda: connected(address, context).close())
        again = cost_ms(pid, lambda: connected(address, context, good.session).close())
        serving.figure(f"handshake.{kind}.full", full, "ms")
        serving.figure(f"handshake.{kind}.resumed", again, "ms", base=full, against="a full one", better="less")
        alone = statistics.median(longest_ms(good, None) for _ in range(ROUNDS))
        mine, theirs = multiprocessing.Pipe()
        process = multiprocessing.Process(target=crowd, args=(address, theirs))
        process.start()
        beside = sorted(longest_ms(good, mine) for _ in range(ROUNDS))
        mine.recv()
        mine.send(False)
        process.join()
        print(f"# {kind}: the longest answers of {ROUNDS} rounds, ms: {' '.join(f'{ms:.0f}' for ms in beside)}; alone {alone:.1f}", flush=True)
        serving.figure(f"handshake.{kind}.beside_{CROWD}", statistics.median(beside), "ms", target=TARGET_MS, better="less")
        good.close()


def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    for kind in KEYS:
        measure(kind)


main()
