"""Makes tests/golden/networks/*.safetensors: outputs, gradients and statistics of both networks by PyTorch.

Weights and inputs are drawn from the counter-based generator that tests/common/golden.c draws from too, so
that only answers are kept. PyTorch computes in double precision. Run in the project's root, with torch,
numpy and safetensors installed: python3 tests/golden/networks.py
"""
import math
import pathlib

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from safetensors.numpy import save_file

from philox import uniform

OUT = pathlib.Path("tests/golden/networks")
SEED = 2020


# ---- weights: golden_draw() in tests/common/golden.c is the same rule --------------------------------


def draw(name, shape):
    if name.endswith(".running_var"):
        return uniform(SEED, name, shape, 0.5, 1.5)
    if name.endswith(".weight") and len(shape) == 1:
        return uniform(SEED, name, shape, 0.9, 1.1)
    if len(shape) == 1 and name != "attention.query":
        return uniform(SEED, name, shape, -0.1, 0.1)
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 1
    bound = np.float32(math.sqrt(3.0 / fan_in))
    return uniform(SEED, name, shape, -bound, bound)


def load_drawn(model):
    state = {name: torch.from_numpy(draw(name, tuple(t.shape)).copy())
             for name, t in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    model.load_state_dict(state, strict=False)
    return model.double()


def shift_batch_norms(model):
    """Biases of batch norm near 2 or -2; golden_draw_shifted() in tests/common/golden.c is the same rule."""
    for name, module in model.float().named_modules():
        if isinstance(module, nn.BatchNorm3d):
            sign = np.sign(uniform(SEED, f"shift.{name}.bias", (module.num_features,), -1, 1))
            module.bias.data += torch.from_numpy(2 * sign)
    return model.double()


# ---- networks ----------------------------------------------------------------------------------------


class Bottleneck(nn.Module):
    def __init__(self, channels, planes, out, stride, first):
        super().__init__()
        self.conv1 = nn.Conv3d(channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(planes)
        self.conv2 = nn.Conv3d(planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(planes)
        self.conv3 = nn.Conv3d(planes, out, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(out)
        self.downsample = nn.Sequential(nn.Conv3d(channels, out, 1, stride=stride, bias=False),
                                        nn.BatchNorm3d(out)) if first else None

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (self.downsample(x) if self.downsample else x))


class Video(nn.Module):
    def __init__(self, width, blocks, classes):
        super().__init__()
        self.conv1 = nn.Conv3d(3, width, 7, stride=(1, 2, 2), padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        channels = width
        for stage, count in enumerate(blocks):
            planes = width << stage
            layer = []
            for i in range(count):
                stride = 2 if i == 0 and stage > 0 else 1
                layer.append(Bottleneck(channels, planes, 4 * planes, stride, i == 0))
                channels = 4 * planes
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layer))
        self.last_linear = nn.Linear(channels, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.max_pool3d(x, 3, stride=2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        features = x.mean((2, 3, 4))
        return {"features": features, "logits": self.last_linear(features)}


class Attention(nn.Module):
    """u . y, softmax over the valid steps, weighted sum. `kind` is local or softmax-query."""

    def __init__(self, features, kind):
        super().__init__()
        if kind == "local":
            self.query = nn.Parameter(torch.empty(features))
        else:
            self.query = nn.Linear(features, features)
            self.register_buffer("constant", torch.empty(features))
        self.kind = kind

    def forward(self, y, lengths):
        u = self.query if self.kind == "local" else torch.softmax(self.query(self.constant), 0)
        valid = torch.arange(y.shape[1])[None, :] < lengths[:, None]
        alpha = torch.softmax((y @ u).masked_fill(~valid, -math.inf), 1)
        return (alpha[:, :, None] * y).sum(1), alpha


class Audio(nn.Module):
    def __init__(self, inputs, dense, cells, classes, kind):
        super().__init__()
        self.dense1 = nn.Linear(inputs, dense[0])
        self.dense2 = nn.Linear(dense[0], dense[1])
        self.lstm = nn.LSTM(dense[1], cells, batch_first=True, bidirectional=True)
        self.attention = Attention(2 * cells, kind)
        self.head = nn.Linear(2 * cells, classes)

    def forward(self, x, lengths):
        y = F.relu(self.dense2(F.relu(self.dense1(x))))
        packed = nn.utils.rnn.pack_padded_sequence(y, lengths, batch_first=True, enforce_sorted=False)
        y, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])
        features, alpha = self.attention(y, lengths)
        logits = self.head(features)
        return {"features": features, "logits": logits, "attention": alpha,
                "probabilities": torch.softmax(logits, 1)}


# ---- answers -----------------------------------------------------------------------------------------


def inputs(name, shape):
    return torch.from_numpy(uniform(SEED, name, shape, -2.0, 2.0)).double()


def save(name, tensors):
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{name}.safetensors"
    save_file({k: np.ascontiguousarray(v.detach().numpy().astype(np.float32)) for k, v in tensors.items()}, path)
    print(path, path.stat().st_size)


def gradients(model, outputs, labels):
    """Outputs, loss and the gradient of every parameter, called grad.NAME."""
    loss = F.cross_entropy(outputs["logits"], torch.tensor(labels))
    model.zero_grad()
    loss.backward()
    result = dict(outputs, loss=loss)
    for name, parameter in model.named_parameters():
        result[f"grad.{name}"] = parameter.grad.clone()
    return result


def video_small():
    clip, labels = inputs("clip", (4, 3, 9, 40, 36)), [0, 3, 4, 1]
    model = load_drawn(Video(3, (2, 1, 1, 1), 5))
    save("video_frozen", gradients(model, model.eval()(clip), labels))
    answers = gradients(model, model.train()(clip), labels)
    answers.update({n: b for n, b in model.named_buffers() if "running" in n})
    save("video_training", answers)


def video_full():
    model = load_drawn(Video(64, (3, 4, 6, 3), 305)).eval()
    with torch.no_grad():
        for name, shape in (("video_4x112", (1, 3, 4, 112, 112)), ("video_16x224", (1, 3, 16, 224, 224))):
            save(name, model(inputs("clip", shape)))


def audio_small(kind, name):
    lengths, labels = torch.tensor([11, 4, 1, 8]), [2, 0, 1, 1]
    model = load_drawn(Audio(10, (13, 12), 7, 3, kind))
    save(name, gradients(model, model(inputs("sequence", (4, 11, 10)), lengths), labels))


def audio_full():
    lengths = torch.tensor([498, 311])
    model = load_drawn(Audio(34, (512, 512), 128, 3, "local"))
    with torch.no_grad():
        save("audio_498", model(inputs("sequence", (2, 498, 34)), lengths))


if __name__ == "__main__":
    video_small()
    audio_small("local", "audio_local")
    audio_small("softmax-query", "audio_softmax_query")
    audio_full()
    video_full()
