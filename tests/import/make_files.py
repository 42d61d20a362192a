"""Writes the files of src/weights/import/tests.rs: state dicts of a network of a few hundred floats, as PyTorch saves them.

    python tests/import/make_files.py        # needs PyTorch and NumPy; the files beside this script were written by 2.15

Value `i` of tensor `k` is k + i / 64, which float16 and bfloat16 hold without rounding where it matters.
"""

import argparse
import io
import os
import pathlib
import sys
import types
import zipfile
from collections import OrderedDict, defaultdict, deque

import numpy
import torch

HERE = pathlib.Path(__file__).parent
SHAPES = OrderedDict([
    ("conv2d_1a.conv.weight", (2, 3, 1, 2)),
    ("conv2d_1a.bn.weight", (2,)),
    ("conv2d_1a.bn.bias", (2,)),
    ("conv2d_1a.bn.running_mean", (2,)),
    ("conv2d_1a.bn.running_var", (2,)),
    ("block8.conv2d.weight", (2, 2, 1, 1)),
    ("block8.conv2d.bias", (2,)),
    ("last_linear.weight", (3, 2)),
])


class Call:
    """Pickles as a call that leaves a file behind wherever it is run."""

    def __reduce__(self):
        return os.system, ("touch facenet-gpu-ran-pickled-code",)


class Net(torch.nn.Module):
    """A module, for torch.save(net): the zip format keeps no source code."""

    def __init__(self):
        super().__init__()
        self.last_linear = torch.nn.Linear(2, 3, bias=False)


def tensor(k, shape):
    return (k + torch.arange(torch.Size(shape).numel()) / 64).reshape(shape)


def weights():
    state = OrderedDict((name, tensor(k, shape)) for k, (name, shape) in enumerate(SHAPES.items()))
    state["conv2d_1a.bn.num_batches_tracked"] = torch.tensor(7)
    state["logits.weight"] = tensor(9, (2, 3))
    return state


def save(value, name, new=True):
    torch.save(value, HERE / name, _use_new_zipfile_serialization=new)


state = weights()
save(state, "zip.pt")
save(state, "legacy.pt", new=False)
save({"epoch": 3, "state_dict": OrderedDict(("module." + k, v) for k, v in state.items())}, "nested.pt", new=False)
save({name: value.half() for name, value in state.items()}, "half.pt", new=False)
save({name: value.bfloat16() for name, value in state.items()}, "bfloat.pt", new=False)
save({name: value.double() for name, value in state.items()}, "double.pt", new=False)
save({**state, "last_linear.weight": state["last_linear.weight"].int()}, "integers.pt", new=False)
save({**state, "last_linear.weight": torch.zeros(1, 1).expand(30000, 2000)}, "vast.pt", new=False)
save({**state, "last_linear.weight": state["last_linear.weight"].t().contiguous().t()}, "strided.pt", new=False)
save(Net(), "module.pt")
# A class without source code: the older format keeps it, with the path of its file.
exec("class Bare(torch.nn.Module): pass")
bare = Bare()
bare.register_parameter("weight", torch.nn.Parameter(torch.ones(2)))
save(bare, "module-legacy.pt", new=False)
with zipfile.ZipFile(HERE / "zip.pt") as stored, zipfile.ZipFile(HERE / "compressed.pt", "w", zipfile.ZIP_DEFLATED) as out:
    for entry in stored.namelist():
        out.writestr(entry, stored.read(entry))
save([1, 2, 3], "list.pt", new=False)
save(Call(), "call.pt")
save(Call(), "call-legacy.pt", new=False)
save({**state, "last_linear.weight": Call()}, "call-inside.pt", new=False)


# Beside the weights, things that are no tensors.
class DictConfig(dict):
    """Pickles as OmegaConf's class of that name does: an object with attributes."""


DictConfig.__module__ = "omegaconf.dictconfig"
sys.modules["omegaconf"] = types.ModuleType("omegaconf")
sys.modules["omegaconf.dictconfig"] = types.ModuleType("omegaconf.dictconfig")
sys.modules["omegaconf.dictconfig"].DictConfig = DictConfig
beside = {
    "history": defaultdict(list, {"loss": [0.1, 0.2]}),
    "last": deque([1, 2, 3], maxlen=3),
    (1, 2): torch.ones(1),
    True: torch.ones(1),
    "mask": torch.eye(2).to_sparse(),
    "quantised": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
    "random": numpy.arange(2100, dtype=float),
    "notes": "x" * 20_000,
    "root": pathlib.PurePosixPath("/data/faces"),
    "args": argparse.Namespace(out=pathlib.PurePosixPath("runs"), ids=range(3), cut=slice(1, 2), bytes=bytearray(b"ab"), z=1j),
}
save({"state_dict": state, **beside}, "beside.pt")
save({"state_dict": state, **beside}, "beside-legacy.pt", new=False)
save({"state_dict": state, "hyper_parameters": DictConfig(lr=0.1)}, "config.pt", new=False)

# More than one state dict, more than one network.
save({"model": state, "model_ema": {name: value + 1 for name, value in state.items()}}, "two.pt", new=False)
save({**state, "classifier.weight": torch.ones(5, 3), "classifier.bias": torch.ones(5)}, "head.pt", new=False)
save({**state, "last_linear.bias": torch.ones(3)}, "bias.pt", new=False)


class Tree(torch.nn.Module):
    """A network with the names of SHAPES."""

    def __init__(self):
        super().__init__()
        self.conv2d_1a = torch.nn.Module()
        self.conv2d_1a.conv = torch.nn.Conv2d(3, 2, (1, 2), bias=False)
        self.conv2d_1a.bn = torch.nn.BatchNorm2d(2)
        self.block8 = torch.nn.Module()
        self.block8.conv2d = torch.nn.Conv2d(2, 2, 1)
        self.last_linear = torch.nn.Linear(2, 3, bias=False)

    def forward(self, x):
        x = self.block8.conv2d(self.conv2d_1a.bn(self.conv2d_1a.conv(x)))
        return self.last_linear(x.mean((2, 3)))


tree = Tree().eval()
tree.load_state_dict({name: value for name, value in state.items() if name != "logits.weight"})
save(tree, "tree.pt")


def rewritten(name, change, source=HERE / "zip.pt"):
    """An archive with its files changed, or left out."""
    with zipfile.ZipFile(source) as stored, zipfile.ZipFile(HERE / name, "w") as out:
        for entry in stored.infolist():
            data = change(entry.filename, stored.read(entry))
            if data is not None:
                out.writestr(entry.filename, data, entry.compress_type)


script = io.BytesIO()
torch.jit.save(torch.jit.trace(tree, torch.ones(1, 3, 4, 4)), script)
# What is there for debuggers names files of this machine.
rewritten("script.pt", lambda entry, data: None if entry.endswith(".debug_pkl") else data, script)


# Calls whose results nobody sees: one before the state dict, one as the attributes of a dict.
CALL = b"cposix\nsystem\nX\x22\0\0\0touch facenet-gpu-ran-pickled-code\x85R"
CALL = CALL.replace(b"\x22", bytes([len("touch facenet-gpu-ran-pickled-code")]))
rewritten("call-before.pt", lambda entry, data: data[:2] + CALL + b"0" + data[2:] if entry.endswith("data.pkl") else data)
LOAD = b"ctorch.hub\nload\nX\x01\0\0\0a\x85Rcnumpy\nload\nX\x01\0\0\0a\x85R\x86"
rewritten("call-state.pt", lambda entry, data: data[:-1] + LOAD + b"b." if entry.endswith("data.pkl") else data)


def swapped(entry, data):
    """The bytes of each value in the reverse order, as a big-endian machine writes them."""
    if entry.endswith("/byteorder"):
        return b"big"
    if "/data/" not in entry:
        return data
    # The counter is the one integer.
    size = 8 if data == (7).to_bytes(8, "little") else 4
    return b"".join(data[i : i + size][::-1] for i in range(0, len(data), size))


rewritten("big-endian.pt", swapped)
