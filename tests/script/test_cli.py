#!/usr/bin/env python3
"""The command line from outside: data on stdout, talk on stderr, exit statuses, the same beside a server and without one."""

import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from keepfast import PROGRAM, Server, folder, made_up_server, run  # noqa: E402
from tap import check, equal, main, test  # noqa: E402

TOP = folder()
DB = TOP / "a.db"


def ends(done, status, what):
    equal(done.status, status, f"{what} ({done!r})")
    return done


@test
def put_get_list_remove():
    ends(run("put", "a/b.json", "-", at=DB, stdin=b'{"a": 1}'), 0, "put from stdin")
    (TOP / "file.json").write_bytes(b'{"a": 2}')
    done = ends(run("put", "a/b.json", TOP / "file.json", at=DB), 0, "put from a file")
    equal(done.out, b"", "nothing on stdout")
    check(b"version 2" in done.err, f"talk on stderr: {done!r}")
    equal(ends(run("get", "a/b.json", at=DB), 0, "get").out, b'{"a": 2}', "exact bytes")
    equal(ends(run("get", "a/b.json", "--version", "1", at=DB), 0, "get a version").out, b'{"a": 1}', "exact bytes")
    ends(run("patch", "a/b.json", at=DB, stdin=b'{"b":3}'), 0, "patch")
    equal(run("get", "a/b.json", at=DB).json(), {"a": 2, "b": 3}, "patched")
    check(b"a/b.json" in ends(run("ls", at=DB), 0, "ls").out, "listed")
    equal(len(ends(run("log", "a/b.json", "--json", at=DB), 0, "log").json()["items"]), 3, "three versions")
    check(b"replace" in ends(run("diff", "a/b.json", "1", "2", at=DB), 0, "diff").out, "the difference")
    ends(run("revert", "a/b.json", "1", at=DB), 0, "revert")
    equal(run("get", "a/b.json", at=DB).out, b'{"a": 1}', "reverted")
    ends(run("rm", "a/b.json", at=DB), 0, "rm")
    ends(run("get", "a/b.json", at=DB), 1, "absent: 1")
    ends(run("rm", "a/b.json", at=DB), 1, "removing what is absent: 1")


@test
def what_remotes_did_and_left_alone():
    at = TOP / "log.db"
    (TOP / "theirs").mkdir(mode=0o700)
    for words, body in ((("put", "fine", "-"), b"[1]"), (("put", "bad", "-"), b"[2]"),
                        (("remote", "add", "usb", f"dir:{TOP}/theirs", "--manual"), b""), (("sync",), b"")):
        ends(run(*words, at=TOP / "theirs.db", stdin=body), 0, words)
    (damaged,) = (TOP / "theirs/docs/bad").iterdir()
    damaged.chmod(0o600)
    damaged.write_bytes(b"[9]")
    ends(run("put", "own", "-", at=at, stdin=b"1"), 0, "put")
    ends(run("remote", "add", "usb", f"dir:{TOP}/theirs", "--manual", at=at), 0, "remote add")
    ends(run("sync", at=at), 6, "one document cannot be read")
    lines = ends(run("runs", at=at), 0, "runs").out.decode().splitlines()
    check(len(lines) == 2 and lines[0].split()[:3] == ["ENDED", "TOOK", "REMOTE"], f"a table: {lines}")
    check("usb" in lines[1] and "asked" in lines[1] and lines[1].endswith("bad_object"), f"what it met: {lines}")
    equal(ends(run("runs", "usb", at=at), 0, "runs").out.decode().splitlines(), lines, "of the only remote")
    ends(run("runs", "none", at=at), 1, "an unknown remote")
    check(b"1 set aside; keepfast set-aside ls usb" in ends(run("remote", "ls", at=at), 0, "remote ls").out, "it is counted")
    line = ends(run("set-aside", "ls", at=at), 0, "ls").out.decode().splitlines()[1]
    equal(line.split()[:3], ["usb", "refused", "bad"], "what was left alone")
    shown = ends(run("set-aside", "show", "usb", "bad", at=at), 0, "show")
    check(b"refused, since" in shown.err and shown.out == b"", f"the reason, and no document: {shown!r}")
    ends(run("set-aside", "show", "usb", "fine", at=at), 1, "nothing of this name")
    ends(run("set-aside", "retry", "usb", at=at), 6, "still")
    ends(run("set-aside", "drop", "usb", at=at), 2, "all of it, without --yes")
    ends(run("set-aside", "drop", "usb", "--yes", at=at), 0, "drop")
    equal(len(run("set-aside", "ls", at=at).out.decode().splitlines()), 1, "forgotten")
    damaged.write_bytes(b"[2]")
    check(b"0 set aside" in ends(run("set-aside", "retry", "usb", at=at), 0, "retry").err, "asked again")
    equal(run("get", "bad", at=at).out, b"[2]", "and taken in")


@test
def names_that_look_like_routes_or_options():
    for name in ["versions", "x/versions", "a b", "za\u017c\u00f3\u0142\u0107/\u2603", "50%", "a?b#c", "--version"]:
        ends(run("put", "--", name, "-", stdin=b"1", env={"KEEPFAST_AT": str(DB)}), 0, name)
        equal(ends(run("get", "--", name, env={"KEEPFAST_AT": str(DB)}), 0, name).out, b"1", name)


@test
def options_before_the_command():
    ends(run("--at", DB, "put", "before.json", "-", stdin=b"1"), 0, "put")
    equal(ends(run("--json", "--at", DB, "get", "before.json"), 0, "get").out, b"1", "get")
    for option in ("--ca-file", "--token-file"):
        equal(ends(run(option, "/dev/null", "--at", DB, "get", "before.json"), 0, option).out, b"1", option)
    ends(run("--at", DB), 2, "no command")
    ends(run("--frob", "ls", "--at", DB), 2, "an unknown option")


@test
def exit_statuses():
    ends(run("put", "x", at=DB, stdin=b"{"), 11, "malformed")
    ends(run("put", "a//b", at=DB, stdin=b"1"), 11, "a bad name")
    ends(run("put", "x", at=DB, stdin=b"1"), 0, "put")
    ends(run("put", "x", "--if-none-match", "*", at=DB, stdin=b"2"), 5, "a conflict")
    ends(run("put", "x", "--if-match", '"00000000000000000000000000000000"', at=DB, stdin=b"2"), 5, "a conflict")
    ends(run("frobnicate"), 2, "an unknown command")
    ends(run("put", at=DB), 2, "arguments are missing")
    ends(run("get", "x", "--frob", "1", at=DB), 2, "an unknown option")
    ends(run("get", "x", "--at"), 2, "a value is missing")
    ends(run("status", "--token", "geheim"), 2, "a secret on the command line")
    ends(run("sync", "nowhere", at=DB), 1, "an unknown remote")
    ends(run("backup", TOP / "no" / "folder.zip", at=DB), 8, "a folder that is not there")
    done = ends(run("frobnicate"), 2, "unknown")
    equal(done.out, b"", "nothing on stdout")
    check(done.err.count(b"\n") == 1, f"one line: {done!r}")
    problem = json.loads(ends(run("get", "nothing", "--json", at=DB), 1, "json").err)
    equal(problem["code"], "not_found", "a code with --json")


@test
def errors_of_parsing_honour_json_wherever_it_stands():
    for words in (("get", "x", "--frob", "1", "--json"), ("--json", "get", "x", "--frob", "1"), ("get", "x", "--frob=1", "--json"),
                  ("--json", "--frob", "ls"), ("--frob", "ls", "--json"), ("get", "x", "-f", "--json"), ("get", "--json", "--at"),
                  ("frobnicate", "--json"), ("--json", "frobnicate"), ("--json",), ("put", "--json"),
                  ("status", "--token", "geheim", "--json"), ("help", "frobnicate", "--json")):
        done = ends(run(*words), 2, " ".join(words))
        equal(json.loads(done.err)["code"], "usage", f"a problem: {done!r}")
        equal(done.out, b"", "nothing on stdout")
    done = ends(run("frobnicate", "--", "--json"), 2, "an argument")
    check(done.err.startswith(b"keepfast: "), f"what is no option asks for nothing: {done!r}")


@test
def help_and_version():
    check(b"keepfast put" not in ends(run("--help"), 0, "help").err, "help is data")
    check(b"--if-match" in ends(run("put", "--help"), 0, "help of a command").out, "options")
    check(ends(run("version"), 0, "version").out.startswith(b"keepfast 0."), "version")
    check(b"pool.max" in ends(run("config"), 0, "config").out, "settings")
    equal(ends(run("config", env={"KEEPFAST_POOL_MAX": "7"}), 0, "config").out.count(b"environment") >= 1, True, "source")


@test
def backup_and_restore():
    zip_ = TOP / "all.zip"
    other = TOP / "other.db"
    ends(run("backup", zip_, at=DB), 0, "backup")
    ends(run("backup", zip_, at=DB), 2, "never over a file")
    ends(run("restore", zip_, at=other), 0, "restore into an empty store")
    equal(run("digest", at=other).out, run("digest", at=DB).out, "equal digests")
    ends(run("restore", zip_, at=other), 3, "not into a full one")
    ends(run("restore", zip_, "--replace", at=other), 0, "unless told")
    kept = [p for p in TOP.iterdir() if p.name.startswith("other.db.before-")]
    check(kept, "the old one is kept aside")
    broken = bytearray(zip_.read_bytes())
    broken[len(broken) // 2] ^= 1
    (TOP / "broken.zip").write_bytes(broken)
    before = run("digest", at=other).out
    check(run("restore", TOP / "broken.zip", "--replace", at=other).status in (9, 11), "a damaged one is refused")
    equal(run("digest", at=other).out, before, "and nothing was changed")
    ends(run("verify", "--deep", at=other), 0, "verify")


@test
def remotes_and_sync():
    place = TOP / "remote"
    place.mkdir(mode=0o700)
    ends(run("remote", "add", "usb", f"dir:{place}", "--manual", at=DB), 0, "remote add")
    ends(run("remote", "add", "usb", f"dir:{place}", at=DB), 3, "twice")
    ends(run("remote", "probe", "usb", at=DB), 0, "probe")
    check(ends(run("status", "--json", at=DB), 0, "status").json()["pending"]["count"] > 0, "everything is pending")
    names = ends(run("pending", "usb", "--json", at=DB), 0, "pending").json()["items"]
    check(any(i["name"] == "x" for i in names), "by name")
    ends(run("sync", "--wait", at=DB), 0, "sync")
    equal(run("status", "--json", at=DB).json()["pending"]["count"], 0, "nothing is pending")
    check((place / "manifest.ndjson").exists(), "it is there")
    ends(run("put", "w.json", "--wait", "usb", at=DB, stdin=b"5"), 0, "put --wait")
    equal(run("status", "--json", at=DB).json()["pending"]["count"], 0, "nothing is pending")
    ends(run("remote", "show", "usb", at=DB), 0, "remote show")
    ends(run("remote", "rm", "usb", at=DB), 0, "remote rm")
    ends(run("remote", "rm", "usb", at=DB), 1, "it is gone")


@test
def status_says_what_would_be_lost():
    """The first line: what the place lacks that lacks least, for there the rest is."""
    at = TOP / "loss.db"

    def first():
        return ends(run("status", at=at), 0, "status").out.decode().splitlines()[0]
    ends(run("put", "x", at=at, stdin=b"1"), 0, "put")
    check(first().startswith("No remote"), first())
    for name in ("near", "far"):
        (TOP / name).mkdir(mode=0o700)
        ends(run("remote", "add", name, f"dir:{TOP}/{name}", "--manual", at=at), 0, "remote add")
    check(first().startswith("If this machine died now: 1 change, 1 B"), first())
    ends(run("sync", "near", "--wait", at=at), 0, "sync")
    equal(first(), "If this machine died now, nothing would be lost: near has everything.", "one of two has it")
    ends(run("put", "y", at=at, stdin=b"2"), 0, "put")
    check(first().startswith("If this machine died now: 1 change, 1 B"), f"not what the other lacks: {first()}")
    ends(run("sync", "--wait", at=at), 0, "sync")
    equal(first(), "If this machine died now, nothing would be lost.", "both have it")
    for name in ("near", "far"):
        ends(run("remote", "rm", name, at=at), 0, "remote rm")
    (TOP / "some").mkdir(mode=0o700)
    ends(run("remote", "add", "some", f"dir:{TOP}/some", "--manual", "--docs", "x*", "--docs", "*.json", at=at), 0, "remote add")
    ends(run("sync", "--wait", at=at), 0, "sync")
    equal(first(), "If this machine died now, documents that no remote takes would be lost: some takes x*, *.json.", "y is nowhere")
    equal(run("remote", "show", "some", "--json", at=at).json()["docs"], ["x*", "*.json"], "which it takes")
    ends(run("remote", "add", "near", f"dir:{TOP}/near", "--manual", at=at), 0, "remote add")
    ends(run("sync", "--wait", at=at), 0, "sync")
    equal(first(), "If this machine died now, nothing would be lost: near has everything.", "it is there")


@test
def what_a_remote_names_beside_its_address():
    token = TOP / "token"
    token.write_text("hunter2")
    token.chmod(0o600)
    named = {"branch": "live", "token_env": "HOST_TOKEN", "token_file": str(token), "ssh_key_file": str(TOP / "id"),
             "known_hosts_file": "/etc/known", "ca_file": str(TOP / "ca.pem")}
    flags = [w for k, v in named.items() for w in ("--" + k.replace("_", "-"), os.path.relpath(v) if v.startswith(str(TOP)) else v)]
    ends(run("remote", "add", "host", "mem:cli", "--manual", "--insecure", "--public", *flags, at=DB), 0, "remote add")
    shown = ends(run("remote", "ls", "--json", at=DB), 0, "remote ls").json()["items"][0]
    shown = {k: os.path.normpath(v) if k in named else v for k, v in shown.items()}
    equal({k: shown.get(k) for k in named}, named, "files as they are seen from here")
    equal((shown["insecure"], shown["public"]), (True, True), "and the flags")
    ends(run("remote", "rm", "host", at=DB), 0, "remote rm")
    place = TOP / "no-access"
    place.mkdir(mode=0o700)
    done = ends(run("remote", "add", "usb", f"dir:{place}", "--branch", "live", at=DB), 3, "a folder has no branch")
    check(b"kind git alone" in done.err, f"{done!r}")
    token.chmod(0o640)
    done = ends(run("remote", "add", "host", "mem:cli", "--token-file", token, at=DB), 3, "others may read the token")
    check(b"(mode 0640)" in done.err and str(token).encode() in done.err, f"{done!r}")
    for words in (["https://me:hunter2@host/x.git"], ["https://host/x.git", "--token-env", "ghp_hunter2hunter2hunter2"]):
        done = ends(run("remote", "add", "host", *words, at=DB), 2, "a token is no argument")
        check(b"--token-file" in done.err and b"hunter2" not in done.err, f"{done!r}")
    equal(run("remote", "ls", "--json", at=DB).json()["items"], [], "none of them is kept")


@test
def a_lost_folder_comes_back_by_the_first_command():
    place, data = TOP / "lasting", TOP / "lost"
    place.mkdir(mode=0o700)
    config = TOP / "lost.yaml"
    config.write_text(f'spaces: {{ default: {{ remotes: {{ usb: {{ url: "dir:{place}", on_change: 1s }} }} }} }}')
    env = {"KEEPFAST_CONFIG": str(config), "KEEPFAST_AT": f"{data}#default"}
    ends(run("put", "a.json", stdin=b"[1]", env=env), 0, "put")
    ends(run("sync", "--wait", env=env), 0, "sync")
    import shutil
    shutil.rmtree(data)
    equal(ends(run("get", "a.json", env=env), 0, "get from nothing").out, b"[1]", "the bytes")


@test
def beside_a_server():
    data = TOP / "served"
    with Server(data) as server:
        at = f"{data}#shop"
        ends(run("put", "x.json", at=at, stdin=b"[1]"), 0, "put goes to the server")
        equal(server.client("shop").get("/docs/x.json").body, b"[1]", "which has it")
        ends(run("put", "x.json", at=f"http://{server.address}/shop", stdin=b"[2]"), 0, "put over TCP")
        equal(ends(run("get", "x.json", at=f"unix:{server.socket}#shop"), 0, "get over the socket").out, b"[2]", "bytes")
        ends(run("space", "create", "more", at=f"{data}#shop"), 0, "space create")
        names = [s["name"] for s in run("space", "ls", "--json", at=at).json()["items"]]
        equal(names, ["more", "shop"], "space ls")
        ends(run("space", "rm", "more", at=at), 2, "only with --yes")
        ends(run("space", "rm", "more", "--yes", at=at), 0, "space rm")
        ends(run("backup", TOP / "served.zip", at=at), 0, "backup through the socket")
        ends(run("restore", TOP / "served.zip", at=f"{data}#copy"), 0, "restore through the socket")
        equal(run("digest", at=f"{data}#copy").out, run("digest", at=at).out, "equal digests")
        second = Server(data, expect_ready=False)
        equal(second.process.wait(20), 3, f"a second server is refused: {second.stderr()}")
        equal(server.stop(), 0, "it stops")
    equal(ends(run("get", "x.json", at=f"{data}#shop"), 0, "get without a server").out, b"[2]", "the same")


@test
def stdout_that_goes_away():
    run("put", "large", at=DB, stdin=b'"' + b"x" * 4_000_000 + b'"')
    done = subprocess.run(f"{PROGRAM} get large --at {DB} | head -c 1 >/dev/null; exit ${{PIPESTATUS[0]}}", shell=True,
                          executable="/bin/bash", capture_output=True)
    equal((done.returncode, done.stderr), (141, b""), "141 and silence")


@test
def long_work_shows_that_it_goes_on():
    """What answers late is made up here: a server that takes its time. Seconds are shown to a terminal, and to nobody else."""

    def late(_path):
        time.sleep(2.5)
        return b'{"digest":"%s","docs":0}' % (b"0" * 64)

    with made_up_server(late) as at:
        quiet = run("digest", at=at)
        equal((quiet.status, quiet.err), (0, b""), "nothing is drawn into a file")
        terminal, end = os.openpty()
        process = subprocess.Popen([PROGRAM, "digest", "--at", at], stdout=subprocess.PIPE, stderr=end)
        os.close(end)
        out = process.communicate(timeout=20)[0]
        equal((process.returncode, out), (0, b"0" * 64 + b"\n"), "the answer is data")
        drawn = os.read(terminal, 65536)
        check(b"digest, 1 s" in drawn and b"digest, 2 s" in drawn, f"seconds are shown: {drawn!r}")
        check(drawn.endswith(b"\r\x1b[K"), f"and go away: {drawn[-20:]!r}")
        os.close(terminal)


main()
