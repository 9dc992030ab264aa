#!/bin/bash
# Features of a frozen video network from video files and from folders of JPEGs: clips a second, old and new in turns.
#
#   tests/bench/extract.sh OUT [BIN]...
#
# BIN are folders of programs (default: bin/ of this tree). OUT gets 24 synthetic clips of 5 s, 640 x 360, 25 frames
# a second, as H.264 with sound and as folders of 25 pictures, and random weights of the full size; what is there already is
# used. Each turn times bin/train-video twice, the second time with all features in the cache: what the first
# took longer, by the clock and of all processors (ffmpeg's too), is divided by the clips. Medians.
# Environment: FRAMES (10), THREADS ("1 2"), TURNS (3), KINDS ("video jpeg").
set -eu
[ $# -ge 1 ] || {
    sed -n 's/^# \{0,1\}//; 4p' "$0" >&2
    exit 2
}
here=$(cd "$(dirname "$0")/../../bin" && pwd)
mkdir -p "$1/clip" "$1/jpeg"
out=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- "$here"
LC_ALL=C
TIMEFORMAT='%R %U %S'
clips=24

for i in $(seq $clips); do
    [ -e "$out/clip/$i" ] || "$here/synth" --quiet --video --seed "$i" --fps 25 --size 640x360 "$out/clip/$i"
    [ -e "$out/jpeg/$i" ] || {
        mkdir -p "$out/jpeg/part"
        ffmpeg -nostdin -v error -i "$out/clip/$i/clip.mp4" -vf fps=5 -q:v 3 "$out/jpeg/part/%02d.jpg"
        mv "$out/jpeg/part" "$out/jpeg/$i"
    }
done
[ -e "$out/weights.safetensors" ] ||
    "$here/init-weights" --video "$out/weights.safetensors" --num-classes 3 > "$out/weights.txt"
for kind in video jpeg; do
    echo 'name,frames,audio,label,split' > "$out/$kind.csv"
    for i in $(seq $clips); do
        path=$out/jpeg/$i
        [ $kind = jpeg ] || path=$out/clip/$i/clip.mp4
        echo "$i,\"$path\",,class$((i % 3)),train" >> "$out/$kind.csv"
    done
done

train() { # BIN KIND THREADS: seconds on the clock, of the processors
    { time "$1/train-video" --quiet --data "$out/$2.csv" --out "$out/run" --video-weights "$out/weights.safetensors" \
        --num-frames "${FRAMES:-10}" --val-split none --test-split none --epochs 1 --threads "$3" > "$out/run.txt"; } 2>&1
}

for turn in $(seq "${TURNS:-3}"); do
    for kind in ${KINDS:-video jpeg}; do
        for threads in ${THREADS:-1 2}; do
            for bin; do
                rm -rf "$out/run"
                first=$(train "$bin" "$kind" "$threads")
                echo "$kind $threads $bin $first $(train "$bin" "$kind" "$threads")"
            done
        done
    done
done | awk -v clips=$clips '
    function median(list,   n, x, i, j, t) {
        n = split(list, x, " ")
        for (i = 2; i <= n; i++)
            for (j = i; j > 1 && x[j - 1] + 0 > x[j] + 0; j--) { t = x[j]; x[j] = x[j - 1]; x[j - 1] = t }
        return n % 2 ? x[(n + 1) / 2] : (x[n / 2] + x[n / 2 + 1]) / 2
    }
    {
        key = $1 ", threads " $2 ", " $3
        if (!(key in wall)) order[++keys] = key
        wall[key] = wall[key] " " ($4 - $7) / clips
        work[key] = work[key] " " ($5 + $6 - $8 - $9) / clips
    }
    END {
        for (i = 1; i <= keys; i++)
            printf "%s: %.2f clips a second, %.0f ms of the processors a clip\n", order[i], 1 / median(wall[order[i]]),
                1000 * median(work[order[i]])
    }'
