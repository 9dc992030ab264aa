#!/bin/sh
# Trains and tests the audio network on the Berlin Database of Emotional Speech (docs/reproduce.md).
#
#   tests/bench/emodb.sh [-p PROTOCOL] [-n RUNS] DATA OUT [ARGUMENT of bin/train-audio]...
#
# DATA is the folder of WAV files; lists, models and logs go to OUT. PROTOCOL:
#   best     ten random splits, 80 % to learn from, 20 % that choose the epoch and are reported (the default)
#   clean    the same splits; the epoch is chosen on a fifth of the 80 %, the 20 % are only scored
#   speaker  each speaker left out in turn, the next one chooses the epoch
# -n N ends after N runs (the first ones). Runs that OUT has already are not repeated; other arguments want
# another OUT.
set -eu

usage() {
    sed -n 's/^# \{0,1\}//; 2,11p' "$0" >&2
    exit 2
}

protocol=best
runs=
while getopts p:n: option; do
    case $option in
    p) protocol=$OPTARG ;;
    n) runs=$OPTARG ;;
    *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# -ge 2 ] || usage
data=$(cd "$1" && pwd) out=$2
shift 2

here=$(dirname "$0")
bin=${BIN:-$here/../../bin}
LC_ALL=C
export LC_ALL
mkdir -p "$out"
names=$(cd "$data" && ls | grep '^[01][0-9][ab][0-9][0-9][WLEAFTN][a-z]*\.wav$') || {
    echo "$data: no file is called as those of the database (03a01Fa.wav)" >&2
    exit 1
}
case $protocol in
best) last=10 tested=val ;;
clean) last=10 tested=test ;;
speaker) last=$(echo "$names" | cut -c1-2 | uniq | wc -l) tested=test ;;
*) usage ;;
esac
if [ "${runs:-$last}" -lt "$last" ]; then last=$runs; fi

# Results of other settings must not get into the table.
settings="$protocol $*"
if [ -f "$out/arguments.txt" ] && [ "$(cat "$out/arguments.txt")" != "$settings" ]; then
    echo "$out: holds runs with other arguments: $(cat "$out/arguments.txt")" >&2
    exit 1
fi
echo "$settings" > "$out/arguments.txt"

# Accuracy and UAR of a score file.
numbers() {
    "$bin/evaluate" --quiet --csv --split "$tested" "$1" |
        awk -F, '$2 == "accuracy" { a = $5 } $2 == "uar" { u = $5 } END { print a, u }'
}

: > "$out/table.txt"
i=0
while [ $((i += 1)) -le "$last" ]; do
    run=$out/$i
    mkdir -p "$run"
    if [ ! -f "$run/scores.$tested.csv" ]; then
        echo "$names" | awk -v folder="$data" -v kind="$protocol" -v number=$i -f "$here/emodb_splits.awk" \
            > "$run/list.csv"
        "$bin/train-audio" --data "$run/list.csv" --out "$run" --seed "$i" "$@" > "$run/output.txt"
    fi
    clips=$(($(wc -l < "$run/scores.$tested.csv") - 1))
    # Of equal epochs the one with the lower loss is kept, as train-audio does.
    epochs=$(awk -F, 'NR > 1 && ($6 > a || ($6 == a && $5 < l)) { a = $6; l = $5; e = $1 }
                      END { print $1, e, $6, $7 }' "$run/log.csv")
    echo "$i $clips $(numbers "$run/scores.$tested.csv") $epochs" >> "$out/table.txt"
done

awk -v protocol="$protocol" '
function row(name, a, u) { printf "%-10s %5s %7s %5s %9.2f %7.2f", name, $2, $5, $6, 100 * a, 100 * u }
function sum(name, k, i, m, v) {
    for (i = 1; i <= NR; i++) m += x[k, i] / NR
    for (i = 1; i <= NR; i++) v += (x[k, i] - m) ^ 2 / (NR > 1 ? NR - 1 : 1)
    printf "%-34s %6.2f +- %.2f\n", name, 100 * m, 100 * sqrt(v)
}
NR == 1 {
    print "run        clips  epochs  best  accuracy     UAR" (protocol == "best" ? "  last: accuracy     UAR" : "")
}
{
    row(protocol == "speaker" ? "speaker " $1 : "split " $1, $3, $4)
    if (protocol == "best") printf "          %6.2f  %6.2f", 100 * $7, 100 * $8
    print ""
    x["a", NR] = $3; x["u", NR] = $4; x["la", NR] = $7; x["lu", NR] = $8
}
END {
    print "mean and standard deviation of " NR " runs, per cent"
    if (protocol == "best") {
        sum("accuracy, best epoch", "a"); sum("UAR, best epoch", "u")
        sum("accuracy, last epoch", "la"); sum("UAR, last epoch", "lu")
    } else {
        sum("accuracy", "a"); sum("UAR", "u")
    }
    print "reference project, all 535 files       68.60 +- 1.88 (accuracy, best epoch); target 70 or more"
}' "$out/table.txt"
