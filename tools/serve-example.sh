#!/bin/sh
# make run: serves the example examples/finance at 127.0.0.1:7070 until it is interrupted.
# What it keeps lies in data/ and is there again at the next start.
set -eu
cd "$(dirname "$0")/.."
keepfast=$PWD/build/keepfast
example=$PWD/examples/finance
mkdir -p data
cd data
# The place that lasts, in the story; the folder of a remote is the operator's to make.
mkdir -p -m 700 keepfast-remote

mkfifo .ready.$$
"$keepfast" serve --config "$example/keepfast.yaml" >.ready.$$ &
server=$!
trap 'rm -f .ready.$$' EXIT
# The server ends by itself when the terminal interrupts both; a lone signal to this script is passed on.
trap 'kill -TERM $server 2>/dev/null || true' INT TERM
{
    rm -f .ready.$$
    read -r address <&3 || {
        status=0
        wait "$server" || status=$?
        exit "$status"
    }
    echo "$address"

    for file in "$example"/data/*.json; do
        status=0
        # 5: it is there already, from an earlier run; what it holds now is left alone.
        "$keepfast" --at http://127.0.0.1:7070/finance put "$(basename "$file")" "$file" --if-none-match '*' \
            >/dev/null 2>.put || status=$?
        case $status in
        0 | 5) rm -f .put ;;
        *)
            cat .put >&2
            kill -TERM "$server"
            exit "$status"
            ;;
        esac
    done

    cat <<EOF

Twelve documents of a dashboard are served; 5 s after a change they are in data/keepfast-remote as well. Look at

  http://127.0.0.1:7070/

or try:

  curl -s http://127.0.0.1:7070/v1/finance/docs
  curl -s http://127.0.0.1:7070/v1/finance/docs/cele.json
  curl -s -X PATCH http://127.0.0.1:7070/v1/finance/docs/notification_config.json \\
       -H 'Content-Type: application/merge-patch+json' -d '{"cisza_nocna":{"od":"21:00"}}'
  export KEEPFAST_AT=http://127.0.0.1:7070/finance
  build/keepfast log notification_config.json
  build/keepfast status

Ctrl-C stops it. Then remove data/state and start again: everything comes back from data/keepfast-remote.
examples/finance/README.md has more.
EOF
    # Somebody reads on, so that the server never writes into a closed pipe.
    cat <&3 &
} 3<.ready.$$
status=0
wait "$server" || status=$?
# A signal to this script ended the wait, not yet the server.
while kill -0 "$server" 2>/dev/null; do
    status=0
    wait "$server" || status=$?
done
exit "$status"
