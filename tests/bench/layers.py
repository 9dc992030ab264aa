#!/usr/bin/env python3
"""Where the video network's time goes: milliseconds of each kind of layer, fp32 and bfloat16 in turns.

    layers.py [--bench bin/bench] [--frames 16] [--turns 14]

Each turn runs `bench video --threads 1 --runs 5 --profile`; of each step the least of the turns counts. Rows are those of the tables
of docs/03-performance.md. A precision that the machine has not is left out.
"""
import argparse
import re
import subprocess

STEP = re.compile(r"\s+(\S+)\s+(\S+)\s+(\S+) > (\S+)\s+([\d.]+)\s")
ORDER = ["stem 7x7x7", "max pool", "layer1 3x3x3", "layer1 64 to 256 with residual", "layer1 shortcut", "layer1 to 64"]
ORDER += [f"layer{i} {kind}" for i in (2, 3, 4) for kind in ("3x3x3", "3x3x3 stride 2", "1x1x1")] + ["the rest"]


def kind_of(op, name, before, after):
    layer = re.match(r"layer(\d)\.\d+\.(\w+)", name)
    if name == "conv1":
        return "stem 7x7x7"
    if op.startswith("max_pool"):
        return "max pool"
    if not layer:
        return "the rest"
    number, what = layer.groups()
    if what == "conv2":
        return f"layer{number} 3x3x3" + ("" if before.split("x")[3] == after.split("x")[3] else " stride 2")
    if number != "1":
        return f"layer{number} 1x1x1"
    return {"downsample": "layer1 shortcut", "conv3": "layer1 64 to 256 with residual"}.get(what, "layer1 to 64")


def steps(args, precision):
    """[(kind, ms)] of one turn; None where the machine has not that precision."""
    run = subprocess.run([args.bench, "video", "--frames", str(args.frames), "--threads", "1", "--runs", "5", "--precision", precision,
                          "--profile"], capture_output=True, text=True)
    if run.returncode:
        return None
    found = [STEP.match(line) for line in run.stderr.replace(":bf16", "").splitlines()]
    return [(kind_of(*m.groups()[:4]), float(m[5])) for m in found if m]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bench", default="bin/bench")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--turns", type=int, default=14)
    args = parser.parse_args()
    least = {}
    for _ in range(args.turns):
        for precision in ("fp32", "bf16"):
            turn = steps(args, precision)
            if turn:
                before = least.get(precision, turn)
                least[precision] = [(kind, min(ms, old)) for (kind, ms), (_, old) in zip(turn, before)]
    print("| layers | " + " | ".join(f"ms in {p}" for p in least) + " |")
    print("| --- |" + " --- |" * len(least))
    for kind in ORDER + ["all"]:
        sums = [sum(ms for k, ms in rows if kind in (k, "all")) for rows in least.values()]
        print(f"| {kind} | " + " | ".join(f"{ms:.1f}" for ms in sums) + " |")


if __name__ == "__main__":
    main()
