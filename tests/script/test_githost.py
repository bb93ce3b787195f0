#!/usr/bin/env python3
"""The git hosts of the tests (tests/githost.py), seen with the plain git program: who is let in and who is not, what is refused, what
other people do there, and that nothing of them is left."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from gitclient import TOP, clone, edit, fails, host_with, push, raises  # noqa: E402
from githost import MARK, TOKEN_ENV, USER, FaultProxy, GitHost, alive, basic, family  # noqa: E402
from keepfast import wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

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
    for kind in ("http", "path"):
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


# ------------------------------------------------------------------------------------- nothing is left


@test
def nothing_is_left_when_a_host_ends():
    for kind in ("http", "ssh", "daemon"):
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
