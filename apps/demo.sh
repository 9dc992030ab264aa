#!/bin/sh
# The demo: makes a clip and untrained networks and runs every program on them.
#
#     apps/demo.sh BIN INFER
#
# BIN is the folder of programs, INFER the program infer. Everything goes to demo-out/, where infer finds it
# when there are no trained weights. Each run starts afresh and prints the same, times aside.
set -eu
export LC_ALL=C
bin=${1:?usage: apps/demo.sh BIN INFER} infer=${2:?usage: apps/demo.sh BIN INFER}
out=demo-out

title() {
    printf '\n== %s\n' "$1"
}

# Prints a command, then runs it.
run() {
    printf '$ %s\n' "$*"
    "$@"
}

rm -rf "$out"
mkdir "$out"

title "A clip of a group of people, drawn and played by a program"
run "$bin/synth" --class positive --seed 1 --video "$out/clip"
ls "$out/clip"

title "What the audio network sees: 34 features of each 25 ms of sound"
run "$bin/features" --audio "$out/clip/audio.wav" -o "$out/features.csv"
echo "$(($(wc -l <"$out/features.csv") - 1)) windows; the first two of them, eight features of each:"
head -n 3 "$out/features.csv" | cut -d, -f1-8

title "Untrained networks: random values, batch norm calibrated on the clip"
classes=positive,neutral,negative
run "$bin/init-weights" --video "$out/video.safetensors" --classes $classes --seed 1 --width 16 \
    --calibrate "$out/clip/frames"
run "$bin/init-weights" --audio "$out/audio.safetensors" --classes $classes --seed 2
# LIBSVM's format, by hand: a class's score is the sum of both networks' for it, the largest wins.
cat >"$out/fusion.svm" <<'EOF_SVM'
svm_type c_svc
kernel_type linear
nr_class 3
total_sv 3
rho 0 0 0
label 1 2 3
probA -4 -4 -4
probB 0 0 0
nr_sv 1 1 1
SV
1 1 1:1 4:1
-1 1 2:1 5:1
-1 -1 3:1 6:1
EOF_SVM
ls -l "$out"/*.safetensors "$out/fusion.svm" | awk '{printf "%11d bytes  %s\n", $5, $NF}'

title "The activity, by a network of the release's size: ResNet3D-50, 305 classes, 16 frames"
run "$bin/init-weights" --video "$out/activities.safetensors" --num-classes 305 --seed 3 --num-frames 16 \
    --calibrate "$out/clip/frames"
run "$infer" --activities 5 --labels weights/labels/moments_v2.txt --num-frames 16 \
    --video-weights "$out/activities.safetensors" --frames "$out/clip/frames"
run "$bin/features" --frames "$out/clip/frames" --num-frames 16 \
    --video-weights "$out/activities.safetensors" -o "$out/features.npy"
# It takes 187 MB and says nothing.
rm "$out/activities.safetensors"

title "The valence: of frames and a sound file, of a video file, as JSON"
networks="--video-weights $out/video.safetensors --audio-weights $out/audio.safetensors --fusion $out/fusion.svm"
# shellcheck disable=SC2086
{
    run "$infer" $networks --frames "$out/clip/frames" --audio "$out/clip/audio.wav"
    run "$infer" $networks "$out/clip/clip.mp4"
    run "$infer" $networks --json "$out/clip/clip.mp4" "$out/clip/frames" "$out/clip/audio.wav"
}

title "Where the time goes"
echo "$ $infer $networks --profile $out/clip/clip.mp4"
# shellcheck disable=SC2086
"$infer" $networks --profile "$out/clip/clip.mp4" 2>"$out/profile.txt" >/dev/null
awk '/network:/ || $1 == "op" || $1 == "all" || $2 ~ /^(conv1|layer[1-4].0.conv2|last_linear|lstm)/' \
    "$out/profile.txt" | cut -c1-132
echo "  ... (the whole table is in $out/profile.txt)"

title "What it is worth"
cat <<'END'
These networks are untrained: the answers above MEAN NOTHING. They show that a clip goes all the way from
pictures and sound to a valence. docs/weights.md says how to get trained weights; until there are some in
weights/, ./infer takes what this demo left in demo-out/, and says so:
END
echo "    $infer $out/clip/clip.mp4"
