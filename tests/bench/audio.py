"""The audio network in PyTorch and in bin/bench, in turns: one clip's answer and one training step.

    python3 tests/bench/audio.py [--threads N] [--runs N] [--batch N] [--windows N] [--only audio|train-audio]
        [--bench bin/bench] [--markdown]

Needs torch; says so and ends where it is missing. Prints medians of wall time and their ratio (ours / PyTorch's). Each turn is
a process of its own for bin/bench (with its own warm-up) and one timed run for PyTorch after one that is not timed.
"""
import argparse
import statistics
import time

import peers

peers.need("torch")
import torch

TARGETS = {"audio": "1/2, better 1/4", "train-audio": "1.5 s, better 0.9 s"}


class Network(torch.nn.Module):
    """34 - 512 - 512 - 2 x 128 - attention - 3, as nn_audio_defaults() has it."""

    def __init__(self):
        super().__init__()
        self.dense1 = torch.nn.Linear(34, 512)
        self.dense2 = torch.nn.Linear(512, 512)
        self.lstm = torch.nn.LSTM(512, 128, batch_first=True, bidirectional=True)
        self.query = torch.nn.Parameter(torch.full((256,), 1 / 256))
        self.head = torch.nn.Linear(256, 3)

    def forward(self, x):
        drop = torch.nn.functional.dropout
        x = drop(torch.relu(self.dense1(x)), 0.5, self.training)
        x = drop(torch.relu(self.dense2(x)), 0.5, self.training)
        if self.training:  # one mask for all steps of a sequence
            x = x * drop(torch.ones(x.shape[0], 1, x.shape[2]), 0.5)
        x, _ = self.lstm(x)
        alpha = torch.softmax(x @ self.query, dim=1)
        return self.head((alpha.unsqueeze(2) * x).sum(dim=1))


def peer(train, batch, windows):
    """A function that does the work once."""
    torch.manual_seed(1)
    network = Network().train(train)
    x = torch.rand(batch, windows, 34) * 3.4 - 1.7
    if not train:
        def answer():
            with torch.inference_mode():
                network(x)
        return answer
    labels = torch.arange(batch) % 3
    adam = torch.optim.Adam(network.parameters(), lr=1e-4)

    def step():
        adam.zero_grad()
        torch.nn.functional.cross_entropy(network(x), labels).backward()
        adam.step()
    return step


def compare(name, args):
    train = name == "train-audio"
    batch = args.batch or (128 if train else 1)
    threads = args.threads or (2 if train else 1)
    torch.set_num_threads(threads)
    work = peer(train, batch, args.windows)
    work()
    theirs, ours = [], []
    for _ in range(args.runs):
        begin = time.perf_counter()
        work()
        theirs.append(time.perf_counter() - begin)
        ours.append(peers.bench(args.bench, name, "--runs", 1, "--threads", threads, "--batch", batch, "--windows",
                                args.windows)["seconds"])
    theirs, ours = statistics.median(theirs), statistics.median(ours)
    if args.markdown:
        what = "audio network, one training step" if train else "audio network, answer"
        peers.row(f"{what}, {batch} x {args.windows} windows, {threads} thread(s)", peers.version("torch"), TARGETS[name],
                  f"{ours:.4g} s", f"{theirs:.4g} s", f"{ours / theirs:.2f}")
        return
    print(f"{name}, {batch} x {args.windows} windows, {threads} thread(s): valence {ours:.4f} s, "
          f"PyTorch {torch.__version__} {theirs:.4f} s, ratio {ours / theirs:.3f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=0, help="default: 1 for answers, 2 for training")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--windows", type=int, default=498)
    parser.add_argument("--only", choices=["audio", "train-audio"])
    parser.add_argument("--bench", default="bin/bench")
    parser.add_argument("--markdown", action="store_true", help="rows of the table of all.sh")
    args = parser.parse_args()
    for name in ["audio", "train-audio"]:
        if args.only in (None, name):
            compare(name, args)


if __name__ == "__main__":
    main()
