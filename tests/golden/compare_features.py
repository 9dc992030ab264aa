#!/usr/bin/env python3
"""Compares the features of sound files with pyAudioAnalysis's.

    compare_features.py [--program bin/features] FILE.wav...

Needs numpy, scipy and pyAudioAnalysis. The files are 16-bit WAVs. Every feature of every window must be within
1e-6 * max(1, |b|); prints the worst file of each feature and exits with 1 when one is beyond.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
from scipy.io import wavfile

import reference


def compare(program, path, folder):
    """The error of each feature, in units of the bound, and the number of windows."""
    rate, samples = wavfile.read(path)
    if samples.dtype != np.int16:
        raise SystemExit(f"{path}: {samples.dtype}, expected 16 bits")
    mono = samples.mean(axis=1) if samples.ndim == 2 else samples
    want = reference.features(mono, rate)
    out = os.path.join(folder, "features.npy")
    subprocess.run([program, "--audio", path, "-o", out], check=True, stdout=subprocess.DEVNULL)
    got = np.load(out)
    if got.shape != want.shape:
        raise SystemExit(f"{path}: {got.shape}, expected {want.shape}")
    error = np.abs(got - want) / np.maximum(1, np.abs(want))
    return error.max(axis=0) / 1e-6, len(want)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default="bin/features")
    parser.add_argument("file", nargs="+")
    args = parser.parse_args()
    worst, culprit, windows = np.zeros(34), [""] * 34, 0
    with tempfile.TemporaryDirectory() as folder:
        for path in args.file:
            error, count = compare(args.program, path, folder)
            windows += count
            for i in np.nonzero(~(error <= worst))[0]:
                worst[i], culprit[i] = error[i], path
    for name, error, path in zip(reference.NAMES, worst, culprit):
        print(f"{name:18} {error * 1e-6:9.2e}  {os.path.basename(path)}")
    print(f"{len(args.file)} files, {windows} windows: worst error {worst.max() * 1e-6:.2e} of 1e-06 * max(1, |b|)")
    sys.exit(0 if worst.max() <= 1 else 1)


if __name__ == "__main__":
    main()
