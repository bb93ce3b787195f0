#!/usr/bin/env python3
# test: timeout=180
"""The guides: every block that is marked to be run, in the order of its page, in one shell in an empty folder; every link; every alert."""

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
PAGES = {"docs/quickstart.md": 7, "docs/tokens.md": 9, "docs/operations.md": 6, "docs/streams.md": 10}  # with the least that each has
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


def serve(page, *more):
    server = subprocess.Popen([PROGRAM, "serve", "--data", str(page.where / "data"), *more], env=page.env, cwd=page.where,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    check(server.stdout.readline(), f"it is ready: {server.stderr.read() if server.poll() else ''}")
    return server


def end(server):
    server.terminate()
    server.communicate(timeout=20)


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
def the_tokens():
    page = Page(text_of("docs/tokens.md"))
    server = serve(page)
    try:
        subprocess.run([PROGRAM, "--at", f"http://127.0.0.1:{page.port}/default", "put", "a.json"], input=b"1", check=True, capture_output=True)
        status, out, said = page.run()
        good("docs/tokens.md", (status, out, said))
    finally:
        end(server)
    lines = out.splitlines()
    check("forbidden" in out, "what the page says of a right that lacks")
    check("404" in lines, "of a name outside the prefixes")
    check('"code":"token_expired"' in lines[-1], f"of a revoked one: {lines[-1]}")
    equal(sorted(p.name for p in page.where.glob("*.token")), ["dashboard.token", "operator.token", "shop.token", "visitor.token"], "files")
    for path in page.where.glob("*.token"):
        equal(path.stat().st_mode & 0o777, 0o600, str(path))


@test
def the_streams():
    page = Page(text_of("docs/streams.md"))
    config = page.where / "keepfast.yaml"
    config.write_text(re.search(r"^```yaml\n(.*?)^```$", page.text, re.M | re.S)[1])
    server = serve(page, "--config", str(config))
    try:
        status, out, said = page.run()
        good("docs/streams.md", (status, out, said))
    finally:
        end(server)
    for wanted in ('{"n":1,"count":1}', '{"items":[{"n":2},{"n":3}],"count":3}', '{"n":1,"duplicate":true,"count":4}', '"items":[],"next":null}',
                   '"snippet":', "repair zips?", '"streams":1,"entries":5,"attachments":1', '"held":'):
        check(wanted in out, f"{wanted} in what came out: {out}")
    check("erased, 1 stream, 1 entry" in said, f"a stream is erased: {said}")


@test
def running_it():
    page = Page(text_of("docs/operations.md"))
    (page.where / "etc/keepfast.yaml").write_text((TOP / "packaging/keepfast.yaml").read_text().replace("/var/lib/keepfast", str(page.where / "data")))
    (page.where / "place").mkdir(mode=0o700)
    config = page.where / "keepfast.yaml"
    config.write_text(json.dumps({"spaces": {"default": {"remotes": {"usb": {"url": f"dir:{page.where}/place"}}}}}))
    server = serve(page, "--config", str(config))
    try:
        subprocess.run([PROGRAM, "--at", f"http://127.0.0.1:{page.port}/default", "put", "a.json"], input=b"1", check=True, capture_output=True)
        status, out, said = page.run()
        good("docs/operations.md", (status, out, said))
    finally:
        end(server)
    check("nothing would be lost" in out, "status before the move")


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


# ------------------------------------------------------------------------------------- links, alerts

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


@test
def every_alert_has_its_advice():
    alerts = re.findall(r"^ +- alert: (\w+)$", text_of("packaging/prometheus/keepfast.rules.yml"), re.M)
    severity = dict(zip(alerts, re.findall(r"severity: (\w+)", text_of("packaging/prometheus/keepfast.rules.yml").split("groups:")[1])))
    advice = text_of("docs/operations.md").split("## Alerts, and what to do")[1].split("\n## ")[0]
    found = re.findall(r"^### (\w+)\n\n\*(\w+)\.\*", advice, re.M)
    equal(found, [(alert, severity[alert]) for alert in alerts], "headings of docs/operations.md, in the order of the rules")


main()
