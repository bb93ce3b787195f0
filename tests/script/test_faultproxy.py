#!/usr/bin/env python3
"""What the proxy of the tests (tests/faultproxy.py) does before git hosts, seen with the plain git program: each fault looks like what it is,
happens to those to whom it should, and ends."""

import contextlib
import os
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from gitclient import SERVERS, TOP, clone, edit, fails, host_with, numbers, push, raises  # noqa: E402
from githost import USER, FaultProxy, basic  # noqa: E402
from keepfast import wait_for  # noqa: E402
from tap import check, equal, main, test  # noqa: E402


@contextlib.contextmanager
def behind(kind, files=None):
    with host_with(kind, files) as host, FaultProxy(host) as proxy:
        yield host, proxy


def ask(proxy, timeout=5, line="GET /none HTTP/1.1"):
    """A connection on which something was asked."""
    door = socket.create_connection(proxy.address, timeout=timeout)
    door.sendall(f"{line}\r\nHost: localhost\r\n\r\n".encode())
    return door


def all_of(door):
    got = b""
    with door:
        while piece := door.recv(65536):
            got += piece
    return got


@test
def a_proxy_that_does_nothing_is_not_seen():
    for kind in SERVERS:
        with behind(kind, {"a.json": os.urandom(300000)}) as (host, proxy):
            done, at = clone(host, url=proxy.url("store"))
            equal(done.returncode, 0, f"{kind}: {done.stderr}")
            edit(host, at, "b.json", os.urandom(2000000))
            done = push(host, at)
            equal(done.returncode, 0, f"{kind}: {done.stderr}")
            equal(len(host.files("store", "main")["b.json"]), 2000000, "it arrived")
            check(proxy.bytes_up > 2000000 and proxy.bytes_down > 300000, f"through the proxy: {proxy.bytes_up}, {proxy.bytes_down}")


@test
def nobody_listens():
    with behind("http") as (host, proxy):
        proxy.refuse()
        fails(clone(host, url=proxy.url("store"))[0], "Connection refused", "Failed to connect", "Couldn't connect")
        check(raises(ConnectionRefusedError, lambda: ask(proxy)), "refused")
        proxy.no_answer_to_connect()
        check(raises(TimeoutError, lambda: ask(proxy, 0.5)), "no answer at all")
        proxy.refuse()
        check(raises(ConnectionRefusedError, lambda: ask(proxy)), "refused again")
        proxy.pass_on()
        done = clone(host, url=proxy.url("store"))[0]
        equal(done.returncode, 0, f"and back: {done.stderr}")


@test
def a_black_hole_takes_all_and_gives_nothing():
    for kind in ("http", "ssh"):
        with behind(kind) as (host, proxy):
            proxy.black_hole()
            door = ask(proxy, 0.3)
            check(raises(TimeoutError, lambda: door.recv(1)), "nothing comes")
            check(raises(subprocess.TimeoutExpired, lambda: host.git("ls-remote", proxy.url("store"), timeout=1)), "git waits")
            door.settimeout(5)
            proxy.pass_on()
            check(raises(ConnectionResetError, lambda: door.recv(1)) or door.recv(1) == b"", "what was held is let go")
            equal(clone(host, url=proxy.url("store"))[0].returncode, 0, "and others pass")


@test
def one_byte_a_second_is_too_slow_and_then_it_is_not():
    with behind("http") as (host, proxy):
        proxy.slow(1, only="/slow")
        door = ask(proxy, 1.3, "GET /slow HTTP/1.1")
        began, got = time.monotonic(), 0
        with contextlib.suppress(TimeoutError):
            while time.monotonic() - began < 2.2:
                got += len(door.recv(100))
        check(got <= 3, f"{got} bytes in {time.monotonic() - began:.1f} s")
        proxy.slow(4000)
        began = time.monotonic()
        equal(clone(host, url=proxy.url("store"))[0].returncode, 0, "4,000 are enough")
        check(time.monotonic() - began > 0.2, "and are noticed")
        proxy.slow(1)
        fails(clone(host, url=proxy.url("store"))[0], "Operation too slow")
        before = proxy.hit
        door = ask(proxy)
        wait_for(lambda: proxy.hit > before)
        proxy.pass_on()
        check(b" 404 " in all_of(door), "what was slow goes on fast")


@test
def an_answer_is_cut():
    with behind("http", {"a.json": os.urandom(100000)}) as (host, proxy):
        proxy.cut(down=20)
        equal(all_of(ask(proxy)), b"HTTP/1.1 404 Not Fou", "20 bytes")
        proxy.cut(down=50000, only="POST")
        done = clone(host, url=proxy.url("store"))[0]
        fails(done, "early EOF", "unexpected disconnect", "transfer closed", "RPC failed")
        proxy.cut(down=20, reset=True)
        check(raises(ConnectionResetError, lambda: all_of(ask(proxy))), "with a reset")
        proxy.pass_on()
        at = clone(host, url=proxy.url("store"))[1]
        edit(host, at, "b.json", os.urandom(100000))
        before = host.tip("store", "main")
        proxy.cut(up=50000, only="POST")
        fails(push(host, at), "RPC failed", "unexpected disconnect")
        equal(host.tip("store", "main"), before, "half a push is none")
    with behind("ssh") as (host, proxy):
        proxy.cut(down=1000)
        fails(clone(host, url=proxy.url("store"))[0], "Connection closed", "Connection reset", "Could not read from remote")


@test
def a_transfer_stalls():
    with behind("http", {"a.json": os.urandom(100000)}) as (host, proxy):
        proxy.stall(down=50000, only="POST")
        at = TOP / f"clone{next(numbers)}"
        check(raises(subprocess.TimeoutExpired, lambda: host.git("clone", "-q", proxy.url("store"), at, timeout=0.7)), "git waits for the rest")
        check(50000 <= proxy.bytes_down < 60000, f"half of it came: {proxy.bytes_down}")
        proxy.pass_on()
        at = clone(host, url=proxy.url("store"))[1]
        edit(host, at, "b.json", os.urandom(100000))
        before = host.tip("store", "main")
        proxy.stall(up=50000, only="POST")
        check(raises(subprocess.TimeoutExpired, lambda: host.git("push", "origin", "HEAD:main", cwd=at, timeout=0.7)), "git waits to be asked")
        equal(host.tip("store", "main"), before, "half a push is none")


@test
def a_flipped_bit_is_found():
    with behind("http", {"a.json": os.urandom(100000)}) as (host, proxy):
        proxy.flip(down=50000, only="POST")
        fails(clone(host, url=proxy.url("store"))[0], "inflate", "corrupt", "index-pack failed", "fetch-pack")
        at = clone(host)[1]
        edit(host, at, "b.json", os.urandom(100000))
        before = host.tip("store", "main")
        proxy.flip(up=50000, only="POST")
        fails(push(host, at, url=proxy.url("store")), "unpack", "RPC failed", "remote unpack failed")
        equal(host.tip("store", "main"), before, "the host did not take it")


@test
def a_push_whose_answer_is_lost_has_happened():
    with behind("http") as (host, proxy):
        at = clone(host, url=proxy.url("store"))[1]
        edit(host, at, "a.json", b"2\n")
        proxy.lose_answer(only="/git-receive-pack", times=1)
        fails(push(host, at), "RPC failed", "Empty reply", "unexpected disconnect")
        equal(host.files("store", "main"), {"a.json": b"2\n"}, "it came in")
        equal((proxy.hit, [r.line for r in proxy.requests() if r.method == "POST"][-1]), (1, "POST /git/store.git/git-receive-pack"), "once")
        check("up-to-date" in push(host, at).stderr, "the second finds it done")


@test
def answers_that_a_host_gives_on_bad_days():
    with behind("http") as (host, proxy):
        at = clone(host, url=proxy.url("store"))[1]
        edit(host, at, "a.json", b"2\n")
        for status in (500, 403, 507, 503):
            proxy.answer(status, only="git-receive-pack", times=1)
            fails(push(host, at), f"error: {status}")
        proxy.answer(429, b"slow down\n", retry_after=7)
        got = all_of(ask(proxy)).decode()
        check(got.startswith("HTTP/1.1 429 Too Many Requests\r\n") and "\r\nRetry-After: 7\r\n" in got and got.endswith("slow down\n"), got)
        fails(push(host, at), "error: 429")
        proxy.html()
        fails(push(host, at), "not valid: is this a git repository?", "not valid: ")
        check(b"<h1>" in all_of(ask(proxy)), "a page")
        equal(host.tip("store", "main") == host.git("rev-parse", "HEAD", cwd=at).stdout.strip(), False, "nothing got through")
        proxy.pass_on()
        equal(push(host, at).returncode, 0, "a good day")


@test
def a_redirect_leads_elsewhere_and_elsewhere_sees_who_came():
    with behind("http") as (host, proxy), FaultProxy(None) as elsewhere:
        proxy.redirect(f"http://127.0.0.1:{elsewhere.port}/git/store.git/info/refs?service=git-upload-pack")
        url = proxy.url("store")
        fails(host.git("-c", "http.followRedirects=false", "ls-remote", url), "302", "redirect")
        equal(elsewhere.requests(), [], "not followed")
        fails(host.git("-c", "http.followRedirects=true", "ls-remote", url), "not found")
        check(elsewhere.requests(), "followed")
        equal({r.authorization for r in elsewhere.requests()}, {""}, "without the token")
        header = f"http.extraHeader=Authorization: {basic(USER, host.token)}"
        host.git("-c", header, "ls-remote", f"http://127.0.0.1:{elsewhere.port}/store.git")
        equal(elsewhere.requests()[-1].credentials, f"{USER}:{host.token}", "one that comes is seen")


@test
def an_answer_hangs_or_never_ends():
    with behind("http") as (host, proxy):
        proxy.hang_after_head()
        door = ask(proxy, 0.3)
        head = b""
        with contextlib.suppress(TimeoutError):
            while piece := door.recv(1000):
                head += piece
        check(head.startswith(b"HTTP/1.1 404") and head.endswith(b"\r\n\r\n"), f"a head and no body: {head}")
        proxy.endless()
        door, got = ask(proxy), 0
        while got < 20 << 20:
            got += len(door.recv(1 << 20))
        door.close()
        check(raises(subprocess.TimeoutExpired, lambda: host.git("ls-remote", proxy.url("store"), timeout=0.5)), "git takes refs without end")


@test
def open_connections_are_dropped():
    with behind("http") as (host, proxy):
        proxy.black_hole()
        door = ask(proxy)
        wait_for(lambda: proxy.hit)
        proxy.drop_connections()
        check(raises(ConnectionResetError, lambda: door.recv(1)) or door.recv(1) == b"", "dropped")
        proxy.pass_on()
        equal(clone(host, url=proxy.url("store"))[0].returncode, 0, "the next one passes")


main()
