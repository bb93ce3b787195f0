#!/usr/bin/env python3
"""The git hosts of the tests (tests/githost.py) and the proxy before them (tests/faultproxy.py), seen with the plain git program: who is
let in and who is not, what is refused, what each fault looks like, and that nothing of them is left."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from githost import MARK, TOKEN_ENV, USER, FaultProxy, GitHost, alive, basic, family  # noqa: E402
from keepfast import folder, wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

TOP = folder()
SERVERS = ("http", "https", "ssh", "daemon")
numbers = iter(range(10000))


def clone(host, repo="store", url=None, **who):
    """Its CompletedProcess and its folder."""
    at = TOP / f"clone{next(numbers)}"
    return host.git("clone", "-q", "-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=1", url or host.url(repo), at, **who), at


def edit(host, at, name, content):
    (at / name).write_bytes(content)
    equal(host.git("add", name, cwd=at).returncode, 0, "add")
    equal(host.git("commit", "-q", "-m", f"{name} again", cwd=at).returncode, 0, "commit")


def push(host, at, *words, url="origin", **who):
    return host.git("push", *words, url, "HEAD:main", cwd=at, **who)


def host_with(kind, files=None, **kw):
    host = GitHost(kind, **kw)
    host.make("store")
    host.commit("store", "main", files or {"a.json": b"1\n"}, "first")
    return host


def fails(done, *words):
    check(done.returncode != 0, f"it fails: {done.stderr}")
    check(any(word in done.stderr for word in words), f"as {words[0]!r}: {done.stderr}")


# ------------------------------------------------------------------------------------- each kind


def round_trip(kind):
    with GitHost(kind) as host:
        note(f"{kind} started in {host.started_in * 1000:.0f} ms")
        check(host.started_in < 1, f"at once: {host.started_in}")
        host.make("store")
        first = host.commit("store", "main", {"a.json": b"1\n", "d/b.json": b"2\n"}, "first")
        done, at = clone(host)
        equal(done.returncode, 0, done.stderr)
        equal((at / "d" / "b.json").read_bytes(), b"2\n", "what was committed is what is cloned")
        edit(host, at, "a.json", b"3\n")
        done = push(host, at)
        equal(done.returncode, 0, done.stderr)
        equal(host.files("store", "main"), {"a.json": b"3\n", "d/b.json": b"2\n"}, "what was pushed is there")
        newest, oldest = host.log("store", "main")
        equal((newest.parents, newest.files, newest.subject), ([first], {"a.json": "M"}, "a.json again"), "one commit on the other")
        equal(oldest.files, {"a.json": "A", "d/b.json": "A"}, "which is the first")
        equal(host.fsck("store"), [], "nothing is wrong with it")
        fails(clone(host, "none")[0], "not found", "not exported", "not appear to be a git", "does not exist", "no such repository")


@test
def a_path_is_cloned_from_and_pushed_to():
    round_trip("path")


@test
def http_with_a_token_is_cloned_from_and_pushed_to():
    round_trip("http")


@test
def https_with_a_token_is_cloned_from_and_pushed_to():
    round_trip("https")


@test
def ssh_is_cloned_from_and_pushed_to():
    round_trip("ssh")


@test
def git_daemon_is_cloned_from_and_pushed_to():
    round_trip("daemon")


# ------------------------------------------------------------------------------------- who is let in


@test
def only_the_token_opens_http():
    with host_with("http") as host:
        fails(clone(host, token="wrong")[0], "Authentication failed")
        done, at = clone(host)
        equal(done.returncode, 0, done.stderr)
        edit(host, at, "a.json", b"2\n")
        fails(push(host, at, token=host.read_token), "error: 403")
        equal(clone(host, token=host.read_token)[0].returncode, 0, "the token that reads, reads")
        host.revoke()
        fails(push(host, at), "Authentication failed")
        host.renew()
        equal(push(host, at).returncode, 0, "the token is good again")
        seen = {request.credentials: request.status for request in host.requests()}
        check({f"{USER}:wrong", f"{USER}:{host.token}", f"{USER}:{host.read_token}", ""} == set(seen), f"the host knows who came: {seen}")
        equal((seen[f"{USER}:wrong"], seen[""], seen[f"{USER}:{host.read_token}"]), (401, 401, 200), "and what they got")
        check(all(r.authorization == basic(USER, host.token) for r in host.requests() if r.method == "POST" and "receive" in r.target),
              "only that one pushed")


@test
def a_public_host_is_read_by_all_and_written_by_few():
    with host_with("http", public=True) as host:
        done, at = clone(host, token="")
        equal(done.returncode, 0, done.stderr)
        equal({request.authorization for request in host.requests()}, {""}, "nobody was asked")
        edit(host, at, "a.json", b"2\n")
        fails(push(host, at, token="wrong"), "Authentication failed")
        equal(push(host, at).returncode, 0, "pushed with the token")


@test
def a_certificate_is_believed_for_its_name_its_time_and_its_ca():
    with host_with("https") as host:
        fails(clone(host, ca=False)[0], "certificate verification failed", "certificate")
        equal([r for r in host.requests() if r.authorization], [], "no token went where the certificate was not believed")
    for certificate, words in (("expired", ("expired", "certificate verification failed")), ("other name", ("does not match", "no alternative"))):
        with host_with("https", certificate=certificate) as host:
            fails(clone(host)[0], *words)


@test
def ssh_knows_its_host_and_its_key_and_gives_no_shell():
    with host_with("ssh") as host:
        fails(clone(host, known=False)[0], "Host key verification failed")
        equal(host.requests(), [], "a host that is not known is asked for nothing")
        fails(clone(host, key="stranger")[0], "Permission denied")
        wait_for(lambda: [r for r in host.requests() if r.method == "refused"])
        words = host.client()["GIT_SSH_COMMAND"].split() + ["-p", str(host.address[1]), host.url("store").split("/")[2].split(":")[0]]
        shell = subprocess.run([*words, "cat /etc/hostname"], capture_output=True, text=True, env=host.client(), timeout=20)
        check(shell.returncode != 0 and "only git" in shell.stderr, f"no shell: {shell}")
        equal(clone(host)[0].returncode, 0, "the one with the key is let in")


@test
def what_keepfast_needs_is_given():
    with GitHost("http") as host:
        equal(host.config("a", every="1h"), {"url": host.url("a"), "token_env": TOKEN_ENV, "every": "1h"}, "http")
        equal(host.environment(), {TOKEN_ENV: host.token}, "the token, in the environment alone")
    with GitHost("https") as host:
        check("BEGIN CERTIFICATE" in Path(host.config("a")["ca_file"]).read_text(), "the CA")
    with GitHost("ssh") as host:
        config = host.config("a")
        check(os.stat(config["ssh_key_file"]).st_mode & 0o77 == 0, "the key is nobody else's")
        check("[127.0.0.1]:" in Path(config["known_hosts_file"]).read_text(), "the host's key")
        equal(host.environment(), {}, "no token")


# ------------------------------------------------------------------------------------- what is refused


@test
def history_is_not_overwritten_unless_the_host_allows_it():
    with host_with("http") as host:
        at = clone(host)[1]
        host.commit("store", "main", {"b.json": b"2\n"}, "somebody was faster")
        edit(host, at, "a.json", b"2\n")
        done = push(host, at)
        fails(done, "[rejected]")
        check("fetch first" in done.stderr, "somebody was faster")
        fails(push(host, at, "--force"), "denying non-fast-forward")
        fails(host.git("push", "origin", ":main", cwd=at), "deletion prohibited")
        equal(len(host.log("store", "main")), 2, "all is as it was")
    with GitHost("path") as host:
        host.make("store", force=True)
        host.commit("store", "main", {"a.json": b"1\n"}, "first")
        at = clone(host)[1]
        host.commit("store", "main", {"b.json": b"2\n"}, "faster")
        edit(host, at, "a.json", b"2\n")
        equal(push(host, at, "--force").returncode, 0, "this one allows it")
        equal(host.files("store", "main"), {"a.json": b"2\n"}, "and the other commit is lost")


@test
def a_hook_refuses_and_says_why():
    for kind in ("http", "ssh", "path"):
        with host_with(kind) as host:
            before = host.tip("store", "main")
            at = clone(host)[1]
            edit(host, at, "a.json", b"2\n")
            host.hook("store", "pre-receive", "echo 'error: a secret was found in a.json' >&2; exit 1\n")
            done = push(host, at)
            fails(done, "pre-receive hook declined")
            check("a secret was found in a.json" in done.stderr, f"{kind}: {done.stderr}")
            equal(host.tip("store", "main"), before, "nothing came in")
            host.reject_larger_than("store", 1000)
            equal(push(host, at).returncode, 0, "small ones pass")
            edit(host, at, "large.json", b"x" * 1001)
            fails(push(host, at), "File large.json is 1001 bytes")
            host.hook("store", "pre-receive", "")
            equal(push(host, at).returncode, 0, "without the hook it passes")


# ------------------------------------------------------------------------------------- other people


@test
def somebody_commits_on_the_host():
    with GitHost("path") as host:
        host.make("store")
        equal((host.tip("store", "data"), host.log("store", "data")), ("", []), "no branch yet")
        odd = {"a b\n\"\\.json": b"1", "ą/ę.json": b"2", os.fsdecode(b"\xff.json"): b"", "data": b"data 3\nM\n"}
        host.commit("store", "data", odd, "first", when=86400)
        equal(host.files("store", "data"), odd, "every name and every byte")
        tip = host.commit("store", "data", {"data": None, "ą/ę.json": b"3"}, "second\n\nwith a body\n\nKey: a value\nOther: b: c",
                          when=4102444800, author="Ę <e@example.org>")
        del odd["data"]
        equal(host.files("store", "data"), odd | {"ą/ę.json": b"3"}, "deleted and changed")
        second, first = host.log("store", "data")
        equal((first.time, first.parents, first.trailers), (86400, [], {}), "the first")
        equal((second.hash, second.time, second.author), (tip, 4102444800, "Ę <e@example.org>"), "the second")
        equal((second.subject, second.body), ("second", "with a body\n\nKey: a value\nOther: b: c"), "its message")
        equal(second.trailers, {"Key": "a value", "Other": "b: c"}, "and what machines read")
        equal(second.files, {"data": "D", "ą/ę.json": "M"}, "what it changed")
        equal(host.set("store", "data", first.hash), first.hash, "the host is back at the first")
        host.set("store", "data", tip)
        new = host.rewrite("store", "data")
        equal([(c.hash, c.parents) for c in host.log("store", "data")], [(new, [])], "another history")
        equal(host.files("store", "data"), odd | {"ą/ę.json": b"3"}, "of the same files")
        equal(host.fsck("store"), [], "and nothing is wrong with it")


@test
def a_check_finds_what_is_wrong():
    with host_with("path") as host:
        blob = host.at("store", "rev-parse", "main:a.json").decode().strip()
        (host.path("store") / "objects" / blob[:2] / blob[2:]).unlink()
        check(any("missing blob" in line for line in host.fsck("store")), f"a file is missing: {host.fsck('store')}")


# ------------------------------------------------------------------------------------- faults


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


def raises(error, action):
    try:
        action()
    except error:
        return True
    return False


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
        fails(clone(host, url=proxy.url("store"))[0], "Operation too slow", "timed out", "401")
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


# ------------------------------------------------------------------------------------- nothing is left


@test
def nothing_is_left_when_a_host_ends():
    for kind in SERVERS:
        with host_with(kind) as host, FaultProxy(host) as proxy:
            door = socket.create_connection(host.address)  # somebody who stays
            done, at = clone(host, url=proxy.url("store"))
            equal(done.returncode, 0, "it works")
            edit(host, at, "a.json", b"2\n")
            sleeps = TOP / f"sleeps-{kind}"
            host.hook("store", "pre-receive", f"touch {sleeps}; sleep 600")
            pusher = subprocess.Popen(["git", "push", "-q", "origin", "HEAD:main"], cwd=at, env=host.client(), stderr=subprocess.DEVNULL)
            wait_for(sleeps.exists)
            check(len(host.processes()) >= 3, "and is at work")
            mark, address, top = host.mark, host.address, host.top
        equal(family((), f"{MARK}={mark}"), set(), f"{kind}: no process")
        check(raises(ConnectionRefusedError, lambda: socket.create_connection(address)), "nobody listens")
        check(not top.exists(), "no file")
        check(pusher.wait(10) != 0, "who pushed has failed")
        door.close()


SCRIPT = """
import os, socket, sys, time
sys.path[:0] = [os.environ["KF_TOP"] + "/tests", os.environ["KF_TOP"] + "/tests/crash"]
from disk import own_namespace
own_namespace()
from githost import GitHost, FaultProxy
hosts = [GitHost(kind) for kind in ("http", "https", "ssh", "daemon")]
for host in hosts:
    host.make("store")
    host.commit("store", "main", {"a.json": b"1"}, "first")
    assert host.git("ls-remote", "--exit-code", host.url("store")).returncode == 0, host.errors()
doors = [socket.create_connection(host.address) for host in hosts]
time.sleep(0.2)
print(*[pid for host in hosts for pid in host.processes()], flush=True)
if "wait" in sys.argv:
    time.sleep(60)
"""


@test
def nothing_is_left_when_a_test_is_killed_or_forgets_to_end_them():
    script = TOP / "script.py"
    script.write_text(SCRIPT)
    for words in (["wait"], []):
        process = subprocess.Popen([sys.executable, script, *words], stdout=subprocess.PIPE, text=True)
        pids = [int(word) for word in process.stdout.readline().split()]
        check(len(pids) >= 4, f"in a mount namespace of its own, each kind runs: {pids}")
        if words:
            process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        wait_for(lambda: not [pid for pid in pids if alive(pid)], 5)


main()
