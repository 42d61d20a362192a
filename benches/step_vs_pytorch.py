"""A training step of zf64 (64 images, 16 people x 4) on the CPU device and in PyTorch: time and peak memory.

    cargo build --release
    pip install torch numpy            # the only other thing needed
    python benches/step_vs_pytorch.py  # on an idle machine

PyTorch runs the same layers (channels last), normalises, computes the same semi-hard triplet loss with tensor operations
and steps with AdaGrad. Memory is the operating system's peak of the whole process; PyTorch's is also given without what
the process held after importing torch, which is the fairer figure for it. Ours is always that of the whole process, with
its data set.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

BATCH, PEOPLE = 64, 16


def peak_mib(who):
    return resource.getrusage(who).ru_maxrss / 1024


def pytorch_child(threads):
    import torch
    import torch.nn as nn
    import torch.nn.functional as F

    torch.set_num_threads(threads)
    torch.zeros(8) @ torch.zeros(8)
    before = peak_mib(resource.RUSAGE_SELF)
    pool = lambda: nn.MaxPool2d(3, 2, 1)
    net = nn.Sequential(
        nn.Conv2d(3, 32, 5, 2, 2), nn.ReLU(inplace=True), pool(),
        nn.Conv2d(32, 64, 3, 1, 1), nn.ReLU(inplace=True), pool(),
        nn.Conv2d(64, 128, 3, 1, 1), nn.ReLU(inplace=True), pool(),
        nn.Conv2d(128, 128, 3, 1, 1), nn.ReLU(inplace=True),
        nn.Flatten(), nn.Linear(2048, 256), nn.ReLU(inplace=True), nn.Linear(256, 128),
    ).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adagrad(net.parameters(), lr=0.1, initial_accumulator_value=0.1)
    images = torch.randn(BATCH, 3, 64, 64).to(memory_format=torch.channels_last)
    labels = torch.arange(BATCH) % PEOPLE
    same = labels[:, None] == labels[None, :]
    positive = same & ~torch.eye(BATCH, dtype=torch.bool)

    def step():
        optimiser.zero_grad(set_to_none=True)
        e = F.normalize(net(images), dim=1)
        d = (e[:, None] - e[None, :]).pow(2).sum(-1)
        gap = d[:, None, :] - d[:, :, None]  # [anchor, positive, negative]
        semi_hard = (gap > 0) & (gap < 0.2) & positive[:, :, None] & ~same[:, None, :]
        closest = gap.masked_fill(~semi_hard, float("inf")).amin(-1)
        active = closest.isfinite()
        loss = (0.2 - closest[active]).mean() if active.any() else e.sum() * 0
        loss.backward()
        optimiser.step()

    for _ in range(3):
        step()
    times = []
    for _ in range(30):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    peak = peak_mib(resource.RUSAGE_SELF)
    print(json.dumps({"ms": 1e3 * statistics.median(times), "peak": peak, "own": peak - before}))


def ours(program, threads):
    with tempfile.TemporaryDirectory() as folder:
        table = os.path.join(folder, "table.json")
        env = dict(os.environ, RAYON_NUM_THREADS=str(threads))
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "env": env}
        subprocess.run([program, "bench", "--device", "cpu", "--filter", "training step", "--json", table], **quiet)
        with open(table) as file:
            rows = json.load(file)["rows"]
        ms = next(r["median_ms"] for r in rows if "training step" in r["case"] and r["kernel"] == "all")
        code = (
            "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
        )
        train = [program, "train", "--device", "cpu", "--epochs", "1", "--synth-people", "60", "--runs", folder]
        out = subprocess.run([sys.executable, "-c", code, *train], check=True, capture_output=True, text=True, env=env)
        return {"ms": ms, "peak": float(out.stdout)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="target/release/facenet-gpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pytorch-child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.pytorch_child:
        return pytorch_child(args.threads)
    mine, theirs = [], []
    for _ in range(args.rounds):
        mine.append(ours(args.program, args.threads))
        child = [sys.executable, __file__, "--pytorch-child", "--threads", str(args.threads)]
        theirs.append(json.loads(subprocess.run(child, check=True, capture_output=True, text=True).stdout))
    median = lambda rows, key: statistics.median(r[key] for r in rows)
    print(f"training step of zf64, {BATCH} images, {args.threads} threads, medians of {args.rounds} rounds")
    print(f"  facenet-gpu  {median(mine, 'ms'):7.1f} ms   peak {median(mine, 'peak'):6.0f} MiB, the whole process")
    print(
        f"  PyTorch      {median(theirs, 'ms'):7.1f} ms   peak {median(theirs, 'peak'):6.0f} MiB,"
        f" {median(theirs, 'own'):.0f} MiB of it after importing torch"
    )
    print(f"  ratio        {median(theirs, 'ms') / median(mine, 'ms'):7.2f}")


if __name__ == "__main__":
    main()
