#!/usr/bin/env python3
# test: timeout=180
"""The guides: every block that is marked to be run, in the order of its page, in one shell in an empty folder; every link."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(os.environ.get("KF_TOP", ".")).resolve()
sys.path.insert(0, str(TOP / "tests"))
from githost import GitHost  # noqa: E402
from keepfast import PROGRAM, folder  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

FENCE = re.compile(r"^```(\w+) run\n(.*?)^```$", re.M | re.S)
PAGES = {"docs/quickstart.md": 6}  # with the least that each has
# A place of the machine is one of the test's.
PLACES = {"/var/lib/keepfast": "data", "/var/backups/keepfast": "backups", "/etc/keepfast": "etc"}


def blocks(text):
    """(line, language, script) of each."""
    return [(text[:match.start()].count("\n") + 2, match[1], match[2]) for match in FENCE.finditer(text)]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Page:
    """A page in a folder of its own, on a port of its own."""

    def __init__(self, text):
        self.where, self.port = folder(), free_port()
        for place, ours in PLACES.items():
            (self.where / ours).mkdir(mode=0o700)
            text = text.replace(place, str(self.where / ours))
        self.text = text.replace("127.0.0.1:7070", f"127.0.0.1:{self.port}")
        (self.where / "bin").mkdir()
        (self.where / "bin/keepfast").symlink_to(os.path.abspath(PROGRAM))
        self.env = {**os.environ, "PATH": f"{self.where}/bin:{os.environ['PATH']}", "HOME": str(self.where), "GIT_CONFIG_NOSYSTEM": "1",
                    "KEEPFAST_LISTEN": f"127.0.0.1:{self.port}"}

    def script(self):
        """One shell, with job control, so that %1 is what & started. It says before each block which one it is."""
        lines = ["set -eum", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
        for line, language, text in blocks(self.text):
            lines += [f"echo '== line {line}' >&2", text if language == "sh" else f"python3 - <<'END_OF_BLOCK'\n{text}END_OF_BLOCK\n"]
        return "\n".join(lines)

    def run(self, **env):
        """(status, output, what was said, of whom the last block was)"""
        process = subprocess.Popen(["bash", "-c", self.script()], cwd=self.where, env={**self.env, **env}, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        try:
            out, said = process.communicate(timeout=120)
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return process.returncode, out, said


def text_of(page):
    return (TOP / page).read_text(encoding="utf-8")


def good(page, done):
    status, out, said = done
    block = (re.findall(r"== line (\d+)", said) or ["?"])[-1]
    equal(status, 0, f"{page}, the block at line {block}: {said[-1500:]}{out[-500:]}")
    note(f"{page}: {len(blocks(text_of(page)))} blocks ran")


@test
def the_quick_start():
    page = Page(text_of("docs/quickstart.md"))
    began = time.monotonic()
    with GitHost("http") as host:
        host.make("store")
        done = page.run(ADDRESS=host.url("store"), DATA_TOKEN=host.token)
        good("docs/quickstart.md", done)
        check(time.monotonic() - began < 60, "far less than five minutes, without the typing")
        equal(json.loads(host.files("store", "data")["settings.json"]), {"theme": "blue", "size": 12}, "it is in the branch")
        equal(json.loads(done[1][done[1].rindex("{"):]), {"theme": "blue", "size": 12}, "and came back on the new machine")


@test
def no_page_has_fewer_blocks_than_it_had():
    for page, least in PAGES.items():
        check(len(blocks(text_of(page))) >= least, f"{page}: {len(blocks(text_of(page)))} blocks")
    for page in (TOP / "docs").glob("*.md"):
        name = f"docs/{page.name}"
        check(name in PAGES or not blocks(text_of(name)), f"{name} has blocks that nobody runs")


@test
def a_block_that_fails_is_found():
    """Control."""
    for wrong in ("```sh run\ntrue\n```\n\n```sh run\nkeepfast get nothing.json\ntrue\n```\n", "```python run\nraise SystemExit(3)\n```\n",
                  "```sh run\nfalse | true\nkeepfast nonsense\n```\n"):
        page = Page(wrong)
        status, _, said = page.run()
        check(status != 0 and "== line" in said, f"{wrong}: {status} {said}")


# ------------------------------------------------------------------------------------- links

LINK = re.compile(r"\]\(([^)#\s]*)(#[^)\s]*)?\)")


def anchors(text):
    """As hosts make them of headings."""
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", text, re.M)}


def broken_links(path, text):
    for match in LINK.finditer(re.sub(r"```.*?```", "", text, flags=re.S)):
        address, anchor = match[1], match[2]
        if "://" in address:
            continue
        target = (path.parent / address).resolve() if address else path
        if not target.exists():
            yield f"{path.name}: {match[0]} leads nowhere"
        elif anchor and target.suffix == ".md" and anchor[1:] not in anchors(target.read_text(encoding="utf-8")):
            yield f"{path.name}: {match[0]} has no such heading"


@test
def every_link_leads_somewhere():
    pages = [TOP / "README.md", TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").glob("*.md"))]
    equal([fault for page in pages for fault in broken_links(page, page.read_text(encoding="utf-8"))], [], "links")
    equal(len(list(broken_links(TOP / "README.md", "[a](docs/none.md) [b](docs/README.md#none) [c](docs/README.md#guides)"))), 2, "control")


@test
def every_guide_is_in_the_index():
    index = text_of("docs/README.md")
    equal([p.name for p in (TOP / "docs").glob("*.md") if p.name != "README.md" and f"({p.name})" not in index], [], "not in docs/README.md")


main()
