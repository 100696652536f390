#!/usr/bin/env bash
# What the daemon costs when it has nothing to tell: default rates over a known baseline, after MINUTES minutes.
# Resident memory from /proc/PID/status, processor time from /proc/PID/stat (utime + stime of all threads), fsyncs counted by strace
# over the last minute.
#
#   benches/idle.sh [DIRECTORY…]        default: /usr /etc; as root; needs strace
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${MINUTES:-10}
[ $# -gt 0 ] || set -- /usr /etc
command -v strace >/dev/null || { echo "strace is not there: apt-get install strace" >&2; exit 69; }

cargo build --release --quiet
program=$PWD/target/release/integrityd
work=$(mktemp -d)
mkdir -m 700 "$work/state" "$work/mail"
{
    printf 'email = root@localhost\nmail = file:%s/mail\ndatabase = %s/state/integrityd.sqlite\n' "$work" "$work"
    printf 'area = %s\n' "$@"
} >"$work/conf"
chmod 600 "$work/conf"
"$program" --config "$work/conf" init --quiet
"$program" --config "$work/conf" run 2>"$work/log" &
daemon=$!
trap 'kill "$daemon"; wait "$daemon" || true; rm -rf "$work"' EXIT

ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$daemon/stat"; }
# Not the start, which opens the database and mails what init has found.
sleep 30
before=$(ticks)
begun=$EPOCHREALTIME
sleep "$((minutes * 60))"
after=$(ticks)
ended=$EPOCHREALTIME
timeout 60 strace -f -q -e trace=fsync,fdatasync -o "$work/trace" -p "$daemon" || true
syncs=$(grep -c sync "$work/trace" || true)
awk -v ticks="$((after - before))" -v hz="$(getconf CLK_TCK)" -v span="$(((${ended/./} - ${begun/./}) / 1000))" \
    'BEGIN { printf "processor  %.3f %% of a core over %.0f s\n", 100 * ticks / hz / (span / 1000), span / 1000 }'
awk '/VmRSS|VmHWM/ { printf "%-10s %.1f MiB\n", $1, $2 / 1024 }' "/proc/$daemon/status"
echo "fsync      $syncs a minute"
