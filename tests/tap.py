"""Results of a test script, in the form that tests/README.md describes.

    from tap import check, test, note, main

    @test
    def a_document_comes_back():
        check(get("a.json") == b"1", "what was put is what comes back")

    main()

Each @test function is one result: it passes when it returns, fails when it raises (check raises), and is skipped when it
raises Skip. NotPossible is for what this machine does not permit at all (a power cut without loop devices)."""

import sys
import traceback


class Skip(Exception):
    """The test did not run; in CI that is a failure."""


class NotPossible(Exception):
    """The machine does not permit the test; counted nowhere."""


_tests = []


def test(function):
    _tests.append(function)
    return function


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def equal(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def note(text):
    """A line of talk or of counters."""
    print(f"# {text}", flush=True)


def main():
    """Runs the tests in the order in which they stand (those named on the command line, if any) and exits."""
    chosen = [t for t in _tests if not sys.argv[1:] or t.__name__ in sys.argv[1:]]
    print(f"1..{len(chosen)}", flush=True)
    failed = 0
    for number, function in enumerate(chosen, 1):
        name = function.__name__.replace("_", " ")
        try:
            function()
            print(f"ok {number} - {name}", flush=True)
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        except NotPossible as reason:
            print(f"not possible here: {name}: {reason}", flush=True)
        except Exception:  # a test may fail in any way
            failed += 1
            for line in traceback.format_exc().splitlines():
                print(f"#   {line}", flush=True)
            print(f"not ok {number} - {name}", flush=True)  # behind the reason: the runner shows what came before
    sys.exit(1 if failed else 0)
