#!/usr/bin/env python3
"""`make install` and pkg-config: a program is built against what was installed, in both ways."""

import os
import subprocess

from elf import TOP, output
from tap import check, equal, main, test

FOLDER = os.environ["TMPDIR"]
ROOT = os.path.join(FOLDER, "root")

SOURCE = r"""
#include <keepfast.h>
#include <stdio.h>

int main(void)
{
    return puts(kf_version()) < 0;
}
"""


def pkg_config(*arguments):
    folder = next(path for path, _, files in os.walk(ROOT) if "keepfast.pc" in files)
    # The system's libraries stay where they are; only what was installed is under the root.
    system = output("pkg-config", "--variable", "pc_path", "pkg-config").strip()
    words = output("pkg-config", *arguments, "keepfast", env=dict(os.environ, PKG_CONFIG_LIBDIR=f"{folder}:{system}")).split()
    return [word.replace("/opt/kf", ROOT + "/opt/kf") for word in words]


def build_and_run(name, *arguments, **more):
    source, program = os.path.join(FOLDER, name + ".c"), os.path.join(FOLDER, name)
    with open(source, "w", encoding="utf-8") as file:
        file.write(SOURCE)
    output("cc", "-Wall", "-Wextra", "-Werror", "-std=c17", "-pedantic", source, "-o", program, *arguments)
    return output(program, **more).strip()


@test
def everything_is_installed_under_destdir():
    # A build folder of its own, so that the prefix of the release stays what it is.
    build = os.path.join(FOLDER, "b")
    output("meson", "setup", build, "--prefix", "/opt/kf", cwd=TOP)
    output("ninja", "-C", build, "-j", "2")
    output("meson", "install", "-C", build, "--no-rebuild", "--quiet", env=dict(os.environ, DESTDIR=ROOT))
    found = {name for _, _, files in os.walk(ROOT) for name in files}
    for name in ("keepfast.h", "keepfast.pc", "libkeepfast.a", "libkeepfast.so"):
        check(name in found, f"{name} is installed")
    if os.path.exists(os.path.join(TOP, "src/cli/main.c")):
        check("keepfast" in found, "keepfast is installed")
    for path, _, files in os.walk(ROOT):
        check(path.startswith(ROOT + "/opt/kf") or not files, f"{path} is under the prefix")


@test
def a_program_links_the_shared_library():
    libraries = pkg_config("--cflags", "--libs")
    folder = next(word[2:] for word in libraries if word.startswith("-L"))
    version = build_and_run("shared", *libraries, env=dict(os.environ, LD_LIBRARY_PATH=folder))
    equal(version, output("pkg-config", "--modversion", os.path.join(folder, "pkgconfig/keepfast.pc")).strip(), "kf_version")
    check("libkeepfast.so.0" in output("readelf", "-d", os.path.join(FOLDER, "shared")), "by its soname")


@test
def a_program_links_the_archive():
    words = pkg_config("--static", "--cflags", "--libs")
    words = ["-l:libkeepfast.a" if word == "-lkeepfast" else word for word in words]
    check(build_and_run("static", *words), "it runs without a library path")
    check("libkeepfast" not in output("readelf", "-d", os.path.join(FOLDER, "static")), "the archive is in the program")


@test
def the_header_is_also_c_plus_plus():
    done = subprocess.run(["g++", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-pedantic", "-x", "c++", os.path.join(TOP, "include/keepfast.h")],
                          capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if "pragma once" not in line]
    equal(done.returncode, 0, "\n".join(lines))


main()
