"""In place of a run, on a node: reads images, saves a state and waits as long as a file is there."""

import json
import os
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from cnnzoo.data.manifest import Manifest
from experiments.runs import child


@dataclass(frozen=True)
class Spec:
    manifest: str
    out: str
    gate: str
    inputs: dict = field(default_factory=dict)

    @property
    def reads(self):
        return [self.manifest]

    @property
    def manifests(self):
        return [self.manifest]

    @property
    def checkpoint(self):
        return Path(self.out, "logs", "stand-in.state.npz")

    def moved(self, files, out):
        return replace(self, manifest=files[self.manifest], out=str(out))

    @staticmethod
    def load(path):
        return Spec(**json.loads(path.read_text()))


def work(spec, tell):
    manifest = Manifest.load(spec.manifest)
    sums = []
    for i in range(len(manifest.images)):
        with manifest.reading(i) as pixels:
            sums.append(int(pixels.sum()))
    state = int(spec.checkpoint.read_text()) if spec.checkpoint.exists() else 0
    spec.checkpoint.write_text(str(state + 1))
    Path(spec.out, "models", "stand-in.keras").write_bytes(b"weights")
    tell(child.stage(f"on {os.environ['RAY_RAYLET_PID']} from state {state} in {manifest.root}"))
    while Path(spec.gate).exists():
        time.sleep(0.1)
    return json.dumps({"sums": sums, "out": spec.out})


if __name__ == "__main__":
    sys.exit(child.serve(Spec.load, work))
