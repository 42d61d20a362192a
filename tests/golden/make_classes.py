"""Writes tests/golden/classes.safetensors: losses over classes and their gradients by PyTorch, for tests/all/classes.rs.

    pip install torch numpy safetensors
    python tests/golden/make_classes.py
"""

import math
import os

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

ROWS, DIM, CLASSES, SCALE, MARGIN = 9, 16, 21, 30.0, 0.5

random = np.random.default_rng(2)
x = random.normal(size=(ROWS, DIM))
w = random.normal(size=(DIM, CLASSES))
labels = random.integers(0, CLASSES, size=ROWS)
# One embedding opposite to its class, where the margin would pass a half turn.
x[0] = -w[:, labels[0]]


def loss(x, w, margin):
    cosines = F.normalize(x) @ F.normalize(w, dim=0)
    own = cosines.gather(1, torch.tensor(labels)[:, None])
    if margin > 0:
        sine = torch.sqrt((1 - own**2).clamp(min=1e-6))
        turned = own * math.cos(margin) - sine * math.sin(margin)
        # insightface, ArcMarginProduct without easy_margin.
        own = torch.where(own > -math.cos(margin), turned, own - margin * math.sin(margin))
    logits = SCALE * cosines.scatter(1, torch.tensor(labels)[:, None], own)
    return F.cross_entropy(logits, torch.tensor(labels))


tensors = {"x": x, "w": w}
for name, margin in [("softmax", 0.0), ("arcface", MARGIN)]:
    a, b = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (x, w)]
    value = loss(a, b, margin)
    value.backward()
    tensors |= {name: np.array([value.item()]), f"{name}/dx": a.grad.numpy(), f"{name}/dw": b.grad.numpy()}
tensors = {name: np.ascontiguousarray(v, dtype=np.float32) for name, v in tensors.items()}
tensors["labels"] = labels.astype(np.uint32)
path = os.path.join(os.path.dirname(__file__), "classes.safetensors")
save_file(tensors, path)
os.chmod(path, 0o644)
