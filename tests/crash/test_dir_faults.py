#!/usr/bin/env python3
# test: timeout=120
"""Bad days of a folder (tests/faultcells.py): a disk that is not there, is full or takes no writes; a manifest that was cut, changed,
replaced or made to name what is not ours; clocks that are wrong."""

import glob
import hashlib
import os
import shutil
import sys
import types
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "crash"))
import disk  # noqa: E402
from faultcells import TOP, cell, run_cells  # noqa: E402
from tap import check, main, test  # noqa: E402

disk.own_namespace()
FAKETIME = (glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1") or [""])[0]
PAGE = b"<!DOCTYPE html>\n<html><body><h1>Sign in</h1></body></html>\n"


def clock(shift):
    return {"LD_PRELOAD": FAKETIME, "FAKETIME": shift, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}


@cell("nothing of ours any more", kind="dir")
def not_there(c):
    c.place.rename(c.top / "elsewhere")
    return lambda: (c.top / "elsewhere").rename(c.place)


@cell("nothing of ours any more", kind="dir")
def not_mounted(c):
    """The folder is there, and what was in it is not."""
    c.place.rename(c.top / "elsewhere")
    c.place.mkdir()

    def heal():
        shutil.rmtree(c.place)
        (c.top / "elsewhere").rename(c.place)
    return heal


def mounted(c):
    """The same on a small file system of its own."""
    shutil.copytree(c.place, c.top / "kept")
    disk.mount("-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", c.place)
    shutil.copytree(c.top / "kept", c.place, dirs_exist_ok=True)
    c.more.append(types.SimpleNamespace(close=lambda: disk.unmount(c.place)))


@cell("No space left on device: make room there", code="remote_full", kind="dir")
def full_file_system(c):
    mounted(c)
    filler = c.place / ".tmp-filler"
    with open(filler, "wb", buffering=0) as file:
        for size in (1 << 16, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
    return filler.unlink


@cell("[Rr]ead-only", kind="dir")
def takes_no_writes(c):
    mounted(c)
    disk.mount("-o", "remount,ro", c.place)
    return lambda: disk.mount("-o", "remount,rw", c.place)


def changed(c, change):
    """The manifest is another one; `change` makes its bytes of the good ones."""
    good = c.manifest.read_bytes()
    c.manifest.write_bytes(change(good))
    return lambda: c.manifest.write_bytes(good)


def ended(lines):
    """As one who knows how would write it."""
    text = b"".join(line + b"\n" for line in lines)
    return text + b'{"end":%d,"hash":"%s"}\n' % (len(lines), hashlib.blake2b(text, digest_size=32).hexdigest().encode())


def doc_line(lines):
    return next(n for n, line in enumerate(lines) if line.startswith(b'{"doc"'))


@cell("manifest", code="bad_object", kind="dir")
def truncated(c):
    return changed(c, lambda good: good[:len(good) // 2])


@cell("manifest", code="bad_object", kind="dir")
def flipped(c):
    return changed(c, lambda good: good[:200] + bytes([good[200] ^ 1]) + good[201:])


@cell("manifest", code="bad_object", kind="dir")
def a_page_for_people(c):
    return changed(c, lambda good: PAGE)


@cell("manifest", code="bad_object", kind="dir")
def names_that_leave_the_folder(c):
    def change(good):
        lines = good.splitlines()[:-1]
        at = doc_line(lines)
        return ended(lines[:at] + [lines[at].replace(b'"doc":"seed"', b'"doc":"../../seed"')] + lines[at + 1:])
    return changed(c, change)


@cell("manifest", code="bad_object", kind="dir")
def rows_that_stand_twice(c):
    def change(good):
        lines = good.splitlines()[:-1]
        at = doc_line(lines)
        return ended(lines[:at + 1] + lines[at:])
    return changed(c, change)


@cell("manifest", code="bad_object", kind="dir")
def members_that_stand_twice(c):
    def change(good):
        lines = good.splitlines()[:-1]
        at = doc_line(lines)
        return ended(lines[:at] + [lines[at][:-1] + b',"doc":"other"}'] + lines[at + 1:])
    return changed(c, change)


@cell("older|back", code="rolled_back", state="rolled_back", kind="dir")
def an_older_state_comes_back(c):
    old = c.manifest.read_bytes()
    for value in (1, 0):
        check(c.client.put("/docs/seed?wait=host&timeout=30s", b"%d" % value).status == 200, "once more")
    return changed(c, lambda _: old)


@cell("is larger than 268435456 bytes", kind="dir")
def ten_gigabytes(c):
    good = c.manifest.read_bytes()
    os.truncate(c.manifest, 10 << 30)
    return lambda: c.manifest.write_bytes(good)


def replaced(c, make):
    good = c.manifest.read_bytes()
    c.manifest.unlink()
    make(c.manifest)

    def heal():
        c.manifest.unlink()
        c.manifest.write_bytes(good)
    return heal


@cell("is no ordinary file", kind="dir")
def a_pipe_that_nobody_fills(c):
    return replaced(c, os.mkfifo)


@cell("a link or something else", kind="dir")
def a_link_that_leaves_the_folder(c):
    outside = Path(TOP / "outside.json")
    outside.write_bytes(b"1")

    def outside_is_unchanged(heal):
        heal()
        check(outside.read_bytes() == b"1", "what is outside is as it was")
    heal = replaced(c, lambda path: path.symlink_to(outside))
    return lambda: outside_is_unchanged(heal)


@cell("", kind="dir", env=clock("+15m"))
def our_clock_15_min_ahead(c):
    return lambda: None


@cell("", kind="dir", env=clock("-15m"))
def our_clock_15_min_behind(c):
    return lambda: None


@test
def local_writes_do_not_notice_and_the_queue_drains():
    check(FAKETIME, "libfaketime is installed")
    run_cells()


main()
