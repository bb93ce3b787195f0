#!/usr/bin/env python3
# test: timeout=120
"""SIGTERM under load: new work is refused, what was accepted is finished or refused, the program ends with 0 within 10 s, and everything
that was answered is there afterwards. A second SIGTERM on the heels of the first, and a kill behind it, change nothing of the last."""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from tap import check, equal, main, note, test

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("KEEPFAST", os.path.join(TOP, "build-test", "keepfast"))
LONG = os.environ.get("KEEPFAST_LONG") == "1"
ROUNDS = 300 if LONG else 30
CLIENTS = 24


class Server:
    def __init__(self, data):
        self.process = subprocess.Popen([PROGRAM, "serve", "--data", data, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        match = re.search(r"127\.0\.0\.1:(\d+)", self.process.stdout.readline())
        check(match, "the server names its address")
        self.port = int(match[1])

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=15)


def reply(s):
    """Status and body; None when the connection ended."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = s.recv(65536)
        if not more:
            return None
        data += more
    head, body = data.split(b"\r\n\r\n", 1)
    length = int(re.search(rb"(?i)\r\ncontent-length: (\d+)", head)[1])
    while len(body) < length:
        more = s.recv(65536)
        if not more:
            return None
        body += more
    return int(head.split(b" ")[1]), body


class Client(threading.Thread):
    """Saves documents of its own until the server ends, and remembers what was answered."""

    def __init__(self, server, number, round_number):
        super().__init__()
        self.server, self.prefix = server, f"r{round_number}-c{number}-"
        self.saved, self.refused, self.waiting, self.odd = [], 0, False, None

    def run(self):
        try:
            with self.server.connect() as s:
                for n in range(100000):
                    name = f"{self.prefix}{n}.json"
                    body = b'{"n": %d}' % n
                    self.waiting = True
                    s.sendall(b"PUT /v1/default/docs/%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s"
                              % (name.encode(), len(body), body))
                    answer = reply(s)
                    self.waiting = False
                    if answer is None:
                        return
                    status, text = answer
                    if status == 201:
                        self.saved.append(name)
                    elif status == 503 and b'"stopping"' in text:
                        self.refused += 1
                        return
                    else:
                        self.odd = answer
                        return
        except OSError:
            return


def names(server):
    """Every document of the space."""
    found, cursor = set(), ""
    with server.connect() as s:
        while True:
            s.sendall(f"GET /v1/default/docs?limit=1000{cursor} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            status, body = reply(s)
            equal(status, 200, "a list")
            text = body.decode()
            found.update(re.findall(r'"name":"([^"]+)"', text))
            following = re.search(r'"next":"([^"]+)"', text)
            if not following:
                return found
            cursor = f"&cursor={following[1]}"


def end(process, how, number):
    """Ends the server in one of three ways; seconds that it took."""
    start = time.monotonic()
    process.send_signal(signal.SIGTERM)
    if how != "once":
        time.sleep(random.uniform(0, 0.003))
        process.send_signal(signal.SIGTERM if how == "twice" else signal.SIGKILL)
    status = process.wait(20)
    if how == "once":
        equal(status, 0, f"exit status in round {number}")
    return time.monotonic() - start


@test
def what_was_answered_is_there():
    folder = tempfile.mkdtemp()
    data = os.path.join(folder, "data")
    saved, in_flight, longest = set(), 0, 0.0
    try:
        for number in range(ROUNDS):
            server = Server(data)
            clients = [Client(server, i, number) for i in range(CLIENTS)]
            for client in clients:
                client.start()
            time.sleep(random.uniform(0.05, 0.2))
            in_flight += sum(client.waiting for client in clients)
            took = end(server.process, ("once", "once", "twice", "kill")[number % 4], number)
            for client in clients:
                client.join(20)
                check(not client.is_alive() and client.odd is None, f"round {number}: an answer is a save or a refusal: {client.odd}")
                saved.update(client.saved)
            longest = max(longest, took)
            check(took < 10, f"round {number}: ended in {took:.1f} s")
        server = Server(data)
        there = names(server)
        server.process.send_signal(signal.SIGTERM)
        equal(server.process.wait(15), 0, "exit status of an idle server")
        note(f"rounds={ROUNDS} acks={len(saved)} in_flight={in_flight / ROUNDS:.1f} longest={longest:.2f}s")
        equal(sorted(saved - there)[:5], [], "documents that were answered and are gone")
        check(len(saved) > 50 * ROUNDS, f"there was work: {len(saved)} saves")
        check(in_flight / ROUNDS >= 10, f"requests under way at the signal: {in_flight / ROUNDS:.1f} on average")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()
