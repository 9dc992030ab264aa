#!/bin/sh
# How long infer takes to start, and the most memory that it holds: a 305-class network of the size of the Moments
# in Time release, one clip of 16 frames, weights in the page cache.
#
#   tests/bench/start.sh [--markdown] [RUNS]
#
# Start is the time of the whole run less that of the forward pass: opening 187 MB of weights, folding, packing,
# reading frames. Prints medians of RUNS (5) after one that is not counted. THREADS (2) says how many threads.
# Needs GNU time.
set -eu
markdown=
[ "${1:-}" != --markdown ] || {
    markdown=1
    shift
}
runs=${1:-5}
threads=${THREADS:-2}
root=$(cd "$(dirname "$0")/../.." && pwd)
bin=$(cd "${BIN:-$root/bin}" && pwd)
infer=${INFER:-$root/infer}
LC_ALL=C
export LC_ALL
time=$(command -v time) && "$time" -f %e true 2>/dev/null || {
    echo "start.sh: GNU time: not installed here, so nothing is measured"
    exit 0
}

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
"$bin/synth" --quiet --seed 1 "$dir/clip"
"$bin/init-weights" --video "$dir/w.safetensors" --num-classes 305 --num-frames 16 --calibrate "$dir/clip/frames"

# A line a run: seconds of all, of the forward pass, of the rest; kilobytes.
run=0
while [ $run -le "$runs" ]; do
    "$time" -o "$dir/time" -f '%e %M' "$infer" --threads "$threads" --activities 5 --num-frames 16 --profile \
        --labels "$root/weights/labels/moments_v2.txt" --video-weights "$dir/w.safetensors" \
        --frames "$dir/clip/frames" >/dev/null 2>"$dir/profile"
    awk '$1 == "all" { print $2 / 1000 }' "$dir/profile" >"$dir/forward"
    [ $run -eq 0 ] || paste -d ' ' "$dir/time" "$dir/forward" | awk '{ print $1, $3, $1 - $3, $2 }' >>"$dir/runs"
    run=$((run + 1))
done

median() { # COLUMN
    sort -n -k "$1" "$dir/runs" | awk -v c="$1" '{ x[NR] = $c } END { print (x[int((NR + 1) / 2)] + x[int(NR / 2) + 1]) / 2 }'
}
if [ -n "$markdown" ]; then
    median 3 | awk -v t="$threads" '{ printf "| start of infer, 187 MB of weights, %d threads | | 1.0 s, better 0.3 s | %.2f s | | | `tests/bench/start.sh` |\n", t, $1 }'
    median 4 | awk '{ printf "| peak memory of infer, 16 frames | | 450 MB, better 300 MB | %.0f MB | | | same |\n", $1 * 1.024e-3 }'
else
    echo "infer, 16 frames, $threads thread(s): $(median 1) s, of which forward $(median 2) s, start $(median 3) s; peak memory" \
        "$(median 4 | awk '{ printf "%.0f", $1 * 1.024e-3 }') MB (medians of $runs)"
fi
