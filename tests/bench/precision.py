#!/usr/bin/env python3
"""What bfloat16 does to infer's answers: every clip is judged twice, with --precision fp32 and bf16.

    precision.py [--infer ./infer] [--classes K] -- OPTION... CLIP...

What is behind -- goes to infer, after --json. With --classes K the K classes of the video network are compared, which
--activities names; else its valences. Prints how far the video network's logits (up to a constant that is the same for all classes:
the logarithms of the probabilities, less their mean) and probabilities are apart, how far the logits are spread, and how many labels
change.
"""
import argparse
import json
import math
import subprocess
import sys


def answers(args, precision):
    command = [args.infer, "--json", "--quiet", "--precision", precision]
    if args.classes:
        command += ["--activities", str(args.classes)]
    run = subprocess.run(command + args.rest, capture_output=True, text=True)
    if run.returncode not in (0, 3):
        sys.exit(run.stderr)
    rows = []
    for line in run.stdout.splitlines():
        answer = json.loads(line)
        if args.classes and answer.get("activities"):
            scores = {a["label"]: a["probability"] for a in answer["activities"]}
            rows.append((scores, answer["activities"][0]["label"]))
        elif not args.classes and answer["video"]:
            rows.append((answer["video"], answer["valence"]))
        else:
            rows.append(None)
    return rows


def logits(scores):
    names = sorted(scores)
    values = [math.log(max(scores[name], 1e-30)) for name in names]
    return [value - sum(values) / len(values) for value in values]


def quadratic_mean(values):
    return math.sqrt(sum(v * v for v in values) / len(values))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--infer", default="./infer")
    parser.add_argument("--classes", type=int, default=0)
    parser.add_argument("rest", nargs="+")
    args = parser.parse_args()
    pairs = [p for p in zip(answers(args, "fp32"), answers(args, "bf16")) if p[0] and p[1]]
    if not pairs:
        sys.exit("no clip was judged by the video network")
    spread = [v for p in pairs for v in logits(p[0][0])]
    moved = [b - a for p in pairs for a, b in zip(logits(p[0][0]), logits(p[1][0]))]
    apart = [abs(p[0][0][name] - p[1][0][name]) for p in pairs for name in p[0][0]]
    changed = sum(p[0][1] != p[1][1] for p in pairs)
    print(f"{len(pairs)} clips, {len(pairs[0][0][0])} classes")
    print(f"  logits        apart by {max(map(abs, moved)):.3g} at most, {quadratic_mean(moved):.3g} in quadratic mean, "
          f"{100 * quadratic_mean(moved) / quadratic_mean(spread):.2g} % of theirs")
    print(f"  probabilities apart by {max(apart):.3g} at most, {sum(apart) / len(apart):.3g} on average")
    print(f"  labels        {changed} changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
