#!/usr/bin/env python3
"""A training step of the whole video network by bin/bench and PyTorch, in turns.

    fine_tune.py [--bench bin/bench] [--batch 4] [--frames 16] [--threads 2] [--repeat 5] [--markdown]

Needs torch; says so and ends where it is missing. Each turn times one step of each, after one that is not timed, in a process
of its own: forward, backward and Adam. Prints the medians of the seconds on the clock, of the processor and of the peak
memory, and the ratios. Where other programs run only processor time means something, and only with one thread: threads that
wait for each other spin.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

import peers

PEER = """
import resource, sys, time
sys.path.insert(0, {golden!r})
import torch
from networks import Video
torch.set_num_threads({threads})
torch.manual_seed(1)
network = Video(64, [3, 4, 6, 3], 3).train()
clips, labels = torch.rand({batch}, 3, {frames}, 224, 224) * 2 - 1, torch.arange({batch}) % 3
adam = torch.optim.Adam(network.parameters(), lr=1e-5)

def step():
    adam.zero_grad()
    torch.nn.functional.cross_entropy(network(clips)["logits"], labels).backward()
    adam.step()

step()
wall, used = time.perf_counter(), time.process_time()
step()
print(time.perf_counter() - wall, time.process_time() - used, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024e-6)
"""


def ours(args):
    out = subprocess.run([args.bench, "fine-tune", "--json", "--runs", "1", "--frames", str(args.frames), "--batch",
                          str(args.batch), "--threads", str(args.threads)], check=True, capture_output=True, text=True).stdout
    result = json.loads(out)
    return result["seconds"], result["cpu_seconds"], result["peak_rss_mb"]


def theirs(args):
    golden = str(pathlib.Path(__file__).resolve().parent.parent / "golden")
    code = PEER.format(golden=golden, batch=args.batch, frames=args.frames, threads=args.threads)
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return tuple(float(x) for x in out.split())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bench", default="bin/bench")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--markdown", action="store_true", help="a row of the table of all.sh")
    args = parser.parse_args()
    peers.need("torch")
    rows = {"bench": [], "torch": []}
    for _ in range(args.repeat):
        rows["bench"].append(ours(args))
        rows["torch"].append(theirs(args))
    median = {name: [statistics.median(column) for column in zip(*times)] for name, times in rows.items()}
    if args.markdown:
        (wall, _, memory), (other, _, others_memory) = median["bench"], median["torch"]
        peers.row(f"fine-tuning step, {args.batch} x {args.frames} frames, {args.threads} thread(s)", peers.version("torch"),
                  "0.7, better 0.5", f"{wall:.2f} s, {memory:.0f} MB", f"{other:.2f} s, {others_memory:.0f} MB",
                  f"{wall / other:.2f}")
        return 0
    for name, (wall, used, memory) in median.items():
        print(f"{name:6} {wall:.3f} s, processor {used:.3f} s, peak memory {memory:.0f} MB")
    print("bench / torch: {:.2f} of the clock, {:.2f} of the processor, {:.2f} of the memory".format(
        *(a / b for a, b in zip(median["bench"], median["torch"]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
