"""What tests of the doctor share: asking it, and noting which causes were made to happen."""

import os
from pathlib import Path

import keepfast
from keepfast import Server, at_time, folder, run, wait_for  # noqa: F401 (for those who import it from here)
from tap import check, equal

keepfast.PROGRAM = os.path.join(os.environ["KF_BUILD"], "keepfast")  # with situations and saboteurs
TOP = folder()
SHOWN = set()  # codes that were seen because their cause was made
# Those that the machine that runs this may have by itself.
OF_THE_MACHINE = {"not_lasting", "memory_small", "disk_filling", "disk_slow"}


def store(name, value=b"[1]", env=None):
    """A store with one document, in a folder of its own."""
    place = TOP / name
    place.mkdir(mode=0o700)
    at = place / "a.db"
    equal(run("put", "a", at=at, stdin=value, env=env).status, 0, "put")
    return at


def findings(at, env=None, **kw):
    """Of the command, as a list; each has its members, none is there twice."""
    done = run("doctor", "--json", at=at, env=env, **kw)
    check(done.status in (0, 1) and done.out, f"doctor --at {at}: {done}")
    items = done.json()["items"]
    for item in items:
        check({"code", "level", "title", "detail", "next"} <= set(item) and all(item.values()), f"{item}")
    keys = [(i["code"], i.get("space"), i.get("remote")) for i in items]
    equal(len(set(keys)), len(keys), f"none twice: {keys}")
    bad = any(i["level"] != "note" for i in items)
    equal(done.status, 1 if bad else 0, f"its exit status: {items}")
    order = [("error", "warning", "note").index(i["level"]) for i in items]
    equal(order, sorted(order), f"errors first: {items}")
    return items


def pick(items, code, remote=None):
    """The finding; it counts as shown."""
    for item in items:
        if item["code"] == code and (remote is None or item.get("remote") == remote):
            SHOWN.add(code)
            return item
    raise AssertionError(f"no finding {code}: {[(i['code'], i['detail']) for i in items]}")


def finds(at, code, *words, level=None, remote=None, env=None, **kw):
    """The command finds it and names what is in `words`."""
    item = pick(findings(at, env=env, **kw), code, remote)
    for word in words:
        check(str(word) in item["detail"] + " " + item["next"], f"{code} says {word!r}: {item}")
    if level:
        equal(item["level"], level, f"the level of {code}")
    return item


def finds_no(at, *codes, env=None):
    items = findings(at, env=env)
    check(not [i for i in items if i["code"] in codes], f"none of {codes}: {items}")
    return items


def answered(client):
    """Of a server, over HTTP."""
    answer = client.get("/doctor")
    equal(answer.status, 200, f"doctor: {answer}")
    return answer.json()["items"]


def codes(items):
    return {i["code"] for i in items} - OF_THE_MACHINE


def child_of(process):
    """The server itself, where something runs it."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[0]) if children else process.pid
