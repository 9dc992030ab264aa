#!/usr/bin/env python3
"""From a checkpoint of the release's form and a folder of frames to its top 5: our programs against PyTorch and Pillow.

    compare_activities.py [--checkpoint F.pth.tar] [--num-frames 16] FOLDER_OF_FRAMES...

Converts the checkpoint with bin/convert and asks ./infer and bin/features about every folder; PyTorch reads the same
checkpoint and Pillow the same frames. The five labels must be the same in the same order, probabilities and features
within 1e-3 of the largest value. Without --checkpoint it writes one with the release's 305 classes, names and form, random
weights and statistics that a clip of its own gave it. Needs torch, numpy and Pillow; run in the project's root.
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
import torch
from PIL import Image

import networks

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
LABELS = {305: "weights/labels/moments_v2.txt", 292: "weights/labels/multi_moments_v2.txt"}


def load_clip(folder, count):
    """The frames that docs/frames.md says: in natural order, the middle of each of `count` equal parts."""
    def natural(path):
        return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]
    paths = sorted((p for p in pathlib.Path(folder).iterdir() if p.suffix.lower() in (".png", ".jpg", ".jpeg")), key=natural)
    chosen = [paths[((2 * i + 1) * len(paths) - 1) // (2 * count)] for i in range(count)]
    frames = [np.asarray(Image.open(p).convert("RGB").resize((224, 224), Image.BILINEAR)) for p in chosen]
    clip = (np.stack(frames) / 255.0 - MEAN) / STD
    return torch.from_numpy(clip.transpose(3, 0, 1, 2)[None].astype(np.float32))


def write_checkpoint(path, folder, count):
    """Random weights; statistics of one clip, so that activations stay sane; the head scaled so that answers differ."""
    torch.manual_seed(1)
    model = networks.Video(64, [3, 4, 6, 3], 305)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(load_clip(folder, count))
        model.last_linear.weight.mul_(10)
    state = {"module." + name: tensor for name, tensor in model.state_dict().items()}
    torch.save({"epoch": 7, "arch": "resnet3d50", "state_dict": state, "best_prec1": 28.4}, path,
               _use_new_zipfile_serialization=False)


def load_checkpoint(path):
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    state = {re.sub(r"^module\.", "", name): tensor for name, tensor in state.items()}
    model = networks.Video(64, [3, 4, 6, 3], state["last_linear.weight"].shape[0])
    model.load_state_dict(state)
    return model.double().eval()  # so that what differs is our rounding


def ours(weights, labels, folder, count, out):
    common = ["--num-frames", str(count), "--video-weights", weights, "--frames", folder]
    answer = subprocess.run(["./infer", "--activities", "5", "--labels", labels, "--json", *common], check=True,
                            capture_output=True, text=True).stdout
    subprocess.run(["bin/features", *common, "-o", out], check=True, capture_output=True)
    return json.loads(answer)["activities"], np.load(out).ravel()


def compare(model, weights, folder, count, scratch):
    labels = LABELS[model.last_linear.out_features]
    names = pathlib.Path(labels).read_text().split("\n")
    with torch.no_grad():
        want = model(load_clip(folder, count).double())
        probabilities, order = torch.softmax(want["logits"][0], 0).sort(descending=True)
    got, features = ours(weights, labels, folder, count, scratch)
    reference = want["features"][0].numpy()
    error = np.abs(features - reference).max() / np.abs(reference).max()
    same = [a["label"] for a in got] == [names[i] for i in order[:5]]
    spread = max(abs(a["probability"] - p.item()) for a, p in zip(got, probabilities))
    print(f"{folder}: {', '.join(a['label'] for a in got)}: {'the same five' if same else 'NOT the same'}, "
          f"probabilities within {spread:.1e}, features within {error:.1e}")
    return same and error <= 1e-3 and spread <= 1e-3


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint")
    parser.add_argument("--num-frames", type=int, default=16)
    parser.add_argument("folder", nargs="+")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = args.checkpoint or f"{scratch}/release.pth.tar"
        if not args.checkpoint:
            write_checkpoint(checkpoint, args.folder[0], args.num_frames)
        weights = f"{scratch}/release.safetensors"
        subprocess.run(["bin/convert", checkpoint, weights], check=True)
        model = load_checkpoint(checkpoint)
        good = [compare(model, weights, folder, args.num_frames, f"{scratch}/features.npy") for folder in args.folder]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
