#!/usr/bin/env python3
# test: timeout=120 alone
"""The whole program under a sanitizer, with three loops: documents, remotes and spaces, clients that leave in the midst, tokens that are
revoked, certificates that change, and a stop in the midst of it. A report of the sanitizer is a failure, whatever was answered."""

import json
import os
import shutil
import signal
import socket
import struct
import threading
import time

from keepfast import Server, certificate, folder, wait_for
from tap import check, equal, main, note, test
from tokens import make, revoke, source
from wire import Wire, once

SECONDS = 60 if os.environ.get("KEEPFAST_LONG") == "1" else 8
LOOPS = 3
REPORTS = ("Sanitizer", "runtime error:")
TSAN = "tsan" in os.path.basename(os.environ["KF_BUILD"])
NAMES = 6  # documents that all clients share


class Load:
    """Threads that ask until it is over. `count` says how often what was done; `amiss` what was not as it must be."""

    def __init__(self, server, secure):
        self.server, self.secure, self.over, self.lock = server, secure, threading.Event(), threading.Lock()
        self.count, self.amiss, self.threads = {}, [], []
        self.token = make(server, "all")["token"]

    def did(self, what):
        with self.lock:
            self.count[what] = self.count.get(what, 0) + 1

    def wrong(self, what):
        if not self.over.is_set():
            self.amiss.append(what)

    def start(self, work, *args):
        def often():
            while not self.over.is_set():
                try:
                    work(self, *args)
                except OSError as fault:  # at its end the server takes nobody
                    self.wrong(f"{work.__name__}: {fault!r}")
                except Exception as fault:  # told by the thread of the test
                    self.wrong(f"{work.__name__}: {fault!r}")
                    return
        self.threads.append(threading.Thread(target=often))
        self.threads[-1].start()

    def expect(self, wire, wanted, method, target, body=None, headers=(), token=None):
        answer = wire.ask(method, target, token=token or self.token, body=body,
                          headers=[*headers, "Content-Type: application/json"] if body else headers)
        if answer is None or answer.status not in wanted:
            self.wrong(f"{method} {target}: {answer}, wanted {wanted}")
        else:
            self.did("answers")
        return answer

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


# ------------------------------------------------------------------------------------- what they do


def saves(load, number, address):
    with Wire(address) as wire:
        for n in range(20):
            name = f"/v1/shop/docs/{n % NAMES}.json"
            load.expect(wire, (200, 201), "PUT", name, json.dumps({"n": n, "by": number, "text": "x" * 3000}).encode())
            load.expect(wire, (200,), "PATCH", name, b'{"patched":true}')
            load.expect(wire, (200,), "GET", name)
            load.expect(wire, (200,), "GET", f"{name}/versions?limit=3")
        load.expect(wire, (200,), "GET", "/v1/shop/docs?limit=5")


def waits(load):
    with Wire(load.server.address) as wire:
        for n in range(5):
            load.expect(wire, (200, 201, 202), "PUT", "/v1/shop/docs/waits.json?wait=usb&timeout=20s", b"%d" % n)
            load.did("waited")


def spaces(load, number):
    with Wire(load.server.address) as wire:
        load.expect(wire, (200, 201), "PUT", f"/v1/own{number}")
        load.expect(wire, (201,), "PUT", f"/v1/own{number}/docs/a", b"1")
        answer = load.expect(wire, (204, 503), "DELETE", f"/v1/own{number}?confirm=own{number}")
        while answer and answer.status == 503 and not load.over.is_set():
            answer = load.expect(wire, (204, 503), "DELETE", f"/v1/own{number}?confirm=own{number}")
        load.did("spaces")


def leaves(load):
    """Asks for work and resets the connection, or reads the beginning of a long answer."""
    for target in ("POST /v1/shop/verify?deep=true", "GET /v1/shop/backup", "GET /v1/shop/docs/0.json", "POST /v1/shop/remotes/usb/run"):
        wire = Wire(load.server.address)
        wire.send(f"{target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {load.token}\r\nContent-Length: 0\r\n\r\n".encode())
        if "backup" in target:
            wire.socket.recv(100)
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.close()
        load.did("left")


def looks(load, address):
    with Wire(address) as wire:
        for target in ("/v1", "/v1/shop/status", "/metrics", "/durablez", "/v1/shop/doctor", "/v1/shop/remotes/usb/pending", "/v1/shop/runs",
                       "/v1/shop/digest", "/v1/shop/backup", "/v1/tokens", "/healthz"):
            load.expect(wire, (200,), "GET", target)
        load.expect(wire, (404,), "GET", "/v1/nowhere/docs/a")


def revokes(load):
    """Connections on every loop, and a token that ends."""
    made = make(load.server, "ends")
    wires = [Wire(load.server.address, source()) for _ in range(LOOPS)]  # refusals are counted by address
    for wire in wires:
        load.expect(wire, (200,), "GET", "/v1/shop/docs/0.json", token=made["token"])
    revoke(load.server, made["id"])
    until = time.monotonic() + 5
    while not load.over.is_set():
        answers = [wire.ask("GET", "/v1/shop/docs/0.json", token=made["token"]) for wire in wires]
        if all(answer is None or answer.status == 401 for answer in answers):
            load.did("revoked")
            break
        if time.monotonic() > until:
            load.wrong(f"a revoked token lives for more than 5 s: {answers}")
            break
    for wire in wires:
        wire.close()


def reloads(load, pairs, place):
    for pair in pairs:
        for file in pair:
            os.replace(shutil.copy(file, place / (file.name + ".new")), place / file.name)
        os.kill(load.server.process.pid, signal.SIGHUP)
        time.sleep(0.5)
        load.did("reloads")


# ------------------------------------------------------------------------------------- the program


def known_to_be_good():
    """What the thread sanitizer is not to tell: as in tests/unit/testing.c, where the reasons stand."""
    file = folder() / "suppressions"
    file.write_text("race:tzset_internal\nrace:walRestartHdr\n")
    return {"TSAN_OPTIONS": f"{os.environ.get('TSAN_OPTIONS', '')}:suppressions={file}"}


def lived(seconds, sabotage=None):
    """Of a life under load: what the program has written to stderr, its exit status, what was done how often, what was not as it must be,
    and how many threads had a share."""
    cert, key = certificate()
    pairs = [certificate() for _ in range(3)]
    place = folder()
    config = {"loops": LOOPS, "tls": {"cert": str(cert), "key": str(key)}, "spaces": {"shop": {"remotes": {"usb": {"url": f"dir:{place}", "every": "1s"}}}}}
    server = Server(folder() / "data", config=json.dumps(config), arguments=("--listen", "http://127.0.0.1:0"),
                    env=known_to_be_good() | ({"KF_SABOTAGE": sabotage} if sabotage else {}))
    with server:
        wait_for(lambda: len(server.turns()) >= LOOPS, 10)
        secure = next(word for word in server.ready if word.startswith("https://"))
        for n in range(NAMES):
            equal(once(server.socket, "PUT", f"/v1/shop/docs/{n}.json", body=b'{"n":0}').status, 201, "a document")
        load = Load(server, secure)
        before = server.turns()  # loops, and perhaps what began with the first documents
        for number in range(2):
            load.start(saves, number, server.address)
            load.start(saves, number + 2, secure)
            load.start(spaces, number)
        load.start(waits)
        load.start(leaves)
        load.start(looks, server.address)
        load.start(looks, secure)
        load.start(revokes)
        load.start(reloads, pairs, cert.parent)
        time.sleep(seconds)
        after = server.turns()
        load.over.set()  # what fails from now on fails because the server ends
        server.process.terminate()
        status = server.process.wait(40)
        load.end()
    worked = sum(after.get(task, 0) - before[task] > 20 for task in before)
    note(f"{load.count}, threads that worked: {worked}, exit status {status}")
    return server.stderr(), status, load.count, load.amiss, worked


def reports(said):
    return [line for line in said.splitlines() if any(word in line for word in REPORTS)]


@test
def nothing_is_reported_of_three_loops():
    said, status, count, amiss, worked = lived(SECONDS)
    if reports(said):
        print("\n".join(f"#   {line}" for line in said.splitlines()[-300:]), flush=True)
    equal(reports(said), [], "reports")
    equal(amiss[:10], [], "what was not as it must be")
    equal(status, 0, "its end")
    for what, least in (("answers", 200), ("waited", 3), ("spaces", 5), ("left", 10), ("revoked", 2), ("reloads", 3)):
        check(count.get(what, 0) >= least, f"{what}: {count}")
    check(worked >= LOOPS, "each loop had its share")


def saboteur_address_unlocked_is_reported():
    said, status = lived(3, "address-unlocked")[:2]
    check(status != 0 and any("data race" in line for line in reports(said)), f"a data race: exit status {status}, {reports(said)}")


def saboteur_arrival_leaks_is_reported():
    said, status = lived(3, "arrival-leaks")[:2]
    check(status != 0 and any("leak" in line for line in reports(said)), f"a leak: exit status {status}, {reports(said)}")


test(saboteur_address_unlocked_is_reported if TSAN else saboteur_arrival_leaks_is_reported)

main()
