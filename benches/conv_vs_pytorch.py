"""Times the CPU device's convolutions against PyTorch's, in one run, taking turns.

    cargo build --release
    pip install torch numpy            # the only other thing needed
    python benches/conv_vs_pytorch.py  # on an idle machine

Both sides compute relu(conv(x, w) + b) and the gradients of x, w and b, in f32, channels last, on the same number of
threads. Forward is timed alone; then forward and backward together. Our side is `facenet-gpu bench`, kernel by kernel,
and includes what the plan does around the products (masking by the ReLU, transposing the weights, adding up partial
sums). PyTorch's ReLU works in place. Each round takes the median of either side; the table shows the median over the
rounds, and the ratio is PyTorch's time divided by ours: above 1, we are faster.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import tempfile
import time

import torch

# batch, h = w, c_in, c_out, k, stride: among the cases of `bench_cases` in src/op/conv2d/cases.rs
CASES = [
    (16, 56, 64, 192, 3, 1),
    (16, 28, 192, 96, 1, 1),
    (16, 28, 96, 128, 3, 1),
    (16, 14, 256, 96, 1, 1),
    (32, 96, 3, 64, 7, 2),
]
SECONDS = 0.4


def label(case):
    n, size, c_in, c_out, k, _ = case
    return f"[{n}, {size}, {size}, {c_in}] [{k}, {k}, {c_in}, {c_out}] [{c_out}]"


def ours(program, case, threads):
    """Milliseconds forward, and forward and backward."""
    with tempfile.TemporaryDirectory() as folder:
        table = os.path.join(folder, "table.json")
        command = [program, "bench", "--device", "cpu", "--filter", f"conv2d {label(case)}", "--json", table]
        env = dict(os.environ, RAYON_NUM_THREADS=str(threads))
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=env)
        with open(table) as file:
            rows = json.load(file)["rows"]
    rows = [row for row in rows if row["case"] == f"conv2d {label(case)}"]
    assert rows, f"no row for conv2d {label(case)}"
    forward = sum(row["median_ms"] for row in rows if row["kernel"] == "conv2d")
    return forward, sum(row["median_ms"] for row in rows)


def median_ms(run):
    for _ in range(2):
        run()
    times, begin = [], time.perf_counter()
    while len(times) < 5 or (len(times) < 50 and time.perf_counter() - begin < SECONDS):
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def pytorch(case):
    """Milliseconds forward, and forward and backward."""
    n, size, c_in, c_out, k, stride = case
    torch.manual_seed(0)
    leaf = lambda *shape: torch.randn(*shape).contiguous(memory_format=torch.channels_last).requires_grad_()
    x, w, b = leaf(n, c_in, size, size), leaf(c_out, c_in, k, k), torch.randn(c_out, requires_grad=True)
    conv = lambda: torch.relu_(torch.nn.functional.conv2d(x, w, b, stride=stride, padding=k // 2))
    dy = torch.randn_like(conv())

    def forward():
        with torch.no_grad():
            conv()

    def both():
        torch.autograd.grad(conv(), (x, w, b), dy)

    return median_ms(forward), median_ms(both)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/facenet-gpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"PyTorch {torch.__version__}, {args.threads} threads, medians of {args.rounds} rounds, ms")
    print(f"{'batch, h=w, c_in, c_out, k, stride':36}{'forward':>24}{'forward + backward':>32}")
    print(f"{'':36}{'ours':>9}{'PyTorch':>9}{'ratio':>7}{'ours':>16}{'PyTorch':>9}{'ratio':>7}")
    ratios = ([], [])
    for case in CASES:
        rounds = [(ours(args.program, case, args.threads), pytorch(case)) for _ in range(args.rounds)]
        line = f"{str(case):36}"
        for i, gap in ((0, 9), (1, 16)):
            a, b = (statistics.median(round[side][i] for round in rounds) for side in (0, 1))
            ratio = statistics.median(theirs[i] / mine[i] for mine, theirs in rounds)
            ratios[i].append(ratio)
            line += f"{a:>{gap}.2f}{b:>9.2f}{ratio:>7.2f}"
        print(line, flush=True)
    means = [math.prod(r) ** (1 / len(r)) for r in ratios]
    print(f"{'geometric mean of the ratios':36}{means[0]:>25.2f}{means[1]:>32.2f}")


if __name__ == "__main__":
    main()
