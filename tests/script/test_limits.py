#!/usr/bin/env python3
# test: timeout=120
"""limits.rate and limits.quota: what one space asks and holds is bounded, others notice nothing, and its operator is not locked out."""

import json
import os
import threading
import time

import keepfast

keepfast.PROGRAM = os.path.join(os.environ["KF_BUILD"], "keepfast")  # with situations and saboteurs

from keepfast import Server, folder, run, wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

TOP = folder()
KIB = 1024
QUOTA = 1024 * KIB

# ------------------------------------------------------------------------------------- requests a second


def codes(client, count, path="/docs/a"):
    return [client.get(path).code for _ in range(count)]


def passed_in_a_row(server, rate):
    """How many of three times the rate, as fast as they come, were let through; and how long that took."""
    with_it = server.client()
    began = time.monotonic()
    found = codes(with_it, 3 * rate)
    return sum(code != "rate" for code in found), time.monotonic() - began


@test
def a_space_takes_so_many_a_second():
    rate = 40
    with Server(TOP / "rate", env={"KEEPFAST_LIMITS_RATE": str(rate)}) as server:
        run("put", "a", at=f"{server.data}#other", stdin=b"1")
        equal(server.client().put("/docs/a", b"1").status, 201, "the first one makes the space")
        passed, took = passed_in_a_row(server, rate)
        check(rate <= passed <= rate * (1 + took) + 1, f"{passed} of {3 * rate} in {took:.2f} s")
        client, other = server.client(), server.client("other")
        codes(client, rate)
        refused = wait_for(lambda: next((a for a in (client.get("/docs/a") for _ in range(rate)) if a.status == 429), None))
        equal((refused.code, refused.headers["Retry-After"], refused.json()["retryable"]), ("rate", "1", True), "the answer")
        equal(other.get("/docs/a").status, 200, "another space has its own")
        equal(client.get("/healthz", raw=True).status, 200, "what is of no space is not counted")
        done = run("get", "a", at=f"http://{server.address}/default")
        check(done.status in (0, 11), f"a command: {done}")
        equal([run("get", "a", at=server.data).status for _ in range(3)], [0, 0, 0], "who runs the server is not locked out")
        time.sleep(1.1)
        equal(codes(client, rate // 2), [""] * (rate // 2), "a second later")
        client.put("/docs/b", b"1" * 10)
        server.stop()


@test
def all_loops_count_together():
    rate = 40
    with Server(TOP / "together", env={"KEEPFAST_LIMITS_RATE": str(rate)}, arguments=["--loops", "3"]) as server:
        server.client().put("/docs/a", b"1")
        time.sleep(1.1)
        clients, found = [server.client() for _ in range(6)], []
        began = time.monotonic()
        threads = [threading.Thread(target=lambda c=c: found.extend(codes(c, rate))) for c in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
        passed = sum(code != "rate" for code in found)
        equal(len(found), 6 * rate, "all were answered")
        check(rate <= passed <= rate * (1 + took) + 1, f"{passed} passed in {took:.2f} s")
        server.stop()


@test
def strangers_slow_nobody_down():
    rate = 20
    data = TOP / "strangers"
    tokens = {name: run("token", "create", name, "--space", name, at=data).out.decode().strip() for name in ("ours", "theirs")}
    with Server(data, env={"KEEPFAST_LIMITS_RATE": str(rate)}) as server:
        for name in tokens:
            run("space", "create", name, at=data)
        ours, theirs = ({"Authorization": f"Bearer {tokens[name]}"} for name in ("ours", "theirs"))
        client = server.client("ours")
        client.put("/docs/a", b"1", headers=ours)
        time.sleep(1.1)
        found = {client.get("/docs/a", headers=theirs).code for _ in range(5 * rate)}
        equal(found, {"unknown_space"}, "they are not told that there is a limit, or a space")
        equal(client.get("/docs/a", headers=ours).status, 200, "and use nothing of it up")
        server.stop()


@test
def saboteur_rate_unbounded_is_found():
    with Server(TOP / "unbounded", env={"KEEPFAST_LIMITS_RATE": "20", "KF_SABOTAGE": "rate-unbounded"}) as server:
        server.client().put("/docs/a", b"1")
        passed, took = passed_in_a_row(server, 20)
        check(took > 1.9 or passed > 20 * (1 + took) + 1, f"{passed} in {took:.2f} s")
        server.stop()


# ----------------------------------------------------------------------------------------- bytes


def store_of(client):
    return client.get("/status").json()["store"]


def fill(client, size=20 * KIB, count=200):
    """Documents until one is refused: how many are there, and the refusal."""
    for number in range(count):
        answer = client.put(f"/docs/d{number}", json.dumps("x" * size))
        if answer.status not in (200, 201):
            return number, answer
    raise AssertionError("nothing was refused")


def findings(client):
    return {item["code"] for item in client.get("/doctor").json()["items"]}


@test
def a_space_holds_so_much():
    data = TOP / "quota"
    config = "limits: { quota: 1MiB }\nspaces:\n  default:\n    docs: [ { match: '**', keep: { versions: 1 } } ]\n"
    with Server(data, config) as server:
        client, other = server.client(), server.client("other")
        equal(store_of(client)["quota_bytes"], QUOTA, "status knows it")
        check("quota_filling" not in findings(client), "nothing to tell yet")
        fitting = 0
        while fitting < 51 and "quota_filling" not in findings(client):
            equal(client.put(f"/docs/d{fitting}", json.dumps("x" * 20 * KIB)).status, 201, "there is room")
            fitting += 1
        check(30 <= fitting < 51, f"the doctor tells before, and not too soon: {fitting}")
        count, refused = fill(client)
        equal((refused.status, refused.code, refused.json()["retryable"]), (507, "quota", True), "the answer")
        check("limits.quota" in refused.json()["detail"], f"names the setting: {refused}")
        note(f"{count} documents of 20 KiB in 1 MiB")
        check(fitting < count <= 51, "about as many as fit")
        used = store_of(client)["used_bytes"]
        check(QUOTA * 0.9 < used <= QUOTA, f"never beyond it: {used}")
        equal(client.get("/docs/d0").status, 200, "reads go on")
        equal(client.put("/docs/d0", json.dumps("x" * 20 * KIB)).status, 200, "the same bytes again take nothing")
        equal(other.put("/docs/d0", b"1").status, 201, "another space has its own")
        equal(run("put", "more", at=data, stdin=json.dumps("x" * 30 * KIB).encode()).status, 7, "exit status of a command")
        shown = run("status", at=data)
        check(b"of its quota of 1.0 MiB" in shown.out, f"status says so: {shown}")
        text = client.ask("GET", "/metrics", raw=True).body.decode()
        check('keepfast_quota_bytes{space="default"} 1048576' in text, "and metrics")
        equal(server.stderr().count("quota.hit"), 1, "one line for a streak")
        for number in range(10):
            equal(client.delete(f"/docs/d{number}").status, 204, "deleting goes")
        wait_for(lambda: client.put("/docs/again", json.dumps("y" * 20 * KIB)).status in (200, 201), 20)
        server.stop()


@test
def of_a_crowd_those_that_fit():
    with Server(TOP / "crowd", env={"KEEPFAST_LIMITS_QUOTA": "1MiB"}) as server:
        server.client().put("/docs/first", b"1")
        answers = []

        def put(thread):
            client = server.client()
            for number in range(12):
                answers.append((f"t{thread}-{number}", client.put(f"/docs/t{thread}-{number}", json.dumps("x" * 20 * KIB)).status))

        threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client = server.client()
        good = sorted(name for name, status in answers if status == 201)
        equal({status for _, status in answers}, {201, 507}, "some were taken, some not")
        check(40 <= len(good) <= 51, f"as many as fit: {len(good)}")
        names = [item["name"] for item in client.get("/docs?limit=1000").json()["items"]]
        equal(sorted(names), sorted([*good, "first"]), "those that were confirmed are there, and no others")
        check(store_of(client)["used_bytes"] <= QUOTA, "within it")
        server.stop()


@test
def what_a_remote_holds_comes_in():
    """The bound is for who writes here: what was confirmed elsewhere is not left there."""
    place = TOP / "place"
    place.mkdir(mode=0o700)
    config = f"spaces:\n  default:\n    remotes:\n      usb: {{ url: 'dir:{place}' }}\n"
    with Server(TOP / "before", config) as server:
        client = server.client()
        for number in range(80):
            client.put(f"/docs/d{number}", json.dumps("x" * 20 * KIB))
        equal(client.post("/remotes/usb/run?timeout=30s").status, 200, "saved")
        server.stop()
    with Server(TOP / "after", config + "limits: { quota: 1MiB }\n") as server:
        client = server.client()
        wait_for(lambda: store_of(client)["state"] == "open", 30)
        equal(store_of(client)["docs"], 80, "all of it")
        equal(client.put("/docs/more", b"1").code, "quota", "and no more")
        check("quota_full" in findings(client), "the doctor tells")
        server.stop()


main()
