"""Makes tests/golden/svm/*: small data sets, models by svm-train and answers by svm-predict (libsvm-tools).

Three classes in four features, 60 rows to train and 40 to ask; two classes for the pair of that. One model a
kernel, with probabilities. Run in the project's root: python3 tests/golden/svm.py
"""
import pathlib
import random
import subprocess

OUT = pathlib.Path("tests/golden/svm")
CENTRES = {1: (0.0, 0.8, -0.5, 0.1), 2: (0.9, -0.3, 0.2, -0.7), 5: (-0.8, -0.6, 0.4, 0.6)}
KERNELS = {
    "linear": ["-t", "0", "-c", "0.5"],
    "polynomial": ["-t", "1", "-d", "3", "-g", "0.4", "-r", "0.7"],
    "rbf": ["-t", "2", "-g", "0.35", "-c", "4"],
    "sigmoid": ["-t", "3", "-g", "0.15", "-r", "-0.2"],
    "nu": ["-s", "1", "-n", "0.4", "-t", "2", "-g", "0.5"],
}


def rows(generator, labels, count):
    for i in range(count):
        label = labels[i % len(labels)]
        values = [generator.gauss(c, 0.6) for c in CENTRES[label]]
        # Some entries are left out, as sparse files do.
        pairs = [f"{j + 1}:{v:.6g}" for j, v in enumerate(values) if generator.random() > 0.1]
        yield " ".join([str(label)] + pairs)


def write(name, lines):
    (OUT / name).write_text("\n".join(lines) + "\n")


def predict(probability, data, model, out):
    subprocess.run(["svm-predict", "-q", "-b", probability, OUT / data, OUT / model, OUT / out], check=True)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    generator = random.Random(20)
    write("train.data", rows(generator, (1, 2, 5), 60))
    write("test.data", rows(generator, (1, 2, 5), 40))
    write("pair.train.data", rows(generator, (2, 5), 40))
    jobs = [(name, "train.data", options) for name, options in KERNELS.items()]
    jobs.append(("pair", "pair.train.data", KERNELS["rbf"]))
    for name, train, options in jobs:
        model = f"{name}.model"
        subprocess.run(["svm-train", "-q", "-b", "1", *options, OUT / train, OUT / model], check=True)
        predict("0", "test.data", model, f"{name}.labels")
        predict("1", "test.data", model, f"{name}.probabilities")
    (OUT / "pair.train.data").unlink()


if __name__ == "__main__":
    main()
