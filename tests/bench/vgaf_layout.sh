#!/bin/sh
# A synthetic set laid out as VGAF is distributed, to try the commands of docs/reproduce.md without the database.
# Needs ffmpeg.
#
#   tests/bench/vgaf_layout.sh N OUT       N clips of each class; three fifths Train, one Val, one Test
set -eu
[ $# -eq 2 ] || {
    sed -n 's/^# \{0,1\}//; 5p' "$0" >&2
    exit 2
}
bin=${BIN:-$(dirname "$0")/../../bin}
out=$2
mkdir -p "$out/Train" "$out/Val" "$out/Test"
"$bin/synth" --quiet --set "$1" --seed 1 "$out/synth"
echo 'Vid_name Label' | tee "$out/Train_labels.txt" > "$out/Val_labels.txt"
test=0
# name,frames,audio,label,split,source,faces; frames are 0001.png ... at 4 a second
tail -n +2 "$out/synth/manifest.csv" | while IFS=, read -r name frames audio label split _; do
    case $label in
    positive) number=1 ;;
    neutral) number=2 ;;
    *) number=3 ;;
    esac
    case $split in
    train) to=Train/$name && echo "$name $number" >> "$out/Train_labels.txt" ;;
    val) to=Val/$name && echo "$name $number" >> "$out/Val_labels.txt" ;;
    test) to=Test/Test_$((test += 1)) ;; # without labels, as distributed
    esac
    ffmpeg -nostdin -v error -framerate 4 -i "$out/synth/$frames/%04d.png" -i "$out/synth/$audio" -pix_fmt yuv420p \
        -shortest "$out/$to.mp4"
done
rm -rf "$out/synth"
