#!/usr/bin/env python3
"""Grid search by bin/svm and by scikit-learn's GridSearchCV, in turns, on the same rows.

    grid.py [--svm bin/svm] [--threads N] [--repeat N] [--points 135|45] [--markdown]

Needs numpy and scikit-learn; says so and ends where one is missing. 2,661 rows of two softmax scores of three classes that
overlap (made with a fixed seed) are cross-validated in five stratified folds at 135 points: polynomials of degree 2 and 3 and
RBF, nine C from 2^-5 to 2^11, five gammas from 2^-9 to 2^-1; 45 points are every second C and gamma. Prints the wall and
processor seconds of each, and ratios of the medians; on a machine that does other work as well only those of the processor
time mean something.
"""
import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import peers

peers.need("numpy")
import numpy as np


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def rows(path):
    """Class sizes are those of VGAF's training set; video is right in about 70 of 100 rows, audio in 56."""
    rng = np.random.default_rng(7)
    y = rng.permutation(np.repeat([1, 2, 3], [802, 923, 936]))
    score = []
    for spread, lift in ((1.0, 1.2), (0.8, 0.6)):
        z = rng.normal(size=(len(y), 3)) * spread
        z[np.arange(len(y)), y - 1] += lift
        score.append(softmax(z))
    x = np.hstack(score).astype(np.float32)
    with open(path, "w") as f:
        for row, label in zip(x, y):
            f.write(f"{label} " + " ".join(f"{i + 1}:{v:.9g}" for i, v in enumerate(row)) + "\n")


def ask_sklearn(path, jobs, step):
    """In a process of its own, so that its processor time can be told."""
    import joblib
    from sklearn.datasets import load_svmlight_file
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.svm import SVC

    x, y = load_svmlight_file(path)
    shared = {"C": [2.0**c for c in range(-5, 12, step)], "gamma": [2.0**g for g in range(-9, 0, step)]}
    grid = [{"kernel": ["poly"], "degree": [2, 3], **shared}, {"kernel": ["rbf"], **shared}]
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    search = GridSearchCV(SVC(), grid, cv=folds, n_jobs=jobs, refit=False)
    begin = time.perf_counter()
    with joblib.parallel_backend("multiprocessing"):
        search.fit(x.toarray(), y)
    used = [resource.getrusage(who).ru_utime for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    points = len(search.cv_results_["params"])
    print(f"{time.perf_counter() - begin} {sum(used)} {points} {search.best_score_}")


def ask_ours(svm, path, threads, step):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    begin = time.perf_counter()
    out = subprocess.run(
        [svm, "grid", "-t", "1,2", "-d", "2,3", "--log2c", f"-5,11,{step}", "--log2g", f"-9,-1,{step}",
         "--threads", str(threads), path], check=True, capture_output=True, text=True).stdout.splitlines()
    wall = time.perf_counter() - begin
    best = float(out[-1].split(": ")[2].split("%")[0]) / 100
    return wall, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before, len(out) - 1, best


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--svm", default="bin/svm")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--points", type=int, choices=(135, 45), default=135)
    parser.add_argument("--markdown", action="store_true", help="a row of the table of all.sh")
    parser.add_argument("--ask-sklearn", help=argparse.SUPPRESS)
    args = parser.parse_args()
    peers.need("sklearn")
    step = 2 if args.points == 135 else 4
    if args.ask_sklearn:
        ask_sklearn(args.ask_sklearn, args.threads, step)
        return 0
    results = ([], [])
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows")
        rows(path)
        ask_ours(args.svm, path, args.threads, step)
        for _ in range(args.repeat):
            results[0].append(ask_ours(args.svm, path, args.threads, step))
            out = subprocess.run([sys.executable, __file__, "--threads", str(args.threads), "--points",
                                  str(args.points), "--ask-sklearn", path], check=True, capture_output=True, text=True)
            wall, used, points, best = out.stdout.split()
            results[1].append((float(wall), float(used), int(points), float(best)))
            for name, r in [] if args.markdown else zip(("bin/svm", "scikit-learn"), results):
                print(f"{name}: {r[-1][2]} points, {r[-1][0]:.2f} s, {r[-1][1]:.2f} s of processor time, "
                      f"best accuracy {r[-1][3]:.4f}", flush=True)
    if args.markdown:
        ours, theirs = (statistics.median(r[0] for r in result) for result in results)
        peers.row(f"SVM grid of {args.points} points, five folds, 2661 x 6, {args.threads} thread(s)", peers.version("sklearn"),
                  "1/10, better 1/40", f"{ours:.2f} s", f"{theirs:.1f} s", f"1/{theirs / ours:.0f}")
        return 0
    for i, what in enumerate(("wall", "processor")):
        ours, theirs = (statistics.median(r[i] for r in result) for result in results)
        print(f"{what}: {ours:.2f} s against {theirs:.2f} s, ratio 1/{theirs / ours:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
