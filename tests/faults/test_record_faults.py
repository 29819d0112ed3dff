"""runs.jsonl and the files of runs: damaged, edited, gone or swapped."""

import copy
import json
from dataclasses import replace

from experiments.reporting.charts.draw import draw_figures
from experiments.reporting.comparison import Comparison
from experiments.reporting.page import page
from experiments.reporting.tables.csv_table import write_csv
from experiments.reporting.tables.latex import latex
from experiments.reporting.tables.markdown import markdown
from experiments.reporting.tables.terminal import print_table
from experiments.runs.records import to_json
from experiments.runs.spec import OtherFacts
from tests.reporting.test_verdict import run, with_mistakes

DEEP = "[" * 100_000
# Lines of JSON, or nearly, that are no record.
NO_RECORDS = [
    b"[]", b"5", b"null", b'"x"', b"true", b"{}", b"[{}]", b"NaN", b"-Infinity", b"1e999", b"{",
    b'{"identity"',
    DEEP.encode(), b'{"a":' * 50_000, b"9" * 10_000, b"\xff\xfe\x00", b"\x00\x00", b'"\\ud800"', 
    b"\xef\xbb\xbf{}",
    b'{"version": 2}', b'{"version": null}', b'{"version": "1"}', b'{"identity": 1, "identity": "x"}',
    b"ok", b"\x1b[2J",
]  # fmt: skip
HOSTILE = [
    None, [], {}, "x", "", -1, 0, 2.5, True, float("nan"), float("inf"), 1e308, 10**400, 10**18, "\ud800",
    "\x00",
    "../../etc/passwd", "a/b", "\x1b[2J<script>", "x" * 5000, [[]], [1, 2, 3], {"a": {}},
    json.loads("[" * 200 + "]" * 200),
]  # fmt: skip


def whole_record(folder):
    """A finished run with all that a record may have, and its predictions."""
    made = run(folder, "three_conv", with_mistakes(3, 4, 5), seed=0)
    other = {"images": 10, "accuracy": 0.9, "auroc": None, "recall": {"Negative": 1.0, "Positive": 0.8}}
    point = {"wanted_recall": 0.9, "threshold": 0.4, "test_recall": 0.9, "test_precision": 0.8}
    result = replace(
        made.result,
        others={"wall": other},
        robustness={"none": [0.9], "blur": [0.9, 0.8, 0.7, 0.6, 0.5]},
        operating_point=point,
    )
    data = replace(made.data, positive="Positive", others={"wall": OtherFacts("wall", "f", {"Negative": 10})})
    config = {
        "config": {"phases": [{"epochs": 3, "optimizer": "adam", "learning_rate": 0.1}]},
        "pretrained": True,
    }
    return replace(made, data=data, result=result, config={**made.config, **config})


def places(values, place=()):
    """Every place in what a JSON file holds."""
    yield place
    inner = (
        values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    )
    for key, value in inner:
        yield from places(value, (*place, key))


def changed(values, place, value):
    """The same with one place replaced, or gone where the value is `...`."""
    values = copy.deepcopy(values)
    inner = values
    for key in place[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return values


def hostile_records(record):
    """A line for each place of a record and each value that does not belong there."""
    values = json.loads(to_json(record))
    for place in list(places(values))[1:]:
        for value in [*HOSTILE, ...]:
            yield json.dumps(changed(values, place, value))


def render(folder, *, figures=False):
    """All that a report writes; without the figures, in milliseconds."""
    comparison = Comparison.of([folder])
    charts = draw_figures(folder / "figures", comparison) if figures else {}
    write_csv(folder / "comparison.csv", comparison)
    print_table(comparison, folder)
    return [markdown(comparison), latex(comparison), page(comparison, charts)]
