#!/usr/bin/env bash
# A first round where no rates are given: how long it takes on an idle machine, and what of its throughput a neighbour keeps meanwhile, who
# wants every processor (stress-ng --cpu) or the disk (--hdd, random reads past the cache). ROUNDS interleaved rounds of SECONDS each;
# medians of "beside" over "alone", with the spread of alone. The neighbour begins first.
#
#   benches/peers/first_round.sh [DIRECTORY…]    default: /usr /etc; as root, with stress-ng, on a disk
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${ROUNDS:-5} seconds=${SECONDS_EACH:-40}
[ $# -gt 0 ] || set -- /usr /etc
command -v stress-ng >/dev/null || { echo "stress-ng is not there: apt-get install stress-ng" >&2; exit 69; }

cargo build --release --quiet
program=$PWD/target/release/integrityd
work=$(mktemp -d)
daemon=
stop() { [ -z "$daemon" ] || { kill "$daemon" && wait "$daemon" || true; daemon=; }; }
trap 'stop; rm -rf "$work"' EXIT
start() {
    rm -rf "$work/state" "$work/mail"
    mkdir -m 700 "$work/state" "$work/mail"
    {
        printf 'email = root@localhost\nmail = file:%s/mail\ndatabase = %s/state/db\n' "$work" "$work"
        printf 'area = %s\n' "$@"
    } >"$work/conf"
    chmod 600 "$work/conf"
    "$program" --config "$work/conf" run 2>"$work/log" &
    daemon=$!
}
status() { "$program" --config "$work/conf" status --json 2>/dev/null | tr ',{}' '\n\n\n'; }

start "$@"
begun=$EPOCHREALTIME
sleep 2
while status | grep -q '"state": *"learning"' || ! status | grep -q '"state": *"watched"'; do sleep 1; done
ended=$EPOCHREALTIME
entries=$(status | sed -n 's/.*"entries": *//p' | awk '{ all += $1 } END { print all }')
printf 'alone       %s entries in %d s\n' "$entries" "$(((${ended/./} - ${begun/./}) / 1000000))"
stop

# Operations a second of the neighbour.
neighbour() {
    (cd "$work" && stress-ng --timeout "${seconds}s" --metrics "$@" 2>&1) |
        awk '/metrc/ && $4 ~ /^(cpu|hdd)$/ { print $9 }'
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
for kind in processor disk; do
    case $kind in
        processor) load=(--cpu "$(nproc)" --cpu-method matrixprod) ;;
        disk) load=(--hdd 1 --hdd-opts direct,rd-rnd --hdd-bytes 256m) ;;
    esac
    : >"$work/alone" >"$work/beside"
    for _ in $(seq "$rounds"); do
        neighbour "${load[@]}" >>"$work/alone"
        { sleep 5; start "$@"; sleep "$seconds"; } &
        starter=$!
        neighbour "${load[@]}" >>"$work/beside"
        wait "$starter" || true
        pkill -f "$work/conf" || true
        sleep 2
    done
    awk -v kind="$kind" -v alone="$(median <"$work/alone")" -v beside="$(median <"$work/beside")" \
        -v least="$(sort -n "$work/alone" | head -1)" -v most="$(sort -n "$work/alone" | tail -1)" \
        'BEGIN { printf "%-11s keeps %.3f of its throughput (alone against alone %.3f to %.3f)\n", kind, beside / alone, least / alone, most / alone }'
done
