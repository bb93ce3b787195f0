#!/usr/bin/env python3
"""Files as C source: tools/embed.py OUT.c FILE...

Makes the table that src/api/page_files.h declares. A file keeps its bytes; its ETag is their hash, so that a browser fetches
again what has changed and nothing else."""

import hashlib
import os
import sys

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def main():
    out, *paths = sys.argv[1:]
    lines = ["/* Made by tools/embed.py. */", '#include "api/page_files.h"', ""]
    rows = []
    for number, path in enumerate(paths):
        with open(path, "rb") as file:
            data = file.read()
        name = os.path.basename(path)
        tag = hashlib.blake2b(data, digest_size=16).hexdigest()
        lines.append(f"static const unsigned char bytes_{number}[] = {{")
        lines += [",".join(map(str, data[at : at + 32])) + "," for at in range(0, len(data), 32)]
        lines.append("};")
        kind = TYPES[os.path.splitext(name)[1]]
        rows.append(f'    {{"{name}", "{kind}", "\\"{tag}\\"", bytes_{number}, sizeof bytes_{number}}},')
    lines += ["", "const struct page_file page_files[] = {", *rows, "};"]
    lines.append("const size_t page_file_count = sizeof page_files / sizeof *page_files;")
    with open(out, "w", encoding="ascii") as file:
        file.write("\n".join(lines) + "\n")


main()
