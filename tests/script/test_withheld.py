#!/usr/bin/env python3
# test: timeout=180
"""What does not go to a git host: documents with a secret, those that the host refuses, critical ones where everybody can read. The
rest goes on, and what stays is told: to who waits for it, by status, by pending. Against real hosts."""

import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from githost import GitHost  # noqa: E402
from keepfast import Server, folder, run, state, wait_for  # noqa: E402
from tap import check, equal, main, test  # noqa: E402

TOP = folder()
# Of the form of a real one; it opens nothing.
SECRET = "gh" + "p_aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5"


class Machine:
    def __init__(self, host, name, docs=(), **more):
        self.host, self.name, self.docs = host, name, docs
        self.open(**more)

    def open(self, **more):
        remote = self.host.config("store", **({"manual": True} | more))
        config = json.dumps({"spaces": {"default": {"remotes": {"host": remote}, "docs": list(self.docs)}}})
        self.server = Server(TOP / self.name, config=config, env=self.host.environment())
        self.client = self.server.client()
        wait_for(lambda: state(self.client) == "open", 20)

    def close(self):
        self.client.close()
        self.server.__exit__()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def put(self, name, value):
        answer = self.client.put(f"/docs/{name}", json.dumps(value).encode())
        check(answer.status in (200, 201), f"put {name}: {answer}")

    def wait(self, name, value):
        return self.client.put(f"/docs/{name}?wait=host&timeout=20s", json.dumps(value).encode())

    def sync(self):
        return self.client.ask("POST", "/remotes/host/run?timeout=20s")

    def retry(self):
        return self.client.ask("POST", "/remotes/host/set-aside?timeout=20s")

    def remote(self):
        return self.client.get("/remotes/host").json()

    def pending(self):
        return [item["name"] for item in self.client.get("/remotes/host/pending").json()["items"]]

    def aside(self):
        items = self.client.get("/remotes/host/set-aside").json()["items"]
        return {item["name"]: (item["kind"], item["code"]) for item in items}

    def there(self):
        return sorted(path for path in self.host.files("store", "data") if not path.startswith(".keepfast/"))


@test
def a_secret_does_not_leave():
    with GitHost("http") as host:
        host.make("store")
        with Machine(host, "secret") as m:
            m.put("a", [1])
            m.put("s", {"deep": {"token": SECRET}})
            m.put("z", [2])
            answer = m.sync()
            equal((answer.status, answer.code), (422, "secret_found"), f"{answer}")
            equal((m.there(), m.pending()), (["a", "z"], ["s"]), "the others are there")
            said = host.at("store", "log", "-1", "--format=%B", "data").decode()
            check(said.startswith("Save 2 documents: a, z\n") and " s " not in said, f"a commit says what is in it: {said}")
            equal(m.aside(), {"s": ("withheld", "secret_found")}, "set aside")
            remote = m.remote()
            equal((remote["state"], remote["failures"], remote["pending"]["count"], remote["last_error"]["code"]),
                  ("idle", 0, 1, "secret_found"), f"{remote}")
            check("/deep/token" in remote["last_error"]["detail"] and "allow_secrets" in remote["last_error"]["detail"], f"{remote}")
            answer = m.wait("s", {"deep": [SECRET]})
            equal((answer.status, answer.code), (422, "secret_found"), "who waits for it")
            equal(m.wait("a", [3]).status, 200, "who waits for another one")
            status = run("status", at=TOP / "secret")
            check(b"1 change," in status.out and b"/deep/0" in status.out, f"status: {status}")
            shown = run("sync", "--wait", at=TOP / "secret")
            equal(shown.status, 11, f"sync: {shown}")
            check(all(SECRET.encode() not in told for told in (status.out, shown.err, m.server.stderr().encode())), "it is told nowhere")
            runs = m.client.get("/remotes/host/runs").json()["items"]
            equal([(r["pushed"]["docs"], r["error"]) for r in runs if r["cause"] == "asked"][-1], (2, None), f"the log: {runs}")
            m.close()
            m.open(allow_secrets=True)
            equal(m.sync().status, 200, "where secrets may go, it goes")
            equal((m.pending(), m.aside(), m.remote()["last_error"]), ([], {}, None), "and nothing is left")
            equal(m.there(), ["a", "s", "z"], "it is there")


@test
def a_run_that_keeps_all_back_looks_all_the_same():
    with GitHost("path") as host:
        host.make("store")
        with Machine(host, "looks") as m:
            m.put("a", [1])
            equal(m.sync().status, 200, "it is there")
            m.put("s", {"a": SECRET})
            host.commit("store", "data", {"h": b"[2]\n"}, "by hand")
            equal(m.sync().code, "secret_found", "nothing to push")
            equal(m.client.get("/docs/h").status, 200, "and still something to take in")


@test
def a_hand_edit_meets_one_that_is_withheld():
    with GitHost("path") as host:
        host.make("store")
        with Machine(host, "edited") as m:
            m.put("s", {"a": 1, "b": 1})
            equal(m.sync().status, 200, "it is there")
            m.put("s", {"a": SECRET, "b": 1})
            equal(m.sync().code, "secret_found", "the change is not")
            host.commit("store", "data", {"s": b'{"a": 1, "b": 2}\n'}, "by hand", when=int(time.time()) + 20)
            equal(m.sync().code, "secret_found", "somebody changed something else there")
            equal(m.client.get("/docs/s").json(), {"a": SECRET, "b": 2}, "both changes are here")
            check(SECRET.encode() not in host.files("store", "data")["s"], "and the secret alone here")


@test
def what_a_hook_refuses_is_found():
    with GitHost("ssh") as host:
        host.make("store")
        host.hook("store", "pre-receive", """
while read -r old new ref; do
    if git grep -q -e FORBIDDEN "$new" -- ; then echo "error: a rule of this host forbids that" >&2; exit 1; fi
done
""")
        with Machine(host, "hook") as m:
            for n in range(12):
                m.put(f"d{n:02}", {"text": "FORBIDDEN" if n in (3, 4) else "fine"})
            answer = m.sync()
            equal((answer.status, answer.code), (422, "remote_refused"), f"{answer}")
            check("a rule of this host forbids that" in answer.json()["detail"], f"in the host's words: {answer}")
            equal((m.pending(), len(m.there())), (["d03", "d04"], 10), "the others are there")
            equal(m.remote()["state"], "idle", "it is no failure of the remote")
            commits = len(host.log("store", "data"))
            equal(m.wait("e", [1]).status, 201, "later ones go")
            equal(len(host.log("store", "data")), commits + 1, "in one commit")
            equal(m.wait("d03", {"text": "FORBIDDEN again"}).code, "remote_refused", "who waits for one is told")
            host.hook("store", "pre-receive", "")
            equal(m.retry().status, 200, "the host has changed its mind, and somebody asks")
            equal((m.pending(), m.aside(), len(m.there())), ([], {}, 13), "everything is there")
            equal(host.fsck("store"), [], "and whole")


@test
def what_is_too_large_is_found():
    with GitHost("https") as host:
        host.make("store")
        host.reject_larger_than("store", 5000)
        with Machine(host, "large") as m:
            m.put("large", "x" * 9000)
            m.put("small", "x")
            answer = m.sync()
            equal((answer.status, answer.code), (422, "remote_refused"), f"{answer}")
            check("file size limit" in answer.json()["detail"], f"in the host's words: {answer}")
            equal((m.pending(), m.there()), (["large"], ["small"]), "the other one is there")
            m.put("large", "x")
            equal(m.sync().status, 200, "a smaller one goes")
            equal((m.pending(), m.aside()), ([], {}), "and nothing is left")


@test
def a_host_that_refuses_everything_has_failed():
    with GitHost("path") as host:
        host.make("store")
        host.hook("store", "pre-receive", "echo 'error: nothing today' >&2\nexit 1\n")
        with Machine(host, "closed") as m:
            for n in range(6):
                m.put(f"d{n}", n)
            answer = m.sync()
            equal((answer.status, answer.code), (422, "remote_refused"), f"{answer}")
            equal((m.remote()["state"], m.aside(), len(m.pending())), ("retrying", {}, 6), "nothing is set aside")
            check("nothing today" in m.remote()["last_error"]["detail"], "in the host's words")
            host.hook("store", "pre-receive", "")
            equal(m.sync().status, 200, "and goes when it may")
            equal(m.pending(), [], "all of it")


def critical(kind, name, **more):
    """What a machine whose document `c` is critical finds at such a host."""
    with GitHost(kind, **more) as host:
        host.make("store")
        with Machine(host, name, docs=[{"match": "c", "class": "critical"}]) as m:
            m.put("c", [1])
            m.put("x", [2])
            answer = m.sync()
            return answer.status, answer.code, m.pending(), m.there()


@test
def critical_documents_go_to_private_hosts():
    for kind in ("path", "ssh", "http", "https"):
        equal(critical(kind, f"private-{kind}"), (200, "", [], ["c", "x"]), f"{kind}: all of it")


@test
def and_not_where_everybody_can_read():
    for kind in ("http", "https"):
        equal(critical(kind, f"public-{kind}", public=True), (403, "public_remote", ["c"], ["x"]), f"{kind}: the others alone")


@test
def a_host_that_turns_public_later():
    docs = [{"match": "c", "class": "critical"}]
    with GitHost("http", public=True) as host:
        host.make("store")
        with Machine(host, "open", docs=docs) as m:
            m.put("c", [1])
            equal(m.sync().code, "public_remote", "it waits")
            told = m.remote()["last_error"]["detail"]
            check("everybody can read" in told and "key_file" in told, f"and what to do: {told}")
            m.close()
            m.open(public=True)
            equal(m.sync().status, 200, "whoever allows it has it there")
            equal(m.there(), ["c"], "there")
    with GitHost("https", public="later") as host:
        host.make("store")
        with Machine(host, "later", docs=docs) as m:
            m.put("c", [1])
            equal((m.sync().status, m.there()), (200, ["c"]), "private: it goes")
            host.open_to_all()
            m.put("c", [2])
            equal(m.client.ask("POST", "/remotes/host/probe").status, 200, "somebody looks")
            equal(m.sync().code, "public_remote", "public now: what is new waits")
            equal(host.files("store", "data")["c"], b"[\n  1\n]\n", "what was there stays")
        done = run("remote", "add", "other", host.config("store")["url"], "--ca-file", host.config("store")["ca_file"],
                   "--token-env", host.config("store")["token_env"], "--branch", "more", at=TOP / "added.db", env=host.environment())
        check(done.status == 0 and b"everybody can read it" in done.err, f"the guide says so: {done}")


main()
