#!/usr/bin/env bash
# init and check against parallel b3sum (Debian's package) over the same files, warm cache: medians of ROUNDS interleaved runs.
# b3sum only hashes; we also look at every directory and link, compare every attribute, and write or read the baseline.
#
#   benches/peers/b3sum.sh [DIRECTORY…]        default: /usr /etc; as root, so that everything can be read
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${ROUNDS:-5}
workers=$(nproc)
[ $# -gt 0 ] || set -- /usr /etc
command -v b3sum >/dev/null || { echo "b3sum is not there: apt-get install b3sum" >&2; exit 69; }

cargo build --release --quiet
program=$PWD/target/release/integrityd
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -m 700 "$work/state"
{
    printf 'email = root@localhost\nmail = stdout:\ndatabase = %s/state/integrityd.sqlite\n' "$work"
    printf 'area = %s\n' "$@"
} >"$work/conf"
chmod 600 "$work/conf"

find "$@" -type f -print0 >"$work/list"
entries=$(find "$@" | wc -l)
files=$(tr -cd '\0' <"$work/list" | wc -c)
bytes=$(du --files0-from="$work/list" --bytes --count-links --total | tail -n 1 | cut -f 1)

hash() { xargs -0 -n 2000 -P "$workers" b3sum --num-threads 1 <"$work/list" >/dev/null; }
init() { rm -f "$work"/state/*; "$program" --config "$work/conf" init --quiet; }
check() { "$program" --config "$work/conf" check --quiet; }

# Milliseconds of wall time.
timed() {
    local begun=$EPOCHREALTIME
    "$1"
    local ended=$EPOCHREALTIME
    echo $(((${ended/./} - ${begun/./}) / 1000)) >>"$work/$1"
}
median() { sort -n "$work/$1" | sed -n "$(((rounds + 1) / 2))p"; }

hash # into the cache
for _ in $(seq "$rounds"); do
    for run in hash init check; do timed "$run"; done
done

echo "$entries entries, $files files, $((bytes >> 20)) MiB; $workers workers; medians of $rounds"
printf '%-8s %6s ms\n' b3sum "$(median hash)"
for run in init check; do
    printf '%-8s %6s ms   %s x b3sum   (%s ms)\n' "$run" "$(median $run)" \
        "$(awk "BEGIN { printf \"%.2f\", $(median $run) / $(median hash) }")" "$(sort -n "$work/$run" | tr '\n' ' ' | sed 's/ $//')"
done
printf '         b3sum alone: (%s ms)\n\n' "$(sort -n "$work/hash" | tr '\n' ' ' | sed 's/ $//')"
cargo bench --quiet --bench stages -- "$@"
