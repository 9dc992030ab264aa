#!/usr/bin/env python3
"""Tunes a machine on the softmax scores of 14 networks as scikit-learn and as bin/svm do it, side by side.

    gaf.py [--program bin/svm] [--points N] FOLDER/gaf

Needs numpy and scikit-learn. FOLDER/gaf/valid.csv has a label and 14 x 3 logits a row. Both are cross-validated at the
same 29 points (or the first N) in the same five folds inside these rows: the i-th row of a class is in fold i mod 5.
Prints rows told right by both, and at the end the ratio of the two best accuracies; exits with 1 where ours is
more than 0.001 below scikit-learn's.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
import sklearn
from sklearn.svm import SVC

FOLDS = 5


def points():
    """Kernel, degree, gamma, C."""
    best = [("poly", 3, 2.0**-3, 2.0), ("rbf", 3, 2.0**-7, 2.0)]
    linear = [("linear", 3, 1.0, 2.0**c) for c in (-7, -5, -3, -1, 1)]
    rbf = [("rbf", 3, 2.0**g, 2.0**c) for g in (-9, -7, -5, -3) for c in (-1, 1, 3)]
    poly = [("poly", d, 2.0**g, 2.0**c) for d in (2, 3) for g in (-5, -3) for c in (-1, 1, 3)]
    return best + [p for p in linear + rbf + poly if p not in best]


def read(path):
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    label = table[:, 0].astype(int)
    logit = table[:, 1:].reshape(len(table), -1, 3)
    score = np.exp(logit - logit.max(axis=2, keepdims=True))
    score /= score.sum(axis=2, keepdims=True)
    fold = np.empty(len(label), int)
    for k in range(3):
        fold[label == k] = np.arange((label == k).sum()) % FOLDS
    return label, logit, score.reshape(len(table), -1), fold


def write(path, x, y):
    with open(path, "w") as f:
        for row, label in zip(x, y):
            f.write(f"{label + 1} " + " ".join(f"{i + 1}:{v:.17g}" for i, v in enumerate(row)) + "\n")


def ask_sklearn(point, x, y, fold):
    kernel, degree, gamma, cost = point
    right = 0
    for f in range(FOLDS):
        machine = SVC(kernel=kernel, degree=degree, gamma=gamma, C=cost, coef0=0, tol=1e-3)
        machine.fit(x[fold != f], y[fold != f])
        right += (machine.predict(x[fold == f]) == y[fold == f]).sum()
    return int(right)


def ask_ours(program, point, folder, y, fold):
    kernel, degree, gamma, cost = point
    right = 0
    for f in range(FOLDS):
        train, test, model, out = (os.path.join(folder, n) for n in (f"train{f}", f"test{f}", "model", "out"))
        options = ["-t", str(["linear", "poly", "rbf"].index(kernel)), "-d", str(degree), "-g", repr(gamma),
                   "-c", repr(cost), "--threads", "1"]
        subprocess.run([program, "train", "-q", *options, train, model], check=True)
        subprocess.run([program, "predict", "-q", test, model, out], check=True)
        right += (np.loadtxt(out, dtype=int) == y[fold == f] + 1).sum()
    return int(right)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default="bin/svm")
    parser.add_argument("--points", type=int, default=29)
    parser.add_argument("folder")
    args = parser.parse_args()
    y, logit, x, fold = read(os.path.join(args.folder, "valid.csv"))
    rows = len(y)
    print(f"{rows} rows, scikit-learn {sklearn.__version__}")
    single = max((logit[:, n].argmax(axis=1) == y).sum() for n in range(logit.shape[1]))
    together = (logit.sum(axis=1).argmax(axis=1) == y).sum()
    print(f"best network alone {single / rows:.4f} ({single}), sum of logits {together / rows:.4f} ({together})")
    best = [0, 0]
    with tempfile.TemporaryDirectory() as folder:
        for f in range(FOLDS):
            write(os.path.join(folder, f"train{f}"), x[fold != f], y[fold != f])
            write(os.path.join(folder, f"test{f}"), x[fold == f], y[fold == f])
        for point in points()[: args.points]:
            right = []
            for i, ask in enumerate((lambda: ask_sklearn(point, x, y, fold),
                                     lambda: ask_ours(args.program, point, folder, y, fold))):
                right.append(ask())
                best[i] = max(best[i], right[i])
            print(f"{point[0]:6} degree {point[1]} gamma {point[2]:<10g} C {point[3]:<10g} "
                  f"scikit-learn {right[0]}, ours {right[1]}", flush=True)
    print(f"best: scikit-learn {best[0] / rows:.4f} ({best[0]}), "
          f"ours {best[1] / rows:.4f} ({best[1]}); accuracy ratio {best[1] / best[0]:.4f}")
    return 0 if best[1] / rows >= best[0] / rows - 0.001 else 1


if __name__ == "__main__":
    sys.exit(main())
