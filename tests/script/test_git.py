#!/usr/bin/env python3
# test: timeout=240
"""Documents in a branch of a real git host, through the program and from outside: what people find there, what comes of what they
do, what a new machine gets back, and what is said when the host does not want us.

The host is tests/githost.py; the store is compared through the program's own digest and through the files in the branch.
"""

import json
import os
import shutil
import sys
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from githost import GitHost  # noqa: E402
from keepfast import Server, folder, run, state, wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

TOP = folder()
KINDS = ("path", "http", "https", "ssh")


def yaml(host, repo="store", **more):
    return json.dumps({"spaces": {"default": {"remotes": {"host": host.config(repo, **({"on_change": "100ms"} | more))}}}})


def place(name):
    where = TOP / name
    where.mkdir()
    return where


class Machine:
    """A server on a disk of its own with one remote."""

    def __init__(self, host, name, repo="store", **more):
        self.host, self.repo = host, repo
        self.dir = TOP / name
        self.server = Server(self.dir, config=yaml(host, repo, **more), env=host.environment())
        self.client = self.server.client()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()
        self.server.__exit__()

    def put(self, name, value, wait=True):
        answer = self.client.put(f"/docs/{urllib.parse.quote(name)}" + ("?wait=host&timeout=20s" if wait else ""), json.dumps(value).encode())
        check(answer.status in (200, 201), f"put {name}: {answer}")
        return answer

    def value(self, name):
        answer = self.client.get(f"/docs/{urllib.parse.quote(name)}")
        return answer.json() if answer.status == 200 else answer.status

    def sync(self):
        return self.client.ask("POST", "/remotes/host/run?timeout=20s")

    def remote(self):
        return self.client.get("/remotes/host").json()

    def digest(self):
        return self.client.get("/digest").json()["digest"]

    def throw_away(self):
        self.client.close()
        self.server.kill()
        shutil.rmtree(self.dir)


def told(branch_files):
    """The values that people find, by path."""
    return {path: json.loads(text) for path, text in branch_files.items() if not path.startswith(".keepfast/") and path != "notes.txt"}


def story(kind):
    """A branch that fills, is edited by hand, and fills a new machine."""
    with GitHost(kind) as host:
        host.make("store")
        with Machine(host, f"{kind}-a") as a:
            wait_for(lambda: state(a.client) == "open", 20)  # an empty host fills nothing
            a.put("kredyty.json", {"rata": 1200, "bank": "x"})
            a.put("chat/Zażółć.json", ["cześć"])
            a.put("gone", 1)
            equal(a.client.delete("/docs/gone?wait=host&timeout=20s").status, 204, "deleted")
            files = host.files("store", "data")
            equal(told(files), {"kredyty.json": {"rata": 1200, "bank": "x"}, "chat/Zażółć.json": ["cześć"]}, "what people find")
            equal(files["kredyty.json"], b'{\n  "rata": 1200,\n  "bank": "x"\n}\n', "as it is easy to read")
            log = host.log("store", "data")
            check(len(log) <= 4, f"a commit for each change: {[c.subject for c in log]}")
            equal(log[0].subject, "Delete gone", "which says what it is")
            check(log[0].trailers.get("Keepfast-Seq", "").isdigit(), f"for machines, too: {log[0]}")
            equal(a.put("kredyty.json", {"rata": 1200, "bank": "x"}).status, 200, "the same again")
            equal(len(host.log("store", "data")), len(log), "makes no commit")

            host.commit("store", "data", {"kredyty.json": b'{"rata": 1300, "bank": "x"}', "gone": b"2", "notes.txt": b"no JSON"},
                        "by hand")
            equal(a.sync().status, 200, "a run")
            equal((a.value("kredyty.json"), a.value("gone")), ({"rata": 1300, "bank": "x"}, 2), "what somebody did by hand")
            host.commit("store", "data", {"chat/Zażółć.json": None}, "by hand")
            equal((a.sync().status, a.value("chat/Zażółć.json")), (200, 404), "a deletion by hand")

            # Both changed the same document, in different members.
            a.sync()
            host.commit("store", "data", {"kredyty.json": b'{"rata": 1400, "bank": "x"}'}, "by hand")
            a.put("kredyty.json", {"rata": 1300, "bank": "y"}, wait=False)
            equal(a.sync().status, 200, "a run")
            wait_for(lambda: told(host.files("store", "data"))["kredyty.json"] == {"rata": 1400, "bank": "y"}, 10)
            equal(a.value("kredyty.json"), {"rata": 1400, "bank": "y"}, "both")
            equal(host.files("store", "data")["notes.txt"], b"no JSON", "what is no document is left alone")
            before = a.digest()
            equal(host.fsck("store"), [], "a strict check of the repository")
            a.throw_away()
        with Machine(host, f"{kind}-b") as b:
            wait_for(lambda: state(b.client) == "open", 20)
            equal(b.digest(), before, "a new machine holds the same values")
            equal(b.remote()["pending"]["count"], 0, f"and nothing is pending: {b.remote()}")
            count = len(host.log("store", "data"))
            b.put("new", True)
            equal(len(host.log("store", "data")), count + 1, "it goes on with one commit")
            equal(b.server.stop(), 0, "its end")
            check("Traceback" not in b.server.stderr(), b.server.stderr())


@test
def a_branch_in_a_folder():
    story("path")


@test
def a_branch_behind_http():
    story("http")


@test
def a_branch_behind_https():
    story("https")


@test
def a_branch_behind_ssh():
    story("ssh")


@test
def two_machines_and_one_branch():
    """Both push whenever they can: what both wrote is there in the end, and each is told of the other's."""
    with GitHost("http") as host:
        host.make("store")
        with Machine(host, "two-a") as a, Machine(host, "two-b") as b:
            for n in range(12):
                for m, who in ((a, "a"), (b, "b")):
                    m.put(f"{who}{n}", n, wait=False)
                    m.put("both", {who: n, "same": n}, wait=False)
            wait_for(lambda: a.sync().status == b.sync().status == 200 and a.digest() == b.digest(), 30, 0.2)
            names = {path for path in told(host.files("store", "data"))}
            equal(names, {f"{who}{n}" for who in "ab" for n in range(12)} | {"both"}, "all of both")
            equal(host.fsck("store"), [], "a strict check")
            note(f"commits={len(host.log('store', 'data'))}")


@test
def a_host_that_does_not_want_us():
    with GitHost("http") as host:
        host.make("store")
        with Machine(host, "unwanted") as m:
            m.put("a", 1)
            host.revoke()
            answer = m.client.put("/docs/a?wait=host&timeout=10s", b"2")
            equal((answer.status, answer.code), (503, "level_unavailable"), f"it is on disk and not there: {answer}")
            check(host.token not in json.dumps(m.remote()) + m.server.stderr(), "the token is nowhere")
            equal(m.value("a"), 2, "the write stands")
            host.renew()
            equal(m.sync().status, 200, "and goes when it may")
            equal(told(host.files("store", "data")), {"a": 2}, "there")

            host.hook("store", "pre-receive", "echo 'the quota is used up' >&2; exit 1\n")
            m.put("a", 3, wait=False)
            answer = m.sync()
            check(answer.status == 503 and "quota is used up" in json.dumps(answer.json()), f"what the host says is passed on: {answer}")
            host.hook("store", "pre-receive", "")
            equal(m.sync().status, 200, "and goes when it may")

            host.rewrite("store", "data")
            m.put("a", 4, wait=False)
            answer = m.sync()
            equal((answer.status, answer.code), (409, "diverged"), f"a history that was rewritten: {answer}")
            equal(told(host.files("store", "data")), {"a": 3}, "nothing is pushed over it")


@test
def commands_without_a_server():
    with GitHost("http") as host:
        host.make("store")
        where = place("commands")
        (where / "keepfast.yaml").write_text(yaml(host))
        env = host.environment()
        done = run("put", "a", "-", stdin=b'{"x": 1}', cwd=where, env=env)
        equal(done.status, 0, f"put: {done}")
        equal(told(host.files("store", "data")), {"a": {"x": 1}}, "the end of a command saves what is pending")
        host.commit("store", "data", {"a": b'{"x": 2}'}, "by hand", when=int(time.time()) + 1)
        equal(run("sync", "--wait", cwd=where, env=env).status, 0, "sync")
        equal(json.loads(run("get", "a", cwd=where, env=env).out), {"x": 2}, "get")
        done = run("remote", "probe", "host", cwd=where, env=env)
        equal(done.status, 0, f"probe: {done}")
        equal(run("verify", "--deep", cwd=where, env=env).status, 0, "verify")
        done = run("sync", "--wait", cwd=where)
        check(done.status != 0 and b"KEEPFAST_TEST_TOKEN" in done.err, f"without its token: {done}")


main()
