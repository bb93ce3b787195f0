#!/usr/bin/env python3
"""What --at names: the right space of the right store, and nothing outside of it."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from keepfast import PROGRAM, Server, folder  # noqa: E402
from tap import check, equal, main, test  # noqa: E402

TOP = folder()


def run(*words, body=b""):
    return subprocess.run([PROGRAM, *words], input=body, capture_output=True, cwd=TOP)


def names(client):
    answer = client.get("/docs")
    return [d["name"] for d in answer.json()["items"]] if answer.status == 200 else None


@test
def a_file_of_a_served_folder_is_its_space_and_not_default():
    server = Server(TOP / "served")
    server.client("finance").put("/docs/a", b"1")
    for space in ("finance", "other"):  # open in the server, and not yet there
        done = run("put", "--at", str(TOP / "served" / f"{space}.db"), "b", "-", body=b"2")
        equal(done.returncode, 0, f"taken by {space}: {done.stderr}")
    equal(names(server.client("finance")), ["a", "b"], "written where --at said")
    equal(names(server.client("other")), ["b"], "made where --at said")
    equal(names(server.client("default")), None, "and nowhere else")
    server.stop()


@test
def a_server_that_dies_has_not_made_anything_safe():
    with socket.create_server(("127.0.0.1", 0)) as door:
        def die():
            caller = door.accept()[0]
            caller.recv(65536)
            caller.close()
        thread = threading.Thread(target=die)
        thread.start()
        done = run("put", "--at", f"http://127.0.0.1:{door.getsockname()[1]}/default", "a", "-", body=b"1")
        thread.join()
    equal(done.returncode, 10, f"no answer is no confirmation, and 6 would say that it is safe: {done.stderr}")
    check(b"not known" in done.stderr, f"and it says so: {done.stderr}")


@test
def memory_is_the_server_s_and_not_a_space_s():
    def held():
        text = server.client().get("/metrics", raw=True).body.decode()
        return {line.split('"')[1]: int(line.split()[-1]) for line in text.splitlines() if line.startswith("keepfast_cache_bytes{")}
    server = Server(TOP / "shared", "limits: { memory: 1MiB }\n")
    for space in ("a", "b", "c", "d"):
        for i in range(40):
            equal(server.client(space).put(f"/docs/{i}", b'"%s"' % (b"x" * 30000)).status, 201, "put")
    shares = held()
    check(len(shares) == 4 and sum(shares.values()) <= 1 << 20, f"within the limit together: {shares}")
    check(min(shares.values()) > 100000, f"and each has its part: {shares}")
    for space in ("a", "b", "c"):
        equal(server.client(space).delete(f"?confirm={space}").status, 204, "removed")
    for i in range(40):
        server.client("d").get(f"/docs/{i}")
    check(held()["d"] > 450000, f"what is alone has all that is for documents, half of it: {held()}")
    server.stop()


@test
def a_space_that_is_removed_leaves_no_file():
    """Also one of appends that nobody could remove before: it holds bodies."""
    data = TOP / "removed"
    server = Server(data)
    client = server.client("gone")
    for n in range(3):
        client.post("/streams/chat/entries", {"body": n})
    client.put("/docs/a", b"1")
    for tail in ("-redo", "-shm", "-wal"):
        check((data / f"gone.db{tail}").exists(), f"while it is open there is its {tail}")
    (data / "gone.db-redo").rename(data / "away")  # as if it could not be removed when the space is closed
    (data / "gone.db-redo").write_bytes((data / "away").read_bytes())
    equal(client.delete("?confirm=gone").status, 204, "removed")
    equal([path.name for path in data.iterdir() if path.name.startswith("gone")], [], "nothing is left")
    server.stop()


@test
def a_file_is_read_with_the_configuration_of_its_space():
    data = TOP / "alone"
    data.mkdir(0o700)
    (data / "keepfast.yaml").write_text(
        f"spaces:\n  default:\n    remotes:\n      wrong: {{ url: \"dir:{TOP}/wrong\" }}\n"
        f"  finance:\n    remotes:\n      right: {{ url: \"dir:{TOP}/right\" }}\n")
    (TOP / "right").mkdir(0o700)
    equal(run("put", "--at", str(data / "finance.db"), "a", "-", body=b"1").returncode, 0, "taken")
    check((TOP / "right" / "manifest.ndjson").exists(), "pushed to the space's own remote")
    check(not (TOP / "wrong").exists(), "and to no other space's")


@test
def a_command_on_an_empty_store_waits_until_it_is_filled():
    data = TOP / "alone"
    for path in data.glob("finance.db*"):
        path.unlink()
    done = run("get", "--at", f"{data}#finance", "a")
    equal((done.returncode, done.stdout), (0, b"1"), f"comes from the remote: {done.stderr}")


@test
def a_space_of_at_is_a_space_name():
    for space in ("../evil", "Foo", "_keepfast", "tokens", ""):
        done = run("put", "--at", f"{TOP}/data#{space}", "a", "-", body=b"1")
        equal(done.returncode, 2, f"#{space} is refused: {done.stderr}")
    check(not (TOP / "evil.db").exists() and not (TOP / "data").exists(), "nothing was made")


@test
def a_store_that_may_not_be_written_is_refused_and_no_log_made_for_it():
    # As nobody, who may not enter this run's own folders: the program and the store are where anybody may go.
    top = Path(tempfile.mkdtemp(prefix="kf-", dir="/tmp"))
    os.chmod(top, 0o711)
    program, data = top / "keepfast", top / "mine"
    shutil.copy(PROGRAM, program)
    data.mkdir(0o700)
    user = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
    if user:
        os.chown(data, 65534, 65534)

    def put(body):
        return subprocess.run([program, "put", "--at", str(data), "a", "-"], input=body, capture_output=True, cwd="/",
                              **user)
    try:
        done = put(b"1")
        equal(done.returncode, 0, f"made: {done.stderr}")
        os.chmod(data / "default.db", 0o400)
        equal(put(b"2").returncode, 3, "refused")
        os.chmod(data / "default.db", 0o600)
        equal(put(b"2").returncode, 0, "and taken when it may be written again")
    finally:
        shutil.rmtree(top)


@test
def a_data_folder_is_no_symbolic_link():
    real, link = TOP / "real", TOP / "link"
    real.mkdir(0o700)
    link.symlink_to(real)
    done = run("put", "--at", f"{link}#default", "a", "-", body=b"1")
    equal(done.returncode, 3, f"refused as the server does: {done.stderr}")
    check(b"symbolic link" in done.stderr, f"and it says why: {done.stderr}")
    equal(run("put", "--at", f"{link}/#default", "a", "-", body=b"1").returncode, 3, "nor by another spelling")
    server = Server(f"{link}/", expect_ready=False)
    equal(server.process.wait(10), 3, "nor does the server")
    equal(list(real.iterdir()), [], "nothing was made")
    equal(run("put", "--at", f"{real}#default", "a", "-", body=b"1").returncode, 0, "taken by the folder itself")
    equal(run("get", "--at", f"{link}#default", "a").returncode, 3, "what is there is not read through the link")
    equal(run("get", "--at", str(link / "default.db"), "a").stdout, b"1", "a file is anywhere")
    os.chmod(real, 0o770)
    equal(run("get", "--at", f"{real}#default", "a").returncode, 3, "nor from a folder that others may write to")


@test
def names_cannot_move_the_cursor():
    at = f"{TOP}/shown"
    for name in ("a\x1b[2Jb", "line\nbreak"):
        done = run("put", "--at", at, name, "-", body=b"1")
        check(b"\x1b" not in done.stderr, "talk shows an escape")
    listed = run("ls", "--at", at).stdout
    check(b"a\\x1b[2Jb" in listed and b"line\\nbreak" in listed, "so does a table")
    equal(len(listed.splitlines()), 3, "one line a document")


@test
def a_long_list_is_printed_in_time_that_grows_with_its_length():
    server = Server(TOP / "long")
    client = server.client()
    for i in range(12000):
        client.put(f"/docs/d{i}?ack=memory", b"1")
    began = time.time()
    listed = run("ls", "--at", str(TOP / "long"))
    equal(len(listed.stdout.splitlines()), 12001, "all of it")
    check(time.time() - began < 2, "in time")  # the square of it takes 5 s
    server.stop()


main()
