#!/usr/bin/env python3
"""Golden files for the readers of weights/, written by PyTorch and NumPy. Run in the project's root:

    python3 tests/golden/convert.py [FOLDER OF REAL DATA]

Makes tests/golden/convert/: small checkpoints of every kind with what is in them as text, skeletons of full-size
checkpoints, and numbers of the real ones. Storage keys of the legacy form are memory addresses, so that those files
come out different, and as good, each time. Needs torch, numpy.
"""
import collections
import io
import json
import os
import struct
import sys
import zlib

import numpy as np
import torch

OUT = "tests/golden/convert"
DATA = sys.argv[1] if len(sys.argv) > 1 else "../shared/data"
NAMES = {
    torch.bool: "BOOL", torch.uint8: "U8", torch.int8: "I8", torch.int16: "I16", torch.float16: "F16",
    torch.bfloat16: "BF16", torch.int32: "I32", torch.float32: "F32", torch.int64: "I64", torch.float64: "F64",
}


def write(name, data):
    with open(os.path.join(OUT, name), "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


def saved(value, zipped):
    out = io.BytesIO()
    torch.save(value, out, _use_new_zipfile_serialization=zipped)
    return out.getvalue()


def raw(tensor):
    """Row-major bytes in the tensor's own type."""
    tensor = tensor.detach().contiguous()
    return tensor.view(torch.uint8).numpy().tobytes() if tensor.numel() and tensor.dim() else \
        tensor.reshape(-1).view(torch.uint8).numpy().tobytes()


def entry(name, tensor):
    """A line as the test prints it: name, type, shape, bytes, and the same as 32-bit floats."""
    shape = ",".join(str(n) for n in tensor.shape)
    tensor = tensor.detach()
    # NumPy keeps the bits of a half NaN where PyTorch does not.
    floats = tensor.float() if tensor.dtype == torch.bfloat16 else torch.from_numpy(
        np.ascontiguousarray(tensor.numpy()).astype(np.float32))
    return f"{name}\t{NAMES[tensor.dtype]}\t{shape}\t{raw(tensor).hex()}\t{raw(floats).hex()}\n"


def strip(name):
    return name[len("module."):] if name.startswith("module.") else name


# ---- small checkpoints ----------------------------------------------------------------------------------------


def small_state():
    g = torch.Generator().manual_seed(5)
    base = torch.randn(4, 6, generator=g)
    flat = torch.arange(40, dtype=torch.float32)
    tiny = torch.tensor([0.0, -0.0, 1.0, 65504.0, 5.9604645e-08, 6.1e-05, float("inf"), float("-inf"), float("nan")])
    state = collections.OrderedDict()
    state["module.plain"] = torch.randn(2, 3, generator=g)
    state["module.transposed"] = base.t()
    state["module.narrow"] = base[1:3, 2:5]
    state["module.shared"] = base  # one storage with the two above
    state["module.every_third"] = flat[1::3]
    state["module.permuted"] = torch.randn(2, 3, 4, generator=g).permute(2, 0, 1)
    state["module.rank5"] = torch.randn(2, 1, 3, 2, 2, generator=g)
    state["module.fortran3"] = torch.as_strided(flat, (2, 3, 4), (1, 2, 6), 3)
    state["module.half"] = tiny.half()
    state["module.bfloat16"] = torch.cat([tiny, torch.randn(3, generator=g)]).bfloat16()
    state["module.double"] = torch.randn(3, generator=g, dtype=torch.float64)
    state["module.parameter"] = torch.nn.Parameter(torch.randn(3, generator=g))
    state["module.num_batches_tracked"] = torch.tensor(81923)
    state["module.int32"] = torch.tensor([-2147483648, 16777217], dtype=torch.int32)
    state["module.int16"] = torch.tensor([-32768, 32767], dtype=torch.int16)
    state["module.int8"] = torch.tensor([-128, 127], dtype=torch.int8)
    state["module.uint8"] = torch.tensor([0, 255], dtype=torch.uint8)
    state["module.bool"] = torch.tensor([True, False, True])
    state["module.empty"] = torch.zeros(0, 3)
    state["module.inner.module.weight"] = torch.randn(1, generator=g)  # only the first "module." goes
    state["bare"] = torch.randn(2, generator=g)
    return state


def small():
    state = small_state()
    parameters = [torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(2, 2))]
    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
    sum(p.sum() for p in parameters).backward()
    optimizer.step()
    checkpoint = {
        "epoch": 42, "arch": "resnet3d50", "best_prec1": np.float64(58.25), "best_loss": np.float32(0.1),
        "steps": np.int64(-7), "flag": True, "nothing": None, "loss": 0.3, "big": 1 << 70, "many": 1 << 40,
        "input": torch.Size([1, 3]), "history": [1, 2, 3], "state_dict": state, "optimizer": optimizer.state_dict(),
    }
    text = '# epoch: 42\n# arch: "resnet3d50"\n# best_prec1: 58.25\n# best_loss: 0.10000000149011612\n# steps: -7\n' \
           "# flag: True\n# nothing: None\n# loss: 0.3\n# big: skipped\n# many: 1099511627776\n# input: a tuple of 2\n" \
           "# history: a list of 3\n# optimizer: skipped, 2 tensors\n"
    text += "".join(entry(strip(name), tensor) for name, tensor in state.items())
    for zipped, name in ((False, "small-legacy.pth"), (True, "small-zip.pth")):
        data = saved(checkpoint, zipped)
        write(name, data)
        again = torch.load(io.BytesIO(data), weights_only=False)["state_dict"]
        assert all(torch.equal(again[k].nan_to_num(), state[k].nan_to_num()) for k in state)
    write("small.txt", text)


def others():
    """A bare state_dict, a tensor alone, a state_dict two levels down."""
    weight = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3)).state_dict()  # has _metadata
    for name, tensor in model.items():
        if tensor.is_floating_point():
            tensor.copy_(torch.arange(tensor.numel()).reshape(tensor.shape) / 4)
    text = "".join(entry(name, tensor) for name, tensor in model.items())
    for zipped, kind in ((False, "legacy"), (True, "zip")):
        write(f"bare-{kind}.pth", saved(model, zipped))
        write(f"tensor-{kind}.pth", saved(weight, zipped))
        write(f"nested-{kind}.pth", saved({"run": {"model": {"state_dict": {"w": weight}, "step": 3}}}, zipped))
    write("bare.txt", text)
    write("tensor.txt", entry("tensor", weight))
    write("nested.txt", "# run: a dictionary of 1\n" + entry("w", weight))


def python2():
    """A file as Python 2 and PyTorch 0.2 wrote it: byte strings, OrderedDict of a list, _rebuild_tensor, classes of
    storages on a GPU, and a view of a storage. Made by hand, and read by torch.load() for its meaning."""
    def text(s):
        return b"U" + bytes([len(s)]) + s.encode()

    def number(n):
        return b"K" + bytes([n])

    def storage(cls, key, numel, view):
        return b"(" + text("storage") + cls + text(key) + text("cuda:0") + number(numel) + view + b"tQ"

    def tensor(stored, offset, size, stride):
        return b"ctorch._utils\n_rebuild_tensor\n(" + stored + number(offset) + b"(" + b"".join(map(number, size)) + \
            b"t(" + b"".join(map(number, stride)) + b"ttR"

    view = b"(" + text("94001") + number(2) + number(4) + b"t"
    a = tensor(storage(b"ctorch.cuda\nFloatStorage\n", "94000", 8, view), 1, (3,), (1,))
    b = tensor(storage(b"ctorch.cuda\nFloatStorage\n", "94000", 8, b"N"), 0, (2, 4), (1, 2))
    c = tensor(storage(b"ctorch\nLongStorage\n", "95000", 1, b"N"), 0, (1,), (1,))
    pairs = b"".join(b"](" + text(name) + value + b"e" for name, value in
                     (("module.a", a), ("module.b", b), ("module.c", c)))
    data = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19." + b"\x80\x02M\xe9\x03."
    data += b"\x80\x02}(" + text("protocol_version") + b"M\xe9\x03" + text("little_endian") + b"\x88" + \
        text("type_sizes") + b"}(" + text("short") + b"K\x02" + text("int") + b"K\x04" + text("long") + b"K\x04uu."
    data += b"\x80\x02}(" + text("state_dict") + b"ccollections\nOrderedDict\n](" + pairs + b"e\x85R" + \
        text("epoch") + b"\x8a\x01\x07u."
    data += b"\x80\x02](" + text("94000") + text("95000") + b"e."
    data += struct.pack("<q8f", 8, *range(8)) + struct.pack("<qq", 1, -5)
    write("python2-legacy.pth", data)
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)["state_dict"]
    write("python2.txt", "# epoch: 7\n" + "".join(entry(strip(k), t) for k, t in state.items()))


# ---- arrays and safetensors -----------------------------------------------------------------------------------


def arrays():
    rng = np.random.default_rng(3)
    values = {
        "c_order": rng.normal(size=(2, 3, 4)).astype("<f4"), "fortran": np.asfortranarray(rng.normal(size=(3, 4))),
        "half": rng.normal(size=5).astype("<f2"), "scalar": np.array(7, "<i8"), "flags": np.array([[True], [False]]),
        "empty": np.zeros((0, 2), "<f4"), "bytes": np.arange(3, dtype="u1"), "signed": np.arange(-2, 2, dtype="i1"),
    }
    text = ""
    for name in sorted(values):
        np.save(f"{OUT}/{name}.npy", values[name])
        text += entry(name, torch.from_numpy(np.ascontiguousarray(values[name]).reshape(values[name].shape)))
    with open(f"{OUT}/version2.npy", "wb") as f:
        np.lib.format.write_array(f, values["c_order"], version=(2, 0))
    np.savez(f"{OUT}/arrays.npz", **values)
    write("arrays.txt", text)
    for name in sorted(values):
        os.replace(f"{OUT}/{name}.npy", f"{OUT}/arrays/{name}.npy")
    write("version2.txt", entry("version2", torch.from_numpy(values["c_order"])))


def safetensors():
    """By hand, with the freedoms that JSON has: blanks, escapes, keys in another order."""
    a, b, c = np.arange(6, dtype="<f4").reshape(2, 3), np.array(5, "<i8"), np.array([1.5, -2.5], "<f2")
    header = ' {"__metadata__" : {"format":"pt", "gr\\u00fc\\ud83d\\ude00\\n":"\\"\\\\\\/ok"},\n' \
             '"b\\u002fname":{"shape":[],"data_offsets":[24,32],"dtype":"I64"}, ' \
             '"a":{"dtype":"F32","shape":[2 ,3],"data_offsets":[ 0,24]},' \
             '"empty":{"dtype":"F64","shape":[0,4],"data_offsets":[24,24]},' \
             '"c":{"dtype":"F16","shape":[2],"data_offsets":[32,36]}}  '
    json.loads(header)
    write("hand.safetensors", struct.pack("<Q", len(header)) + header.encode() + a.tobytes() + b.tobytes() + c.tobytes())
    empty = torch.zeros(0, 4, dtype=torch.float64)
    write("hand.txt", "".join(entry(n, torch.as_tensor(t)) for n, t in
                              (("b/name", b), ("a", a), ("empty", empty), ("c", c))))


# ---- full size ------------------------------------------------------------------------------------------------


def fnv1a(text):
    value = 0xcbf29ce484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001b3 % 2**64
    return value


def uniform(name, count):
    """tn_fill_uniform(seed 1, stream tn_hash(name), -1, 1): Philox4x32-10, see libtensor/tensor.h."""
    stream, mask = fnv1a(name), np.uint64(0xffffffff)
    block = np.arange((count + 3) // 4, dtype=np.uint64)
    c = [block & mask, block >> np.uint64(32), np.full_like(block, stream % 2**32), np.full_like(block, stream >> 32)]
    k0, k1 = 1, 0
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), p1 & mask,
             (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), p0 & mask]
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    words = np.stack(c, axis=1).reshape(-1)[:count]
    return np.float32(-1) + np.float32(2) * ((words >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24))


def resnet3d50(classes):
    """Names and shapes of the Moments in Time release's 3D ResNet-50, in the order of its state_dict."""
    def norm(name, planes):
        for part in ("weight", "bias", "running_mean", "running_var"):
            yield f"{name}.{part}", (planes,)
        yield f"{name}.num_batches_tracked", ()

    yield "conv1.weight", (64, 3, 7, 7, 7)
    yield from norm("bn1", 64)
    channels = 64
    for layer, (blocks, planes) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), 1):
        for block in range(blocks):
            name = f"layer{layer}.{block}"
            for i, (rows, columns, k) in enumerate(((planes, channels, 1), (planes, planes, 3), (4 * planes, planes, 1)), 1):
                yield f"{name}.conv{i}.weight", (rows, columns, k, k, k)
                yield from norm(f"{name}.bn{i}", rows)
            if block == 0:
                yield f"{name}.downsample.0.weight", (4 * planes, channels, 1, 1, 1)
                yield from norm(f"{name}.downsample.1", 4 * planes)
            channels = 4 * planes
    yield "last_linear.weight", (classes, 2048)
    yield "last_linear.bias", (classes,)


def skeleton(data, payloads):
    """All bytes but the payloads, as runs: 0 and bytes, 1 and the name to draw, 2 and a byte with a repeat count."""
    places = []
    for name, payload in payloads.items():
        at = data.find(payload)
        assert at >= 0 and data.find(payload, at + 1) < 0, name
        places.append((at, name, len(payload)))
    out, at = [], 0

    def literal(chunk):
        pad = chunk.find(b"Z" * 24)  # the padding before the payloads in a zip
        if pad >= 0:
            end = pad
            while end < len(chunk) and chunk[end] == ord("Z"):
                end += 1
            literal(chunk[:pad])
            out.append(struct.pack("<BBI", 2, ord("Z"), end - pad))
            literal(chunk[end:])
        elif chunk:
            out.append(struct.pack("<BI", 0, len(chunk)) + chunk)

    for place, name, length in sorted(places):
        literal(data[at:place])
        out.append(struct.pack("<BBQ", 1, len(name), length // 4) + name.encode())
        at = place + length
    literal(data[at:])
    return struct.pack("<QII", len(data), zlib.crc32(data), len(out)) + b"".join(out)


def full_size():
    state, payloads, momentum = collections.OrderedDict(), {}, {}
    for i, (name, shape) in enumerate(resnet3d50(305)):
        if name.endswith("num_batches_tracked"):
            state["module." + name] = torch.tensor(100000 + i)
            continue
        values = uniform(name, int(np.prod(shape)))
        payloads[name] = values.tobytes()
        state["module." + name] = torch.from_numpy(values).reshape(shape)
        # Momentum of a few small ones only, to keep the file at the size of the weights.
        if len(shape) < 3 and "running" not in name and name[:6] not in ("layer2", "layer3", "layer4"):
            draw = uniform("momentum." + name, values.size)
            payloads["momentum." + name] = draw.tobytes()
            momentum[140000000000000 + 72 * i] = {"momentum_buffer": torch.from_numpy(draw).reshape(shape)}
    learned = (t.numel() for n, t in state.items() if "running" not in n and "num_batches" not in n)
    assert len(state) == 320 and sum(learned) == 46823921
    group = {"lr": 0.001, "momentum": 0.9, "dampening": 0, "weight_decay": 0.0005, "nesterov": False,
             "params": list(momentum)}
    checkpoint = {"epoch": 42, "arch": "resnet3d50", "state_dict": state, "best_prec1": np.float64(28.5),
                  "optimizer": {"state": momentum, "param_groups": [group]}}
    for zipped, kind in ((False, "legacy"), (True, "zip")):
        write(f"full-{kind}.skeleton", skeleton(saved(checkpoint, zipped), payloads))
    write("full.txt", f"# epoch: 42\n# arch: \"resnet3d50\"\n# best_prec1: 28.5\n# optimizer: skipped, {len(momentum)} tensors\n"
          + "".join(f"{strip(n)}\t{NAMES[t.dtype]}\t{','.join(map(str, t.shape))}\t{t.item() if t.dim() == 0 else ''}\n"
                    for n, t in state.items()))


# ---- real files -----------------------------------------------------------------------------------------------


def real():
    """Per file: number of tensors, CRC-32 of all entry lines in order, sum of all values. No data."""
    lines = ""
    folder = os.path.join(DATA, "checkpoints")
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name.endswith(".safetensors"):
            with open(path, "rb") as f:
                data = f.read()
            length, = struct.unpack("<Q", data[:8])
            state = {}
            for key, info in json.loads(data[8:8 + length]).items():
                begin, end = info["data_offsets"]
                assert info["dtype"] == "F32"
                values = np.frombuffer(data[8 + length + begin:8 + length + end], "<f4").copy()
                state[key] = torch.from_numpy(values).reshape(info["shape"])
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            state = {"tensor": state} if torch.is_tensor(state) else state.get("state_dict", state)
        crc, total = 0, 0.0
        for key, tensor in state.items():
            crc = zlib.crc32(entry(strip(key), tensor).encode(), crc)
            total += tensor.double().sum().item()
        lines += f"{name}\t{len(state)}\t{crc:08x}\t{total:.12g}\n"
    write("real.txt", lines)


if __name__ == "__main__":
    os.makedirs(OUT + "/arrays", exist_ok=True)
    small()
    others()
    python2()
    arrays()
    safetensors()
    full_size()
    real()
