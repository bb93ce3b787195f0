#!/usr/bin/env python3
# test: timeout=180
"""The commands of README.md and docs/git.md, as somebody runs them who has never seen the project, in an empty directory; and the
rows of "What is lost when" that no other test shows."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

TOP = Path(os.environ.get("KF_TOP", ".")).resolve()
sys.path.insert(0, str(TOP / "tests"))
from githost import TOKEN_ENV, FaultProxy, GitHost  # noqa: E402
from keepfast import PROGRAM, folder, run  # noqa: E402
from tap import check, equal, main, test  # noqa: E402


def blocks(page, heading):
    """What a section shows, in its order: indented, or between fences."""
    text = (TOP / page).read_text()
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found, lines, fenced = [], [], False
    for line in section.splitlines() + ["end"]:
        fence = line.startswith("```")
        if not fence and (fenced or line.startswith("    ") or (lines and not line)):
            lines.append(line if fenced else line[4:])
        elif lines:
            found.append("\n".join(lines).strip() + "\n")
            lines = []
        fenced ^= fence
    return found


def shell(script, where, **env):
    """Ends with the first command that fails. `keepfast` is in the search path and at build/keepfast."""
    (where / "build").mkdir(exist_ok=True)
    if not (where / "build" / "keepfast").exists():
        (where / "build" / "keepfast").symlink_to(os.path.abspath(PROGRAM))
    return subprocess.run(["sh", "-eu", "-c", script], cwd=where, capture_output=True, text=True, timeout=90, env={
        **os.environ, "PATH": f"{where}/build:{os.environ['PATH']}", "HOME": str(where), "GIT_CONFIG_NOSYSTEM": "1", **env})


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def files_of(app):
    return {str(p.relative_to(app)): p.read_bytes() for p in app.rglob("*.json") if ".keepfast" not in p.parts and ".git" not in p.parts}


def app_of_files(where):
    """What an app has that keeps its state in files."""
    app = where / "app"
    (app / "chat").mkdir(parents=True)
    (app / "cele.json").write_bytes((TOP / "examples/finance/data/cele.json").read_bytes())
    (app / "chat" / "Zażółć.json").write_text('[1,  2.0, "x"]')
    (app / "notes.txt").write_text("no document")
    return app


@test
def the_first_five_minutes():
    where, port = folder(), free_port()
    first, lasting, served = blocks("README.md", "Five minutes with it")[:3]
    done = shell(first, where)
    equal(done.returncode, 0, f"{done}")
    equal(json.loads(shell("build/keepfast get settings.json", where).stdout), {"theme": "dark"}, "reverted")
    (where / "mnt").mkdir()
    # Here both are on one disk, which is what a doctor warns of.
    done = shell(lasting.replace("/mnt/usb", f"{where}/mnt").replace("keepfast doctor ", "keepfast doctor || test $? = 1 "), where)
    equal(done.returncode, 0, f"{done}")
    check("If this machine died now" in done.stdout, f"{done}")
    serve, *requests = served.splitlines()
    server = subprocess.Popen([*serve.replace("build/keepfast", str(PROGRAM), 1).split(), "--listen", f"127.0.0.1:{port}"], cwd=where,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        check(server.stdout.readline(), "it is ready")
        for request in requests:
            done = shell(request.replace("curl", "curl -sSf").replace(":7070", f":{port}"), where)
            equal(done.returncode, 0, f"{request}: {done}")
        check('"ack":"remote"' in done.stdout, f"the last answer comes from the remote: {done}")
    finally:
        server.terminate()
        server.wait(20)
        server.stdout.close()


@test
def an_app_of_files_moves():
    where = folder()
    app = app_of_files(where)
    into, away, again = blocks("docs/git.md", "Moving an app from plain JSON files")[:3]
    with GitHost("http") as host:
        host.make("store")
        env = {"ADDRESS": host.url("store"), "DATA_TOKEN": host.token}
        for script in (into, away):
            done = shell(script, where, **env)
            equal(done.returncode, 0, f"{script}{done}")
        check("nothing would be lost" in done.stdout, f"{done}")
        shutil.rmtree(where / "data")
        (where / "keepfast.yaml").write_text(again.replace("https://github.com/me/app-data.git", env["ADDRESS"]))
        listed = shell("keepfast ls --json", where, **env)
        equal(listed.returncode, 0, f"{listed}")
        equal({i["name"] for i in json.loads(listed.stdout)["items"]}, set(files_of(app)), "all are back")
        for name, text in files_of(app).items():
            equal(json.loads(shell(f"keepfast get '{name}'", where, **env).stdout), json.loads(text), name)


@test
def files_that_are_in_a_repository_already_move():
    where = folder()
    app = app_of_files(where)
    commit, machine = blocks("docs/git.md", "Moving an app from plain JSON files")[3:5]
    who = {f"GIT_{w}_{k}": v for w in ("AUTHOR", "COMMITTER") for k, v in (("NAME", "Me"), ("EMAIL", "me@example.org"))}
    with GitHost("path") as host:
        host.make("store")
        done = shell(commit, where, ADDRESS=host.url("store"), **who)
        equal(done.returncode, 0, f"{done}")
        (where / "keepfast.yaml").write_text(json.dumps({"spaces": {"default": {"remotes": {"host": {"url": host.url("store")}}}}}))
        done = shell(machine, where)
        equal(done.returncode, 0, f"{done}")
        listed = json.loads(shell("keepfast ls --json", where).stdout)["items"]
        equal({i["name"] for i in listed}, set(files_of(app)), "every JSON file is a document")
        check("app" not in {i["name"] for i in listed} and "notes.txt" in host.files("store", "data"), "the rest is left alone")
        equal(shell("echo 1 | keepfast put new.json --wait host", where).returncode, 0, "and it goes on from there")
        check("new.json" in host.files("store", "data"), "in the branch")


@test
def a_store_moves_by_a_backup():
    where = folder()
    app_of_files(where)
    script = blocks("docs/git.md", "Moving an app from plain JSON files")[5]
    (where / "old").mkdir()
    equal(shell("cd app && keepfast --at ../old put cele.json cele.json", where).returncode, 0, "put")
    done = shell(script, where)
    equal(done.returncode, 0, f"{done}")
    equal(shell("keepfast digest", where).stdout, shell("keepfast --at old digest", where).stdout, "the same")


# ------------------------------------------------------------------------------------- what is lost when

def status(where, env):
    return json.loads(run("status", "--json", cwd=where, env=env).out)


@test
def a_host_is_away_and_nothing_is_lost():
    where = folder()
    with GitHost("http") as host:
        host.make("store")
        with FaultProxy(host) as proxy:
            env = host.environment()
            done = run("remote", "add", "host", host.url("store", proxy.port), "--token-env", TOKEN_ENV, "--manual", cwd=where, env=env)
            equal(done.status, 0, f"{done}")
            equal(run("put", "a", "-", "--wait", "host", stdin=b"1", cwd=where, env=env).status, 0, "confirmed")
            proxy.refuse()
            equal(run("put", "a", "-", stdin=b"2", cwd=where, env=env).status, 0, "saving goes on")
            equal(run("put", "a", "-", "--wait", "host", "--timeout", "2s", stdin=b"3", cwd=where, env=env).status, 6, "waiting does not")
            remote = status(where, env)["remotes"][0]
            equal((remote["pending"]["count"], remote["last_error"]["code"]), (1, "remote_failed"), "what status says")
            equal(run("get", "a", cwd=where, env=env).out, b"3", "here")
            proxy.pass_on()
            equal(run("sync", "--wait", cwd=where, env=env).status, 0, "by itself, or now")
            equal((host.files("store", "data")["a"], status(where, env)["pending"]["count"]), (b"3\n", 0), "there")


@test
def two_machines_change_the_same_member():
    one, two = folder(), folder()
    with GitHost("http") as host:
        host.make("store")
        env = host.environment()
        for where in (one, two):
            done = run("remote", "add", "host", host.url("store"), "--token-env", TOKEN_ENV, "--manual", cwd=where, env=env)
            equal(done.status, 0, f"{done}")

        def put(where, text):
            equal(run("put", "a", "-", stdin=text, cwd=where, env=env).status, 0, "put")

        def sync(where):
            equal(run("sync", "--wait", cwd=where, env=env).status, 0, "sync")

        put(one, b'{"x": 0, "y": 0}')
        sync(one)
        sync(two)
        put(one, b'{"x": 1, "y": 1}')
        put(two, b'{"x": 2, "y": 0}')
        sync(one)
        sync(two)
        sync(one)
        values = [json.loads(run("get", "a", cwd=where, env=env).out) for where in (one, two)]
        equal(values, [{"x": 2, "y": 1}] * 2, "the later x, and the y that one alone changed")
        versions = json.loads(run("log", "a", "--json", cwd=two, env=env).out)["items"]
        found = [json.loads(run("get", "a", "--version", str(v["version"]), cwd=two, env=env).out) for v in versions]
        check({"x": 1, "y": 1} in found and {"x": 2, "y": 0} in found, f"both are versions: {found}")
        runs = json.loads(run("runs", "--json", cwd=two, env=env).out)["items"]
        check(any(r["lost"] for r in runs), f"and it is counted: {runs}")


def machine(host):
    """A folder whose store has one document, at the host too, and what its commands need."""
    where, env = folder(), host.environment()
    done = run("remote", "add", "host", host.url("store"), "--token-env", TOKEN_ENV, "--manual", cwd=where, env=env)
    equal(done.status, 0, f"{done}")
    equal(run("put", "a", "-", "--wait", "host", stdin=b"1", cwd=where, env=env).status, 0, "confirmed")
    return where, env


def another_name(host, where, env):
    """What is said for a host that does not have any more what it had."""
    equal(run("remote", "rm", "host", cwd=where, env=env).status, 0, "remote rm")
    done = run("remote", "add", "anew", host.url("store"), "--token-env", TOKEN_ENV, "--manual", cwd=where, env=env)
    equal(done.status, 0, f"{done}")
    equal(run("sync", "--wait", cwd=where, env=env).status, 0, "sync")


def fails(where, env, exit_status, state, code):
    equal(run("sync", "--wait", cwd=where, env=env).status, exit_status, "sync")
    remote = status(where, env)["remotes"][0]
    equal((remote["state"], remote["last_error"]["code"]), (state, code), "what status says")
    equal(run("get", "a", cwd=where, env=env).out, b"1", "here")


@test
def a_deleted_branch_takes_nothing_with_it():
    with GitHost("http") as host:
        host.make("store")
        where, env = machine(host)
        host.at("store", "update-ref", "-d", "refs/heads/data")
        fails(where, env, 6, "retrying", "remote_failed")
        equal(host.tip("store", "data"), "", "nothing is pushed")
        another_name(host, where, env)
        equal(host.files("store", "data")["a"], b"1\n", "all of it is there again")


@test
def a_rewritten_history_is_never_pushed_over():
    with GitHost("http") as host:
        host.make("store")
        where, env = machine(host)
        before = host.tip("store", "data")
        after = host.rewrite("store", "data")
        fails(where, env, 5, "diverged", "diverged")
        equal(host.tip("store", "data"), after, "nothing is pushed")
        host.set("store", "data", before)
        equal(run("sync", "--wait", cwd=where, env=env).status, 0, "the commit is back")
        host.rewrite("store", "data")
        fails(where, env, 5, "diverged", "diverged")
        another_name(host, where, env)
        equal((host.files("store", "data")["a"], run("get", "a", cwd=where, env=env).out), (b"1\n", b"1"), "both have it")


@test
def a_file_that_is_no_json_damages_itself_alone():
    with GitHost("http") as host:
        host.make("store")
        where, env = machine(host)
        host.commit("store", "data", {"a": b"{", "b": b"2"}, "by hand")
        done = run("sync", "--wait", cwd=where, env=env)
        check(done.status == 0 and b"remote.bad_object remote=host doc=a" in done.err, f"it is logged: {done}")
        aside = json.loads(run("set-aside", "ls", "--json", cwd=where, env=env).out)["items"]
        equal(([i["name"] for i in aside], status(where, env)["remotes"][0]["set_aside"]), (["a"], 1), "and set aside")
        done = run("verify", "--deep", cwd=where, env=env)
        check(done.status == 9 and b'remote host: "a"' in done.out, f"and found: {done}")
        equal([run("get", name, cwd=where, env=env).out.strip() for name in "ab"], [b"1", b"2"], "who has it keeps it, the rest goes on")
        new = folder()
        done = run("remote", "add", "host", host.url("store"), "--token-env", TOKEN_ENV, "--manual", cwd=new, env=env)
        check(done.status == 0 and b"1 of them cannot be read" in done.err, f"{done}")
        equal([run("get", name, cwd=new, env=env).status for name in "ab"], [8, 0], "who has nothing is told that it failed")
        found = status(new, env)
        equal((found["store"]["state"], found["remotes"][0]["last_error"]["code"]), ("hydrating", "bad_object"), "what status says")
        equal(run("put", "a", "-", stdin=b"3", cwd=where, env=env).status, 0, "saved anew")
        equal(run("sync", "--wait", cwd=where, env=env).status, 0, "sync")
        equal(host.files("store", "data")["a"], b"3\n", "which mends it")
        equal(run("sync", "--wait", cwd=new, env=env).status, 0, "sync")
        equal(run("get", "a", cwd=new, env=env).out.strip(), b"3", "for all")


main()
