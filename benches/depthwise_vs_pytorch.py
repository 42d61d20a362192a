"""Times the CPU device's depthwise 3x3 convolutions against PyTorch's, in one run, taking turns.

    cargo build --release
    pip install torch numpy                 # the only other thing needed
    python benches/depthwise_vs_pytorch.py  # on an idle machine

Both sides compute conv(x, w) + b, one kernel for each channel, and the gradients of x, w and b, in f32, channels last,
on the same number of threads, forward and backward in turn, so that both find the same of it in the caches. Our side is
`facenet-gpu bench`, kernel by kernel. A round takes the median of either side; the table shows the best round and the
median of the rounds, and the ratio is PyTorch's time divided by ours: above 1, we are faster. Where other programs run,
PyTorch's threads wait for each other at barriers: the best round then says more than the median.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

import torch

# batch, h = w, channels: among the cases of src/op/conv2d/cases.rs
CASES = [(16, 28, 256), (1, 112, 64)]
SECONDS = 0.5


def label(case):
    n, size, c = case
    return f"conv2d [{n}, {size}, {size}, {c}] [3, 3, 1, {c}] [{c}]"


def ours(program, case, threads):
    """Milliseconds forward, and backward."""
    with tempfile.TemporaryDirectory() as folder:
        table = os.path.join(folder, "table.json")
        command = [program, "bench", "--device", "cpu", "--filter", label(case), "--json", table]
        env = dict(os.environ, RAYON_NUM_THREADS=str(threads))
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=env)
        with open(table) as file:
            rows = [row for row in json.load(file)["rows"] if row["case"] == label(case)]
    assert rows, f"no row for {label(case)}"
    forward = sum(row["median_ms"] for row in rows if row["kernel"] == "conv2d_depthwise")
    return forward, sum(row["median_ms"] for row in rows) - forward


def pytorch(case):
    """The same for PyTorch."""
    n, size, c = case
    torch.manual_seed(0)
    leaf = lambda *shape: torch.randn(*shape).contiguous(memory_format=torch.channels_last).requires_grad_()
    x, w, b = leaf(n, c, size, size), leaf(c, 1, 3, 3), torch.randn(c, requires_grad=True)
    conv = lambda: torch.nn.functional.conv2d(x, w, b, padding=1, groups=c)
    dy = torch.randn_like(conv())
    found, begin = [], time.perf_counter()
    while len(found) < 12 or (len(found) < 500 and time.perf_counter() - begin < SECONDS):
        start = time.perf_counter()
        y = conv()
        middle = time.perf_counter()
        torch.autograd.grad(y, (x, w, b), dy)
        found.append((1e3 * (middle - start), 1e3 * (time.perf_counter() - middle)))
    return tuple(statistics.median(times) for times in zip(*found[2:]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/facenet-gpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"PyTorch {torch.__version__}, {args.threads} threads, {args.rounds} rounds, ms: best / median")
    print(f"{'batch, h=w, channels':22}{'':10}{'ours':>18}{'PyTorch':>18}{'ratio':>14}")
    for case in CASES:
        rounds = [(ours(args.program, case, args.threads), pytorch(case)) for _ in range(args.rounds)]
        for i, name in enumerate(("forward", "backward")):
            sides = [[round[side][i] for round in rounds] for side in (0, 1)]
            best, median = [min(side) for side in sides], [statistics.median(side) for side in sides]
            cells = [f"{b:.3f} / {m:.3f}" for b, m in zip(best, median)]
            ratio = f"{best[1] / best[0]:.2f} / {median[1] / median[0]:.2f}"
            print(f"{str(case):22}{name:10}{cells[0]:>18}{cells[1]:>18}{ratio:>14}", flush=True)


if __name__ == "__main__":
    main()
