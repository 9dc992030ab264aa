"""Makes tests/golden/svm_train/*: what LIBSVM's svm-train and svm-predict (libsvm-tools) say of many settings.

Two generated data sets with their test rows, and made.txt, a line for each run on them. With a folder of real data as
argument (heart_scale, a1a, and svmguide1 and svmguide1.t as CSV with a header), real.txt is made too; it holds
numbers only. Run in the project's root: python3 tests/golden/svm_train.py [FOLDER]

A line is: data, test data or "-", kernel, degree, gamma, coef0, C, label and weight (0 0: none), FNV-1a hashes of the
labels that are predicted for both files (each followed by a line end), total of support vectors, pairs, then for
each pair steps, objective, rho, support vectors, bounded ones. gamma is exact in binary: LIBSVM's data are too.
"""
import itertools
import pathlib
import random
import re
import subprocess
import sys
import tempfile

OUT = pathlib.Path("tests/golden/svm_train")
REPORT = re.compile(r"#iter = (\d+).*?obj = (\S+), rho = (\S+)\s+nSV = (\d+), nBSV = (\d+)", re.S)


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def three(generator, count):
    """Three classes in five features, some left out."""
    centres = {4: (0, 0.8, -0.5, 0.1, 0.3), -2: (0.9, -0.3, 0.2, -0.7, 0), 9: (-0.8, -0.6, 0.4, 0.6, -0.2)}
    for _ in range(count):
        label = generator.choice((4, 4, -2, 9, 9, 9))
        values = [generator.gauss(c, 0.7) for c in centres[label]]
        yield " ".join([str(label)] + [f"{j + 1}:{v:.5g}" for j, v in enumerate(values) if generator.random() > 0.1])


def two(generator, count):
    """Two classes, sparse ones among 60 features; rows repeat, some with the other label; -1 comes first."""
    rows = []
    while len(rows) < count:
        label = -1 if not rows else generator.choice((-1, -1, 1))
        chosen = {generator.randint(1, 40) + (20 if label > 0 else 0) for _ in range(9)}
        rows.append(" ".join([f"{label:+d}"] + [f"{j}:1" for j in sorted(chosen)]))
        if generator.random() < 0.05:
            rows.append(rows[-1].translate(str.maketrans("+-", "-+")))
    return rows[:count]


def run(data, test, kernel, degree, gamma, coef0, cost, weight, names):
    options = ["-t", kernel, "-d", degree, "-g", gamma, "-r", coef0, "-c", cost]
    options += [f"-w{weight[0]}", weight[1]] if weight[1] else []
    hashes = []
    with tempfile.TemporaryDirectory() as folder:
        model, answers = folder + "/model", folder + "/out"
        report = subprocess.run(["svm-train", *map(str, options), data, model], check=True, capture_output=True)
        for path in (data, test):
            if path:
                subprocess.run(["svm-predict", path, model, answers], check=True, capture_output=True)
            hashes.append(fnv(pathlib.Path(answers).read_bytes()) if path else 0)
    text = report.stdout.decode()
    total = re.search(r"Total nSV = (\d+)", text).group(1)
    fits = REPORT.findall(text)
    words = [*names, kernel, degree, gamma, coef0, cost, *weight, *(f"{h:x}" for h in hashes), total, len(fits)]
    return " ".join(map(str, words + [word for fit in fits for word in fit]))


def settings(gamma, costs, weight):
    """Every kernel with every C; weights and coef0 alternate."""
    for i, (kernel, cost) in enumerate(itertools.product(range(4), costs)):
        degree = 2 + i % 2 if kernel == 1 else 3
        coef0 = {1: (0, 1, 0.5)[i % 3], 3: -0.25}.get(kernel, 0)
        yield kernel, degree, gamma, coef0, cost, weight if i % 2 else (0, 0)


def make_generated():
    generator = random.Random(7)
    lines = []
    for name, rows, gamma, weight in (("three", three, 0.25, (9, 2.5)), ("two", two, 0.03125, (1, 3))):
        for part, count in ((".data", 150), (".test.data", 100)):
            (OUT / f"{name}{part}").write_text("\n".join(rows(generator, count)) + "\n")
        for setting in settings(gamma, (0.125, 1, 8, 1024), weight):
            files = [f"{name}.data", f"{name}.test.data"]
            lines.append(run(*(OUT / f for f in files), *setting, files))
    (OUT / "made.txt").write_text("\n".join(lines) + "\n")


def as_libsvm(path, folder):
    """A CSV file with a header and the label first, as LIBSVM wants it."""
    out = pathlib.Path(folder) / path.name
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    out.write_text("".join(" ".join([r[0]] + [f"{j + 1}:{v}" for j, v in enumerate(r[1:])]) + "\n" for r in rows))
    return out


def make_real(source):
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for setting in settings(0.0625, (0.25, 1, 32), (-1, 1.5)):
            lines.append(run(source / "heart_scale", None, *setting, ("heart_scale", "-")))
        for setting in settings(0.0625, (0.25, 1, 8), (1, 2)):
            lines.append(run(source / "a1a", None, *setting, ("a1a", "-")))
        names = ("svmguide1", "svmguide1.t")
        files = [as_libsvm(source / name, folder) for name in names]
        # Not scaled, so that a large C or a polynomial takes very many steps.
        for setting in [(0, 3, 0, 0, 0.0009765625, (0, 0)), (1, 2, 0.0009765625, 0, 0.0009765625, (0, 0)),
                        (2, 3, 0.0009765625, 0, 1, (0, 0)), (2, 3, 0.0009765625, 0, 32, (1, 0.5)),
                        (2, 3, 0.25, 0, 1, (0, 0)), (3, 3, 0.0009765625, 0, 1, (0, 0)),
                        (3, 3, 0.0000152587890625, -1, 8, (0, 0))]:
            lines.append(run(*files, *setting, names))
    (OUT / "real.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    make_generated()
    if len(sys.argv) > 1:
        make_real(pathlib.Path(sys.argv[1]))
