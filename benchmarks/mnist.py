"""All of MNIST through ``isthmus fit`` with default settings, twice, and PCA beside it.

The test images take no part in fitting or stopping. The two model files must be the same, bit for bit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def isthmus(*arguments: str) -> dict:
    """The JSON that a verb prints."""
    command = [sys.executable, "-m", "isthmus", *arguments, "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the four MNIST files")
    parser.add_argument("--kind", default="basic")
    parser.add_argument("--runs", type=int, default=2)
    options = parser.parse_args()
    train, test = (str(options.data / f"{part}-images-idx3-ubyte.gz") for part in ("train", "t10k"))
    digests = set()
    with tempfile.TemporaryDirectory() as folder:
        for run in range(options.runs):
            model = f"{folder}/{run}.safetensors"
            start = time.perf_counter()
            isthmus("fit", train, "-o", model, "--code-size", "32", "--kind", options.kind, "--seed", "0")
            seconds = time.perf_counter() - start
            digests.add(hashlib.sha256(Path(model).read_bytes()).hexdigest())
            found = isthmus("report", model, test, "-o", f"{folder}/{run}.html")
            sse, pca = found["error"]["sse"], found["baselines"]["pca"]["sse"]
            print(f"run {run + 1}: {seconds:.0f} s, held-out squared error an image {sse:.3f}, "
                  f"PCA {pca:.3f}, ratio {sse / pca:.3f}", flush=True)  # fmt: skip
    print("the same file, bit for bit" if len(digests) == 1 else "THE FILES DIFFER")


if __name__ == "__main__":
    main()
