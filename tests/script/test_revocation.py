#!/usr/bin/env python3
# test: timeout=180
"""A token that is revoked, or over, is refused within five seconds: on connections that stay, in the midst of a download, in the midst of
an upload, and whether the client moves or not. And guesses at tokens: refused, then slowed down, without a loss for who has the right one."""

import json
import os
import select
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from keepfast import Server, folder, run  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402
from tokens import RIGHTS, like_a_token, make, revoke, soon, source  # noqa: E402
from wire import Wire, once  # noqa: E402

DEADLINE_S = 5
CONNECTIONS = 50
GUESSES = 10000
LARGE = 24  # documents of a megabyte


def serve(sabotage=None):
    return Server(folder() / "data", env={"KF_SABOTAGE": sabotage} if sabotage else {})


def seconds_until(what, limit_s):
    """How long it took to come true; None when it did not."""
    began = time.monotonic()
    while time.monotonic() - began < limit_s:
        if what():
            return time.monotonic() - began
        time.sleep(0.01)
    return None


# ------------------------------------------------------------------------------------- connections that stay


def refused(wires, token):
    """How many of them are refused now."""
    answers = [wire.ask("GET", "/v1/shop/docs/a", token=token) for wire in wires]
    return sum(answer is None or answer.status == 401 for answer in answers)


def kept_connections(server, end, limit_s=DEADLINE_S):
    """Seconds until all are refused after end(token); None when some are not."""
    once(server.socket, "PUT", "/v1/shop")
    once(server.socket, "PUT", "/v1/shop/docs/a", body=b"1")
    token, other = make(server, "theirs", expires_at=soon(2)) if end == "expiry" else make(server, "theirs"), make(server, "others")
    wires = [Wire(server.address, source()) for _ in range(CONNECTIONS)]
    beside = Wire(server.address, source())
    try:
        for wire in wires:
            equal(wire.ask("GET", "/v1/shop/docs/a", token=token["token"]).status, 200, "a good call before")
        if end == "revoke":
            revoke(server, token["id"])
        elif end == "command":
            equal(run("token", "revoke", token["id"], at=server.data).status, 0, "revoked by a command")
        else:
            time.sleep(2.1)
        took = seconds_until(lambda: refused(wires, token["token"]) == CONNECTIONS, limit_s)
        equal(beside.ask("GET", "/v1/shop/docs/a", token=other["token"]).status, 200, "another token goes on")
        return took
    finally:
        for wire in [*wires, beside]:
            wire.close()


@test
def connections_that_stay_are_refused():
    for end in ("revoke", "command", "expiry"):
        with serve() as server:
            took = kept_connections(server, end)
            check(took is not None, f"{end}: all are refused within {DEADLINE_S} s")
            note(f"{end}: connections={CONNECTIONS} refused after {took * 1000:.0f} ms")


@test
def saboteur_revoked_lives_is_found():
    with serve("revoked-lives") as server:
        equal(kept_connections(server, "revoke", 1), None, "seconds until all are refused")


# ------------------------------------------------------------------------------------- long answers and bodies


def fill(server):
    """What is larger than all that waits between a server and its client."""
    once(server.socket, "PUT", "/v1/shop")
    with Wire(server.socket) as wire:
        for n in range(LARGE):
            body = b'"' + os.urandom(500000).hex().encode() + b'"'
            check(wire.ask("PUT", f"/v1/shop/docs/{n}", body=body).status == 201, "a large document")
        one = b'"' + os.urandom(3500000).hex().encode() + b'"'
        equal(wire.ask("PUT", "/v1/shop/docs/one", body=one).status, 201, "the largest")


class Slow:
    """A client that reads or writes a little at a time. `state` says whether the server has ended it."""

    def __init__(self, server, target, token, pace):
        self.wire, self.pace, self.got, self.ended_at = Wire(server.address, source(), buffer=4096), pace, b"", None
        self.wire.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        self.wire.socket.settimeout(5)
        self.got = self.wire.socket.recv(4096)
        self.wire.socket.setblocking(False)

    def step(self):
        """Reads a little, or, with a pace of 0, nothing: the end is seen all the same."""
        poll = select.poll()
        poll.register(self.wire.socket, select.POLLIN if self.pace else select.POLLRDHUP)
        for _, events in poll.poll(0):
            if events & (select.POLLERR | select.POLLHUP) and not events & select.POLLIN:
                self.ended_at = time.monotonic()
            elif events & select.POLLIN:
                try:
                    data = self.wire.socket.recv(self.pace)
                except ConnectionResetError:
                    data = b""
                self.got += data
                if not data:
                    self.ended_at = time.monotonic()


class Sender:
    """A client whose body never comes to its end. `pace` 0: nothing of it comes."""

    def __init__(self, server, method, target, token, pace, chunks):
        self.wire, self.pace, self.chunks, self.got, self.ended_at = Wire(server.address, source()), pace, chunks, b"", None
        framing = "Transfer-Encoding: chunked" if chunks else "Content-Length: 5000000"
        self.wire.send(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/{'zip' if 'restore' in target else 'json'}\r\n"
                       f"Authorization: Bearer {token}\r\n{framing}\r\n\r\n".encode())
        self.wire.socket.setblocking(False)
        self.first = True

    def step(self):
        if self.pace:
            data = (b'"' if self.first else b"") + b"x" * self.pace
            self.first = False
            try:
                self.wire.socket.send(b"%x\r\n%s\r\n" % (len(data), data) if self.chunks else data)
            except OSError:
                pass
        try:
            data = self.wire.socket.recv(65536)
            self.got += data
            if not data:
                self.ended_at = time.monotonic()
        except BlockingIOError:
            pass
        except ConnectionResetError:
            self.ended_at = time.monotonic()


def last_ends(everybody, limit_s):
    """Seconds until all have been ended; None when some have not."""
    began = time.monotonic()
    while time.monotonic() - began < limit_s:
        for one in everybody:
            if one.ended_at is None:
                one.step()
        if all(one.ended_at for one in everybody):
            return max(one.ended_at for one in everybody) - began
        time.sleep(0.05)
    return None


def long_ones(server, end):
    token = make(server, "long", rights=RIGHTS, expires_at=soon(4)) if end == "expiry" else make(server, "long", rights=RIGHTS)
    beside = make(server, "beside")
    before = once(server.socket, "GET", "/v1/shop/digest").body
    readers = [Slow(server, target, token["token"], pace) for target in ("/v1/shop/backup", "/v1/shop/docs/one") for pace in (8000, 500, 0)]
    senders = [Sender(server, method, target, token["token"], pace, chunks)
               for method, target in (("PUT", "/v1/shop/docs/new"), ("POST", "/v1/shop/restore?replace=true"))
               for pace, chunks in ((2000, False), (2000, True), (100, True), (0, False), (0, True))]
    other = Slow(server, "/v1/shop/backup", beside["token"], 8000)
    try:
        began = time.monotonic()
        while time.monotonic() - began < 1:
            for one in [*readers, *senders, other]:
                one.step()
            time.sleep(0.05)
        check(not any(one.ended_at for one in [*readers, *senders]), "all go on before")
        check(all(reader.got.startswith(b"HTTP/1.1 200") for reader in readers), "and have begun to be answered")
        if end == "revoke":
            revoke(server, token["id"])
        else:
            time.sleep(max(0, 4 - (time.monotonic() - began)))
        took = last_ends([*readers, *senders], DEADLINE_S)
        left = [n for n, one in enumerate([*readers, *senders]) if not one.ended_at]
        check(took is not None, f"{end}: all are ended within {DEADLINE_S} s, but for {left}")
        for reader in readers:
            check(not reader.got.endswith(b"0\r\n\r\n"), "what was broken off does not look whole")
        said = [sender.got.split(b"\r\n")[0] for sender in senders]
        check(all(line == b"HTTP/1.1 401 Unauthorized" for line in said), f"an upload is told why: {said}")
        for _ in range(20):
            other.step()
        check(other.ended_at is None, "a download with another token goes on")
        equal(once(server.socket, "GET", "/v1/shop/digest").body, before, "and nothing was changed")
        return took
    finally:
        for one in [*readers, *senders, other]:
            one.wire.close()


@test
def what_takes_long_is_ended():
    with serve() as server:
        fill(server)
        for end in ("revoke", "expiry"):
            note(f"{end}: readers=6 senders=10 ended after {long_ones(server, end):.1f} s")
        equal(once(server.address, "GET", "/healthz").status, 200, "the server is well")
        equal(server.stop(), 0, "its end")


@test
def an_upload_under_way_is_ended_once():
    """Pieces on their way to the disk when the token goes: who has them gives the answer, and nobody else."""
    with serve() as server:
        once(server.socket, "PUT", "/v1/shop")
        for n in range(12):
            token, stop, said = make(server, f"number {n}", rights=RIGHTS), threading.Event(), []

            def upload():
                with Wire(server.address, source(), timeout=20) as wire:
                    wire.send(b"POST /v1/shop/restore?replace=true HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/zip\r\n"
                              b"Authorization: Bearer %s\r\nContent-Length: 900000000\r\n\r\n" % token["token"].encode())
                    try:
                        while not stop.is_set():
                            wire.socket.sendall(b"\0" * 65536)
                    except OSError:
                        pass
                    said.append(wire.reply())

            thread = threading.Thread(target=upload)
            thread.start()
            time.sleep(0.05 + 0.01 * n)
            revoke(server, token["id"])
            thread.join(DEADLINE_S)
            alive = thread.is_alive()
            stop.set()
            thread.join(20)
            check(not alive, "ended in time")
            for _ in range(5):  # what it used is used by others
                equal(once(server.address, "GET", "/healthz").status, 200, "others are served")
        equal(server.stop(), 0, "its end")


# ------------------------------------------------------------------------------------- guesses


def guess(server, count, address):
    """Statuses of so many guesses from one address, many at a time."""
    seen = {}
    with Wire(server.address, address, timeout=60) as wire:
        for _ in range(count // 100):
            wire.send(b"".join(b"GET /v1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n" % like_a_token().encode() for _ in range(100)))
            for _ in range(100):
                answer = wire.reply()
                seen[answer.status] = seen.get(answer.status, 0) + 1
                if answer.status == 429:
                    check(json.loads(answer.body)["code"] == "auth_rate" and int(answer.header("Retry-After")) > 0, f"with advice: {answer}")
    return seen


class Good(threading.Thread):
    """Somebody with the right token, from the same address."""

    def __init__(self, server, token, address):
        super().__init__()
        self.server, self.token, self.address, self.over = server, token, address, threading.Event()
        self.served, self.odd, self.times = 0, [], []

    def run(self):
        with Wire(self.server.address, self.address) as wire:
            while not self.over.is_set():
                began = time.perf_counter()
                answer = wire.ask("GET", "/v1/shop/docs", token=self.token)
                self.times.append(time.perf_counter() - began)
                if answer is None or answer.status != 200:
                    self.odd.append(answer)
                    return
                self.served += 1
                time.sleep(0.002)


@test
def guesses_are_slowed_down_and_others_are_not():
    with serve() as server:
        once(server.socket, "PUT", "/v1/shop")
        token, address = make(server, "right")["token"], source()
        good = Good(server, token, address)
        good.start()
        seen = guess(server, GUESSES, address)
        while good.is_alive() and good.served < 50:  # a quick server has refused them all before anybody else has asked much
            for status, count in guess(server, 100, address).items():
                seen[status] += count
        good.over.set()
        good.join(20)
        p99 = sorted(good.times)[len(good.times) * 99 // 100] * 1000
        note(f"guesses={sum(seen.values())} statuses={seen} good={good.served} p99={p99:.1f}ms")
        check(sum(seen.values()) >= GUESSES, "all were answered")
        check(set(seen) == {401, 429} and seen[401] == 10, f"ten in a minute: {seen}")
        equal(good.odd, [], "the right token from the same address")
        check(good.served >= 50, "it asked meanwhile")
        def elsewhere(count):
            return [once(server.address, "GET", "/v1", address, token=like_a_token()).status for address in (source() for _ in range(count))]
        equal(set(elsewhere(30)), {401}, "one address does not use up what all may fail")
        check(429 in elsewhere(600), "more than six hundred in all")
        equal(set(elsewhere(30)), {429}, "and then nobody is told more")
        equal(once(server.address, "GET", "/v1", source()).status, 401, "to show none is no guess")
        equal(once(server.address, "GET", "/v1/shop/docs", source(), token=token).status, 200, "the right one from anywhere")
        log = server.stderr()
        lines = {event: log.count(event) for event in ("auth.fail", "auth.throttle")}
        note(f"lines={lines} bytes={len(log)}")
        check(0 < lines["auth.throttle"] <= 3 and 10 <= lines["auth.fail"] <= 60 and len(log) < 100000, f"the log is bounded: {lines}")


@test
def guesses_are_counted_by_address():
    with serve() as server:
        make(server)
        first, second = source(), source()
        statuses = [once(server.address, "GET", "/v1", first, token=like_a_token()).status for _ in range(14)]
        equal(statuses, [401] * 10 + [429] * 4, "one address")
        equal(once(server.address, "GET", "/v1", second, token=like_a_token()).status, 401, "another one")


@test
def saboteur_guess_unthrottled_is_found():
    with serve("guess-unthrottled") as server:
        make(server)
        equal(guess(server, 200, source()), {401: 200}, "statuses")


main()
