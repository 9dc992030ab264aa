#!/usr/bin/env python3
"""The video network by bin/bench, ONNX Runtime and PyTorch, in turns.

    video.py [--bench bin/bench] [--frames 16] [--threads 1] [--repeat 5] [--precision fp32] [--torch] [--markdown]

Needs torch, onnx and onnxruntime; says so and ends where one is missing. Each turn times one run of each, after one that is
not timed, in a process of its own. Prints the medians of the seconds on the clock and of the processor, and the ratios. Only
the latter mean something where other programs run, and only with one thread: threads that wait for each other spin.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import peers

# Ratios to ONNX Runtime in fp32 by precision and frames.
TARGETS = {("fp32", 16): "0.58, better 0.40", ("fp32", 10): "0.60, better 0.42", ("bf16", 16): "0.35, better 0.25"}

PEER = """
import sys, time
sys.path.insert(0, {golden!r})
import numpy as np
x = np.random.default_rng(1).uniform(-1, 1, (1, 3, {frames}, 224, 224)).astype(np.float32)
if {peer!r} == "onnxruntime":
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = {threads}
    session = onnxruntime.InferenceSession({model!r}, options, providers=["CPUExecutionProvider"])
    run = lambda: session.run(None, {{"clip": x}})
else:
    import torch
    from networks import Video
    torch.set_num_threads({threads})
    torch.set_grad_enabled(False)
    network, clip = Video(64, [3, 4, 6, 3], 305).eval(), torch.from_numpy(x)
    run = lambda: network(clip)
run()
for _ in range({runs}):
    wall, used = time.perf_counter(), time.process_time()
    run()
    print(time.perf_counter() - wall, time.process_time() - used)
"""


def export(golden, model, frames):
    """Writes the network of random weights as ONNX; batch norm is folded by the exporter, as ONNX Runtime wants it."""
    sys.path.insert(0, golden)
    import torch
    from networks import Video
    network = Video(64, [3, 4, 6, 3], 305).eval()
    torch.onnx.export(network, (torch.zeros(1, 3, frames, 224, 224),), model, input_names=["clip"],
                      output_names=["features", "logits"], dynamo=False)


def ours(args):
    out = subprocess.run([args.bench, "video", "--json", "--runs", "1", "--frames", str(args.frames), "--threads",
                          str(args.threads), "--precision", args.precision], check=True, capture_output=True, text=True).stdout
    result = json.loads(out)
    return result["seconds"], result["cpu_seconds"]


def theirs(peer, args, golden, model):
    code = PEER.format(peer=peer, golden=golden, model=model, frames=args.frames, threads=args.threads, runs=1)
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return tuple(float(x) for x in out.split())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bench", default="bin/bench")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="of bin/bench; the others stay fp32")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--torch", action="store_true", help="PyTorch too")
    parser.add_argument("--markdown", action="store_true", help="a row of the table of all.sh")
    args = parser.parse_args()
    peers.need("torch", "onnx", "onnxruntime")
    golden = str(pathlib.Path(__file__).resolve().parent.parent / "golden")
    others = ["onnxruntime"] + (["torch"] if args.torch else [])
    times = {name: [] for name in ["bench"] + others}
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(folder, "video.onnx")
        export(golden, model, args.frames)
        for _ in range(args.repeat):
            times["bench"].append(ours(args))
            for peer in others:
                times[peer].append(theirs(peer, args, golden, model))
    medians = {name: [statistics.median(column) for column in zip(*rows)] for name, rows in times.items()}
    for name, (wall, used) in medians.items():
        if args.markdown and name != "bench":
            here = medians["bench"][0]
            ours_in = "" if args.precision == "fp32" else f" in {args.precision}"
            peers.row(f"video network{ours_in}, {args.frames} frames, {args.threads} thread(s)",
                      peers.version(name) + (" in fp32" if ours_in else ""), TARGETS.get((args.precision, args.frames), ""),
                      f"{here:.3f} s", f"{wall:.3f} s", f"{here / wall:.2f}")
        if args.markdown:
            continue
        line = f"{name:12} {wall:.3f} s, processor {used:.3f} s"
        if name != "bench":
            line += f"; bench is {medians['bench'][0] / wall:.2f} and {medians['bench'][1] / used:.2f} of it"
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
