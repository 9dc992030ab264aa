#!/bin/sh
# Fight or calm: the networks and their fusion on 136 surveillance clips of people in groups, in five folds by
# source (docs/reproduce.md).
#
#   tests/bench/groupclips.sh DATA OUT [THREADS]
#
# DATA is the folder with labels.csv and the videos. Each fold in turn is tested, the next one chooses the epoch,
# three are learnt from. Systems: the audio network; a head on the features of a seeded and calibrated video
# backbone (`head`); a small video network from nothing (`small`); both fusions, of the clips that have sound, and of
# all (`any+...`). The tested clips of all folds are put together in OUT/*.csv. What OUT has already is not made again.
set -eu
[ $# -ge 2 ] || {
    sed -n 's/^# \{0,1\}//; 5p' "$0" >&2
    exit 2
}
data=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
threads=${3:-1}
bin=$(cd "${BIN:-$(dirname "$0")/../../bin}" && pwd)
LC_ALL=C
export LC_ALL

run() { # PROGRAM ARGUMENT...
    program=$1
    shift
    "$bin/$program" --quiet --threads "$threads" "$@"
}

# Frames and sound of each clip.
if [ ! -f "$out/prepared/manifest.csv" ]; then
    awk -F, -v folder="$data" 'NR == 1 { print "name,frames,audio,label,split,source"; next }
        { printf "%s,\"%s/%s.mp4\",,%s,all,%s\n", $1, folder, $1, $3, $2 }' "$data/labels.csv" > "$out/all.csv"
    run prepare "$out/all.csv" "$out/prepared" > "$out/prepare.txt"
fi

# Sources, the largest first, go to the fold that has the fewest clips.
if [ ! -f "$out/folds.csv" ]; then
    awk -F, 'NR > 1 { n[$2]++ } END { for (s in n) print n[s] "," s }' "$data/labels.csv" | sort -t, -k1,1nr -k2,2n |
        awk -F, '{ k = 1; for (i = 2; i <= 5; i++) if (n[i] + 0 < n[k] + 0) k = i; n[k] += $1; print $2 "," k }' \
            > "$out/folds.csv"
fi

# A backbone of random values whose batch norms know one clip.
if [ ! -f "$out/backbone.safetensors" ]; then
    first=$(awk -F, 'NR == 2 { print $1 }' "$data/labels.csv")
    "$bin/init-weights" --threads "$threads" --video "$out/backbone.safetensors" --classes fight,calm \
        --calibrate "$out/prepared/all/$first"
fi

# Clips of the fold that is tested, of the one that validates, and of the others.
list_of() { # FOLD
    awk -F, -v fold="$1" -v OFS=, 'NR == FNR { k[$1] = $2; next }
        FNR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; print; next }
        { f = k[$at["source"]]; $at["split"] = f == fold ? "test" : f == fold % 5 + 1 ? "val" : "train"; print }' \
        "$out/folds.csv" "$out/prepared/manifest.csv" > "$out/prepared/fold$1.csv"
}

train() { # FOLD
    list=$out/prepared/fold$1.csv fold=$out/fold$1
    mkdir -p "$fold/audio" "$fold/head" "$fold/small"
    if [ ! -f "$fold/audio/scores.test.csv" ]; then
        run train-audio --data "$list" --out "$fold/audio" --dense 128 --cells 64 --batch 16 --lr 0.003 \
            --schedule cosine --epochs 40 --patience 0 --dropout 0.3 --input-dropout 0.3
    fi
    if [ ! -f "$fold/head/scores.test.csv" ]; then
        if [ -f "$out/features.cache" ]; then cp "$out/features.cache" "$fold/head"; fi
        run train-video --data "$list" --out "$fold/head" --video-weights "$out/backbone.safetensors" --lr 0.001 \
            --epochs 250 --patience 0
        cp "$fold/head/features.cache" "$out"
    fi
    if [ ! -f "$fold/small/scores.test.csv" ]; then
        run train-video --data "$list" --out "$fold/small" --width 8 --blocks 1,1,1,1 --size 64 --num-frames 10 \
            --batch 16 --lr 0.003 --schedule cosine --epochs 40 --patience 0 --flip --crop 0.7
    fi
    for video in head small; do
        if [ ! -f "$fold/audio+$video/scores.test.csv" ]; then
            run train-fusion --data "$fold" --video-scores "$fold/$video" --audio-scores "$fold/audio" \
                --out "$fold/audio+$video"
        fi
    done
}

for k in 1 2 3 4 5; do
    list_of "$k"
    train "$k"
done
for system in audio head small audio+head audio+small; do
    for k in 1 2 3 4 5; do
        cat "$out/fold$k/$system/scores.test.csv"
    done | awk 'NR == 1 { header = $0 } $0 != header || NR == 1' > "$out/$system.csv"
done
# Every clip: fused where it has sound, else the video network alone, as infer does.
for video in head small; do
    awk -F, 'NR == FNR { fused[$1]; print; next } !($1 in fused)' "$out/audio+$video.csv" "$out/$video.csv" \
        > "$out/any+$video.csv"
done
cat "$out/prepare.txt"
cd "$out"
"$bin/evaluate" audio.csv head.csv small.csv audio+head.csv audio+small.csv any+head.csv any+small.csv
