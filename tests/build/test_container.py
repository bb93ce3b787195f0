#!/usr/bin/env python3
# test: timeout=240
"""The container: its Dockerfile executed step by step in copies of this machine (tests/dockerfile.py), and the program in it as it is started there.

Usually the build stage is given: what `make install` of the built release puts under DESTDIR; and the base is this machine itself. With
KEEPFAST_LONG=1 both stages run, above a Debian that debootstrap makes."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

from elf import PROGRAM, TOP, output
from tap import check, equal, main, test

sys.path.insert(0, os.path.join(TOP, "tests"))
from dockerfile import Dockerfile  # noqa: E402
from keepfast import wait_for  # noqa: E402

TEMP = os.environ["TMPDIR"]
LONG = os.environ.get("KEEPFAST_LONG") == "1"
FILE = os.path.join(TOP, "packaging/docker/Dockerfile")
DISK = tempfile.TemporaryDirectory(prefix="keepfast-volumes-", dir="/var/tmp")  # of volumes, which are not in memory
HEX64 = "5" * 64


def listed(name):
    with open(os.path.join(TOP, "packaging", name), encoding="utf-8") as file:
        return {line.split()[0] for line in file if line.strip() and not line.startswith("#")}


def owner(path):
    """The package of a file, which may know it by its name before /usr was merged."""
    for name in (path, os.path.realpath(path), path.removeprefix("/usr")):
        done = subprocess.run(["dpkg-query", "-S", name], capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.split(":")[0]
    raise AssertionError(f"{path} is in no package")


@test
def the_packages_are_those_of_what_it_loads():
    """Libraries are named in the program, whether it is linked with them or loads them on demand."""
    with open(PROGRAM, "rb") as file:
        names = {name.decode() for name in re.findall(rb"\0(lib[a-z0-9+_-]+\.so\.\d+)(?=\0)", file.read())}
    paths = dict(re.findall(r"^\s*(\S+) \(libc6,x86-64[^)]*\) => (\S+)$", output("ldconfig", "-p"), re.M))
    wanted = {owner(paths[name]) for name in names} - {"libc6"}
    check(len(wanted) > 3, f"it loads something: {wanted}")
    equal(sorted(wanted), sorted(name for name in listed("debian-packages-run.txt") if name.startswith("lib")), "packaging/debian-packages-run.txt")


IMAGE = []


def image():
    """Made once."""
    if not IMAGE:
        given = {}
        if not LONG:
            given["build"] = os.path.join(TEMP, "out")
            os.makedirs(os.path.join(given["build"], "usr/bin"))
            shutil.copy2(PROGRAM, os.path.join(given["build"], "usr/bin/keepfast"))
        IMAGE.append(Dockerfile(FILE, context=TOP, given=given, debian=LONG).build())
    return IMAGE[0]


@test
def the_dockerfile_builds():
    made = image()
    equal(made.user, "10001:10001", "not root, by number")
    equal(made.volumes, ["/data", "/backup"], "volumes")
    for path in ("/data", "/backup"):
        equal(made.machine.run("stat", "-c", "%a %u:%g", path).strip(), "700 10001:10001", path)
    check(not made.machine.path("/tmp/packages").exists(), "nothing of the building is left")
    check("keepfast" in made.exec("keepfast", "version").stdout, "it runs")


def volumes(*names):
    """Mounted as a container engine does: from folders of its own, by name or without one."""
    for target, name in zip(("/data", "/backup"), names):
        source = os.path.join(DISK.name, "volumes", name, "_data")
        os.makedirs(source, exist_ok=True)
        os.chown(source, 10001, 10001)
        os.chmod(source, 0o700)
        image().machine.run("mount", "--bind", source, target)


def unmount():
    image().machine.run("umount", "/data", "/backup")


class Container:
    def __init__(self, **env):
        self.process = image().start(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, KEEPFAST_LISTEN="127.0.0.1:0", **env)

    def __enter__(self):
        check(self.process.stdout.readline().startswith("keepfast ready"), "it is ready")
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate(timeout=20)
        equal(self.process.returncode, 0, f"it ends: {said}")
        return said


@test
def it_is_started_and_is_healthy():
    volumes("keepfast-data", "keepfast-backup")
    try:
        check(image().health() != 0, "not healthy before it runs")
        with Container(KEEPFAST_BACKUP_TO="dir:/backup", KEEPFAST_BACKUP_EVERY="1s") as c:
            equal(image().health(), 0, "healthy")
            done = image().exec("keepfast", "put", "a.json", input='{"a":1}')
            equal(done.returncode, 0, done.stderr)
            equal(image().exec("keepfast", "get", "a.json").stdout.strip(), '{"a":1}', "a command beside it")
            wait_for(lambda: os.listdir(os.path.join(DISK.name, "volumes/keepfast-backup/_data")), 20)
            said = c.stop()
        check("start.volatile" not in said, f"a named volume lasts: {said}")
        equal(os.stat(os.path.join(DISK.name, "volumes/keepfast-data/_data/default.db")).st_uid, 10001, "as its user")
        with Container() as c:
            equal(image().exec("keepfast", "get", "a.json").stdout.strip(), '{"a":1}', "the next container has it")
            c.stop()
        check(image().health() != 0, "not healthy when it has ended")
    finally:
        unmount()


@test
def a_container_without_volumes_says_so():
    with Container() as c:
        said = c.stop()
    check("start.volatile" in said and "on no volume" in said, f"the log: {said}")


@test
def a_volume_without_a_name_is_told_of():
    volumes(HEX64, HEX64)
    try:
        with Container() as c:
            said = c.stop()
    finally:
        unmount()
    check("start.volatile" in said and "without a name" in said, f"the log: {said}")


@test
def a_data_folder_in_memory_is_told_of():
    image().machine.run("mount", "-t", "tmpfs", "-o", "mode=0700,uid=10001,gid=10001", "tmpfs", "/data")
    try:
        with Container() as c:
            said = c.stop()
    finally:
        image().machine.run("umount", "/data")
    check("start.volatile" in said and "in memory" in said, f"the log: {said}")


@test
def the_compose_file_fits():
    """Its service is the image, and what it sets is understood."""
    with open(os.path.join(TOP, "packaging/docker/compose.yaml"), encoding="utf-8") as file:
        text = file.read()
    env = dict(re.findall(r"^      (KEEPFAST_\w+): \"?([^\"\n]+)\"?$", text, re.M))
    check(len(env) >= 3, f"settings: {env}")
    equal(image().exec("keepfast", "config", env=env).returncode, 0, "known to keepfast config")
    for volume, target in (("keepfast-data", "/data"), ("keepfast-backup", "/backup")):
        check(f"- {volume}:{target}" in text and f"{volume}: {{ name: {volume} }}" in text, f"{target} is a named volume")
    check(os.path.exists(os.path.join(TOP, "packaging/docker", re.search(r"context: (\S+)", text)[1], re.search(r"dockerfile: (\S+)", text)[1])), "the paths")


main()
