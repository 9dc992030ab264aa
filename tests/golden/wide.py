"""Makes tests/golden/wide/*.safetensors: gradients and ten training steps of both networks at full width by PyTorch.

Networks, weights and inputs are those of networks.py. Of each tensor only its largest absolute value, its norm and
the values at some drawn places are kept, in this order: a tensor of 2 + PLACES numbers. PyTorch computes in double
precision. Run in the project's root, with torch, numpy and safetensors installed: python3 tests/golden/wide.py
"""
import pathlib

import numpy as np
import torch
from safetensors.numpy import save_file
from torch.nn import functional as F

from networks import SEED, Audio, Video, inputs, load_drawn, shift_batch_norms
from philox import uniform

OUT = pathlib.Path("tests/golden/wide")
PLACES, STEPS = 32, 10
LABELS = {"video": [2, 0], "audio": [2, 0, 1, 1]}
ADAM = {"video": dict(lr=1e-5, eps=1e-5), "audio": dict(lr=1e-3)}


# ---- networks and batches ----------------------------------------------------------------------------


def make_video():
    """Why the shift: tests/nn/test_wide.c."""
    return shift_batch_norms(load_drawn(Video(64, (3, 4, 6, 3), 3)))


def make_audio():
    return load_drawn(Audio(34, (512, 512), 128, 3, "local"))


def video(model, step):
    return model(inputs(f"clip.{step}", (2, 3, 8, 48, 48)))["logits"]


def audio(model, step):
    return model(inputs(f"sequence.{step}", (4, 60, 34)), torch.tensor([60, 23, 1, 47]))["logits"]


# ---- answers -----------------------------------------------------------------------------------------


def kept(name, tensor):
    """tests/nn/test_wide.c draws the same places."""
    flat = tensor.detach().numpy().reshape(-1).astype(np.float64)
    places = uniform(SEED, f"places.{name}", (PLACES,), 0, flat.size).astype(np.int64)
    values = flat[np.minimum(places, flat.size - 1)]
    return np.concatenate([[np.abs(flat).max(), np.linalg.norm(flat)], values]).astype(np.float32)


def save(name, tensors):
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{name}.safetensors"
    save_file(tensors, path)
    print(path, path.stat().st_size, flush=True)


def gradients(name, model, forward, labels):
    logits = forward(model, 0)
    loss = F.cross_entropy(logits, torch.tensor(labels))
    loss.backward()
    result = {f"grad.{n}": kept(n, p.grad) for n, p in model.named_parameters()}
    save(name, dict(result, logits=logits.detach().numpy().astype(np.float32),
                    loss=np.array([loss.item()], np.float32)))


def ten_steps(name, model, forward):
    model.train()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    optimiser, losses = torch.optim.Adam(model.parameters(), **ADAM[name]), []
    for step in range(STEPS):
        loss = F.cross_entropy(forward(model, step), torch.tensor(np.roll(LABELS[name], step)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    result = {f"update.{n}": kept(n, p - before[n]) for n, p in model.named_parameters()}
    result.update({n: kept(n, b) for n, b in model.named_buffers() if "running" in n})
    save(f"{name}_steps", dict(result, losses=np.array(losses, np.float32)))


if __name__ == "__main__":
    gradients("video_frozen", make_video().eval(), video, LABELS["video"])
    gradients("video_training", make_video().train(), video, LABELS["video"])
    gradients("audio", make_audio(), audio, LABELS["audio"])
    ten_steps("audio", make_audio(), audio)
    ten_steps("video", make_video(), video)
