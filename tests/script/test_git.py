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
from githost import GitHost, TOKEN_ENV  # noqa: E402
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
            check("level.miss" in m.server.stderr(), "the log has it")
            remote = m.remote()
            equal((remote["state"], remote["last_error"]["code"]), ("auth", "remote_auth"), f"what status says: {remote}")
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
def what_is_no_document_is_set_aside():
    with GitHost("path") as host:
        host.make("store")
        with Machine(host, "aside", on_change="1h") as a:
            a.put("a.json", [1])

            def aside():
                equal(a.sync().status, 200, "it is in nobody's way")
                items = a.client.get("/remotes/host/set-aside").json()["items"]
                equal(a.remote()["set_aside"], len(items), "as it is counted")
                return sorted((i["kind"], i["name"]) for i in items)

            equal(aside(), [], "nothing yet")
            host.commit("store", "data", {"README.md": b"read me", "b.json": b"{", "sub/.git.json": b"1"}, "by hand")
            found = aside()
            check({("at_place", "README.md"), ("at_place", "b.json")} <= set(found), f"what is no document: {found}")
            host.commit("store", "data", {"b.json": b"[2]"}, "mended")
            equal(aside(), [i for i in found if i[1] != "b.json"], "only what was mended is gone")
            equal(a.value("b.json"), [2], "and taken in")
            host.commit("store", "data", {"README.md": None}, "removed")
            equal(aside(), [i for i in found if i[1] not in ("b.json", "README.md")], "and what was removed")
            runs = a.client.get("/remotes/host/runs").json()["items"]
            equal([r["error"] for r in runs], [None] * len(runs), "no run failed by it")


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


@test
def a_remote_is_tried_before_it_is_added():
    with GitHost("http") as host:
        for repo in ("store", "foreign", "begun"):
            host.make(repo)
        host.commit("foreign", "data", {"app.py": b"import app"}, "by hand")
        host.commit("begun", "data", {"README.md": b"# Data"}, "by hand")
        where = place("guide")

        def add(name, *words, repo="store", env=None, cwd=where):
            return run("remote", "add", name, host.url(repo), "--token-env", TOKEN_ENV, "--manual", *words, cwd=cwd,
                       env=host.environment() if env is None else env)

        def refused(done, status, *says):
            equal(done.status, status, f"not added: {done}")
            for text in says:
                check(text in done.err.decode(), f"{text!r}: {done}")
            equal(json.loads(run("remote", "ls", "--json", cwd=where).out)["items"], [], "and not kept")

        refused(add("host", env={}), 3, TOKEN_ENV)
        needs = "host: not added. Its token or key needs to read and write the contents of this one repository"
        refused(add("host", env=host.environment("wrong")), 6, needs, "does not take the token")
        refused(add("host", env=host.environment(host.read_token)), 6, needs, "knows who asks and refuses")
        refused(add("host", repo="absent"), 6, needs, "shows no such repository")
        refused(add("host", repo="foreign"), 3, "holds something else than Keepfast's documents (app.py)")
        refused(add("host", "--json", env=host.environment("wrong")), 6, "does not take the token")

        done = add("host")
        equal(done.status, 0, f"added: {done}")
        check(b"the branch data is not there yet, the first save makes it" in done.err, f"{done}")
        equal(host.at("store", "for-each-ref"), b"", "nothing is left of the trial")
        refs = add("host")
        check(refs.status == 3 and b"already" in refs.err, f"the name is taken: {refs}")
        done = add("begun", "--json", repo="begun")
        equal((done.status, json.loads(done.out)["found"]), (0, {"there": True, "docs": 0, "bad": 0, "public": False}), f"{done}")
        done = add("other", "--branch", "live", repo="foreign")
        check(done.status == 0 and b"the branch live is not there yet" in done.err, f"another branch: {done}")
        equal(add("later", "--no-probe", repo="absent").status, 0, "untried")
        equal(run("remote", "rm", "later", cwd=where).status, 0, "which fills no empty store")
        equal(run("put", "a", "-", stdin=b"[1]", cwd=where, env=host.environment()).status, 0, "put")
        equal(run("sync", "host", "--wait", cwd=where, env=host.environment()).status, 0, "sync")
        host.commit("store", "data", {"b.json": b"2"}, "by hand")
        another = place("guide-2")
        done = add("host", cwd=another)
        check(b"holds 2 documents of Keepfast, which are joined" in done.err, f"what it holds: {done}")
        for kept in (p for top in (where, another) for p in top.rglob("*") if p.is_file()):
            check(host.token.encode() not in kept.read_bytes(), f"the token is in {kept}")


main()
