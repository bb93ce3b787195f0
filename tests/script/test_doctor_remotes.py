#!/usr/bin/env python3
# test: timeout=180
"""keepfast doctor, of remotes: why saving fails, and why a sync commits nothing. Each cause is made to happen against real git hosts and
real folders."""

import json
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
from doctored import SHOWN, TOP, answered, at_time, codes, finds, finds_no, pick, store  # noqa: E402
from githost import FaultProxy, GitHost  # noqa: E402
from keepfast import Server, run, wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

FLOOR = 26
# Of the form of a real one; it opens nothing.
SECRET = "gh" + "p_aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5"


def add(at, config, *more, env=None):
    flags = [word for key, value in config.items() if key != "url" for word in ("--" + key.replace("_", "-"), str(value))]
    done = run("remote", "add", "host", config["url"], "--no-probe", *flags, *more, at=at, env=env)
    equal(done.status, 0, f"remote add: {done}")


def sync(at, env=None, timeout="20s"):
    return run("sync", "--wait", "--timeout", timeout, at=at, env=env)


def failing(name, config, code, *words, env=None, level="error", **kw):
    """A store whose remote fails as the code says."""
    at = store(name)
    add(at, config, "--manual", env=env)
    done = sync(at, env)
    check(done.status != 0, f"the sync fails: {done}")
    item = finds(at, code, *words, remote="host", env=env, level=level, **kw)
    equal(item["space"], "default", f"its space: {item}")
    return at


@test
def tokens():
    with GitHost("http") as host:
        host.make("store")
        failing("no-token", {"url": host.url("store")}, "remote_token_missing", "token_env")
        failing("env-unset", host.config("store"), "secret_missing", "KEEPFAST_TEST_TOKEN")
        env = {"KEEPFAST_TEST_TOKEN": "mistyped"}
        at = failing("wrong-token", host.config("store"), "remote_token_refused", "KEEPFAST_TEST_TOKEN", "keepfast sync host --wait", env=env)
        check("1 change is pending" in finds(at, "remote_token_refused", env=env)["detail"], "what is at stake")
        failing("read-token", host.config("store"), "remote_right_missing", env=host.environment(host.read_token))
        # One that was good, and is over.
        at = store("revoked")
        add(at, host.config("store"), "--manual")
        equal(sync(at, host.environment()).status, 0, "it is good")
        finds_no(at, "remote_token_refused", "remote_manual", env=host.environment())
        host.revoke()
        run("put", "b", at=at, stdin=b"2", env=host.environment())
        check(sync(at, host.environment()).status == 6, "it is over")
        finds(at, "remote_token_refused", env=host.environment())
        host.renew()
        equal(sync(at, host.environment()).status, 0, "it is good again")
        finds_no(at, "remote_token_refused", env=host.environment())


@test
def files_with_secrets():
    with GitHost("http") as host:
        host.make("store")
        token = TOP / "token"
        token.write_text(host.token + "\n")
        token.chmod(0o600)
        at = store("of-a-file")
        add(at, {"url": host.url("store"), "token_file": token}, "--manual")
        equal(sync(at).status, 0, "it gets in")
        finds_no(at, "secret_readable", "secret_missing")
        token.chmod(0o644)
        finds(at, "secret_readable", token, "0644", remote="host")
        check(sync(at).status == 6, "it is not used")
        items = finds_no(at, "remote_away", "remote_token_refused")
        check("secret_readable" in codes(items), "once, as its cause")
        token.unlink()
        finds(at, "secret_missing", token, remote="host")


@test
def hosts_that_do_not_let_us_in():
    with GitHost("ssh") as host:
        host.make("store")
        nobody = TOP / "nobody"
        nobody.write_text("")
        config = host.config("store")
        failing("unknown-host", config | {"known_hosts_file": nobody}, "remote_host_unknown", "ssh-keyscan")
        failing("unknown-key", config | {"ssh_key_file": host.top / "stranger"}, "remote_key_refused", "stranger")
    with GitHost("https", certificate="expired") as host:
        host.make("store")
        failing("expired", host.config("store"), "remote_host_unknown", "certificate", env=host.environment())


@test
def addresses_that_are_not_right():
    with GitHost("http") as host, FaultProxy(host, http=True) as proxy:
        host.make("store")
        env = host.environment()
        failing("absent", host.config("none"), "remote_absent", env=env)
        proxy.redirect("http://127.0.0.1:1/elsewhere.git")
        failing("moved", host.config("store", port=proxy.port), "remote_elsewhere", env=env)
        proxy.html()
        failing("login", host.config("store", port=proxy.port), "remote_elsewhere", env=env)
        proxy.answer(429, retry_after=30)
        failing("throttled", host.config("store", port=proxy.port), "remote_busy", env=env, level="warning")
        proxy.refuse()
        failing("refused", host.config("store", port=proxy.port), "remote_away", "keepfast remote probe host", env=env, level="warning")
    failing("unmounted", {"url": f"dir:{TOP}/not/mounted"}, "remote_away", level="warning")


@test
def clocks_that_are_apart():
    """Ours is turned, or a host lies; and it is told until a run has seen that they agree."""
    equal(run("key", "new", TOP / "clock-key.txt").status, 0, "a key")
    with GitHost("http") as host, FaultProxy(host, http=True) as proxy:
        good = host.environment()
        for name, shift, word, sealed in (("later", "-3h", "3 h later", False), ("earlier", "+2h", "2 h earlier", True)):
            host.make(name)
            at = store(f"clock-{name}")
            add(at, host.config(name), "--manual", *(("--key-file", TOP / "clock-key.txt") if sealed else ()))
            equal(sync(at, good).status, 0, "sync")
            finds_no(at, "remote_clock", env=good)
            equal(sync(at, good | at_time("+40s")).status, 0, "less than a minute")
            finds_no(at, "remote_clock", env=good)
            equal(sync(at, good | at_time(shift)).status, 0, "sync")
            finds(at, "remote_clock", word, "timedatectl", "keepfast sync host --wait", remote="host", level="warning", env=good)
            if not sealed:
                elsewhere = host.config(name, port=proxy.port)
                check(run("remote", "rm", "host", at=at).status == 0, "it goes")
                add(at, elsewhere, "--manual")
                finds_no(at, "remote_clock", env=good)
            equal(sync(at, good).status, 0, "they agree again")
            finds_no(at, "remote_clock", env=good)
        proxy.answer(500, date="Sat, 01 Jan 2000 00:00:00 GMT")
        failing("clock-lie", host.config("later", port=proxy.port), "remote_clock", "earlier", env=good, level="warning")


@test
def a_host_that_is_full():
    with GitHost("http") as host:
        host.make("store")
        host.hook("store", "pre-receive", 'echo "error: quota exceeded" >&2\nexit 1\n')
        failing("full", host.config("store"), "remote_full", "make room", env=host.environment())


@test
def histories_that_were_changed():
    with GitHost("path") as host:
        host.make("store", force=True)
        at = store("history")
        add(at, host.config("store"), "--manual")
        equal(sync(at).status, 0, "sync")
        first = host.tip("store", "data")
        run("put", "b", at=at, stdin=b"2")
        equal(sync(at).status, 0, "sync")
        last = host.tip("store", "data")
        host.set("store", "data", first)
        check(sync(at).status, "it was set back")
        finds(at, "remote_rolled_back", "keepfast remote rm host", remote="host")
        host.set("store", "data", last)
        host.rewrite("store", "data")
        check(sync(at).status, "it was rewritten")
        finds(at, "remote_diverged", remote="host")
        first = run("status", at=at).out.decode().splitlines()[0]
        check("cannot be told" in first and "host" in first, f"nobody says that nothing would be lost: {first}")


@test
def a_history_that_was_changed_is_joined_by_the_next_step_of_the_configuration():
    with GitHost("path") as host:
        host.make("store", force=True)
        at, config = store("history-named"), TOP / "history-named.yaml"

        def named(name):
            remote = host.config("store") | {"manual": True}
            config.write_text(json.dumps({"spaces": {"default": {"remotes": {name: remote}}}}))
            return {"KEEPFAST_CONFIG": str(config)}
        env = named("host")
        equal(sync(at, env).status, 0, "sync")
        host.rewrite("store", "data")
        check(sync(at, env).status, "it was rewritten")
        item = finds(at, "remote_diverged", "another name", remote="host", env=env)
        check("remote rm" not in item["next"], f"no command that is refused: {item}")
        env = named("anew")
        equal(sync(at, env).status, 0, "both sides are joined")
        finds_no(at, "remote_diverged", env=env)


@test
def keys_that_do_not_fit():
    for name in ("key", "other"):
        equal(run("key", "new", TOP / f"{name}.txt").status, 0, "a key")
    (TOP / "sealed").mkdir()
    at = store("sealed-one")
    run("remote", "add", "host", f"dir:{TOP}/sealed/place", "--key-file", TOP / "key.txt", "--manual", at=at)
    equal(sync(at).status, 0, "sync")
    other = store("sealed-two")
    run("remote", "add", "host", f"dir:{TOP}/sealed/place", "--key-file", TOP / "other.txt", "--manual", at=other)
    check(sync(other).status, "another key")
    finds(other, "remote_key_needed", remote="host")


@test
def a_remote_that_is_damaged():
    (TOP / "hurt").mkdir()
    at = store("hurt-one")
    run("put", "hurt", at=at, stdin=b"1")
    run("remote", "add", "host", f"dir:{TOP}/hurt/place", "--manual", at=at)
    equal(sync(at).status, 0, "sync")
    for file in (TOP / "hurt" / "place").rglob("*"):
        if file.suffix == ".json":
            file.write_bytes(b"hurt")
    other = store("hurt-two", b"[2]")
    run("remote", "add", "host", f"dir:{TOP}/hurt/place", "--manual", at=other)
    check(sync(other).status, "it cannot be read")
    finds(other, "remote_unreadable", "keepfast verify --deep", remote="host")


@test
def a_remote_of_a_later_version():
    (TOP / "later").mkdir()
    at = store("later-one")
    run("remote", "add", "host", f"dir:{TOP}/later", "--manual", at=at)
    equal(sync(at).status, 0, "sync")
    manifest = TOP / "later" / "manifest.ndjson"
    first, rest = manifest.read_bytes().split(b"\n", 1)
    head = json.loads(first)
    number = next(k for k, v in head.items() if k == "format")
    manifest.write_bytes(json.dumps(head | {number: 99}, separators=(",", ":")).encode() + b"\n" + rest)
    run("put", "b", at=at, stdin=b"1")
    check(sync(at).status, "it is too new")
    finds(at, "remote_too_new", remote="host")


@test
def documents_that_do_not_go_there():
    with GitHost("http") as host:
        host.make("store")
        env = host.environment()
        at = store("withheld", json.dumps({"token": SECRET}).encode())
        add(at, host.config("store"), "--manual")
        sync(at, env)
        item = finds(at, "remote_all_aside", "set-aside ls host", remote="host", env=env)
        check(SECRET not in json.dumps(item), "not what it is")
        run("put", "good", at=at, stdin=b"1")
        sync(at, env)
        check(host.files("store", "data").get("good"), "the rest goes on")
        run("put", "more", at=at, stdin=b"1")
        finds(at, "remote_set_aside", remote="host", env=env)


@test
def a_document_that_is_damaged_here():
    at = store("hurt-here", b"[0]")
    run("put", "a", at=at, stdin=b'"' + b"findme" * 20 + b'"')
    (TOP / "hurt-here-place").mkdir()
    run("remote", "add", "host", f"dir:{TOP}/hurt-here-place/x", "--manual", at=at)
    data = bytearray(at.read_bytes())
    spot = data.find(b"findmefindme")
    check(spot > 0, "its bytes are in the file")
    data[spot] ^= 1
    at.write_bytes(data)
    sync(at)
    finds(at, "document_damaged", '"a"', "keepfast revert NAME VERSION --force")
    equal(run("revert", "a", "1", "--force", at=at).status, 0, "its next step")
    equal(run("get", "a", at=at).out, b"[0]", "it is back")


@test
def schedules_that_do_not_come():
    (TOP / "schedules").mkdir()

    def kept(name, *schedule):
        """Its one change is two minutes old."""
        at = store(name, env=at_time("-2m"))
        done = run("remote", "add", "host", f"dir:{TOP}/schedules/{name}", *schedule, at=at)
        equal(done.status, 0, f"remote add: {done}")
        return at

    manual = kept("manual", "--manual")
    finds(manual, "remote_manual", "keepfast sync host --wait", remote="host", level="note")
    equal(sync(manual).status, 0, "sync")
    said = run("doctor", at=manual).out.decode()
    check("host: nothing pending, confirmed" in said, f"nothing has changed: {said}")
    finds_no(manual, "remote_manual", "remote_not_due", "remote_nobody_runs", "remote_overdue")
    finds(kept("after", "--after", "100"), "remote_nobody_runs", "keepfast serve", remote="host", level="warning")
    # What never ran is due at once, and a command may be quick enough to run it: so this one has run, and is not due.
    cron = store("cron", env=at_time("-10m"))
    equal(run("remote", "add", "host", f"dir:{TOP}/schedules/cron", "--every", "1h", at=cron, env=at_time("-9m")).status, 0, "remote add")
    equal(sync(cron, at_time("-8m")).status, 0, "sync")
    equal(run("put", "b", at=cron, stdin=b"2", env=at_time("-2m")).status, 0, "put")
    finds(cron, "remote_nobody_runs", "keepfast serve", remote="host", level="warning")
    data = TOP / "not-due"
    data.mkdir(mode=0o700)
    shutil.copy(store("early", env=at_time("-2m")), data / "default.db")
    config = {"spaces": {"default": {"remotes": {"host": {"url": f"dir:{TOP}/schedules/due", "after": 100}}}}}
    with Server(data, json.dumps(config)) as server:
        client = server.client()
        check("more changes" in pick(answered(client), "remote_not_due")["detail"], "why")
        equal(pick(answered(client), "remote_same_disk")["remote"], "host", "whose")


@test
def a_store_that_is_being_filled():
    with GitHost("http") as host:
        host.make("store")
        at = store("source")
        add(at, host.config("store"), "--manual")
        equal(sync(at, host.environment()).status, 0, "sync")
        config = {"spaces": {"default": {"remotes": {"host": host.config("store")}}}}
        with Server(TOP / "filling", json.dumps(config), env={"KEEPFAST_TEST_TOKEN": "mistyped"}) as server:
            client = server.client()
            wait_for(lambda: client.get("/remotes/host").json()["failures"], 20)
            items = answered(client)
            item = pick(items, "not_hydrated")
            check(item["level"] == "error" and "start-empty" in item["next"], f"{item}")
            pick(items, "remote_token_refused")


@test
def a_machine_without_git():
    with GitHost("path") as host:
        host.make("store")
        at = store("no-git")
        add(at, host.config("store"), "--manual")
        (TOP / "bin").mkdir()
        env = {"PATH": str(TOP / "bin")}
        check(sync(at, env).status, "there is no git")
        finds(at, "git_missing", "apt install git", remote="host")


@test
def enough_causes_were_made_to_happen():
    note(f"causes={len(SHOWN)}")
    if len(sys.argv) == 1:
        check(len(SHOWN) >= FLOOR, f"{len(SHOWN)} of {FLOOR}: {sorted(SHOWN)}")


main()
