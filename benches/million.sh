#!/usr/bin/env bash
# What an entry costs the daemon where there are many: resident memory, and processor time of a look, at 100,000 and at 1,000,000
# small files on a tmpfs, at the same rate of looks (walk and recheck in turn). As root; about 6 minutes.
#
#   benches/million.sh [FEW MANY]        default: 100000 1000000; FLAT=1 puts them all into one directory
set -euo pipefail
cd "$(dirname "$0")/.."
few=${1:-100000}
many=${2:-1000000}
rate=${RATE:-2000}
span=${SPAN:-60}

cargo build --release --quiet
program=$PWD/target/release/integrityd
work=$(mktemp -d)
daemon=
clean() {
    [ -z "$daemon" ] || { kill "$daemon" && wait "$daemon" || true; }
    umount "$work"/tree-* 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT

measure() {
    local count=$1 tree=$work/tree-$1 state=$work/state-$1
    mkdir -m 700 "$tree" "$state" "$state/mail"
    mount -t tmpfs -o nr_inodes=0,size=16G integrityd-bench "$tree"
    python3 - "$tree" "$count" "${FLAT:-}" <<'PYTHON'
import os, sys
tree, count, is_flat = sys.argv[1], int(sys.argv[2]), bool(sys.argv[3])
for number in range(count):
    directory = tree if is_flat else f"{tree}/{number // 1000:04}"
    if not is_flat and number % 1000 == 0:
        os.mkdir(directory)
    with open(f"{directory}/file-{number:07}", "w") as file:
        file.write(f"content {number}\n")
PYTHON
    {
        printf 'email = root@localhost\nmail = file:%s/mail\ndatabase = %s/integrityd.sqlite\n' "$state" "$state"
        printf 'filerate = %s\nbyterate = 1G\npressure = 0\narea = %s\n' "$rate" "$tree"
    } >"$state/conf"
    chmod 600 "$state/conf"
    python3 - "$program" "$state/conf" >"$work/init-$count" <<'PYTHON'
import resource, subprocess, sys
subprocess.run([sys.argv[1], "--config", sys.argv[2], "init", "--quiet"], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)
PYTHON
    # What was looked at within the last minute is not rechecked.
    sleep 61
    "$program" --config "$state/conf" run 2>"$state/log" &
    daemon=$!
    looks() { "$program" --config "$state/conf" status --prometheus | sed -n 's/^integrityd_looks_total //p'; }
    ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$daemon/stat"; }
    sleep 15
    local ticks_before looks_before
    looks_before=$(looks)
    ticks_before=$(ticks)
    sleep "$span"
    echo "$(($(ticks) - ticks_before)) $(($(looks) - looks_before))" >"$work/look-$count"
    awk '/VmHWM/ { printf "%.1f\n", $2 / 1024 }' "/proc/$daemon/status" >"$work/memory-$count"
    kill "$daemon"
    wait "$daemon" || true
    daemon=
    stat -c %s "$state/integrityd.sqlite" >"$work/size-$count"
    umount "$tree"
}

measure "$few"
measure "$many"
for count in "$few" "$many"; do
    read -r spent looked <"$work/look-$count"
    awk -v count="$count" -v spent="$spent" -v looked="$looked" -v hz="$(getconf CLK_TCK)" \
        -v memory="$(cat "$work/memory-$count")" -v init="$(cat "$work/init-$count")" -v size="$(cat "$work/size-$count")" \
        'BEGIN { printf "%8d entries: %5.1f us of processor a look (%d looks), daemon at most %.1f MiB, init %d MiB, %d bytes an entry\n",
                 count, spent / hz * 1e6 / looked, looked, memory, init, size / count }'
done
paste "$work/look-$many" "$work/look-$few" | awk '{ printf "a look at many costs %.2f x of one at few\n", ($1 / $2) / ($3 / $4) }'
