"""Makes tests/golden/training/*.safetensors: losses and final weights of ten training steps by PyTorch.

Networks, weights and batches are those of networks.py, a fresh batch each step; no dropout. PyTorch computes in
double precision. Run in the project's root, with torch, numpy and safetensors installed:
python3 tests/golden/training.py
"""
import pathlib

import numpy as np
import torch
from safetensors.numpy import save_file
from torch.nn import functional as F

from networks import Audio, Video, inputs, load_drawn, shift_batch_norms

OUT = pathlib.Path("tests/golden/training")
STEPS = 10
OPTIMISERS = {
    "adam": lambda p, rate: torch.optim.Adam(p, lr=rate, weight_decay=0.01),
    "sgd": lambda p, rate: torch.optim.SGD(p, lr=0.005, momentum=0.9, weight_decay=0.01),
}
# Ten steps of Adam at 1e-3 with unshifted batch norms take rounding errors of 5e-7 to 5e-4 in the video network's
# loss; like this, to 1e-6.
RATE = {"video": 1e-4, "audio": 1e-3}
CLIP = {"sgd": 0.5}  # bound of the gradients' norm


def train(name, model, forward, labels):
    for method, make in OPTIMISERS.items():
        shift_batch_norms(load_drawn(model.float())).train()
        optimiser, losses = make(model.parameters(), RATE[name]), []
        for step in range(STEPS):
            loss = F.cross_entropy(forward(model, step), torch.tensor(np.roll(labels, step)))
            optimiser.zero_grad()
            loss.backward()
            if method in CLIP:
                torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP[method])
            optimiser.step()
            losses.append(loss.item())
        result = {k: v.detach().numpy().astype(np.float32) for k, v in model.state_dict().items()
                  if not k.endswith("num_batches_tracked")}
        result["losses"] = np.array(losses, np.float32)
        OUT.mkdir(parents=True, exist_ok=True)
        save_file(result, OUT / f"{name}_{method}.safetensors")
        print(name, method, losses)


def video(model, step):
    return model(inputs(f"clip.{step}", (4, 3, 5, 40, 36)))["logits"]


def audio(model, step):
    lengths = torch.tensor([11, 4, 1, 8])
    return model(inputs(f"sequence.{step}", (4, 11, 10)), lengths)["logits"]


if __name__ == "__main__":
    train("video", Video(3, (2, 1, 1, 1), 5), video, [0, 3, 4, 1])
    train("audio", Audio(10, (13, 12), 7, 3, "local"), audio, [2, 0, 1, 1])
