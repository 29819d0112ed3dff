"""The one-page example, as a user runs it, in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import cnnzoo

ROOT = Path(__file__).parents[1]


def test_the_example_trains_tests_and_saves_a_model_that_loads(image_folder, tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "train_crack_net.py", image_folder, "2"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    accuracy, low, high = re.search(r"test accuracy (\S+) \((\S+) to (\S+)\)", done.stdout).groups()
    assert 0 <= float(low) <= float(accuracy) <= float(high) <= 1
    classifier = cnnzoo.load_model(tmp_path / "out" / "crack_net.keras")
    assert classifier.class_names == ("crack", "plain")
    assert classifier.model.input_shape == (None, 160, 160, 3)
    verdicts = re.findall(r"^(\S+\.png): (\w+) \(\d\.\d+\)$", done.stdout, re.MULTILINE)
    files = [path for path, _ in verdicts]
    assert len(files) == 4
    assert [said for _, said in verdicts] == [v.class_name for v in cnnzoo.predict(classifier, files)]
