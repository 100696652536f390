#!/usr/bin/env bash
# Debian's logcheck and `integrityd logcheck` over the same lines: CPU seconds (user and system, of all processes) and peak memory,
# one run each; then the engine on its own as it works in the daemon, where the rules stay ready.
#
#   benches/peers/logcheck.sh [LINES]     default: 100000; as root, with logcheck, logcheck-database, setpriv and python3
set -euo pipefail
cd "$(dirname "$0")/../.."
count=${1:-100000}
for program in logcheck-test setpriv python3; do
    command -v "$program" >/dev/null || { echo "$program is not there: apt-get install logcheck util-linux python3" >&2; exit 69; }
done
[ "$(id -u)" = 0 ] || { echo "logcheck runs as the user logcheck: become root" >&2; exit 77; }

cargo build --release --quiet
bench() { cargo bench --quiet --bench rules -- "$@"; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cp target/release/integrityd "$work/integrityd"
bench --lines="$count" >"$work/lines"
bench --adversarial=$((count / 2)) >"$work/adversarial"
head -n $((count / 2)) "$work/lines" >"$work/half"
tail -n 1 "$work/lines" >"$work/one"
mkdir "$work/lock" "$work/tmp"
printf 'REPORTLEVEL=server\nTMP=%s/tmp\nLOCKDIR=%s/lock\nLOCKFILE=%s/lock/logcheck\n' "$work" "$work" "$work" >"$work/conf"
chown -R logcheck: "$work/lock" "$work/tmp"

# measure NAME LOCALE LOG PROGRAM…: a run without a position; milliseconds of CPU and MiB of the largest process into $work/NAME.
measure() {
    local name=$1 locale=$2 log=$3
    shift 3
    rm -rf "$work/state"
    install -d -o logcheck -m 755 "$work/state"
    python3 - "$work/$name" setpriv --reuid logcheck --regid logcheck --init-groups env -i \
        PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL="$locale" "$@" -o -c "$work/conf" -l "$work/$log" -S "$work/state" <<'PYTHON'
import resource, subprocess, sys
# What a wrapper around python3 has used before does not count.
before = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1] + ".out", "wb") as out:
    subprocess.run(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL, check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as figures:
    spent = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    print(round(spent * 1000), used.ru_maxrss >> 10, file=figures)
PYTHON
}
cpu() { cut -d ' ' -f 1 "$work/$1"; }
memory() { cut -d ' ' -f 2 "$work/$1"; }
ratio() { awk "BEGIN { printf \"%.1f\", $1 / $2 }"; }

echo "$count lines, level server; $(nproc) processors, load $(cut -d ' ' -f 1 /proc/loadavg)"
for locale in C C.UTF-8; do
    for log in lines one; do
        measure "theirs-$log" "$locale" "$log" /usr/sbin/logcheck
        measure "ours-$log" "$locale" "$log" "$work/integrityd" logcheck
        same=same
        cmp -s "$work/theirs-$log.out" "$work/ours-$log.out" || same=ANOTHER
        printf '%-8s %-8s logcheck %6d ms %3d MiB   integrityd %5d ms %3d MiB   %6s x   %s report of %d bytes\n' "$locale" "$log" \
            "$(cpu "theirs-$log")" "$(memory "theirs-$log")" "$(cpu "ours-$log")" "$(memory "ours-$log")" \
            "$(ratio "$(cpu "theirs-$log")" "$(cpu "ours-$log")")" "$same" "$(stat -c %s "$work/ours-$log.out")"
    done
    cp "$work/theirs-lines" "$work/all-$locale"
    cp "$work/theirs-one" "$work/single-$locale"
    measure half "$locale" half "$work/integrityd" logcheck
    measure words "$locale" adversarial "$work/integrityd" logcheck
    printf '%-8s %d lines: ordinary ones %d ms, random words of the rules %d ms %d MiB: %s x\n' "$locale" $((count / 2)) \
        "$(cpu half)" "$(cpu words)" "$(memory words)" "$(ratio "$(cpu words)" "$(cpu half)")"
done

echo
bench | tee "$work/bench"
echo
for pair in C:C Utf8:C.UTF-8; do
    locale=${pair#*:}
    figure() { sed -n "/^${pair%:*}\$/,/^[A-Z]/p" "$work/bench" | sed -n "s/^  $1: \([0-9.]*\) .*/\1/p" | head -n 1; }
    printf '%-8s warm over 100,000 lines %s x; one new line in the daemon %s x\n' "$locale" \
        "$(ratio "$(cpu "all-$locale") * 100000 / $count" "$(figure '100,000 lines, warm')")" \
        "$(ratio "$(cpu "single-$locale") * 1000" "$(figure 'one new line, polled and asked')")"
done
