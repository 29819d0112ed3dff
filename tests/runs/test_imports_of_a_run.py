"""What a run imports before it trains, in a process of its own as a run has."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

CODE = """
import json, sys
from experiments.runs import train
environment = train.start_backend()
early = [name for name in ("sklearn", "scipy.stats", "matplotlib", "pandas") if name in sys.modules]
import numpy as np
import sklearn, matplotlib, pandas
from cnnzoo.evaluation.scores import score
accuracy = score(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]])).accuracy
print(json.dumps([environment["backend"], early, accuracy]))
"""


def test_a_run_begins_without_what_only_scoring_and_drawing_need_and_has_it_later():
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["tensorflow", [], 1.0]
