#!/usr/bin/env python3
# test: timeout=300
"""The hostile branches (tests/githostile.py) are what they say they are: git's own check complains of them as announced, a careful
fetch brings those that are announced to arrive, and a host takes no push of those that are broken."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from githost import GitHost  # noqa: E402
from githostile import CANARY, HOSTILE  # noqa: E402
from keepfast import folder  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

TOP = folder()
HOST = GitHost("path")
LARGE = ("huge_file", "delta_bomb")  # git reads all of it to check it
MEMORY = 512 << 20


def make(name):
    HOST.make(name)
    good = HOST.commit(name, "data", {"good.json": b"1\n", ".keepfast/format.json": b"{}\n"}, "good", when=1600000000)
    tip = HOSTILE[name](HOST, name, "data")
    check(tip != good and HOST.tip(name, "data") == tip, f"{name}: the branch has it")
    return tip


def git(name, *words):
    return HOST.at(name, *words)


def fetch(name, tip):
    """Whether it came, and what was said."""
    bare = TOP / f"{name}.git"
    HOST.git("init", "-q", "--bare", bare)
    words = ["prlimit", f"--as={MEMORY}", "git", "-C", bare, "-c", "transfer.fsckObjects=true", "fetch", "-q", HOST.url(name), "+data:data"]
    done = subprocess.run(words, env=HOST.client(), capture_output=True, timeout=60)
    came = subprocess.run(["git", "-C", bare, "rev-parse", "-q", "--verify", "refs/heads/data"], capture_output=True, text=True).stdout.strip()
    return came == tip, done.stderr.decode(errors="replace")


@test
def each_is_named_and_described():
    check(len(HOSTILE) >= 55, f"{len(HOSTILE)} of them")
    for name, hostile in HOSTILE.items():
        check(hostile.__doc__ and hostile.__doc__.endswith("."), f"{name} says what it is")


@test
def a_strict_check_says_of_each_what_is_announced():
    for name, hostile in HOSTILE.items():
        if name in LARGE:
            continue
        make(name)
        said = HOST.fsck(name)
        if hostile.fsck:
            check(any(hostile.fsck in line for line in said), f"{name}: {said}")
        else:
            equal(said, [], name)
    note(f"{len(HOSTILE)} branches, {sum(bool(h.fsck) for h in HOSTILE.values())} of which are broken")


@test
def a_careful_fetch_brings_those_that_are_announced():
    for name, hostile in HOSTILE.items():
        if name not in LARGE:
            came, said = fetch(name, HOST.tip(name, "data"))
            equal(came, hostile.arrives, f"{name}: {said}")


@test
def large_ones_are_small_on_their_way():
    for name, large, most in (("huge_file", "huge.json", 2_000_000), ("delta_bomb", "delta4.json", 20_000)):
        tip = make(name)
        packs = sum(path.stat().st_size for path in (HOST.path(name) / "objects" / "pack").iterdir())
        check(packs < most, f"{name}: {packs} bytes")
        size = int(git(name, "cat-file", "-s", f"data:{large}"))
        check(size >= 1 << 30, f"{name}: {size} bytes, once unpacked")
        came, said = fetch(name, tip)
        equal(came, HOSTILE[name].arrives, f"{name} within {MEMORY} bytes of memory: {said}")
    check("ut of memory" in said, f"the second needs more: {said}")


@test
def those_of_many_parts_have_them():
    deepest = git("deep_folders", "ls-tree", "-r", "--name-only", "data").split(b"\n")[1:-1]
    equal(max(path.count(b"/") for path in deepest), 3000, "folders")
    equal(len(git("many_files", "ls-tree", "--name-only", "data:many").split()), 100_000, "files")
    equal(len(git("tree_bomb", "rev-list", "--objects", "data:bomb").split(b"\n")) - 1, 11, "objects for ten billion files")
    equal(git("tree_bomb", "cat-file", "-p", "data:bomb/9/8/7/6/5/4/3/2/1/0"), b"1\n", "each of which is there")
    equal(len(git("many_parents", "rev-list", "--parents", "-1", "data").split()), 502, "parents")


@test
def those_of_odd_kinds_have_them():
    kinds = {line.split()[0] for line in git("modes", "ls-tree", "data").split(b"\n") if line}
    equal(kinds, {b"040000", b"100644", b"100755", b"120000", b"160000"}, "modes")
    names = git("case_twins", "ls-tree", "-z", "--name-only", "data").split(b"\0")
    check({b"Twin.json", b"twin.json", b"TWIN.JSON", b"Folder", b"folder"} <= set(names), f"twins: {names}")
    check(b"\xe9t\xe9.json" in git("not_utf8", "ls-tree", "-z", "--name-only", "data").split(b"\0"), "no UTF-8")
    check(b"\0after" in git("nul_in_message", "cat-file", "commit", "data"), "a NUL")
    equal([int(git(name, "log", "-1", "--format=%at", "data")) for name in ("year_1970", "year_2100")], [0, 4102444800], "years")
    equal(git("unrelated_root", "rev-list", "--count", "data"), b"1\n", "a root")
    equal(git("second_root", "rev-list", "--max-parents=0", "--count", "data"), b"2\n", "two roots")
    check(b"instead" in git("replaced", "log", "--format=%s", "data"), "replaced, for all who believe it")
    shelves = git("rows_that_lie", "ls-tree", "-r", "--name-only", "data:.keepfast/docs").split()
    check(len(shelves) > 15, f"rows on their shelves: {shelves}")
    for name, hostile in HOSTILE.items():
        if hostile.arrives:
            equal(git(name, "cat-file", "-p", "data:good.json"), b"1\n", f"{name}: what was there is there")


@test
def a_host_takes_no_push_of_what_is_broken():
    HOST.make("taker")
    for name in ("dot_git", "dot_dot", "no_author", "duplicate_entries", "symlinks", "submodules"):
        takes = not HOSTILE[name].fsck
        done = HOST.git("push", "-q", HOST.url("taker"), f"data:{name}", cwd=HOST.path(name))
        equal(done.returncode == 0, takes, f"{name}: {done.stderr}")
    equal(HOST.git("ls-remote", "-h", HOST.url("taker")).stdout.count("\n"), 2, "it has those two")


@test
def a_list_of_files_has_an_end():
    try:
        HOST.files("tree_bomb", "data")
    except RuntimeError as error:
        check("cannot list" in str(error), str(error))
    else:
        check(False, "ten billion files were listed")


@test
def nothing_of_it_was_run():
    check(not os.path.exists(CANARY), "no program of theirs")
    HOST.close()


main()
