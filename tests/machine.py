"""A copy of this machine in which a test may change everything: its files, its users, what is mounted where.

    with Machine() as m:
        m.run("make", "install", cwd=TOP)
        m.read("/etc/passwd")

It is an overlay above the root of this machine (or above another one: Machine(base)), with what is written kept in memory, in a mount
namespace of its own that ends with the test in whatever way. Processes, network and time are this machine's. /tmp is shared, so that a
test and its machine can exchange files. Needs root, as mounting does."""

import os
import signal
import subprocess
import tempfile
from pathlib import Path

SETUP = r"""
set -eu
top=$1 base=$2 shared=$3
mount -t tmpfs -o mode=755 tmpfs "$top"
mkdir "$top/upper" "$top/work" "$top/root"
mount -t overlay -o "lowerdir=$base,upperdir=$top/upper,workdir=$top/work" overlay "$top/root"
for each in proc sys dev; do
    mkdir -p "$top/root/$each"
    mount --rbind "/$each" "$top/root/$each"
done
mkdir -p "$top/root/tmp" "$top/root/run" "$top/root$shared"
mount -t tmpfs -o mode=755 tmpfs "$top/root/run"
mount --bind "$shared" "$top/root$shared"
# Its root, not a folder that is taken for one: a process in a chroot may not make namespaces of users.
cd "$top/root"
mkdir -p .before
pivot_root . .before
umount -l /.before
rmdir /.before
echo ready
exec cat
"""


class Machine:
    def __init__(self, base="/"):
        self.top = tempfile.mkdtemp(prefix="kf-machine-")
        shared = tempfile.gettempdir()
        self.keeper = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "sh", "-c", SETUP, "machine", self.top, base, shared],
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
