"""Writes tests/golden/optimisers.safetensors: twenty steps of PyTorch's optimisers, which tests/all/optim.rs takes, too.

    pip install torch numpy safetensors
    python tests/golden/make_optimisers.py

Each case starts from the same weights `w` and takes the same gradients `dw`, one row a step, at the rate 0.01; what it
holds are the weights after each step.
"""

import os

import numpy as np
import torch
from safetensors.numpy import save_file

STEPS, LEN, RATE = 20, 37, 0.01

random = np.random.default_rng(1)
w = random.normal(size=LEN).astype(np.float32)
# Gradients of very different sizes, and some of zero.
dw = (random.normal(size=(STEPS, LEN)) * 10.0 ** random.integers(-3, 2, size=LEN)).astype(np.float32)
dw[:, 5] = 0.0

CASES = {
    "sgd": (torch.optim.SGD, {}),
    "sgd_momentum": (torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.01}),
    "sgd_nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    "adagrad": (torch.optim.Adagrad, {"initial_accumulator_value": 0.1, "weight_decay": 0.01}),
    "rmsprop": (torch.optim.RMSprop, {"weight_decay": 0.01}),
    "rmsprop_momentum": (torch.optim.RMSprop, {"momentum": 0.9, "alpha": 0.9}),
    "adam": (torch.optim.Adam, {"weight_decay": 0.01}),
    "adam_betas": (torch.optim.Adam, {"betas": (0.8, 0.95)}),
    "adamw": (torch.optim.AdamW, {"weight_decay": 0.1}),
}


def run(optimiser, settings, clip=None, average=None):
    """The weights, or their moving average, after each step, in f64 as the most exact that PyTorch has."""
    parameter = torch.nn.Parameter(torch.tensor(w, dtype=torch.float64))
    optimiser = optimiser([parameter], lr=RATE, **settings)
    if average is not None:
        module = torch.nn.ParameterList([parameter])
        averaged = torch.optim.swa_utils.AveragedModel(
            module, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(average)
        )
    rows = []
    for gradient in dw:
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        if clip is not None:
            torch.nn.utils.clip_grad_norm_([parameter], clip)
        optimiser.step()
        kept = parameter
        if average is not None:
            averaged.update_parameters(module)
            kept = averaged.module[0]
        rows.append(kept.detach().numpy().astype(np.float32))
    return np.stack(rows)


tensors = {name: run(*case) for name, case in CASES.items()}
tensors["sgd_clipped"] = run(torch.optim.SGD, {"momentum": 0.9}, clip=1.5)
tensors["sgd_average"] = run(torch.optim.SGD, {}, average=0.9)
tensors |= {"w": w, "dw": dw}
save_file(tensors, os.path.join(os.path.dirname(__file__), "optimisers.safetensors"))
