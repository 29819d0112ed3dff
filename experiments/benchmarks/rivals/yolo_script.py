"""Trains ultralytics' yolo11n-cls: `python yolo_script.py FOLDER EPOCHS BATCH PIXELS OUT.json`.

A program of its own, which needs ultralytics and nothing of cnnzoo: it runs in whatever interpreter has that.
FOLDER/images has train, val and test with a folder per class; what else ultralytics writes goes to FOLDER.
It fetches nothing and tells nobody.
"""

import json
import os
import sys
import time
from pathlib import Path


def main() -> None:
    """Trains from random weights, predicts the test images and writes what came of it."""
    begun = time.perf_counter()
    folder, epochs, batch, pixels, out = sys.argv[1:]
    os.environ["YOLO_OFFLINE"] = "true"
    os.environ["YOLO_CONFIG_DIR"] = folder
    import torch
    import ultralytics
    import ultralytics.utils.torch_utils

    ultralytics.settings.update({"sync": False})
    # It would leave one core idle, of two the half.
    ultralytics.utils.torch_utils.NUM_THREADS = len(os.sched_getaffinity(0))
    model = ultralytics.YOLO("yolo11n-cls.yaml")
    started = time.perf_counter()
    model.train(
        data=str(Path(folder, "images")),
        epochs=int(epochs),
        batch=int(batch),
        imgsz=int(pixels),
        pretrained=False,
        device="cpu",
        plots=False,
        project=folder,
        name="yolo",
        exist_ok=True,
    )
    done = time.perf_counter()
    files = sorted(Path(folder, "images", "test").glob("*/*"))
    results = model.predict(
        list(map(str, files)), imgsz=int(pixels), batch=int(batch), device="cpu", stream=True, verbose=False
    )
    right = [
        file.parent.name == result.names[result.probs.top1]
        for file, result in zip(files, results, strict=True)
    ]
    content = {
        "versions": {"ultralytics": ultralytics.__version__, "torch": torch.__version__},
        "parameters": sum(weight.numel() for weight in model.model.parameters()),
        "start_seconds": started - begun,
        "train_seconds": done - started,
        "test_images": len(files),
        "test_accuracy": sum(right) / len(right),
    }
    Path(out).write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main()
