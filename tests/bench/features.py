"""The 34 short-term features by pyAudioAnalysis and by bin/bench, in turns.

    python3 tests/bench/features.py [--runs N] [--seconds S] [--bench bin/bench] [--markdown] [RATE...]

Needs numpy and pyAudioAnalysis; says so and ends where one is missing. Prints medians of wall time and their ratio (ours /
theirs) for each rate (16000 and 44100 Hz).
"""
import argparse
import statistics
import time

import peers

peers.need("numpy", "pyAudioAnalysis")
import numpy
from pyAudioAnalysis import ShortTermFeatures


def compare(rate, args):
    t = numpy.arange(int(args.seconds * rate)) / rate
    noise = numpy.random.default_rng(1).normal(0, 500, t.size)
    signal = 8000 * numpy.sin(2 * numpy.pi * 220 * t) * (1 + 0.5 * numpy.sin(6 * t)) + noise
    theirs, ours = [], []
    for run in range(args.runs + 1):
        begin = time.perf_counter()
        ShortTermFeatures.feature_extraction(signal, rate, int(0.025 * rate), int(0.010 * rate), deltas=False)
        if run:  # the first one warms up
            theirs.append(time.perf_counter() - begin)
            ours.append(peers.bench(args.bench, "features", "--runs", 5, "--threads", 1, "--rate", rate, "--seconds",
                                    args.seconds)["seconds"])
    theirs, ours = statistics.median(theirs), statistics.median(ours)
    if args.markdown:
        peers.row(f"34 features of {args.seconds:g} s at {rate} Hz, one thread", "pyAudioAnalysis", "1/30, better 1/100",
                  f"{ours * 1e3:.2f} ms", f"{theirs * 1e3:.0f} ms", f"1/{theirs / ours:.0f}")
        return
    print(f"features of {args.seconds:g} s at {rate} Hz: valence {ours * 1e3:.2f} ms, pyAudioAnalysis "
          f"{theirs * 1e3:.1f} ms, ratio 1/{theirs / ours:.1f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--bench", default="bin/bench")
    parser.add_argument("--markdown", action="store_true", help="rows of the table of all.sh")
    parser.add_argument("rates", type=int, nargs="*", default=[16000, 44100])
    args = parser.parse_args()
    for rate in args.rates:
        compare(rate, args)


if __name__ == "__main__":
    main()
