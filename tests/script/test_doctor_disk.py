#!/usr/bin/env python3
# test: timeout=60
"""keepfast doctor on file systems of the test's own: one that fills, one in memory, a container's layer, one that takes no writes, one that
another process serves (FUSE)."""

import os
import sys

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "crash"))
from disk import Fuse, Tmpfs, mount, own_namespace, unmount  # noqa: E402

own_namespace()
from doctored import TOP, answered, codes, finds, pick  # noqa: E402
from keepfast import Server, run, wait_for  # noqa: E402
from tap import NotPossible, check, equal, main, test  # noqa: E402


@test
def a_disk_that_fills():
    disk = Tmpfs(TOP, "small", 64)
    data = disk.point / "data"
    data.mkdir(mode=0o700)
    with Server(data) as server:
        client = server.client()
        client.put("/docs/a", b"1")
        items = answered(client)
        check("in memory" in pick(items, "not_lasting")["detail"], f"{items}")
        check(not {"disk_full", "disk_low", "disk_filling"} & codes(items), f"there is room: {items}")
        disk.fill(leave=5 << 20)
        check("MiB" in pick(answered(client), "disk_filling")["detail"], "nearly")
        disk.fill(leave=2 << 20)
        item = pick(answered(client), "disk_low")
        wait_for(lambda: client.put("/docs/b", os.urandom(4).hex().join('""').encode()).code == "low_space")
        check("low_space" in item["detail"], f"{item}")
        client.close()
        server.stop()
    disk.empty()
    disk.gone()


@test
def a_disk_that_is_full():
    disk = Tmpfs(TOP, "full", 64)
    data = disk.point / "data"
    data.mkdir(mode=0o700)
    with Server(data) as server:
        client = server.client()
        client.put("/docs/a", b"1")
        disk.fill()
        wait_for(lambda: client.put("/docs/a", b'"' + b"x" * 100000 + b'"').code == "disk_full" or client.delete("/docs/a").code == "disk_full", 10)
        pick(answered(client), "disk_full")
        disk.empty()
        wait_for(lambda: "disk_full" not in codes(answered(client)), 10)
        client.close()
        server.stop()
    disk.gone()


@test
def a_layer_of_a_container():
    # A layer cannot lie on a layer: the lower ones are in memory.
    disk = Tmpfs(TOP, "layers", 64)
    for name in ("lower", "upper", "work", "merged"):
        (disk.point / name).mkdir()
    layers = disk.point
    mount("-t", "overlay", "-o", f"lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work", "overlay", layers / "merged")
    try:
        place = layers / "merged" / "data"
        place.mkdir(mode=0o700)
        at = f"{place}#default"
        equal(run("put", "a", at=at, stdin=b"1").status, 0, "put")
        finds(at, "not_lasting", "overlay", "volume")
        # A volume in it lasts as long as what is mounted.
        mount("--bind", str(TOP), str(place))
        check("overlay" not in str([i for i in run("doctor", "--json", at=f"{place}/x.db").json()["items"] if i["code"] == "not_lasting"]), "a volume")
        unmount(place)
    finally:
        unmount(layers / "merged")
        disk.gone()


@test
def a_disk_that_takes_no_writes():
    disk = Tmpfs(TOP, "read-only", 16)
    at = disk.point / "a.db"
    equal(run("put", "a", at=at, stdin=b"1").status, 0, "put")
    mount("-o", "remount,ro", disk.point)
    finds(at, "disk_read_only", str(disk.point))
    mount("-o", "remount,rw", disk.point)
    disk.gone()


@test
def a_file_system_that_another_process_serves():
    """As on NFS and SMB: the kernel asks somebody else."""
    with Fuse(TOP, "served") as disk:
        at = disk.point / "a.db"
        equal(run("put", "a", at=disk.real / "a.db", stdin=b"1").status, 0, "where it really is")
        done = run("put", "a", at=at, stdin=b"1")
        check(done.status == 3 and b"--allow-network-fs" in done.err, f"opening is refused: {done}")
        finds(at, "network_fs", str(disk.point), "0x65735546", level="error")
        data = disk.point / "data"
        data.mkdir(mode=0o700)
        with Server(data, arguments=("--allow-network-fs",)) as server:
            client = server.client()
            equal(client.put("/docs/a", b"1").status, 201, "where it is allowed, it works")
            equal(pick(answered(client), "network_fs")["level"], "warning", "and is said")
            client.close()
            equal(server.stop(), 0, "its end")


main()
