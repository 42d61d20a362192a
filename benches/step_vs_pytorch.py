"""A training step of a network on the CPU device and in PyTorch: time and peak memory.

    cargo build --release
    pip install torch numpy safetensors                         # the only other things needed
    python benches/step_vs_pytorch.py --net nn4                 # zf64, nn4 or inception-resnet-v1; on an idle machine

A step is forward, backward and AdaGrad on 64 images of 16 people, with the semi-hard triplet loss. PyTorch runs the same layers
(channels last), batch normalisation in training mode where the network has it, and the loss as tensor operations. Rounds are
taken in turn; times are the medians over the rounds of each one's median.

Memory: ours is that of the weights, the optimiser's state and everything between, as `bench` prints it, and for zf64 also the
operating system's peak of a whole training process. PyTorch's is the operating system's peak of the process without what it held
after importing torch.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

BATCH, PEOPLE = 64, 16
SIZES = {"zf64": 64, "nn4": 96, "inception-resnet-v1": 160}
HERE = pathlib.Path(__file__).parent


def peak_mib(who):
    return resource.getrusage(who).ru_maxrss / 1024


def zf64():
    import torch.nn as nn

    pool = lambda: nn.MaxPool2d(3, 2, 1)
    return nn.Sequential(
        nn.Conv2d(3, 32, 5, 2, 2), nn.ReLU(inplace=True), pool(),
        nn.Conv2d(32, 64, 3, 1, 1), nn.ReLU(inplace=True), pool(),
        nn.Conv2d(64, 128, 3, 1, 1), nn.ReLU(inplace=True), pool(),
        nn.Conv2d(128, 128, 3, 1, 1), nn.ReLU(inplace=True),
        nn.Flatten(), nn.Linear(2048, 256), nn.ReLU(inplace=True), nn.Linear(256, 128),
    )  # fmt: skip


def network(name):
    if name == "zf64":
        return zf64()
    import torch.nn.functional as F

    spec = importlib.util.spec_from_file_location("networks", HERE / "../tests/golden/make_networks.py")
    networks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(networks)
    # The root of an empty window has no gradient; without this the weights are NaN after some steps.
    networks.l2 = lambda stride=1, pad=1: lambda x: F.avg_pool2d(x * x, 3, stride, pad).mul(9.0).add(1e-12).sqrt()
    net = networks.InceptionNet(networks.paper(lambda _: False), 896) if name == "nn4" else networks.InceptionResnetV1()
    net.fill()
    return net


def pytorch_child(name, threads):
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(threads)
    torch.zeros(8) @ torch.zeros(8)
    before = peak_mib(resource.RUSAGE_SELF)
    net = network(name).train().to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adagrad(net.parameters(), lr=0.01, initial_accumulator_value=0.1)
    size = SIZES[name]
    images = torch.randn(BATCH, 3, size, size).to(memory_format=torch.channels_last)
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

    step()
    times, begin = [], time.perf_counter()
    while len(times) < 3 or (time.perf_counter() - begin < 3 and len(times) < 30):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    print(json.dumps({"ms": 1e3 * statistics.median(times), "peak": peak_mib(resource.RUSAGE_SELF) - before}))


def ours(program, name, threads):
    with tempfile.TemporaryDirectory() as folder:
        table = os.path.join(folder, "table.json")
        env = dict(os.environ, RAYON_NUM_THREADS=str(threads))
        command = [program, "bench", "--net", name, "--devices", "cpu", "--filter", "training step", "--json", table]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=env)
        with open(table) as file:
            rows = json.load(file)["rows"]
    row = next(r for r in rows if "training step" in r["case"] and r["kernel"] == "all")
    return {"ms": row["median_ms"], "peak": row["memory"] / 2**20}


def whole_process(program, threads):
    with tempfile.TemporaryDirectory() as folder:
        code = (
            "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
        )
        train = [program, "train", "--device", "cpu", "--epochs", "1", "--synth-people", "60", "--runs", folder]
        env = dict(os.environ, RAYON_NUM_THREADS=str(threads))
        out = subprocess.run([sys.executable, "-c", code, *train], check=True, capture_output=True, text=True, env=env)
        return float(out.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(HERE / "../target/release/facenet-gpu"))
    parser.add_argument("--net", choices=SIZES, default="zf64")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pytorch-child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.pytorch_child:
        return pytorch_child(args.net, args.threads)
    mine, theirs = [], []
    for _ in range(args.rounds):
        mine.append(ours(args.program, args.net, args.threads))
        child = [sys.executable, __file__, "--pytorch-child", "--net", args.net, "--threads", str(args.threads)]
        theirs.append(json.loads(subprocess.run(child, check=True, capture_output=True, text=True).stdout))
    median = lambda rows, key: statistics.median(r[key] for r in rows)
    print(f"training step of {args.net}, {BATCH} images, {args.threads} threads, medians of {args.rounds} rounds")
    for who, rows in (("facenet-gpu", mine), ("PyTorch", theirs)):
        ms = median(rows, "ms")
        print(f"  {who:<12}{ms:9.1f} ms  {1e3 * BATCH / ms:7.1f} images/s   peak {median(rows, 'peak'):6.0f} MiB")
    print(f"  ratio       {median(theirs, 'ms') / median(mine, 'ms'):9.2f}")
    if args.net == "zf64":
        print(f"  peak of a whole process of facenet-gpu train: {whole_process(args.program, args.threads):.0f} MiB")


if __name__ == "__main__":
    main()
