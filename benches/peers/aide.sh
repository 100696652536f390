#!/usr/bin/env bash
# AIDE (Debian's package, as many workers) and integrityd over the same files with the same attributes and sha256, warm cache: wall time
# and peak memory of building the baseline and of comparing with it; then both passes with the default hash beside parallel b3sum.
# AIDE takes minutes, so each of its passes is run once; ours are medians of ROUNDS.
#
#   benches/peers/aide.sh [DIRECTORY…]        default: /usr /etc; as root, with aide, b3sum and python3
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${ROUNDS:-3}
workers=$(nproc)
[ $# -gt 0 ] || set -- /usr /etc
for program in aide b3sum python3; do
    command -v "$program" >/dev/null || { echo "$program is not there: apt-get install aide b3sum python3" >&2; exit 69; }
done

cargo build --release --quiet
program=$PWD/target/release/integrityd
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for hash in sha256 blake3; do
    mkdir -m 700 "$work/$hash"
    {
        printf 'email = root@localhost\nmail = stdout:\nhash = %s\ndatabase = %s/%s/db\n' "$hash" "$work" "$hash"
        printf 'area = %s\n' "$@"
    } >"$work/$hash.conf"
    chmod 600 "$work/$hash.conf"
done
{
    printf 'database_in=file:%s/aide.db\ndatabase_out=file:%s/aide.new\ngzip_dbout=no\n' "$work" "$work"
    printf 'report_url=file:%s/aide.report\nnum_workers=%d\n' "$work" "$workers"
    printf 'All = ftype+p+i+n+u+g+s+m+c+l+acl+xattrs+caps+e2fsattrs+selinux+sha256\n'
    printf '%s All\n' "$@"
} >"$work/aide.conf"
find "$@" -type f -print0 >"$work/list"
entries=$(find "$@" | wc -l)

# measure NAME COMMAND…: milliseconds of wall time and MiB of peak memory of all its processes together are appended to $work/NAME.
measure() {
    local name=$1
    shift
    python3 - "$work/$name" "$@" <<'PYTHON'
import resource, subprocess, sys, time
begun = time.monotonic()
done = subprocess.run(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
spent = time.monotonic() - begun
# AIDE ends with 1, 2 or 4 when something differs, which logs of a living machine may do.
if done.returncode > 7:
    sys.exit(f"{sys.argv[2:]} ended with {done.returncode}")
with open(sys.argv[1], "a") as figures:
    print(round(spent * 1000), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10, file=figures)
PYTHON
}
median() { sort -n "$work/$1" | sed -n "$((($(wc -l <"$work/$1") + 1) / 2))p" | cut -d ' ' -f "$2"; }
ratio() { awk "BEGIN { printf \"%.2f\", $1 / $2 }"; }
row() { printf '%-18s %7s ms %4s MiB   %s\n' "$1" "$(median "$2" 1)" "$(median "$2" 2)" "${3:-}"; }

hash() { xargs -0 -n 2000 -P "$workers" b3sum --num-threads 1 <"$work/list" >/dev/null; }
hash # into the cache
for _ in $(seq "$rounds"); do
    for hash in sha256 blake3; do
        rm -f "$work/$hash"/*
        measure "init-$hash" "$program" --config "$work/$hash.conf" init --quiet
        measure "check-$hash" "$program" --config "$work/$hash.conf" check --quiet
    done
    measure b3sum bash -c "xargs -0 -n 2000 -P $workers b3sum --num-threads 1 <'$work/list'"
done
measure aide-init aide --config "$work/aide.conf" --init
mv "$work/aide.new" "$work/aide.db"
measure aide-check aide --config "$work/aide.conf" --check

echo "$entries entries; $workers workers; ours are medians of $rounds"
for pass in init check; do
    row "aide --$pass" "aide-$pass"
    row "$pass, sha256" "$pass-sha256" "$(ratio "$(median "aide-$pass" 1)" "$(median "$pass-sha256" 1)") x faster, $(ratio "$(median "$pass-sha256" 2)" "$(median "aide-$pass" 2)") of the memory"
done
row b3sum b3sum
for pass in init check; do
    row "$pass, blake3" "$pass-blake3" "$(ratio "$(median "$pass-blake3" 1)" "$(median b3sum 1)") x b3sum"
done
size=$(stat -c %s "$work/blake3/db")
echo "database: $((size >> 10)) KiB, $((size / entries)) bytes an entry with blake3, $(($(stat -c %s "$work/sha256/db") / entries)) with sha256"
