#!/bin/sh
# The demo: makes a labelled set of clips, trains the three models on it, and tells how good they are on clips
# that they have not seen.
#
#     apps/demo.sh BIN INFER
#
# BIN is the folder of programs, INFER the program infer. Everything goes to demo-out/, where infer finds the
# models when there are no trained weights. Each run starts afresh and prints the same, times (all on lines that
# begin with a bracket, but for infer's own) aside. Exit status 1 when a step fails or a model learned nothing.
set -eu
export LC_ALL=C
bin=${1:?usage: apps/demo.sh BIN INFER} infer=${2:?usage: apps/demo.sh BIN INFER}
out=demo-out
begun=$(date +%s) step=$begun
trap '[ $? = 0 ] || echo "demo: FAILED: $title" >&2' EXIT

title=start
title() {
    title=$1
    printf '\n== %s\n' "$1"
}

# Prints a command, then runs it.
run() {
    printf '$ %s\n' "$*"
    "$@"
}

# Says how long it was since the last time.
took() {
    now=$(date +%s)
    printf '[%d s]\n' $((now - step))
    step=$now
}

# The accuracies of a log, in per cent.
show_log() {
    awk -F, 'NR > 1 { seen = seen sprintf(" %3.0f", 100 * $3); unseen = unseen sprintf(" %3.0f", 100 * $6) }
        END { print "  per cent right after each epoch\n    training  " seen "\n    validation" unseen }' "$1/log.csv"
}

rm -rf "$out"
mkdir "$out"

title "A labelled set, drawn and played by a program (about 15 s on two free cores)"
run "$bin/synth" --set 300 --seed 1 --size 96x72 "$out/set"
cat <<'END'
  Figures hop, sway or jostle; arms are up, down or thrust out; colours are warm, grey or dark; a chord, a hum
  or noise is heard. But colour, motion and posture each show a clip's class in 60 % of clips only and sound in
  70 %, and they mistake different classes. Of 300 scenes 180 are for training, 60 for validation, 60 unseen:
END
head -n 4 "$out/set/cues.csv" | sed 's/^/    /'
took

title "The video network: end to end from random values (about 10 s)"
echo "  The inflated ResNet of the release, but small: 8 channels for 64, one block a stage, 8 frames of 48 x 48."
run "$bin/train-video" --data "$out/set/manifest.csv" --out "$out/video" --width 8 --blocks 1,1,1,1 --size 48 \
    --num-frames 8 --flip --epochs 12 --batch 16 --lr 0.003 --schedule cosine --seed 1
show_log "$out/video"
took

title "The audio network: LSTM with attention on 34 features each 10 ms (about 5 s)"
run "$bin/train-audio" --data "$out/set/manifest.csv" --out "$out/audio" --dense 64 --cells 32 --epochs 10 \
    --batch 16 --lr 0.003 --seed 1
show_log "$out/audio"
took

title "The fusion: a support vector machine on the six scores, kernel and numbers by grid search"
run "$bin/train-fusion" --data "$out" --out "$out/fusion" --seed 1
cp "$out/video/video.safetensors" "$out/audio/audio.safetensors" "$out/fusion/fusion.svm" "$out"
took

title "Clips that none of them has seen"
scores=$out/scores
mkdir "$scores"
for system in video audio fusion; do
    cp "$out/$system/scores.test.csv" "$scores/$system.csv"
done
# The mean of both networks' scores, clip by clip; and the class that is most frequent in training for every clip.
awk -F, -v OFS=, 'NR == FNR { for (i = 7; i <= 9; i++) score[$1, i] = $i; next }
    FNR > 1 { for (i = 7; i <= 9; i++) $i = sprintf("%.17g", ($i + score[$1, i]) / 2); $3 = "" }
    { print }' "$scores/audio.csv" "$scores/video.csv" | cut -d, -f1,2,7- >"$scores/mean.csv"
awk -F, -v OFS=, 'NR == FNR { if (FNR > 1 && ++count[$2] > count[most]) most = $2; next }
    { print $1, $2, (FNR > 1 ? most : $3), (FNR > 1 ? ",," : $7 OFS $8 OFS $9) }' \
    "$out/video/scores.train.csv" "$scores/video.csv" >"$scores/majority.csv"
systems="$scores/majority.csv $scores/video.csv $scores/audio.csv $scores/mean.csv $scores/fusion.csv"
# shellcheck disable=SC2086
{
    run "$bin/evaluate" $systems >"$out/evaluation.txt"
    "$bin/evaluate" --csv $systems >"$out/evaluation.csv"
}
echo "$ $bin/evaluate --csv $systems"
awk -F, 'NR == 1 { next }
    { value = $5 == "" ? "-" : 100 * $5 }
    $2 == "accuracy" { name[++n] = $1; clips[$1] = $8; right[$1] = value; low[$1] = 100 * $6; high[$1] = 100 * $7 }
    $2 == "recall" { recall[$1, $3] = value }
    $2 == "mcnemar_p" && $4 == "fusion" { p[$1] = sprintf("%.2g", $5) }
    END {
        print "  system     clips  right %  95 % interval   positive  neutral  negative   differs from fusion: p"
        for (i = 1; i <= n; i++) {
            s = name[i]
            printf "  %-9s  %5d  %7.1f  %4.1f to %5.1f   %9.1f%9.1f%10.1f   %s\n", s, clips[s], right[s], low[s], high[s],
                recall[s, "positive"], recall[s, "neutral"], recall[s, "negative"], s in p ? p[s] : ""
        }
    }' "$out/evaluation.csv"
cat <<END
  Who reads every cue without fault is right in 70 % of such clips by what is seen, 70 % by sound, 82 % by both.
  Intervals are Wilson's, p is McNemar's test; more numbers are in $out/evaluation.txt.
END
# A demo whose models learned nothing must not look like one that works.
awk -F, '$2 == "accuracy" { value[$1] = $5; low[$1] = $6 }
    END {
        for (s in low)
            if (s != "majority" && !(low[s] > value["majority"])) {
                print "demo: " s " is not better than the most frequent class" >"/dev/stderr"
                bad = 1
            }
        exit bad || !("majority" in low) || !("fusion" in low)
    }' "$out/evaluation.csv"
took

title "New scenes, in full size, as video files"
# Trained weights that are there already stay out of it.
models=
[ ! -e weights/video.safetensors ] && [ ! -e weights/audio.safetensors ] ||
    models="--video-weights $out/video.safetensors --audio-weights $out/audio.safetensors --fusion $out/fusion.svm"
run "$bin/synth" --class positive --seed 1001 --video "$out/clip"
# shellcheck disable=SC2086
run "$infer" $models "$out/clip/clip.mp4"
echo "  A quarrel that sounds like a party, and what each network makes of it:"
run "$bin/synth" --class negative --sound positive --seed 1002 "$out/quarrel"
# shellcheck disable=SC2086
run "$infer" $models --json --quiet --frames "$out/quarrel/frames" --audio "$out/quarrel/audio.wav"
took

title "Inside"
run "$bin/features" --audio "$out/clip/audio.wav" -o "$out/features.csv"
echo "  $(($(wc -l <"$out/features.csv") - 1)) windows of sound, 34 features each; the beginning of the first:"
head -n 2 "$out/features.csv" | cut -d, -f1-5 | sed 's/^/    /'
echo "  The network of the release's size, ResNet3D-50, one clip of 16 frames, random weights (a time, no answer):"
"$bin/init-weights" --video "$out/full.safetensors" --num-classes 305 --num-frames 16 --seed 3
"$infer" --activities 1 --labels weights/labels/moments_v2.txt --num-frames 16 \
    --video-weights "$out/full.safetensors" --frames "$out/clip/frames" --profile >"$out/profile.txt" 2>&1
rm "$out/full.safetensors"
awk '/network:/ { sub(/, mean.*/, ""); what = $0 }
    $1 == "all" { printf "[%s: %.0f ms, %s GFLOP/s]\n", what, $2, $3; found = 1 }
    END { exit !found }' "$out/profile.txt"
echo "  (each layer: $out/profile.txt)"

title "What it is worth"
cat <<END
  The models were really trained, here and now, and the numbers are of clips they did not see. But these clips
  are drawn by a program: the numbers show that learning and fusing work, and nothing about real people, for whom
  there are docs/training.md and docs/weights.md. While weights/ has no networks, infer takes these. Another scene
  (positive, neutral or negative):

    $bin/synth --class negative --seed 99 --video $out/other
    $infer $out/other/clip.mp4

END
printf '[all: %d s]\n' $(($(date +%s) - begun))
title=end
