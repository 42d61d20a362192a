#!/usr/bin/env python3
"""Writes mtcnn.json: the faces that facenet-pytorch 2.6.0 finds with made-up weights on made-up images.

    python -m venv venv && venv/bin/pip install torch torchvision numpy pillow
    venv/bin/pip install --no-deps facenet-pytorch==2.6.0
    venv/bin/python tests/golden/make_mtcnn.py

Needed only to regenerate the file. Weights and images come from formulas in integers that both sides compute
(tests/all/mtcnn.rs), so the file holds only settings and results. With such weights no face means anything, but every
stage is passed: the pyramid, its resampling, P-Net, R-Net, O-Net, suppression, and windows beyond the border.
"""

import json
import pathlib
import zlib

import numpy as np
import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from facenet_pytorch.models.utils.detect_face import detect_face

MASK = (1 << 64) - 1


def mixed(x):
    """splitmix64's last steps, on an array of u64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def formula(name, count, scale):
    """Pseudo-random numbers from a name, between -scale and scale: the same on both sides."""
    state = np.uint64(zlib.crc32(name.encode()) * 0xD1B54A32D192ED03 & MASK)
    with np.errstate(over="ignore"):
        x = mixed(np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + state)
    return (scale * ((x >> np.uint64(40)).astype(np.float64) / (1 << 23) - 1.0)).astype(np.float32)


def scale(name, shape):
    if name.startswith("prelu"):
        return 0.4
    if name.endswith("bias"):
        return 0.1
    fan_in = int(np.prod(shape[1:]))
    # Probabilities of all kinds, and windows that move a little: facenet-pytorch fails where one leaves the image.
    last = {"conv4_1": 9.0, "conv4_2": 0.2, "dense5_1": 7.0, "dense5_2": 0.2, "dense6_1": 8.0, "dense6_2": 0.2}.get(name.split(".")[0], 1.0)
    return last * (3.0 / fan_in) ** 0.5


def network(kind, stage):
    own = kind(pretrained=False).eval()
    state = {
        name: torch.tensor(formula(f"{stage}.{name}", t.numel(), scale(name, t.shape)).reshape(tuple(t.shape)))
        for name, t in own.state_dict().items()
    }
    own.load_state_dict(state)
    return own


def image(number, height, width):
    """Blocks of 9 pixels with some noise, as bytes."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    with np.errstate(over="ignore"):
        hashed = lambda k: (mixed(k.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(56)).astype(np.int64)
        blocks = hashed(((y // 9) * 1000 + x // 9) * 3 + c + 1_000_000 * number + 1)
        noise = hashed((y * 10_000 + x) * 3 + c + 500_000_000 * (number + 1))
    return ((3 * blocks + noise) // 4).astype(np.uint8)


# Height, width, smallest face, thresholds.
CASES = [
    (61, 83, 20, (0.7, 0.8, 0.9)),
    (90, 70, 15, (0.8, 0.9, 0.95)),
    (301, 290, 12, (0.985, 0.97, 0.99)),
    (24, 250, 20, (0.5, 0.5, 0.5)),
    (40, 40, 20, (0.999, 0.9, 0.9)),
]


def main():
    networks = [network(kind, stage) for kind, stage in [(PNet, "pnet"), (RNet, "rnet"), (ONet, "onet")]]
    cases = []
    for number, (height, width, least, thresholds) in enumerate(CASES):
        pixels = image(number, height, width)
        with torch.no_grad():
            boxes, points = detect_face(pixels, least, *networks, list(thresholds), 0.709, torch.device("cpu"))
        faces = [
            {"box": box[:4].tolist(), "probability": float(box[4]), "landmarks": point.tolist()}
            for box, point in zip(boxes[0].astype(float), points[0].astype(float))
        ]
        print(height, width, len(faces), "faces")
        cases.append({"height": height, "width": width, "min_face": least, "thresholds": thresholds, "faces": faces})
    rounded = json.loads(json.dumps(cases), parse_float=lambda x: round(float(x), 5))
    text = "[\n" + ",\n".join(json.dumps(case) for case in rounded) + "\n]\n"
    pathlib.Path(__file__).with_name("mtcnn.json").write_text(text)


main()
