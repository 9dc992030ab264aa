#!/usr/bin/env python3
"""One fit by bin/svm and by LIBSVM's svm-train at the same settings on the same rows, in turns.

    svm_fit.py [--svm bin/svm] [--repeat N] [--markdown]

Needs numpy and LIBSVM's svm-train; says so and ends where one is missing. Rows are those of grid.py; both use one thread, 100
MB and a tolerance of 0.001, and read and write text files. Prints the medians of the processor seconds and their ratio, and
whether steps and objectives agree.
"""
import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile

import peers

peers.need("numpy", "svm-train")
import grid

SETTINGS = ["-t 0 -c 1", "-t 0 -c 512", "-t 1 -d 2 -g 0.5 -c 8", "-t 1 -d 3 -g 0.5 -c 512", "-t 2 -g 0.125 -c 1",
            "-t 2 -g 0.5 -c 32", "-t 2 -g 1 -c 512", "-t 2 -g 8 -c 32"]


def run(command):
    """Processor seconds, steps and objectives."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    return used, re.findall(r"#iter = (\d+)", out), [float(o) for o in re.findall(r"obj = (\S+),", out)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--svm", default="bin/svm")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--markdown", action="store_true", help="a row of the table of all.sh")
    args = parser.parse_args()
    ratios, seconds = [], []
    with tempfile.TemporaryDirectory() as folder:
        data, model = os.path.join(folder, "rows"), os.path.join(folder, "model")
        grid.rows(data)
        for settings in SETTINGS:
            used = ([], [])
            for _ in range(args.repeat + 1):  # the first is a warm-up
                ours = run([args.svm, "train", "--threads", "1", *settings.split(), data, model])
                theirs = run(["svm-train", *settings.split(), data, model])
                used[0].append(ours[0])
                used[1].append(theirs[0])
            error = max(abs(a - b) / abs(b) for a, b in zip(ours[2], theirs[2]))
            a, b = (statistics.median(u[1:]) for u in used)
            ratios.append(a / b)
            seconds.append((a, b))
            if args.markdown:
                continue
            print(f"{settings:24} {a:.3f} s against {b:.3f} s, ratio {a / b:.2f}; "
                  f"{'the same' if ours[1] == theirs[1] else 'other'} steps, objectives within {error:.1e}", flush=True)
    if args.markdown:
        here, there = (f"{min(column):.3f} to {max(column):.3f} s" for column in zip(*seconds))
        peers.row(f"one SVM fit, {len(SETTINGS)} settings, processor, one thread", "LIBSVM svm-train", "1.0, better 0.5", here,
                  there, f"{min(ratios):.2f} to {max(ratios):.2f}, median {statistics.median(ratios):.2f}")
        return 0
    print(f"median ratio {statistics.median(ratios):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
