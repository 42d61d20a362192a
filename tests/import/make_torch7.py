"""Writes openface.t7 and openface-2015.t7 for src/weights/import/tests.rs: a network of OpenFace's shape with one channel in every
layer, in the binary format of Torch (Lua), as its File.lua and the `write` of its classes define it.

    python tests/import/make_torch7.py

Value `i` of tensor `k`, in the order of the layers, is k + i / 64. In the second file batch normalisation keeps one over the
deviation (`running_std`), as before December 2015, and the network lies in a table.
"""

import pathlib
import struct

HERE = pathlib.Path(__file__).parent
# Kernel sizes of the branches, whether the pooling has a projection, whether there is a 1x1 branch: nn4.small2's modules.
MODULES = [([3, 5], True, True)] * 2 + [([3, 5], False, False)] + [([3, 5], True, True)] + [([3, 5], False, False)]
MODULES += [([3], True, True)] * 2
EPS = 1e-5


class Object:
    """An object of a class with fields, or of a tensor with sizes and values."""

    def __init__(self, name, **fields):
        self.name, self.fields = name, fields


class Tensor:
    def __init__(self, sizes, values):
        self.sizes, self.values = sizes, values


class Writer:
    def __init__(self):
        self.out, self.numbers, self.tensors = b"", 0, 0

    def int(self, n):
        self.out += struct.pack("<i", n)

    def text(self, text):
        self.int(len(text))
        self.out += text.encode()

    def number(self):
        self.numbers += 1
        self.int(self.numbers)

    def header(self, name):
        self.int(4)
        self.number()
        self.text("V 1")
        self.text(name)

    def value(self, value):
        if value is None:
            self.int(0)
        elif isinstance(value, bool):
            self.int(5)
            self.int(value)
        elif isinstance(value, (int, float)):
            self.int(1)
            self.out += struct.pack("<d", value)
        elif isinstance(value, str):
            self.int(2)
            self.text(value)
        elif isinstance(value, Tensor):
            self.tensor(value)
        elif isinstance(value, Object):
            self.header(value.name)
            self.value(value.fields)
        else:
            pairs = value.items() if isinstance(value, dict) else enumerate(value, 1)
            self.int(3)
            self.number()
            self.int(len(value))
            for key, item in pairs:
                self.value(key)
                self.value(item)

    def tensor(self, tensor):
        self.header("torch.FloatTensor")
        self.int(len(tensor.sizes))
        strides = [1] * len(tensor.sizes)
        for axis in range(len(strides) - 1, 0, -1):
            strides[axis - 1] = strides[axis] * tensor.sizes[axis]
        # Two floats of the storage stand before the tensor.
        self.out += struct.pack(f"<{2 * len(strides) + 1}q", *tensor.sizes, *strides, 3)
        self.header("torch.FloatStorage")
        values = [-1.0, -1.0, *tensor.values]
        self.out += struct.pack(f"<q{len(values)}f", len(values), *values)


class Network:
    def __init__(self, old):
        self.tensors, self.old = 0, old

    def tensor(self, *sizes):
        count, k = 1, self.tensors
        self.tensors += 1
        for size in sizes:
            count *= size
        return Tensor(sizes, [k + i / 64 for i in range(count)])

    def unit(self, c_in, k):
        """Convolution, batch normalisation, ReLU. Older convolutions are matrices."""
        weight = self.tensor(1, c_in * k * k) if self.old else self.tensor(1, c_in, k, k)
        conv = Object(
            "nn.SpatialConvolutionMM" if self.old else "nn.SpatialConvolution",
            weight=weight, bias=self.tensor(1), nInputPlane=c_in, nOutputPlane=1, kW=k, kH=k, dW=1, dH=1,
            gradWeight=Tensor((), []), train=False, _type="torch.FloatTensor",
        )
        norm = {"weight": self.tensor(1), "bias": self.tensor(1), "running_mean": self.tensor(1), "eps": EPS, "affine": True}
        variance = self.tensor(1)
        if self.old:
            norm["running_std"] = Tensor(variance.sizes, [(x + EPS) ** -0.5 for x in variance.values])
        else:
            norm["running_var"] = variance
        return [conv, Object("nn.SpatialBatchNormalization", **norm), Object("nn.ReLU", threshold=0)]

    def sequence(self, layers):
        return Object("nn.Sequential", modules=layers)

    def inception(self, c_in, kernels, projection, one):
        branches = [self.unit(c_in, 1) + self.unit(1, k) for k in kernels]
        branches.append([Object("nn.SpatialMaxPooling", kW=3, kH=3)] + (self.unit(c_in, 1) if projection else []))
        if one:
            branches.append(self.unit(c_in, 1))
        concat = Object("nn.DepthConcat", dimension=2, modules=[self.sequence(branch) for branch in branches])
        return Object("nn.Inception", module=concat, modules=[concat])

    def whole(self):
        layers = self.unit(3, 7) + [Object("nn.SpatialMaxPooling", kW=3, kH=3), Object("nn.SpatialCrossMapLRN", size=5)]
        layers += self.unit(1, 1) + self.unit(1, 3)
        channels = 1
        for kernels, projection, one in MODULES:
            layers.append(self.inception(channels, kernels, projection, one))
            channels = len(kernels) + (1 if projection else channels) + one
        layers += [Object("nn.SpatialAveragePooling", kW=3, kH=3), Object("nn.View", numElements=channels)]
        layers.append(Object("nn.Linear", weight=self.tensor(2, channels), bias=self.tensor(2)))
        layers.append(Object("nn.Normalize", p=2))
        return self.sequence(layers)


for name, old in [("openface.t7", False), ("openface-2015.t7", True)]:
    writer = Writer()
    network = Network(old).whole()
    writer.value({"epoch": 3, "model": network} if old else network)
    (HERE / name).write_bytes(writer.out)
