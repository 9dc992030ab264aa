#!/bin/sh
# Every figure of the speed tables of docs/benchmarks.md as one Markdown table, on stdout: other implementations in
# turns with ours where they are installed, else a row that says so.
#
#   tests/bench/all.sh
#
# Takes some 15 minutes; nothing else should be running. PYTHON is the Python that has the other implementations
# (python3), BIN the folder of the programs. Seconds are those of the clock, medians of five.
set -eu
[ $# -eq 0 ] || {
    sed -n 's/^# \{0,1\}//; 5p' "$0" >&2
    exit 2
}
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
bin=${BIN:-bin}
LC_ALL=C
export LC_ALL

processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)
printf '%s, %s cores, load %s before the first run.\n\n' "${processor:-unknown processor}" "$(nproc)" \
    "$(cut -d ' ' -f 1 /proc/loadavg 2>/dev/null || echo unknown)"
echo '| work | against | target | here | there | ratio | command |'
echo '| --- | --- | --- | --- | --- | --- | --- |'

peer() { # SCRIPT ARGUMENT...: rows of a comparison
    script=$1
    shift
    case $script in
    grid.py | svm_fit.py) set -- --svm "$bin/svm" "$@" ;;
    *) set -- --bench "$bin/bench" "$@" ;;
    esac
    "$python" -B "tests/bench/$script" --markdown "$@" || echo "| | | | failed | | | \`tests/bench/$script $*\` |"
}

# Rows of `bench gemm`: products of 2048 x 2048 and the inner loop; $1 is what the environment tells OpenBLAS.
gemm() {
    command="${1:+OPENBLAS_CORETYPE=$1 }bin/bench gemm --threads 1"
    env ${1:+OPENBLAS_CORETYPE="$1"} "$bin/bench" gemm --threads 1 | awk -v command="$command" -v told="$1" '
        $1 == "linear" { ours = $(NF - 1); share = $NF }
        $1 == "conv3d" { loops = loops (loops ? ", " : "") $NF " %" }
        $1 == "OpenBLAS" {
            name = $0
            sub(/.*kernels for /, "", name)
            sub(/ .*/, "", name)
            printf "| sgemm of 2048^3, one thread | OpenBLAS, kernels for %s | | %s GFLOP/s, %s %% of peak | %s GFLOP/s, %s %% | %.2f | `%s` |\n",
                name, ours, share, $(NF - 1), $NF, $(NF - 1) / ours, command
            if (told == "")
                printf "| inner loop of a convolution, 1x1x1 and 3x3x3 | peak of the core | 85 %% | %s | | | same |\n", loops
        }'
}

# A row of what no other implementation does: BENCHMARK TARGET ARGUMENT...
alone() {
    name=$1
    target=$2
    shift 2
    "$bin/bench" "$name" --json "$@" | sed 's/"cases".*//' | awk -v target="$target" -v command="bin/bench $name $*" '
        {
            match($0, /"work": "[^"]*"/)
            work = substr($0, RSTART + 9, RLENGTH - 10)
            match($0, /"seconds": [0-9.e-]*/)
            printf "| %s | | %s | %.3g s | | | `%s` |\n", work, target, substr($0, RSTART + 11, RLENGTH - 11), command
        }'
}

# Rows of features of a frozen video network: clips a second, from files made for it.
extraction() {
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    tests/bench/extract.sh "$folder" "$bin" | sed -E \
        's/^([a-z]+), threads ([0-9]+), [^:]*: (.* clips a second), (.*) of the processors a clip$/| features of 10 frames, from \1 files, \2 thread(s) | | | \3, \4 of the processors a clip | | | `tests\/bench\/extract.sh OUT` |/'
    rm -rf "$folder"
    trap - EXIT
}

peer video.py --threads 1
peer video.py --threads 2
peer video.py --threads 2 --frames 10
if grep -q avx512_bf16 /proc/cpuinfo 2>/dev/null; then
    peer video.py --threads 1 --precision bf16
    peer video.py --threads 2 --precision bf16
fi
gemm ''
grep -q avx512f /proc/cpuinfo 2>/dev/null && gemm SkylakeX
BIN=$bin tests/bench/start.sh --markdown
peer features.py
peer audio.py --only audio --threads 1
peer audio.py --only train-audio --threads 2
alone train-head '3 s, better 1 s' --threads 2
peer fine_tune.py --threads 2
peer grid.py --threads 2
alone grid '' --threads 2
peer svm_fit.py
alone ops '' --threads 1
extraction
