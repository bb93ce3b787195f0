#!/bin/sh
# make run: serves the examples examples/finance and examples/shop at 127.0.0.1:7070 until it is interrupted.
# What it keeps lies in data/ and is there again at the next start.
set -eu
cd "$(dirname "$0")/.."
keepfast=$PWD/build/keepfast
example=$PWD/examples/finance
shop=$PWD/examples/shop
mkdir -p data
cd data
# The places that last, in the story; the folder of a remote is the operator's to make.
mkdir -p -m 700 keepfast-remote keepfast-remote-shop

# One server for both: the spaces of the second behind those of the first. The first names a schema beside itself.
{
    sed "s|schemas/|$example/schemas/|" "$example/keepfast.yaml"
    sed '1,/^spaces:/d' "$shop/keepfast.yaml"
} >keepfast.yaml

mkfifo .ready.$$
"$keepfast" serve --config keepfast.yaml >.ready.$$ &
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

    # Entries with ids are there once, however often they are loaded.
    at=http://127.0.0.1:7070/shop
    for file in "$shop"/data/*.ndjson; do
        "$keepfast" --at "$at" append "chat/$(basename "$file" .ndjson)" - <"$file" >/dev/null 2>.put || {
            cat .put >&2
            kill -TERM "$server"
            exit 1
        }
    done
    # Who is linked to somebody else by now, or erased, is left alone.
    if [ ! -e .linked ]; then
        while read -r session customer; do
            "$keepfast" --at "$at" stream set "chat/$session" customer="$customer" >/dev/null 2>&1
        done <"$shop/data/customers.txt"
        : >.linked
    fi
    rm -f .put

    cat <<EOF

Two spaces are served: finance, twelve documents of a dashboard, and shop, twelve sessions of a chat; 5 s after a change they are in
data/keepfast-remote and data/keepfast-remote-shop as well. Look at

  http://127.0.0.1:7070/

or try:

  curl -s http://127.0.0.1:7070/v1/finance/docs
  curl -s http://127.0.0.1:7070/v1/finance/docs/cele.json
  curl -s -X PATCH http://127.0.0.1:7070/v1/finance/docs/notification_config.json \\
       -H 'Content-Type: application/merge-patch+json' -d '{"cisza_nocna":{"od":"21:00"}}'
  export KEEPFAST_AT=http://127.0.0.1:7070/finance
  build/keepfast log notification_config.json
  build/keepfast status

or at what was said in the shop:

  export KEEPFAST_AT=http://127.0.0.1:7070/shop
  build/keepfast stream ls
  build/keepfast tail chat/1002
  build/keepfast search gdansk
  curl -s 'http://127.0.0.1:7070/v1/shop/streams/chat/1002/context?across=customer&entries=6'
  build/keepfast tail -f chat/1002 &
  curl -s -X POST http://127.0.0.1:7070/v1/shop/streams/chat/1002/entries \\
       -H 'Content-Type: application/json' -d '{"id":"m-99","kind":"user","body":{"text":"Is it still there?"}}'

Ctrl-C stops it. Then remove data/state and start again: everything comes back from there.
examples/finance/README.md and examples/shop/README.md have more.
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
