#!/usr/bin/env bash
# The neighbour's view: random reads (8 KiB) over a file that just fits into the page cache, alone, beside `aide --check`, beside our
# daemon at default rates, and beside `init` at full speed. All of them share one memory control group whose limit is the file and a
# little more, and one disk. ROUNDS interleaved rounds; medians as ratios to "alone", with the spread of alone against alone.
# Checked: no resident page of the neighbour's file is lost beside integrityd, at any rate.
#
#   benches/peers/neighbour.sh [DIRECTORY…]    default: /usr /etc; as root, with aide, python3 and fincore (util-linux), on a disk
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${ROUNDS:-10}
size=${SIZE:-512}
reads=${READS:-3000000}
# AIDE alone takes about 160 MiB; the directory entries and inodes of what is walked count too.
room=${ROOM:-320}
[ $# -gt 0 ] || set -- /usr /etc
for program in aide python3 fincore; do
    command -v "$program" >/dev/null || { echo "$program is not there: apt-get install aide python3 util-linux" >&2; exit 69; }
done

cargo build --release --quiet
program=$PWD/target/release/integrityd
work=$(mktemp -d)
group=
others=()
clean() {
    for other in "${others[@]}"; do
        kill -CONT -- "-$other" 2>/dev/null || true
        kill -KILL -- "-$other" 2>/dev/null || true
    done
    [ -z "$group" ] || { for _ in $(seq 50); do rmdir "$group" 2>/dev/null && break; sleep 0.1; done; }
    [ -n "${KEEP:-}" ] || rm -rf "$work"
}
trap clean EXIT

limit=$(((size + room) << 20))
if [ -d /sys/fs/cgroup/memory ]; then
    group=/sys/fs/cgroup/memory/integrityd-bench
    mkdir "$group"
    echo "$limit" >"$group/memory.limit_in_bytes"
elif grep -qw memory /sys/fs/cgroup/cgroup.controllers 2>/dev/null; then
    group=/sys/fs/cgroup/integrityd-bench
    echo +memory >/sys/fs/cgroup/cgroup.subtree_control
    mkdir "$group"
    echo "$limit" >"$group/memory.max"
else
    echo "there is no memory controller: the page cache cannot be made just large enough" >&2
    exit 69
fi

mkdir -m 700 "$work/daemon" "$work/init" "$work/mail"
for kind in daemon init; do
    {
        printf 'email = root@localhost\nmail = file:%s/mail\ndatabase = %s/%s/db\n' "$work" "$work" "$kind"
        printf 'area = %s\n' "$@"
    } >"$work/$kind.conf"
    chmod 600 "$work/$kind.conf"
done
{
    printf 'database_in=file:%s/aide.db\ndatabase_out=file:%s/aide.db\ngzip_dbout=no\n' "$work" "$work"
    printf 'report_url=file:%s/aide.report\nnum_workers=%d\n' "$work" "$(nproc)"
    printf 'All = ftype+p+i+n+u+g+s+m+c+l+acl+xattrs+caps+e2fsattrs+selinux+sha256\n'
    printf '%s All\n' "$@"
} >"$work/aide.conf"
"$program" --config "$work/daemon.conf" init --quiet
aide --config "$work/aide.conf" --init >/dev/null
# What was looked at within the last minute is not rechecked.
sleep 61
dd if=/dev/urandom of="$work/file" bs=1M count="$size" status=none
sync "$work/file"
# What the making of all this has left in the cache belongs to nobody in the group.
echo 1 >/proc/sys/vm/drop_caches

reader='
import os, random, sys, time
file = os.open(sys.argv[1], os.O_RDONLY)
blocks = os.fstat(file).st_size // 8192
places = [random.randrange(blocks) * 8192 for _ in range(int(sys.argv[2]))]
os.sched_yield()
begun = time.monotonic()
for place in places:
    os.pread(file, 8192, place)
print(round((time.monotonic() - begun) * 1000))
'
within() { bash -c 'echo $$ >"$0/cgroup.procs"; exec "$@"' "$group" "$@"; }
resident() { fincore --bytes --noheadings --output RES "$work/file" | tr -d ' '; }
# Twice, so that its pages count as used.
warm() { for _ in 1 2; do within cat "$work/file" >/dev/null; done; }

# A neighbour in a session of its own, stopped until its turn.
start() {
    local name=$1
    shift
    setsid bash -c 'echo $$ >"$0/cgroup.procs"; eval "$1"' "$group" "$*" >/dev/null 2>"$work/$name.log" &
    others+=($!)
    sleep 0.2
    kill -STOP -- "-$!"
    disown
}
start aide "while :; do aide --config '$work/aide.conf' --check; done"
aide=${others[0]}
start daemon "'$program' --config '$work/daemon.conf' run"
daemon=${others[1]}
start init "while :; do rm -f '$work'/init/*; '$program' --config '$work/init.conf' init --quiet; done"
init=${others[2]}

# phase NAME [SESSION]: milliseconds, and MiB that are no longer resident.
phase() {
    local name=$1 session=${2:-}
    warm
    local before
    before=$(resident)
    [ -z "$session" ] || kill -CONT -- "-$session"
    sleep 0.5
    local spent
    spent=$(within python3 -c "$reader" "$work/file" "$reads")
    [ -z "$session" ] || kill -STOP -- "-$session"
    echo "$spent $(((before - $(resident)) / 4096))" >>"$work/$name.figures"
}
for _ in $(seq "$rounds"); do
    phase alone
    phase aide "$aide"
    phase again
    phase daemon "$daemon"
    phase init "$init"
done

median() { sort -n "$work/$1.figures" | sed -n "$(((rounds + 1) / 2))p" | cut -d ' ' -f 1; }
lost() { awk '{ if ($2 > most) most = $2 } END { print most + 0 }' "$work/$1.figures"; }
alone=$(median alone)
echo "$rounds rounds, $reads reads of 8 KiB over $size MiB in a group of $((size + room)) MiB; alone $alone ms"
for name in again aide daemon init; do
    printf '%-8s %6s ms  %s x alone (%s)   pages lost at most: %s\n' "$name" "$(median "$name")" \
        "$(awk "BEGIN { printf \"%.3f\", $(median "$name") / $alone }")" "$(cut -d ' ' -f 1 "$work/$name.figures" | sort -n | tr '\n' ' ' | sed 's/ $//')" "$(lost "$name")"
done
[ "$(lost daemon)" -eq 0 ] && [ "$(lost init)" -eq 0 ] || { echo "pages of the neighbour were lost beside integrityd" >&2; exit 1; }
