"""Run by test_backends.py with another KERAS_BACKEND: what each saved model computes and how it trains there.

python on_backend.py OUT MODEL...; OUT/MODEL.npz and .json come of MODEL.keras and MODEL.npz in this folder.
"""

import gc
import json
import sys
import traceback
from pathlib import Path
from time import perf_counter

import keras
import numpy as np

import cnnzoo


def examine(name, out):
    x = np.load(f"{name}.npz")["x"]
    model = keras.saving.load_model(f"{name}.keras", compile=False)
    maps = cnnzoo.grad_cam(model, np.concatenate([x, x]), np.repeat([0, 1], len(x)))
    np.savez(out / f"{name}.npz", outputs=model.predict_on_batch(x), maps=maps)
    before = model.get_layer("predictions").get_weights() or model.get_weights()[-2:]
    model.compile("sgd", "binary_crossentropy")
    loss = model.train_on_batch(x, np.zeros((len(x), model.output_shape[-1]), "float32"))
    after = model.get_layer("predictions").get_weights() or model.get_weights()[-2:]
    changed = max(float(np.abs(a - b).max()) for a, b in zip(before, after, strict=True))
    return {"loss": float(loss), "changed": changed}


def main():
    out = Path(sys.argv[1])
    for name in sys.argv[2:]:
        start = perf_counter()
        try:
            report = examine(name, out)
        except Exception:
            report = {"error": traceback.format_exc()[-2000:]}
        report |= {"backend": keras.backend.backend(), "seconds": round(perf_counter() - start, 1)}
        (out / f"{name}.json").write_text(json.dumps(report))
        print(name, report, flush=True)
        gc.collect()


if __name__ == "__main__":
    main()
