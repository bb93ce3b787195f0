#!/bin/sh
# make install, make uninstall: tools/install.sh {install|uninstall} PREFIX [DESTDIR], after a build in build/.
#
# Installing again changes only what is different, by its bytes: an older program replaces a newer one. A file gets its name when it
# is whole. As root and without DESTDIR it also sees to what the service needs:
#
#   user keepfast           from lib/sysusers.d/keepfast.conf
#   /var/lib/keepfast       0700 keepfast:keepfast
#   /var/backups/keepfast   0700 keepfast:keepfast, where there is none
#   /etc/keepfast           0750 root:keepfast, with an example keepfast.yaml where there is none
#
# Uninstalling removes the files that installing would put there, and leaves these four.
set -eu
what=${1:?install or uninstall}
prefix=${2:?PREFIX}
DESTDIR=${3:-}
case $DESTDIR in
'' | /*) ;;
*) DESTDIR=$PWD/$DESTDIR ;;
esac
cd "$(dirname "$0")/.."

# Into a folder that is thrown away: what would be installed.
stage() {
    there=$(mktemp -d)
    trap 'rm -rf "$there"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    [ "$(meson introspect build --buildoptions | python3 -c 'import json, sys
print(next(o["value"] for o in json.load(sys.stdin) if o["name"] == "prefix"))')" = "$prefix" ] ||
        meson configure build --prefix "$prefix"
    ninja -C build >/dev/null
    DESTDIR=$there meson install -C build --no-rebuild --quiet
}

is_same() { # FILE THERE
    if [ -L "$1" ] || [ -L "$2" ]; then
        [ -L "$1" ] && [ -L "$2" ] && [ "$(readlink "$1")" = "$(readlink "$2")" ]
    else
        cmp -s "$1" "$2" && [ "$(stat -c %a "$1")" = "$(stat -c %a "$2")" ]
    fi
}

put() {
    stage
    (cd "$there" && find . ! -type d) | while read -r name; do
        to=$DESTDIR/${name#./}
        is_same "$there/$name" "$to" && continue
        (umask 022 && mkdir -p "${to%/*}")
        cp -P --preserve=mode,timestamps "$there/$name" "$to.new"
        mv -fT "$to.new" "$to"
    done
}

of_the_machine() {
    [ "$(id -u)" = 0 ] && [ -z "$DESTDIR" ]
}

make_user() {
    if getent passwd keepfast >/dev/null; then
        return
    fi
    if command -v systemd-sysusers >/dev/null 2>&1; then
        systemd-sysusers "$prefix/lib/sysusers.d/keepfast.conf"
    else
        useradd --system --user-group --home-dir /var/lib/keepfast --no-create-home --shell /usr/sbin/nologin \
            --comment Keepfast keepfast
    fi
}

folder() { # PATH MODE OWNER
    [ -d "$1" ] || (umask 022 && mkdir -p "${1%/*}" && mkdir -m 0700 "$1")
    [ "$(stat -c '%a %U:%G' "$1")" = "${2#0} $3" ] || {
        chown "$3" "$1"
        chmod "$2" "$1"
    }
}

install_machine() {
    make_user
    folder /var/lib/keepfast 0700 keepfast:keepfast
    # Where it is there it may be another machine's disk, which has owners of its own.
    [ -d /var/backups/keepfast ] || folder /var/backups/keepfast 0700 keepfast:keepfast
    folder /etc/keepfast 0750 root:keepfast
    [ -e /etc/keepfast/keepfast.yaml ] ||
        install -m 0640 -o root -g keepfast "$prefix/share/keepfast/keepfast.yaml" /etc/keepfast/keepfast.yaml
    if command -v ldconfig >/dev/null 2>&1; then ldconfig; fi
    if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
}

uninstall() {
    if of_the_machine && [ -d /run/systemd/system ] && systemctl is-active -q keepfast; then
        echo "uninstall: the service runs; end it first: systemctl disable --now keepfast" >&2
        exit 1
    fi
    stage
    (cd "$there" && find . ! -type d -print0) | (cd "$DESTDIR/" && xargs -0 rm -f --)
    # Folders that are nobody's but ours, once they are empty.
    (cd "$there" && find . -depth -type d -name keepfast -print0) |
        (cd "$DESTDIR/" && xargs -0 -r rmdir --ignore-fail-on-non-empty -- 2>/dev/null) || true
    if of_the_machine; then
        if command -v ldconfig >/dev/null 2>&1; then ldconfig; fi
        if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
        echo "Left as they are: /var/lib/keepfast, /var/backups/keepfast, /etc/keepfast and the user keepfast."
    fi
}

case $what in
install)
    put
    if of_the_machine; then install_machine; fi
    ;;
uninstall) uninstall ;;
*)
    echo "install: install or uninstall, not $what" >&2
    exit 2
    ;;
esac
