"""Inference of NN4 and Inception-ResNet-v1 on the CPU: here, in onnxruntime and in PyTorch; medians of rounds taken in turn.

    cargo build --release
    pip install torch numpy safetensors onnx onnxscript onnxruntime      # the only other things needed
    python benches/forward_vs_onnxruntime.py                             # two minutes on an idle machine

onnxruntime runs the network of tests/golden/make_networks.py, exported by PyTorch, at its highest level of optimisation;
PyTorch runs it with channels last. All have the same number of threads. A round times ours (`bench`), then the others, for about
as long each; the table has the median over the rounds of each one's median, in images per second.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).parent
SIZES = {"nn4": 96, "inception-resnet-v1": 160}


def network(name):
    spec = importlib.util.spec_from_file_location("networks", HERE / "../tests/golden/make_networks.py")
    networks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(networks)
    net = networks.InceptionNet(networks.paper(lambda _: False), 896) if name == "nn4" else networks.InceptionResnetV1()
    net.eval()
    net.fill()
    return net


def median_ms(run, seconds):
    run()
    times, begin = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def ours(program, name, batch, threads):
    with tempfile.NamedTemporaryFile(suffix=".json") as table:
        command = [program, "bench", "--net", name, "--batch", str(batch), "--devices", "cpu", "--json", table.name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "RAYON_NUM_THREADS": str(threads)})
        rows = json.load(open(table.name))["rows"]
    return next(row["median_ms"] for row in rows if f"inference, batch {batch}" in row["case"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(HERE / "../target/release/facenet-gpu"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--nets", default="nn4,inception-resnet-v1")
    parser.add_argument("--batches", default="1,32")
    args = parser.parse_args()

    import onnxruntime
    import torch

    torch.set_num_threads(args.threads)
    print(f"onnxruntime {onnxruntime.__version__}, PyTorch {torch.__version__}, {args.threads} threads", flush=True)
    for name in args.nets.split(","):
        net, size = network(name), SIZES[name]
        for batch in map(int, args.batches.split(",")):
            x = torch.rand(batch, 3, size, size) - 0.5
            with tempfile.TemporaryDirectory() as folder, torch.no_grad():
                path = os.path.join(folder, "net.onnx")
                torch.onnx.export(net, (x,), path, input_names=["x"], output_names=["y"], verbose=False)
                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = args.threads
                session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            feed = {"x": x.numpy()}
            last = x.to(memory_format=torch.channels_last)
            model = net.to(memory_format=torch.channels_last)
            rounds = []
            with torch.inference_mode():
                for _ in range(args.rounds):
                    rounds.append((
                        ours(args.program, name, batch, args.threads),
                        median_ms(lambda: session.run(None, feed), args.seconds),
                        median_ms(lambda: model(last), args.seconds),
                    ))
            us, ort, torch_ms = (statistics.median(column) for column in zip(*rounds))
            rates = [batch / ms * 1e3 for ms in (us, ort, torch_ms)]
            print(
                f"{name}, batch {batch}: {rates[0]:.1f} images/s; onnxruntime {rates[1]:.1f} ({ort / us:.2f} x); "
                f"PyTorch {rates[2]:.1f} ({torch_ms / us:.2f} x)",
                flush=True,
            )


if __name__ == "__main__":
    main()
