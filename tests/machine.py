"""A copy of this machine in which a test may change everything: its files, its users, what is mounted where.

    with Machine() as m:
        m.run("make", "install", cwd=TOP)
        m.read("/etc/passwd")

It is an overlay above the root of this machine (or above another one: Machine(base)), with what is written kept in memory, in a mount
namespace of its own that ends with the test in whatever way. Processes, network and time are this machine's. The folder for temporary
files is shared, so that a test and its machine can exchange them, and /var/tmp, which is on a disk where that may be in memory. Needs
root, as mounting does."""

import os
import signal
import subprocess
import tempfile
from pathlib import Path

SETUP = r"""
set -eu
top=$1 base=$2 shared=$3
mount -t tmpfs -o mode=755 tmpfs "$top"
mkdir "$top/upper" "$top/work" "$top/tree"
mount -t overlay -o "lowerdir=$base,upperdir=$top/upper,workdir=$top/work" overlay "$top/tree"
for each in proc sys dev; do
    mkdir -p "$top/tree/$each"
    mount --rbind "/$each" "$top/tree/$each"
done
mkdir -p "$top/tree/tmp" "$top/tree/run"
mount -t tmpfs -o mode=755 tmpfs "$top/tree/run"
for each in "$shared" /var/tmp; do
    mkdir -p "$top/tree$each"
    mount --bind "$each" "$top/tree$each"
done
# Its root, not a folder that is taken for one: a process in a chroot may not make namespaces of users.
mkdir -p "$top/tree/.before"
into='pivot_root . .before && umount -l /.before && rmdir /.before && echo ready && exec cat'
if grep -q '^[^ ]* [^ ]* [^ ]* [^ ]* / ' /proc/self/mountinfo; then
    cd "$top/tree"
    eval "$into"
else # we are in a folder that is taken for one: who enters a namespace of mounts, be it his own, stands at its root
    exec nsenter --mount=/proc/self/ns/mnt --wd="$top/tree" sh -c "mount --make-rprivate / && $into"
fi
"""


def own_mounts():
    """Words before a command that give it a mount namespace. In a folder that was made the root, which is no mount point, nothing can
    be made private: it is enough when nothing is shared."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    private = any(mount[4] == "/" for mount in mounts) or any(word.startswith("shared:") for mount in mounts for word in mount)
    return ["unshare", "--mount", "--propagation", "private" if private else "unchanged"]


class Machine:
    def __init__(self, base="/"):
        self.top = tempfile.mkdtemp(prefix="kf-machine-")
        shared = tempfile.gettempdir()
        self.keeper = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *own_mounts(), "sh", "-c", SETUP, "machine", self.top, base, shared],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.keeper.stdout.readline() != "ready\n":
            raise RuntimeError(f"no machine in the machine: {self.keeper.stderr.read()}")

    def words(self, *words, cwd="/"):
        """What runs a command there."""
        return ["nsenter", f"--mount=/proc/{self.keeper.pid}/ns/mnt", f"--root=/proc/{self.keeper.pid}/root", f"--wd=/proc/{self.keeper.pid}/root{cwd}",
                *map(str, words)]

    def popen(self, *words, cwd="/", **kw):
        return subprocess.Popen(self.words(*words, cwd=cwd), **kw)

    def try_run(self, *words, cwd="/", timeout=300, **kw):
        return subprocess.run(self.words(*words, cwd=cwd), capture_output=True, text=True, timeout=timeout, errors="replace",
                              stdin=subprocess.DEVNULL, **kw)

    def run(self, *words, **kw):
        """Its output; fails when the command does."""
        done = self.try_run(*words, **kw)
        if done.returncode:
            raise RuntimeError(f"{words}: exit {done.returncode}: {done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done.stdout

    def sh(self, script, **kw):
        return self.run("sh", "-euc", script, **kw)

    def path(self, path):
        """A file there, as this side sees it. Links lead astray: they are those of this side."""
        return Path(f"/proc/{self.keeper.pid}/root{path}")

    def read(self, path):
        return self.path(path).read_text()

    def close(self):
        self.keeper.stdin.close()
        try:
            self.keeper.wait(5)
        except subprocess.TimeoutExpired:
            self.keeper.send_signal(signal.SIGKILL)
            self.keeper.wait()
        self.keeper.stdout.close()
        self.keeper.stderr.close()
        os.rmdir(self.top)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
