#!/usr/bin/python3
"""Runs a command as systemd would run a service, by what the unit file says: for machines on which no systemd runs.

    tests/sandbox.py UNIT COMMAND [ARGUMENT...]     as root, in a mount namespace of its own

Folders, mounts, user, capabilities, new privileges and the filter of system calls are made as the settings of the unit ask for, and
only those settings are known that are named here: one that is not ends with an error, so that nothing counts as tried which was not.
The lists of calls are those of systemd-analyze, their numbers those of the kernel's headers."""

import ctypes
import os
import platform
import pwd
import re
import struct
import subprocess
import sys

# Settings that need nothing here: what starts and ends a service, or what the rest has already.
ELSEWHERE = """Type ExecStart ExecReload Restart RestartSec RestartPreventExitStatus TimeoutStartSec TimeoutStopSec KillMode WatchdogSec
    EnvironmentFile ConfigurationDirectory ConfigurationDirectoryMode PrivateMounts RemoveIPC KeyringMode DevicePolicy
    ProtectClock ProtectControlGroups ProtectHostname ProtectKernelLogs ProtectKernelModules ProtectKernelTunables RestrictRealtime
    RestrictSUIDSGID LockPersonality SystemCallArchitectures Group LimitNOFILE AmbientCapabilities""".split()
MADE = """User StateDirectory StateDirectoryMode ReadWritePaths UMask NoNewPrivileges CapabilityBoundingSet ProtectSystem ProtectHome
    PrivateTmp PrivateDevices PrivateUsers ProtectProc ProcSubset RestrictAddressFamilies RestrictNamespaces MemoryDenyWriteExecute SystemCallFilter
    SystemCallErrorNumber""".split()

libc = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_CAPBSET_DROP = 38, 22, 24
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[platform.machine()]
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
EPERM, ENOSYS, EAFNOSUPPORT = 1, 38, 97
LOAD, JEQ, JSET, RET = 0x20, 0x15, 0x45, 0x06
NR, ARCH = 0, 4
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}
CLONE_NEW = 0x7E020000  # CLONE_NEWCGROUP … CLONE_NEWNET, CLONE_NEWNS


def settings(unit):
    """Of [Service], in their order; a setting may stand more than once."""
    section, found = "", []
    with open(unit, encoding="utf-8") as file:
        for line in file:
            line = line.strip()
            if line.startswith("["):
                section = line
            elif section == "[Service]" and line and not line.startswith("#"):
                found.append(tuple(line.split("=", 1)))
    for name, _ in found:
        if name not in ELSEWHERE + MADE:
            sys.exit(f"sandbox: {name} is not known here")
    return found


# ------------------------------------------------------------------------------------- system calls

def call_numbers():
    text = subprocess.run(["cc", "-E", "-dM", "-include", "sys/syscall.h", "-xc", "/dev/null"], capture_output=True, text=True, check=True).stdout
    return {name: int(number) for name, number in re.findall(r"^#define __NR_(\w+) (\d+)$", text, re.M)}


NR_OF = call_numbers()


def group(name):
    if not name.startswith("@"):
        return {name}
    found = set()
    for word in subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", name], capture_output=True, text=True, check=True).stdout.splitlines()[1:]:
        word = word.strip()
        if word and not word.startswith("#"):
            found |= group(word)
    return found


def allowed(filters):
    """What SystemCallFilter= lines leave: the first says whether the list allows or denies."""
    calls = set()
    for line in filters:
        for name in line.removeprefix("~").split():
            calls = calls - group(name) if line.startswith("~") else calls | group(name)
    return calls | group("@default") | {"execve", "exit", "exit_group", "rt_sigreturn"}


def op(code, k, yes=0, no=0):
    return struct.pack("HBBI", code, yes, no, k)


def install(program):
    class Program(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]

    code = b"".join(program)
    if libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(Program(len(program), code)), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def argument(n):
    return 16 + 8 * n  # the low half of struct seccomp_data.args[n]


def only(calls):
    program = [op(LOAD, ARCH), op(JEQ, AUDIT_ARCH, 1, 0), op(RET, ERRNO | EPERM), op(LOAD, NR)]
    for number in sorted(NR_OF[c] for c in calls if c in NR_OF):
        program += [op(JEQ, number, 0, 1), op(RET, ALLOW)]
    install(program + [op(RET, ERRNO | EPERM)])


def only_families(names):
    program = [op(LOAD, NR), op(JEQ, NR_OF["socket"], 1, 0), op(RET, ALLOW), op(LOAD, argument(0))]
    for name in names:
        program += [op(JEQ, FAMILIES[name], 0, 1), op(RET, ALLOW)]
    install(program + [op(RET, ERRNO | EAFNOSUPPORT)])


def refuse_when(call, number, bits, more_bits=0):
    """The call, when argument `number` has any of `bits`, and of more_bits if there are any."""
    program = [op(LOAD, NR), op(JEQ, NR_OF[call], 1, 0), op(RET, ALLOW), op(LOAD, argument(number)), op(JSET, bits, 1, 0), op(RET, ALLOW)]
    if more_bits:
        program += [op(JSET, more_bits, 1, 0), op(RET, ALLOW)]
    install(program + [op(RET, ERRNO | EPERM)])


def refuse(call, error):
    install([op(LOAD, NR), op(JEQ, NR_OF[call], 0, 1), op(RET, ERRNO | error), op(RET, ALLOW)])


# ------------------------------------------------------------------------------------- files

def sh(script, *arguments):
    subprocess.run(["sh", "-euc", script, "sandbox", *arguments], check=True)


def mounts(unit):
    state = [f"/var/lib/{d}" for name, d in unit if name == "StateDirectory"]
    user = dict(unit)["User"]
    for folder in state:
        sh('mkdir -p "$1"; chown "$2:$2" "$1"; chmod "$3" "$1"', folder, user, dict(unit)["StateDirectoryMode"])
    write = state + [p.removeprefix("-") for name, p in unit if name == "ReadWritePaths" and os.path.exists(p.removeprefix("-"))]
    # Everything is read-only but what may be written, which becomes a mount of its own before.
    for path in write:
        sh('mount --bind "$1" "$1"', path)
    sh("mount -o remount,bind,ro / && mount -o remount,bind,ro /run")
    for path in ("/tmp", "/var/tmp"):
        sh('mount -t tmpfs -o mode=1777 tmpfs "$1"', path)
    for path in ("/home", "/root"):
        sh('mount -t tmpfs -o mode=000,ro tmpfs "$1"', path)
    sh("""d=$(mktemp -d -p /tmp); for each in null zero full random urandom; do : >$d/$each; done
          mkdir $d/real; mount --bind /dev $d/real; mount -t tmpfs -o mode=755 tmpfs /dev
          for each in null zero full random urandom; do : >/dev/$each; mount --bind $d/real/$each /dev/$each; done
          mkdir /dev/shm; mount -t tmpfs -o mode=1777 tmpfs /dev/shm; ln -s /proc/self/fd /dev/fd; umount $d/real""")
    sh("mount -t proc -o hidepid=2,subset=pid proc /proc")


def private_users(who):
    """Root and the user are themselves, everybody else is nobody. Who writes the map must stand outside."""
    wait_read, go = os.pipe()
    me = os.getpid()
    if os.fork() == 0:
        os.close(go)
        try:
            os.read(wait_read, 1)
            for name, number in (("uid_map", who.pw_uid), ("gid_map", who.pw_gid)):
                with open(f"/proc/{me}/{name}", "w", encoding="ascii") as file:
                    file.write(f"0 0 1\n{number} {number} 1\n")
            os._exit(0)
        except OSError as error:
            os.write(2, f"{error}\n".encode())
            os._exit(1)
    os.close(wait_read)
    if libc.unshare(0x10000000):
        raise OSError(ctypes.get_errno(), "unshare")
    os.write(go, b".")
    if os.wait()[1]:
        sys.exit("sandbox: the users were not mapped")


def confine(unit):
    have = dict(unit)
    who = pwd.getpwnam(have["User"])
    calls = allowed([v for n, v in unit if n == "SystemCallFilter"])
    mounts(unit)
    private_users(who)
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups([])
    os.setresgid(who.pw_gid, who.pw_gid, who.pw_gid)
    os.setresuid(who.pw_uid, who.pw_uid, who.pw_uid)
    os.umask(int(have["UMask"], 8))
    os.chdir("/")
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    refuse_when("mmap", 2, 2, 4)  # writable and executable
    refuse_when("mprotect", 2, 4)
    refuse_when("pkey_mprotect", 2, 4)
    refuse_when("clone", 0, CLONE_NEW)
    refuse_when("unshare", 0, CLONE_NEW)
    refuse("setns", EPERM)
    refuse("clone3", ENOSYS)  # its flags are in memory, where a filter does not look
    only_families(have["RestrictAddressFamilies"].split())
    only(calls)


def main():
    unit, command = settings(sys.argv[1]), sys.argv[2:]
    have = dict(unit)
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "USER": have["User"],
                   "HOME": pwd.getpwnam(have["User"]).pw_dir, "STATE_DIRECTORY": "/var/lib/keepfast"}
    environment |= {k: v for k, v in os.environ.items() if k.startswith(("KEEPFAST_", "NOTIFY_", "WATCHDOG_"))}
    confine(unit)
    os.execve(command[0], command, environment)


if __name__ == "__main__":
    main()
