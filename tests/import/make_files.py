"""Writes the files of src/weights/import/tests.rs: state dicts of a network of a few hundred floats, as PyTorch saves them.

    python tests/import/make_files.py        # needs PyTorch; the files beside this script were written by 2.15

Value `i` of tensor `k` is k + i / 64, which float16 and bfloat16 hold without rounding where it matters.
"""

import os
import pathlib
import zipfile
from collections import OrderedDict

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
