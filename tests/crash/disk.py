"""File systems of a test's own, in a mount namespace of its own: nothing of them is left when the test ends, however it ends.

    own_namespace()     first of all; runs the script again inside
    Ext4(...)           in a file on a loop device, whose power can be cut
    Tmpfs(...)          of a fixed size, which can be filled
    Fuse(...)           a folder, shown elsewhere by another process (bindfs)
"""

import ctypes
import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from machine import own_mounts
from tap import NotPossible

GOINGDOWN = 0x8004587D  # _IOR('X', 125, __u32): the file system stops at once
NO_LOG_FLUSH = 2  # and forgets what was not on disk
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]


def own_namespace():
    if "KF_OWN_NAMESPACE" in os.environ or os.geteuid() != 0:
        return
    words = own_mounts()
    if subprocess.run([*words, "true"], capture_output=True).returncode == 0:
        os.environ["KF_OWN_NAMESPACE"] = "1"
        os.execvp("unshare", [*words, sys.executable, *sys.argv])


def mount(*words):
    if "KF_OWN_NAMESPACE" not in os.environ:
        raise NotPossible("there is no mount namespace of its own")
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise NotPossible(f"mount: {done.stderr.strip()}")


def unmount(point):
    """Waits for whoever was just killed and still holds it."""
    for _ in range(200):
        if subprocess.run(["umount", str(point)], capture_output=True).returncode == 0:
            return
        time.sleep(0.01)
    raise RuntimeError(f"{point} cannot be unmounted")


def loop_possible():
    if os.geteuid() != 0:
        raise NotPossible("only root may mount")
    try:
        os.close(os.open("/dev/loop-control", os.O_RDWR))
    except OSError as why:
        raise NotPossible(f"/dev/loop-control: {why.strerror}") from None


class Ext4:
    """An ext4 whose unsynced state can be dropped."""

    def __init__(self, top, name, rng, megabytes=96):
        loop_possible()
        self.image, self.point, self.rng = top / f"{name}.img", top / name, rng
        self.point.mkdir()
        with open(self.image, "wb") as file:
            file.truncate(megabytes << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(self.image)], check=True, capture_output=True)
        self.mount()

    def mount(self):
        mount("-o", "loop", self.image, self.point)

    def write_back_something(self):
        """Puts a random part of what is unsynced on disk: after the cut it is there and the rest is not. The ext4 below
        writes in the order of its own; this is what changes it."""
        for name in os.listdir(self.point):
            if not os.path.isfile(self.point / name):
                continue
            try:
                fd = os.open(self.point / name, os.O_RDWR)
            except FileNotFoundError:
                continue  # renamed under our eyes by whoever is about to be cut
            pages = max(1, os.fstat(fd).st_size // 4096)
            for _ in range(self.rng.randrange(4)):
                LIBC.sync_file_range(fd, 4096 * self.rng.randrange(pages), 4096 * self.rng.randrange(1, 16), 7)
            os.close(fd)

    def cut(self):
        fd = os.open(self.point, os.O_RDONLY)
        fcntl.ioctl(fd, GOINGDOWN, NO_LOG_FLUSH.to_bytes(4, sys.byteorder))
        os.close(fd)

    def again(self):
        """The machine starts again: what is in memory is gone, the file system replays its log."""
        unmount(self.point)
        self.mount()

    def gone(self):
        unmount(self.point)
        self.image.unlink()


class Fuse:
    """`real` is the folder, `point` where it is shown."""

    def __init__(self, top, name):
        if "KF_OWN_NAMESPACE" not in os.environ:
            raise NotPossible("there is no mount namespace of its own")
        try:
            os.close(os.open("/dev/fuse", os.O_RDWR))
        except OSError as why:
            raise NotPossible(f"/dev/fuse: {why.strerror}") from None
        self.real, self.point = top / f"{name}-real", top / name
        self.real.mkdir(mode=0o700)
        self.point.mkdir()
        self.process = subprocess.Popen(["bindfs", "-f", str(self.real), str(self.point)])
        for _ in range(500):
            if os.path.ismount(self.point):
                return
            time.sleep(0.01)
        raise RuntimeError("bindfs does not mount")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        unmount(self.point)
        self.process.wait(10)


class Tmpfs:
    def __init__(self, top, name, megabytes):
        if os.geteuid() != 0:
            raise NotPossible("only root may mount")
        self.point = top / name
        self.point.mkdir()
        mount("-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", self.point)
        self.fillers = 0

    def free(self):
        return shutil.disk_usage(self.point).free

    def fill(self, leave=0):
        """All but `leave` bytes are taken."""
        self.fillers += 1
        with open(self.point / f"filler{self.fillers}", "wb", buffering=0) as file:
            while self.free() > leave:
                try:
                    file.write(bytes(min(1 << 16, max(4096, self.free() - leave))))
                except OSError:
                    break

    def empty(self):
        """Space comes back."""
        for filler in self.point.glob("filler*"):
            filler.unlink()

    def gone(self):
        unmount(self.point)
