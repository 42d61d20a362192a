"""Semi-hard selection, triplet loss and gradient of 1,800 embeddings of 128 floats (45 people x 40) on the CPU device, and
in pytorch-metric-learning: time and peak memory.

    cargo build --release
    pip install torch pytorch-metric-learning   # the only other things needed
    python benches/mining_vs_pml.py             # takes about a minute and 7 GiB of memory

pytorch-metric-learning runs TripletMarginMiner(type_of_triplets="semihard"), TripletMarginLoss and backward, with squared
Euclidean distances and margin 0.2. Its miner returns every semi-hard triplet, where ours picks the closest negative of each
pair; `batch-all`, which takes even more triplets, is measured beside it. The memory of pytorch-metric-learning is the operating
system's peak without what the process held after importing it and making the embeddings; ours is what the op's buffers take,
and beside it the peak of the whole process, most of which `bench` needs to measure how fast the device copies.
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

PEOPLE, IMAGES, DIM = 45, 40, 128
BATCH = PEOPLE * IMAGES


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def pml_child(threads):
    import torch
    from pytorch_metric_learning import distances, losses, miners

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    embeddings = torch.nn.functional.normalize(torch.randn(BATCH, DIM)).requires_grad_()
    labels = torch.arange(BATCH) % PEOPLE
    squared = distances.LpDistance(normalize_embeddings=True, p=2, power=2)
    miner = miners.TripletMarginMiner(margin=0.2, type_of_triplets="semihard", distance=squared)
    loss = losses.TripletMarginLoss(margin=0.2, distance=squared)
    before = peak_mib()
    start = time.perf_counter()
    triplets = miner(embeddings, labels)
    loss(embeddings, labels, triplets).backward()
    seconds = time.perf_counter() - start
    print(json.dumps({"ms": 1e3 * seconds, "mib": peak_mib() - before, "triplets": len(triplets[0])}))


def ours(program, threads):
    """Milliseconds of each case, the sum over its kernels, and the peak of the process."""
    with tempfile.TemporaryDirectory() as folder:
        table = os.path.join(folder, "table.json")
        env = dict(os.environ, RAYON_NUM_THREADS=str(threads))
        command = [program, "bench", "--device", "cpu", "--filter", f"triplet_loss [{BATCH}", "--json", table]
        code = (
            "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
        )
        out = subprocess.run([sys.executable, "-c", code, *command], check=True, capture_output=True, text=True, env=env)
        with open(table) as file:
            rows = json.load(file)["rows"]
    cases = {}
    for row in rows:
        setting = row["case"].partition("], ")[2] or "semi-hard"
        cases[setting] = cases.get(setting, 0.0) + row["median_ms"]
    return cases, float(out.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="target/release/facenet-gpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3, help="of ours; pytorch-metric-learning runs once")
    parser.add_argument("--pml-child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.pml_child:
        return pml_child(args.threads)
    child = [sys.executable, __file__, "--pml-child", "--threads", str(args.threads)]
    theirs = json.loads(subprocess.run(child, check=True, capture_output=True, text=True).stdout)
    rounds = [ours(args.program, args.threads) for _ in range(args.rounds)]
    mine = {setting: statistics.median(ms[setting] for ms, _ in rounds) for setting in rounds[0][0]}
    peak = statistics.median(peak for _, peak in rounds)
    # Distances and pulls; embeddings, their transpose and gradient; labels, members and sums.
    mib = 4 * (2 * BATCH**2 + 3 * BATCH * DIM + (1 + 3 + 16) * BATCH) / 2**20
    print(f"selection, loss and gradient of {BATCH} x {DIM}, {PEOPLE} people, {args.threads} threads")
    for setting, ms in mine.items():
        print(f"  facenet-gpu, {setting:<18} {ms:9.1f} ms {mib:8.0f} MiB")
    print(f"  the whole process                          {peak:8.0f} MiB")
    print(
        f"  pytorch-metric-learning, semihard {theirs['ms']:6.0f} ms {theirs['mib']:8.0f} MiB,"
        f" {theirs['triplets']} triplets"
    )
    print(f"  ratio to semi-hard: time {theirs['ms'] / mine['semi-hard']:.0f}, memory {theirs['mib'] / mib:.0f}")


if __name__ == "__main__":
    main()
