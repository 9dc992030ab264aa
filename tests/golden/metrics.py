"""Makes tests/golden/metrics.txt: confusion matrices with scikit-learn's and scipy's answers, and McNemar's tests.

The variance of macro F1 comes from numeric derivatives. Both intervals that are no proportion's are held against a
bootstrap here.
Run in the project's root: python3 tests/golden/metrics.py
"""
import numpy as np
from scipy import stats
from sklearn import metrics

MATRICES = {
    "audio": [[60, 139, 102], [35, 195, 50], [24, 54, 106]],
    "video": [[209, 59, 34], [98, 147, 35], [44, 18, 122]],
    "both": [[175, 99, 27], [78, 173, 29], [27, 32, 125]],
    "pair": [[7, 2], [4, 9]],
    "perfect": [[5, 0, 0], [0, 3, 0], [0, 0, 9]],
    "never-predicted": [[8, 0, 2], [3, 0, 4], [1, 0, 6]],
    "no-clips": [[8, 1, 2], [0, 0, 0], [1, 3, 6]],
    "absent": [[8, 0, 2], [0, 0, 0], [1, 0, 6]],
    "five": [[10, 2, 0, 1, 0], [3, 20, 4, 0, 1], [0, 0, 7, 2, 2], [1, 1, 1, 30, 0], [0, 5, 0, 2, 4]],
    "all-wrong": [[0, 4], [6, 0]],
}
DISCORDANT = [(0, 0), (1, 0), (3, 3), (2, 9), (12, 12), (0, 24), (5, 20), (0, 25), (13, 13), (10, 40), (40, 10),
              (180, 69), (1000, 1001)]


def labels(matrix):
    k = len(matrix)
    pairs = [(i, j) for i in range(k) for j in range(k) for _ in range(matrix[i][j])]
    return np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])


def uar(m):
    n = m.sum(1)
    return np.mean([m[i, i] / n[i] for i in range(len(m)) if n[i] > 0])


def macro_f1(m):
    d = m.sum(0) + m.sum(1)
    return np.mean([2 * m[i, i] / d[i] for i in range(len(m)) if d[i] > 0])


def normal_interval(function, matrix):
    """Delta method over cells of a multinomial, by central differences."""
    m = np.array(matrix, float)
    n, value, gradient = m.sum(), function(m), np.zeros_like(m)
    for at in np.argwhere(m > 0):
        step = np.zeros_like(m)
        step[tuple(at)] = 1e-5
        gradient[tuple(at)] = (function(m + step) - function(m - step)) / 2e-5
    variance = (m * gradient**2).sum() - (m * gradient).sum() ** 2 / n
    half = stats.norm.ppf(0.975) * np.sqrt(max(0, variance))
    if half < 1e-7:
        return value, np.nan, np.nan
    return value, max(0, value - half), min(1, value + half)


def check_by_bootstrap(name, function, interval):
    m = np.array(MATRICES[name])
    draws = np.random.default_rng(1).multinomial(m.sum(), (m / m.sum()).ravel(), 4000).reshape(-1, *m.shape)
    low, high = np.percentile([function(d) for d in draws], [2.5, 97.5])
    assert abs(low - interval[1]) < 0.004 and abs(high - interval[2]) < 0.004, (name, low, high, interval)


def proportion(right, n):
    if n == 0:
        return [float("nan")] * 3
    interval = stats.binomtest(int(right), int(n)).proportion_ci(method="wilson")
    return [right / n, interval.low, interval.high]


def mean_interval(matrix):
    """Of the mean of independent proportions: Zou, Huang and Zhang 2009."""
    m = np.array(matrix)
    r = np.array([proportion(m[i, i], m[i].sum()) for i in range(len(m)) if m[i].sum() > 0])
    value, low, high = r.mean(0)[0], np.linalg.norm(r[:, 0] - r[:, 1]), np.linalg.norm(r[:, 2] - r[:, 0])
    return value, value - low / len(r), value + high / len(r)


def write(out, what, numbers):
    print(what, *(f"{x:.17g}" for x in numbers), file=out)


def main():
    with open("tests/golden/metrics.txt", "w") as out:
        for name, matrix in MATRICES.items():
            true, said = labels(matrix)
            m, k = np.array(matrix), len(matrix)
            print("matrix", name, k, *m.ravel(), file=out)
            write(out, "accuracy", proportion(np.trace(m), m.sum()))
            f1_interval = normal_interval(macro_f1, matrix)
            for what, function, interval in ("uar", uar, mean_interval(matrix)), ("f1", macro_f1, f1_interval):
                if name in ("audio", "video", "both"):
                    check_by_bootstrap(name, function, interval)
                write(out, what, interval)
            present = sorted(set(true))
            assert np.isclose(uar(m), metrics.recall_score(true, said, labels=present, average="macro"))
            assert np.isclose(macro_f1(m), metrics.f1_score(true, said, average="macro"))
            f1 = metrics.f1_score(true, said, labels=range(k), average=None, zero_division=np.nan)
            for i in range(k):
                write(out, "recall", proportion(m[i, i], m[i].sum()))
                write(out, "precision", proportion(m[i, i], m[:, i].sum()))
                write(out, "class_f1", [f1[i]])
        for first, second in DISCORDANT:
            n = first + second
            if n < 25:
                chi2, p = 0, stats.binomtest(first, n).pvalue if n else 1
            else:
                chi2 = max(0, abs(first - second) - 1) ** 2 / n
                p = stats.chi2.sf(chi2, 1)
            write(out, f"mcnemar {first} {second}", [chi2, p])


if __name__ == "__main__":
    main()
