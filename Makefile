# A thin front: every target first installs what is missing (tools/setup.sh), then lets Meson build.
#
#   make            build/keepfast, build/libkeepfast.so, build/libkeepfast.a
#   make run        build, and serve sample data at 127.0.0.1:7070
#   make demo       the story of a machine that is thrown away, with a git host; it ends by itself
#   make test       every test; the last line is "N passed, N failed, N skipped"  (TESTS=pattern chooses)
#   make lint       layout, static analysis, the project's own rules
#   make format     rewrites our C sources in the house layout
#   make bench      the figures, each beside what it is measured against (BENCH=pattern)
#   make install    PREFIX (/usr/local) and DESTDIR as usual; as root also the user and the folders of the service
#   make uninstall  what make install put there; data, configuration and user stay
#   make clean      removes what was built; SQLite's object stays in the cache

PREFIX = /usr/local
DESTDIR =
TESTS =
BENCH =
BUILD_NEEDS = packaging/debian-packages.txt
DEMO_NEEDS = $(BUILD_NEEDS) packaging/debian-packages-demo.txt
TEST_NEEDS = $(BUILD_NEEDS) packaging/debian-packages-test.txt

all: needs
	@tools/flavour.sh release

needs:
	@tools/setup.sh $(BUILD_NEEDS)

needs-demo:
	@tools/setup.sh $(DEMO_NEEDS)

needs-test:
	@tools/setup.sh $(TEST_NEEDS)

run: all
	@tools/serve-example.sh

demo: needs-demo all
	@tools/demo.sh

test: needs-test
	@tools/test.sh $(TESTS)

lint: needs-test
	@tools/lint.sh

format: needs-test
	@git ls-files -z -co --exclude-standard '*.c' '*.h' | xargs -0 clang-format-14 -i

bench: needs-test
	@tools/bench.sh $(BENCH)

install: all
	@tools/install.sh install "$(abspath $(PREFIX))" "$(DESTDIR)"

uninstall: all
	@tools/install.sh uninstall "$(abspath $(PREFIX))" "$(DESTDIR)"

clean:
	rm -rf build build-*

.PHONY: all needs needs-demo needs-test run demo test lint format bench install uninstall clean
