#!/usr/bin/env python3
"""Writes small.safetensors: what PyTorch computes for the small network of tests/all/golden.rs.

    python -m venv venv && venv/bin/pip install torch safetensors numpy
    venv/bin/python tests/golden/make_small.py

Needed only to regenerate the file. Weights and images come from a formula that both sides compute, so the file holds
only results: the embeddings, the gradient of every parameter after one step, and the losses of ten steps with SGD
(momentum 0.9, learning rate 0.003) and with AdaGrad (accumulator 0.1, eps 1e-10, learning rate 0.005).
"""

import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

PEOPLE, IMAGES, SIZE, DIM, MARGIN = 4, 3, 16, 16, 0.2
BATCH = PEOPLE * IMAGES
LABELS = torch.arange(BATCH) % PEOPLE


def formula(count, number, scale):
    """The same pseudo-random numbers on both sides: scale * sin of a fast-growing angle, computed in f64."""
    i = np.arange(count, dtype=np.float64)
    return (scale * np.sin((i + 1.0) * (1.7 + 0.31 * number) + 0.013 * (i % 89.0) * (i % 97.0))).astype(np.float32)


# Name, sizes as the engine stores them, scale. Convolutions are [k, k, c_in, c_out], linear layers [c_in, c_out].
PARAMS = [
    ("conv1/w", (5, 5, 3, 8), 0.2), ("conv1/b", (8,), 0.1),
    ("conv2/w", (3, 3, 8, 16), 0.2), ("conv2/b", (16,), 0.1),
    ("fc1/w", (4 * 4 * 16, 24), 0.15), ("fc1/b", (24,), 0.1),
    ("embedding/w", (24, DIM), 0.3), ("embedding/b", (DIM,), 0.1),
]


def params():
    return {
        name: torch.tensor(formula(int(np.prod(shape)), k, scale).reshape(shape), requires_grad=True)
        for k, (name, shape, scale) in enumerate(PARAMS)
    }


def images():
    """[n, h, w, c]: a pattern per person, changed a little from image to image."""
    rows = [formula(SIZE * SIZE * 3, 20 + int(LABELS[i]), 0.4) + formula(SIZE * SIZE * 3, 40 + i, 0.9) for i in range(BATCH)]
    return torch.tensor(np.stack(rows).reshape(BATCH, SIZE, SIZE, 3))


def embed(p, x):
    conv = lambda x, n, s, pad: F.relu(F.conv2d(x, p[f"{n}/w"].permute(3, 2, 0, 1), p[f"{n}/b"], stride=s, padding=pad))
    x = x.permute(0, 3, 1, 2)
    x = conv(x, "conv1", 2, 2)  # 8x8x8
    x = F.max_pool2d(x, 3, 2, 1)  # 4x4x8
    x = conv(x, "conv2", 1, 1)  # 4x4x16
    x = x.permute(0, 2, 3, 1).reshape(BATCH, -1)
    x = F.relu(x @ p["fc1/w"] + p["fc1/b"])
    x = x @ p["embedding/w"] + p["embedding/b"]
    return F.normalize(x, dim=1, eps=1e-12)


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
    return torch.stack(terms).mean() if terms else e.sum() * 0.0


def losses(optimiser):
    p, x = params(), images()
    opt = optimiser(list(p.values()))
    out = []
    for _ in range(10):
        opt.zero_grad()
        loss = triplet_loss(embed(p, x))
        loss.backward()
        opt.step()
        out.append(loss.item())
    return np.array(out, dtype=np.float32)


def main():
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    p, x = params(), images()
    e = embed(p, x)
    loss = triplet_loss(e)
    loss.backward()
    tensors = {f"d {name}": t.grad.numpy() for name, t in p.items()}
    tensors["embeddings"] = e.detach().numpy()
    tensors["losses/sgd"] = losses(lambda w: torch.optim.SGD(w, lr=0.003, momentum=0.9))
    tensors["losses/adagrad"] = losses(lambda w: torch.optim.Adagrad(w, lr=0.005, initial_accumulator_value=0.1, eps=1e-10))
    path = pathlib.Path(__file__).with_name("small.safetensors")
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path, {"torch": torch.__version__})
    print(path, path.stat().st_size, "bytes")
    print("sgd", tensors["losses/sgd"], "adagrad", tensors["losses/adagrad"])


if __name__ == "__main__":
    main()
