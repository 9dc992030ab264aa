"""Makes tests/golden/update.safetensors: parameters after 1 and 10 steps of torch.optim's Adam and SGD.

Parameters and gradients are drawn as in tests/libtensor/test_update.c. Run in the project's root:
python3 tests/golden/update.py
"""
import numpy as np
import torch
from safetensors.numpy import save_file

from philox import uniform

N, SEED = 1000, 11
CASES = {
    "adam": (torch.optim.Adam, dict(lr=0.01)),
    "adam_decay": (torch.optim.Adam, dict(lr=0.003, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.05)),
    "sgd": (torch.optim.SGD, dict(lr=0.1)),
    "sgd_momentum": (torch.optim.SGD, dict(lr=0.05, momentum=0.9, weight_decay=0.01)),
    "sgd_nesterov": (torch.optim.SGD, dict(lr=0.05, momentum=0.8, nesterov=True)),
}


def main():
    result = {}
    for name, (kind, options) in CASES.items():
        parameter = torch.nn.Parameter(torch.from_numpy(uniform(SEED, "param", (N,), -1, 1)).double())
        optimiser = kind([parameter], **options)
        for step in range(1, 11):
            gradient = uniform(SEED, f"grad.{step}", (N,), -0.5, 0.75)
            parameter.grad = torch.from_numpy(gradient).double()
            optimiser.step()
            if step in (1, 10):
                result[f"{name}.{step}"] = parameter.detach().numpy().astype(np.float32)
    save_file(result, "tests/golden/update.safetensors")


if __name__ == "__main__":
    main()
