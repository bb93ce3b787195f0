#!/bin/sh
# Installs what is missing of the Debian packages in the given lists, and fetches SQLite's source.
#
#   tools/setup.sh packaging/debian-packages.txt [packaging/debian-packages-test.txt]
#
# Does nothing, in some 50 ms, when all is there. Installs as root only; otherwise prints the command to run.
set -eu
cd "$(dirname "$0")/.."

die() {
    echo "setup: $*" >&2
    exit 1
}

missing_of() { # names on stdin -> those that are not installed
    while read -r name; do
        status=$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) || status=
        [ "$status" = installed ] || echo "$name"
    done
}

# Services that come with a package (nginx, lighttpd, ssh, prometheus, redis) are only used by tests, which start their own: none may be started
# now or at the next boot. policy-rc.d is how Debian is told.
policy=/usr/sbin/policy-rc.d
made_policy=
cleanup() {
    [ -z "$made_policy" ] || rm -f "$policy"
}
install_packages() {
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        made_policy=yes
        trap cleanup EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 "$@" >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        die "cannot install: $*"
    }
    for each in nginx-light:nginx lighttpd:lighttpd openssh-server:ssh prometheus:prometheus redis-server:redis-server; do
        case " $* " in
        *" ${each%:*} "*) if [ -d /run/systemd/system ]; then systemctl disable -q "${each#*:}"; fi ;;
        esac
    done
    cleanup
    made_policy=
}

command -v dpkg-query >/dev/null 2>&1 ||
    die "this is no Debian; install by hand what these files name, then run meson: $*"

missing=$(sed -e 's/#.*//' -e 's/[[:space:]].*//' -e '/^$/d' "$@" | missing_of | tr '\n' ' ')
# Whoever has npm from elsewhere keeps it. Debian's nodejs may come from another source that brings npm along.
if ! command -v npm >/dev/null 2>&1; then
    missing="nodejs $missing"
fi

if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ]; then
        command -v npm >/dev/null 2>&1 || missing="$missing npm"
        echo "setup: packages are missing; as root, run:" >&2
        echo "  apt-get install --no-install-recommends $missing" >&2
        exit 1
    fi
    log=$(mktemp)
    echo "setup: installing $missing"
    apt-get update -qq >"$log" 2>&1 || { tail -n 5 "$log" >&2; die "apt-get update failed"; }
    # shellcheck disable=SC2086 # a list of names
    install_packages $missing
    command -v npm >/dev/null 2>&1 || install_packages npm
    rm -f "$log"
fi

tools/sqlite-source.sh >/dev/null
