"""Training NN4 on a folder of faces, here and in PyTorch: images per second and peak memory of the whole loop.

    cargo build --release
    pip install torch numpy pillow safetensors     # the only other things needed
    python benches/loop_vs_pytorch.py FACES        # a folder per person; on an idle machine, a quarter of an hour
    python benches/loop_vs_pytorch.py FACES --device gpu --workers 12 --epochs 20      # the same with Vulkan and CUDA

Both read and decode JPEG files, mirror and shift them, make batches of 16 people x 4 images, compute the semi-hard
triplet loss, clip the gradient and step with Adam, for about as many steps. PyTorch has a DataLoader with two workers
(`--workers`), channels last, full float32 (no TF32), and the loss as tensor operations, as its users write it. Speed is
that of the steps after the first ones, and of our epochs after the first, evaluations apart. Memory is the operating
system's peak of the process; PyTorch's is also given without what the process held after importing torch, and what its
workers have for themselves comes on top. The programs run in turn, so that a busy machine is busy for both.
"""

import argparse
import csv
import glob
import importlib.util
import json
import os
import pathlib
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time

PEOPLE, IMAGES, SIZE = 16, 4, 96
HERE = pathlib.Path(__file__).parent


def peak_mib(who):
    return resource.getrusage(who).ru_maxrss / 1024


def workers_mib():
    """What the DataLoader's workers have for themselves, apart from what they share with the process."""
    total = 0.0
    for child in subprocess.run(["pgrep", "-P", str(os.getpid())], capture_output=True, text=True).stdout.split():
        try:
            with open(f"/proc/{child}/smaps_rollup") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("Private")) / 1024
        except OSError:
            pass
    return total


def pytorch_child(faces, device, threads, workers, steps):
    import numpy as np
    import torch
    import torch.nn.functional as F
    from PIL import Image

    torch.set_num_threads(threads)
    device = torch.device({"cpu": "cpu", "gpu": "cuda"}[device])
    (torch.zeros(8, device=device) @ torch.zeros(8, device=device)).item()
    before = peak_mib(resource.RUSAGE_SELF)
    spec = importlib.util.spec_from_file_location("networks", HERE / "../tests/golden/make_networks.py")
    networks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(networks)
    # The root of an empty window has no gradient; without this the weights are NaN after some steps.
    networks.l2 = lambda stride=1, pad=1: lambda x: F.avg_pool2d(x * x, 3, stride, pad).mul(9.0).add(1e-12).sqrt()

    class Faces(torch.utils.data.Dataset):
        def __init__(self):
            people = sorted(glob.glob(os.path.join(faces, "*", "")))
            self.people = [sorted(glob.glob(os.path.join(glob.escape(person), "*"))) for person in people]
            self.people = [images for images in self.people if len(images) > 1]
            self.images = [(path, label) for label, images in enumerate(self.people) for path in images]

        def __len__(self):
            return len(self.images)

        def __getitem__(self, at):
            path, label = self.images[at]
            picture = np.asarray(Image.open(path).convert("RGB").resize((SIZE, SIZE), Image.BICUBIC))
            if random.random() < 0.5:
                picture = picture[:, ::-1]
            picture = np.pad(picture, ((3, 3), (3, 3), (0, 0)), mode="edge")
            x, y = random.randint(0, 6), random.randint(0, 6)
            picture = picture[y : y + SIZE, x : x + SIZE].astype(np.float32)
            return torch.from_numpy((picture - 127.5) / 128).permute(2, 0, 1), label

    class Batches(torch.utils.data.Sampler):
        def __init__(self, data):
            self.of = [[] for _ in data.people]
            for at, (_, label) in enumerate(data.images):
                self.of[label].append(at)

        def __len__(self):
            return steps

        def __iter__(self):
            for _ in range(steps):
                batch = []
                for images in random.sample(self.of, PEOPLE):
                    batch += [random.choice(images) for _ in range(IMAGES)] if len(images) < IMAGES else random.sample(images, IMAGES)
                yield batch

    data = Faces()
    loader = torch.utils.data.DataLoader(data, batch_sampler=Batches(data), num_workers=workers, persistent_workers=True)
    torch.backends.cudnn.benchmark = True
    # NVIDIA's convolutions would otherwise round their factors to 10 bits.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    net = networks.InceptionNet(networks.paper(lambda _: False), 896).to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-4)
    eye = torch.eye(PEOPLE * IMAGES, dtype=torch.bool, device=device)
    # The first steps choose kernels and take memory.
    begin, done, warm = None, 0, max(1, min(10, steps // 10))
    for number, (images, labels) in enumerate(loader):
        images, labels = images.to(device), labels.to(device)
        if number == warm:
            loss.item()
            begin, done = time.perf_counter(), 0
        optimiser.zero_grad(set_to_none=True)
        e = net(images.to(memory_format=torch.channels_last))
        d = (e[:, None] - e[None, :]).pow(2).sum(-1)
        same = labels[:, None] == labels[None, :]
        positive = same & ~eye
        gap = d[:, None, :] - d[:, :, None]  # [anchor, positive, negative]
        semi_hard = (gap > 0) & (gap < 0.2) & positive[:, :, None] & ~same[:, None, :]
        closest = gap.masked_fill(~semi_hard, float("inf")).amin(-1)
        active = closest.isfinite()
        loss = (0.2 - closest[active]).mean() if active.any() else e.sum() * 0
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        done += len(images)
        if number == steps // 2:
            theirs = workers_mib()
    loss.item()
    seconds = time.perf_counter() - begin
    peak = peak_mib(resource.RUSAGE_SELF)
    print(json.dumps({"speed": done / seconds, "peak": peak, "own": peak - before, "workers": theirs, "loss": loss.item()}))


def ours(program, faces, device, threads, epochs):
    with tempfile.TemporaryDirectory() as folder:
        code = (
            "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
        )
        train = [program, "train", "--device", device, "--threads", str(threads), "--net", "nn4", "--data", faces]
        train += ["--epochs", str(epochs), "--runs", folder, "-P", str(PEOPLE), "-K", str(IMAGES), "--quiet"]
        out = subprocess.run([sys.executable, "-c", code, *train], check=True, capture_output=True, text=True)
        with open(os.path.join(folder, "train/run/metrics.csv")) as file:
            rows = list(csv.DictReader(file))
        # The first epoch compiles kernels.
        mean = lambda column: statistics.mean(float(row[column]) for row in rows[1:] or rows)
        return {"speed": mean("images_per_second"), "wait": mean("data_wait"), "peak": float(out.stdout), "steps": int(rows[-1]["step"])}


def bare_plan(program, device, threads):
    """Images per second of the training step alone, without data, reports and evaluation."""
    with tempfile.TemporaryDirectory() as folder:
        table = os.path.join(folder, "table.json")
        bench = [program, "bench", "--device", device, "--threads", str(threads), "--net", "nn4"]
        bench += ["--filter", "training step", "--json", table]
        subprocess.run(bench, check=True, stdout=subprocess.DEVNULL)
        with open(table) as file:
            rows = json.load(file)["rows"]
    row = next(r for r in rows if "training step" in r["case"] and r["kernel"] == "all")
    batch = int(re.search(r"(\d+)", row["case"].split("batch")[1]).group(1))
    return 1e3 * batch / row["median_ms"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("faces")
    parser.add_argument("--program", default="target/release/facenet-gpu")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--workers", type=int, default=2, help="of PyTorch's DataLoader")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=2, help="ours; PyTorch takes as many steps")
    parser.add_argument("--steps", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--pytorch-child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.pytorch_child:
        return pytorch_child(args.faces, args.device, args.threads, args.workers, args.steps)
    mine, theirs, bare = [], [], []
    for _ in range(args.rounds):
        mine.append(ours(args.program, args.faces, args.device, args.threads, args.epochs))
        bare.append(bare_plan(args.program, args.device, args.threads))
        child = [sys.executable, __file__, args.faces, "--pytorch-child", "--threads", str(args.threads)]
        child += ["--device", args.device, "--workers", str(args.workers), "--steps", str(mine[-1]["steps"])]
        theirs.append(json.loads(subprocess.run(child, check=True, capture_output=True, text=True).stdout))
        print("round", mine[-1], bare[-1], theirs[-1], file=sys.stderr)
    median = lambda rows, key: statistics.median(r[key] for r in rows)
    speed, peak = median(mine, "speed"), median(mine, "peak")
    print(f"training NN4, batches of {PEOPLE * IMAGES}, {mine[0]['steps']} steps, {args.device}, {args.threads} threads, medians of {args.rounds} rounds")
    print(f"  facenet-gpu  {speed:6.1f} images/s   peak {peak:6.0f} MiB, waits for data {100 * median(mine, 'wait'):.2f} % of the time")
    print(f"  its plan     {statistics.median(bare):6.1f} images/s   overhead of the loop {100 * (statistics.median(bare) / speed - 1):.1f} %")
    print(
        f"  PyTorch      {median(theirs, 'speed'):6.1f} images/s   peak {median(theirs, 'peak'):6.0f} MiB,"
        f" {median(theirs, 'own'):.0f} MiB of it after importing torch; its workers {median(theirs, 'workers'):.0f} MiB more"
    )
    print(f"  ratio        {speed / median(theirs, 'speed'):6.2f}            {median(theirs, 'peak') / peak:6.2f}")


if __name__ == "__main__":
    main()
