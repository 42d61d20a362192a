#!/usr/bin/env python3
"""Writes networks.safetensors: what PyTorch computes for the networks of tests/all/networks_golden.rs.

    python -m venv venv && venv/bin/pip install torch safetensors numpy
    venv/bin/python tests/golden/make_networks.py

Needed only to regenerate the file. The networks are written here a second time, in PyTorch's own layers, from the paper's
Table 2 and from the definitions of facenet-pytorch and of OpenFace's PyTorch port. Weights and images come from a formula
that both sides compute. A random network maps all images almost to one point, where any bug would pass; so

* the running statistics of batch normalisation are those of the test images, moved a little, and kept in the file;
* the bias of an embedding without batch normalisation is minus the mean of the test images' features, kept in the file.

The file then holds, for each network: the embeddings, and for NN4 a digest of the gradient of every parameter after one
triplet step: its norm, its largest magnitude, sixteen of its elements, and four random projections of all of them.
"""

import pathlib
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file
from torch import nn

BATCH = 4
PEOPLE = [0, 0, 1, 1]  # who is in the images
# For the triplet step: labels and a margin with which three of the four pairs have a semi-hard negative.
LABELS, MARGIN = [0, 1, 0, 1], 0.8


def formula(name, count, scale):
    """Pseudo-random numbers from a name, in 64-bit integer arithmetic: uniform between -scale and scale."""
    state = np.uint64(zlib.crc32(name.encode()))
    with np.errstate(over="ignore"):
        x = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + state * np.uint64(0xD1B54A32D192ED03)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    unit = (x >> np.uint64(40)).astype(np.float64) / float(1 << 23) - 1.0
    return (scale * unit).astype(np.float32)


def images(size):
    """[n, h, w, 3]: smooth patterns, two views for each of two people, unlike enough to be told apart."""
    h, w = np.meshgrid(np.linspace(0, 1, size), np.linspace(0, 1, size), indexing="ij")
    out = []
    for i, person in enumerate(PEOPLE):
        f, g = formula(f"person {person}", 18, 6.0), formula(f"view {i}", 18, 2.0)
        channels = [
            sum(np.sin((f[6 * c + k] + g[6 * c + k]) * (h if k % 2 else w) * (k + 1) + f[6 * c + k]) for k in range(6)) / 3.0
            for c in range(3)
        ]
        out.append(np.stack(channels, axis=-1))
    return np.stack(out).astype(np.float32)


class Unit(nn.Module):
    """Convolution or linear layer with what stands around it; named as the engine names it."""

    def __init__(self, op, bias=True, eps=None, relu=True):
        super().__init__()
        self.op, self.relu, self.eps = op, relu, eps
        channels = op.weight.shape[0]
        if eps is not None:
            self.bn = (nn.BatchNorm2d if op.weight.dim() == 4 else nn.BatchNorm1d)(channels, eps=eps)

    def forward(self, x):
        x = self.op(x)
        if self.eps is not None:
            x = self.bn(x)
        return F.relu(x) if self.relu else x


class Net(nn.Module):
    def __init__(self, bias=True, eps=None):
        super().__init__()
        self.units, self.bias, self.eps = {}, bias, eps

    def add(self, name, unit):
        self.units[name] = unit
        self.add_module(name.replace("/", "_").replace(".", "_"), unit)

    def conv(self, name, c_in, c_out, k, stride=1, pad=None, bias=None, eps="net", relu=True):
        k = (k, k) if isinstance(k, int) else k
        pad = (k[0] // 2, k[1] // 2) if pad is None else (pad, pad)
        bias = self.bias if bias is None else bias
        op = nn.Conv2d(c_in, c_out, k, stride, pad, bias=bias)
        self.add(name, Unit(op, bias, self.eps if eps == "net" else eps, relu))

    def linear(self, name, c_in, c_out, bias=True, eps=None):
        self.add(name, Unit(nn.Linear(c_in, c_out, bias=bias), bias, eps, relu=False))

    def __call__(self, name_or_x, x=None):
        return super().__call__(name_or_x) if x is None else self.units[name_or_x](x)

    def named_tensors(self):
        """Our name, tensor, and how our layout becomes PyTorch's."""
        for name, unit in self.units.items():
            yield f"{name}/w", unit.op.weight
            if unit.op.bias is not None:
                yield f"{name}/b", unit.op.bias
            if unit.eps is not None:
                yield f"{name}/gamma", unit.bn.weight
                yield f"{name}/beta", unit.bn.bias

    def fill(self):
        with torch.no_grad():
            for name, tensor in self.named_tensors():
                shape = our_shape(tensor)
                count, part = int(np.prod(shape)), name.rsplit("/", 1)[1]
                if part == "w":
                    fan_in = count // shape[-1]
                    values = formula(name, count, np.sqrt(6.0 / fan_in))
                elif part == "gamma":
                    values = np.float32(1.0) + formula(name, count, 0.3)
                else:
                    values = formula(name, count, 0.1)
                tensor.copy_(to_torch(torch.tensor(values.reshape(shape))))


def our_shape(tensor):
    if tensor.dim() == 4:
        return tuple(tensor.shape[i] for i in (2, 3, 1, 0))
    return tuple(reversed(tensor.shape))


def to_torch(ours):
    return ours.permute(3, 2, 0, 1) if ours.dim() == 4 else ours.T if ours.dim() == 2 else ours


def to_ours(torchs):
    return torchs.permute(2, 3, 1, 0) if torchs.dim() == 4 else torchs.T if torchs.dim() == 2 else torchs


# ------------------------------------------------------------------ the paper's NN2 and NN4, OpenFace's nn4.small2


class InceptionNet(Net):
    """Rows: name, c_in, 1x1, (3x3 reduce, 3x3), (5x5 reduce, 5x5), projection, stride, pooling."""

    def __init__(self, rows, features, torch_order=False, **unit):
        super().__init__(**unit)
        self.rows, self.torch_order = rows, torch_order
        self.conv("conv1", 3, 64, 7, 2)
        self.conv("inception_2/3x3_reduce", 64, 64, 1)
        self.conv("inception_2/3x3", 64, 192, 3)
        for name, c_in, c1, (r3, c3), (r5, c5), proj, stride, _ in rows:
            if c1:
                self.conv(f"inception_{name}/1x1", c_in, c1, 1)
            self.conv(f"inception_{name}/3x3_reduce", c_in, r3, 1)
            self.conv(f"inception_{name}/3x3", r3, c3, 3, stride)
            if c5:
                self.conv(f"inception_{name}/5x5_reduce", c_in, r5, 1)
                self.conv(f"inception_{name}/5x5", r5, c5, 5, stride)
            if proj:
                self.conv(f"inception_{name}/pool_proj", c_in, proj, 1)
        self.linear("embedding", features, 128)

    def features(self, x):
        x = self("conv1", x)
        x = F.local_response_norm(F.max_pool2d(x, 3, 2, 1), 5, 1e-4, 0.75, 1.0)
        x = self("inception_2/3x3", self("inception_2/3x3_reduce", x))
        x = F.max_pool2d(F.local_response_norm(x, 5, 1e-4, 0.75, 1.0), 3, 2, 1)
        for name, _, c1, _, (_, c5), proj, _, pool in self.rows:
            layer = lambda part, x: self(f"inception_{name}/{part}", x)
            one = [layer("1x1", x)] if c1 else []
            three = [layer("3x3", layer("3x3_reduce", x))]
            five = [layer("5x5", layer("5x5_reduce", x))] if c5 else []
            pooled = pool(x)
            pooled = [layer("pool_proj", pooled) if proj else pooled]
            branches = three + five + pooled + one if self.torch_order else one + three + five + pooled
            size = max(b.shape[2] for b in branches)
            pad = lambda b: ((size - b.shape[3]) // 2, (size - b.shape[3] + 1) // 2, (size - b.shape[2]) // 2, (size - b.shape[2] + 1) // 2)
            x = torch.cat([F.pad(b, pad(b)) for b in branches], 1)
        return x.mean((2, 3))

    def forward(self, x):
        return F.normalize(self("embedding", self.features(x)), dim=1, eps=1e-12)


def most(stride, pad=1):
    return lambda x: F.max_pool2d(x, 3, stride, pad)


def l2(stride=1, pad=1):
    return lambda x: F.avg_pool2d(x * x, 3, stride, pad).mul(9.0).sqrt()


def paper(five):
    """NN2's modules; `five` says which of 4e, 5a, 5b have a 5x5 branch."""
    f = lambda name, pair: pair if five(name) else (0, 0)
    top = 640 + 256 + (128 if five("4e") else 0)
    out = 384 + 384 + 128 + (128 if five("5a") else 0)
    return [
        ("3a", 192, 64, (96, 128), (16, 32), 32, 1, most(1)),
        ("3b", 256, 64, (96, 128), (32, 64), 64, 1, l2()),
        ("3c", 320, 0, (128, 256), (32, 64), 0, 2, most(2)),
        ("4a", 640, 256, (96, 192), (32, 64), 128, 1, l2()),
        ("4b", 640, 224, (112, 224), (32, 64), 128, 1, l2()),
        ("4c", 640, 192, (128, 256), (32, 64), 128, 1, l2()),
        ("4d", 640, 160, (144, 288), (32, 64), 128, 1, l2()),
        ("4e", 640, 0, (160, 256), f("4e", (64, 128)), 0, 2, most(2)),
        ("5a", top, 384, (192, 384), f("5a", (48, 128)), 128, 1, l2()),
        ("5b", out, 384, (192, 384), f("5b", (48, 128)), 128, 1, most(1)),
    ]


def small2(l2_pool, max_same, max_half):
    return [
        ("3a", 192, 64, (96, 128), (16, 32), 32, 1, max_same),
        ("3b", 256, 64, (96, 128), (32, 64), 64, 1, l2_pool),
        ("3c", 320, 0, (128, 256), (32, 64), 0, 2, max_half),
        ("4a", 640, 256, (96, 192), (32, 64), 128, 1, l2_pool),
        ("4e", 640, 0, (160, 256), (64, 128), 0, 2, max_half),
        ("5a", 1024, 256, (96, 384), (0, 0), 96, 1, l2_pool),
        ("5b", 736, 256, (96, 384), (0, 0), 96, 1, max_same),
    ]


# ------------------------------------------------------------------ facenet-pytorch's Inception-ResNet-v1


class InceptionResnetV1(Net):
    def __init__(self):
        super().__init__(bias=False, eps=1e-3)
        conv = self.conv
        conv("conv2d_1a", 3, 32, 3, 2, 0), conv("conv2d_2a", 32, 32, 3, 1, 0), conv("conv2d_2b", 32, 64, 3)
        conv("conv2d_3b", 64, 80, 1), conv("conv2d_4a", 80, 192, 3, 1, 0), conv("conv2d_4b", 192, 256, 3, 2, 0)
        for i in range(5):
            self.block(f"repeat_1/{i}", 256, 32, [[1], [1, 3], [1, 3, 3]])
        conv("mixed_6a/branch0", 256, 384, 3, 2, 0)
        conv("mixed_6a/branch1/0", 256, 192, 1), conv("mixed_6a/branch1/1", 192, 192, 3), conv("mixed_6a/branch1/2", 192, 256, 3, 2, 0)
        for i in range(10):
            self.block(f"repeat_2/{i}", 896, 128, [[1], [1, (1, 7), (7, 1)]])
        for branch, last in ((0, 384), (1, 256)):
            conv(f"mixed_7a/branch{branch}/0", 896, 256, 1), conv(f"mixed_7a/branch{branch}/1", 256, last, 3, 2, 0)
        conv("mixed_7a/branch2/0", 896, 256, 1), conv("mixed_7a/branch2/1", 256, 256, 3), conv("mixed_7a/branch2/2", 256, 256, 3, 2, 0)
        for name in [f"repeat_3/{i}" for i in range(5)] + ["block8"]:
            self.block(name, 1792, 192, [[1], [1, (1, 3), (3, 1)]])
        self.linear("embedding", 1792, 512, bias=False, eps=1e-3)

    def block(self, name, channels, width, branches):
        for i, kernels in enumerate(branches):
            for j, k in enumerate(kernels):
                self.conv(self.part(name, i, j, kernels), channels if j == 0 else width, width, k)
        self.conv(f"{name}/conv2d", width * len(branches), channels, 1, bias=True, eps=None, relu=False)

    @staticmethod
    def part(name, i, j, kernels):
        return f"{name}/branch{i}" if len(kernels) == 1 else f"{name}/branch{i}/{j}"

    def run_block(self, name, x, lengths, scale, relu=True):
        outs = []
        for i, length in enumerate(lengths):
            y = x
            for j in range(length):
                y = self(self.part(name, i, j, range(length)), y)
            outs.append(y)
        x = x + scale * self(f"{name}/conv2d", torch.cat(outs, 1))
        return F.relu(x) if relu else x

    def chain(self, x, *names):
        for name in names:
            x = self(name, x)
        return x

    def forward(self, x):
        x = self.chain(x, "conv2d_1a", "conv2d_2a", "conv2d_2b")
        x = self.chain(F.max_pool2d(x, 3, 2), "conv2d_3b", "conv2d_4a", "conv2d_4b")
        for i in range(5):
            x = self.run_block(f"repeat_1/{i}", x, [1, 2, 3], 0.17)
        b = self.chain(x, *(f"mixed_6a/branch1/{i}" for i in range(3)))
        x = torch.cat([self("mixed_6a/branch0", x), b, F.max_pool2d(x, 3, 2)], 1)
        for i in range(10):
            x = self.run_block(f"repeat_2/{i}", x, [1, 3], 0.10)
        branch = lambda i, n: self.chain(x, *(f"mixed_7a/branch{i}/{j}" for j in range(n)))
        x = torch.cat([branch(0, 2), branch(1, 2), branch(2, 3), F.max_pool2d(x, 3, 2)], 1)
        for i in range(5):
            x = self.run_block(f"repeat_3/{i}", x, [1, 3], 0.20)
        x = self.run_block("block8", x, [1, 3], 1.0, relu=False)
        return F.normalize(self("embedding", x.mean((2, 3))), dim=1, eps=1e-12)


# ------------------------------------------------------------------ what the file holds


def calibrate(net, x, kept):
    """Running statistics of the test images, layer by layer, moved a little; kept under our names."""
    def hook(name, bn):
        def before(_, inputs):
            (x,) = inputs
            dims = (0, 2, 3) if x.dim() == 4 else (0,)
            mean, var = x.mean(dims), x.var(dims, unbiased=False)
            n = len(mean)
            mean = mean + 0.1 * var.sqrt() * torch.tensor(formula(f"{name}/mean", n, 1.0))
            var = var * (1.0 + torch.tensor(formula(f"{name}/var", n, 0.3))) + 1e-3
            bn.running_mean.copy_(mean), bn.running_var.copy_(var)
            kept[f"{name}/mean"], kept[f"{name}/var"] = mean.numpy().copy(), var.numpy().copy()
        return before
    hooks = [u.bn.register_forward_pre_hook(hook(n, u.bn)) for n, u in net.units.items() if u.eps is not None]
    with torch.no_grad():
        net(x)
    for h in hooks:
        h.remove()


def triplet_loss(e):
    """Mean over the anchor-positive pairs that have a semi-hard negative: the closest one of them."""
    d = (e[:, None, :] - e[None, :, :]).pow(2).sum(-1)
    terms = []
    for a in range(BATCH):
        for p in range(BATCH):
            if a == p or LABELS[a] != LABELS[p]:
                continue
            candidates = [n for n in range(BATCH) if LABELS[n] != LABELS[a] and d[a, p] < d[a, n] < d[a, p] + MARGIN]
            if candidates:
                n = min(candidates, key=lambda n: (d[a, n].item(), n))
                terms.append(d[a, p] - d[a, n] + MARGIN)
    assert terms, "no active triplet"
    return torch.stack(terms).mean()


def digest(name, gradient):
    """Norm, largest magnitude, sixteen elements spread over the tensor in our layout, and four projections of all."""
    flat = to_ours(gradient).contiguous().flatten().double()
    at = [(i * 2654435761) % len(flat) for i in range(16)]
    directions = [torch.tensor(formula(f"projection {i} of {name}", len(flat), 1.0)).double() for i in range(4)]
    projections = [(flat * d).sum().item() for d in directions]
    return np.array([flat.norm().item(), flat.abs().max().item()] + [flat[i].item() for i in at] + projections)


def main():
    torch.set_num_threads(2)
    tensors = {}
    networks = [
        ("nn2", lambda: InceptionNet(paper(lambda _: True), 1024), 224),
        ("nn4", lambda: InceptionNet(paper(lambda _: False), 896), 96),
        ("openface-nn4-small2", lambda: InceptionNet(small2(l2(1, 0), most(1), most(2)), 736, True, eps=1e-5), 96),
        ("openface-nn4-small2-v1", lambda: InceptionNet(small2(l2(3, 0), most(2, 0), most(2, 0)), 736, True, eps=1e-5), 96),
        ("inception-resnet-v1", InceptionResnetV1, 160),
    ]
    for name, make, size in networks:
        net = make()
        net.eval()
        net.fill()
        print(name, sum(p.numel() for p in net.parameters()), "parameters")
        x = torch.tensor(images(size)).permute(0, 3, 1, 2).contiguous()
        kept = {}
        calibrate(net, x, kept)
        if net.units["embedding"].eps is None:
            with torch.no_grad():
                embedding = net.units["embedding"].op
                features = net.features(x)
                embedding.bias.copy_(-(features @ embedding.weight.T).mean(0))
                kept["embedding/b"] = embedding.bias.numpy().copy()
        e = net(x)
        d = (e[:, None] - e[None]).pow(2).sum(-1)
        apart = d[~torch.eye(BATCH, dtype=bool)].min().item()
        print("  squared distances", d.detach().numpy().round(3).tolist())
        assert apart > 0.5, "the embeddings must lie apart"
        tensors.update({f"{name}:{k}": v for k, v in kept.items()})
        tensors[f"{name}:embeddings"] = e.detach().numpy()
        if name == "nn4":
            loss = triplet_loss(e)
            loss.backward()
            print("  loss", loss.item())
            tensors["nn4:loss"] = np.array([loss.item()], dtype=np.float32)
            for k, v in net.named_tensors():
                tensors[f"nn4:d {k}"] = digest(k, v.grad)
    path = pathlib.Path(__file__).with_name("networks.safetensors")
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path, {"torch": torch.__version__})
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
