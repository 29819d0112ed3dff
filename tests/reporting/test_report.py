"""Tables, charts and page from records that the test makes; nothing is trained."""

import base64
import csv
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from cnnzoo.data.folders import BadFile
from cnnzoo.errors import InputError
from cnnzoo.training.config import Epoch
from experiments.report import main
from experiments.reporting.charts.cost import pareto_front
from experiments.reporting.comparison import Comparison
from experiments.reporting.next_steps import tensorboard_to_type
from experiments.reporting.rows import make_rows
from experiments.reporting.sentences import class_line
from experiments.reporting.tables.latex import latex
from experiments.reporting.tables.markdown import markdown
from experiments.reporting.tables.terminal import print_table
from experiments.reporting.write import write_report
from experiments.runs.left import batch_file, samples_file
from experiments.runs.records import Count, RunRecord, RunResult, append_record
from experiments.runs.spec import DataFacts, SplitFacts

CLASSES = ["<script>alert(1)</script>", "a|b,\nc"]


def result(accuracy=0.9, *, classes=2, phases=(2, 1)):
    history = [
        Epoch(
            phase=phase,
            epoch=0,
            loss=0.5,
            accuracy=0.8,
            val_loss=0.4,
            val_accuracy=0.85,
            seconds=2.0,
            validation_seconds=0.5,
        )
        for phase, count in enumerate(phases)
        for _ in range(count)
    ]
    names = [f"class {i}" for i in range(classes)] if classes != 2 else CLASSES
    scores = {"precision": 0.75, "recall": accuracy, "f1": 0.8, "support": 50}
    numbers = {
        name: 2 if field.type is Count else 1.5 for name, field in RunResult.__dataclass_fields__.items()
    }
    shares = {name for name in numbers if "accuracy" in name} | {"auroc", "average_precision", "unlike"}
    numbers |= dict.fromkeys(shares, 0.75)
    numbers |= {"test_accuracy": accuracy, "test_images": 100, "total_params": 538_753, "train_seconds": 20.0}
    numbers |= {"operating_point": None, "others": {}, "robustness": {}, "phase_start_seconds": [3.0]}
    confusion = [[50 - 5 * (i != j) if i == j else 5 for j in range(classes)] for i in range(classes)]
    return RunResult(
        **numbers | {"history": history, "confusion": confusion, "per_class": {n: scores for n in names}}
    )


def record(
    recipe="three_conv", seed=0, *, status="ok", accuracy=0.9, data=None, demonstration=False, classes=2
):
    names = [f"class {i}" for i in range(classes)] if classes != 2 else CLASSES
    images = {side: dict.fromkeys(names, 50) for side in ("train", "validation", "test")}
    split = SplitFacts(kind="random", fractions=(0.7, 0.2, 0.1))
    return RunRecord(
        identity=f"{recipe}-{seed}-{data}",
        recipe=recipe,
        model="three_conv",
        seed=seed,
        status=status,
        weights="random",
        started="2026-01-01T00:00:00+00:00",
        command="python -m experiments.compare --data 'my photos'",
        demonstration=demonstration,
        config={"config": {"phases": [{"epochs": 3}]}},
        data=DataFacts(
            name="tiles",
            root="tiles",
            fingerprint=data or "f" * 64,
            class_names=tuple(names),
            images=images,
            bad=(BadFile("a/<b>.jpg", "cut off"),),
            split=split,
        ),
        environment={
            "device": "CPU",
            "processor": "some",
            "cores": 2,
            "memory_gib": 24,
            "python": "3.11",
            "tensorflow": "2.21",
            "keras": "3.15",
            "backend": "tensorflow",
            "cnnzoo": "0.1.0",
            "git_commit": "abc",
        },
        result=result(accuracy, classes=classes) if status == "ok" else None,
    )


def compared(records):
    return Comparison(tuple(make_rows(records)))


def write(folder, *records):
    for each in records:
        append_record(folder, each)
    return write_report(folder)


def rows_of(folder):
    with (folder / "comparison.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_contracts_columns_come_first_and_hold_raw_means(tmp_path):
    write(tmp_path, record(accuracy=0.90), record(seed=1, accuracy=0.94))
    (row,) = rows_of(tmp_path)
    assert list(row)[:10] == [
        "recipe",
        "model",
        "status",
        "seeds",
        "test_accuracy",
        "test_accuracy_low",
        "test_accuracy_high",
        "train_seconds",
        "total_params",
        "trainable_params",
    ]
    assert float(row["test_accuracy"]) == pytest.approx(0.92)
    assert (row["seeds"], row["status"], row["total_params"]) == ("0,1", "ok", "538753")
    # Wilson's interval of 92 of 100, by hand: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n).
    assert float(row["test_accuracy_low"]) == pytest.approx(0.8501, abs=1e-4)
    assert float(row["test_accuracy_high"]) == pytest.approx(0.9589, abs=1e-4)
    assert float(row[f"recall_{CLASSES[1]}"]) == pytest.approx(100 / 110)  # of both confusion matrices


def test_a_failure_is_a_row_with_its_reason(tmp_path):
    bad = record("resnet50_128", status="failed: out of memory")
    write(tmp_path, record(), bad, record("resnet50_128", seed=1))
    good, mixed = rows_of(tmp_path)
    assert good["status"] == "ok"
    assert mixed["status"] == "1 of 2 failed: out of memory"
    assert mixed["test_accuracy"]
    assert "out of memory" in (tmp_path / "report.html").read_text()
    assert "out of memory" in (tmp_path / "comparison.md").read_text()


def test_runs_that_all_failed_still_make_a_report(tmp_path):
    write(tmp_path, record(status="failed: <no> memory"))
    (row,) = rows_of(tmp_path)
    assert (row["status"], row["test_accuracy"]) == ("failed: <no> memory", "")
    assert "&lt;no&gt; memory" in (tmp_path / "report.html").read_text()


def test_rows_follow_the_order_asked_for_and_other_data_is_a_row_of_its_own(tmp_path):
    records = [record("b"), record("a"), record("a", data="e" * 64)]
    rows = make_rows(records, ["a", "b"])
    assert [row.name for row in rows] == ["a", "a-2", "b"]


def test_markdown_stays_one_table_whatever_the_names(tmp_path):
    text = markdown(compared([record(demonstration=True), record("a|b")]))
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1
    assert text.startswith("A demonstration")
    assert "1 file left out" in text


class _Loads(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        external = [v for k, v in values.items() if k in ("src", "href", "xlink:href") and v[:1] != "#"]
        self.found += [v for v in external if not v.startswith("data:")]
        self.found += [tag] * (tag in ("link", "iframe"))
        assert tag != "img" or values.get("alt")


def test_the_page_loads_nothing_and_escapes_everything(tmp_path):
    write(tmp_path, *(record(name, seed) for name in ("a", "b", "c") for seed in (0, 1)))
    page = (tmp_path / "report.html").read_text()
    loads = _Loads()
    loads.feed(page)
    assert loads.found == []
    assert "&lt;script&gt;alert(1)" in page
    assert "a/&lt;b&gt;.jpg" in page
    assert "aria-label" in page


def test_charts_are_xml_and_rendering_again_gives_the_same_bytes(tmp_path):
    write(tmp_path, record(), record("b", classes=2, accuracy=0.5))
    files = [*(tmp_path / "figures").glob("*.svg"), tmp_path / "report.html", tmp_path / "comparison.csv"]
    charts = {"accuracy-b.svg", "loss-b.svg", "confusion-b.svg", "accuracy_vs_time.svg"}
    assert charts <= {file.name for file in files}
    for file in files:
        if file.suffix == ".svg":
            ET.parse(file)
    before = {file: file.read_bytes() for file in files}
    assert main([str(tmp_path)]) == 0
    assert {file: file.read_bytes() for file in files} == before


def test_ten_classes_fit(tmp_path):
    write(tmp_path, record(classes=10))
    ET.parse(tmp_path / "figures" / "confusion-three_conv.svg")
    assert len([name for name in rows_of(tmp_path)[0] if name.startswith("recall_")]) == 10


def test_pictures_are_embedded_where_they_are(tmp_path):
    write(tmp_path, record())
    assert "data:image/jpeg" not in (tmp_path / "report.html").read_text()
    (tmp_path / "figures" / "augmented-three_conv.jpg").write_bytes(b"jpeg")
    write_report(tmp_path)
    assert "data:image/jpeg;base64,anBlZw==" in (tmp_path / "report.html").read_text()


def test_samples_test_batch_and_saved_model_are_on_the_page_where_they_are(tmp_path):
    made = replace(record(), command="cnnzoo compare --data photos")
    write(tmp_path, made)
    page = (tmp_path / "report.html").read_text()
    for absent in ("Sample images", "A test batch", "Saved model", "tensorboard"):
        assert absent not in page
    for folder in ("models", "logs"):
        (tmp_path / folder).mkdir()
    (tmp_path / "models" / f"{made.run_name}.keras").touch()
    (tmp_path / samples_file(made.data.fingerprint)).write_bytes(b"nine")
    (tmp_path / batch_file(made.run_name, made.identity)).write_bytes(b"batch")
    write_report(tmp_path)
    page = (tmp_path / "report.html").read_text()
    for picture in (b"nine", b"batch"):
        assert f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}" in page
    model = tmp_path / "models" / f"{made.run_name}.keras"
    assert f"<pre>cnnzoo predict {model} IMAGE_OR_FOLDER</pre>" in page
    assert f"<pre>tensorboard --logdir {tmp_path / 'logs'}</pre>" in page


def test_a_picture_without_augmentation_says_so(tmp_path):
    for augmentation, said in (
        ({}, "recipe has no augmentation"),
        ({"light": 0.3}, "after augmentation"),
    ):
        made = replace(record(), config={"config": {"phases": [], "augmentation": augmentation}})
        folder = tmp_path / str(bool(augmentation))
        (folder / "figures").mkdir(parents=True)
        (folder / "figures" / "augmented-three_conv.jpg").write_bytes(b"jpeg")
        write(folder, made)
        assert said in (folder / "report.html").read_text()


def test_classes_positive_class_and_what_lacks_without_one_are_said(tmp_path):
    names = ("crack", "sound")
    counts = {side: {"crack": 1, "sound": 1500} for side in ("train", "validation", "test")}
    data = replace(record().data, class_names=names, images=counts, bad=(), positive="crack")
    line = class_line(make_rows([replace(record(), data=data)])[0])
    assert line == (
        "Data: tiles, random split. crack, the positive class: 3 images (1 train, 1 validation, 1 test); "
        "sound: 4,500 images (1,500 train, 1,500 validation, 1,500 test)."
    )
    for positive in ("crack", ""):
        folder = tmp_path / (positive or "none")
        folder.mkdir()
        write(folder, replace(record(), data=replace(data, positive=positive)))
        page = (folder / "report.html").read_text()
        assert ("No positive class is named (--positive CLASS)" in page) == (not positive)
    many = tuple(f"class {i}" for i in range(9))
    counts = {"train": {name: 10 * (i + 1) for i, name in enumerate(many)}}
    line = class_line(make_rows([replace(record(), data=replace(data, class_names=many, images=counts))])[0])
    assert "9 classes, the rarest class 0: 10 images" in line and "the most frequent class 8: 90" in line


def test_a_retried_run_counts_once(tmp_path):
    write(tmp_path, record(status="failed: killed"), replace(record(), started="later"))
    (row,) = rows_of(tmp_path)
    assert (row["status"], row["seeds"]) == ("ok", "0")


def test_a_folder_without_runs_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"runs\.jsonl"):
        write_report(tmp_path)


def test_latex_is_a_table_whose_text_is_escaped():
    rows = compared([record("three_conv"), record("50%_of_#1 & {more}\\"), record("bad", status="failed: ~")])
    lines = latex(rows).splitlines()
    assert lines[-2:] == [r"\bottomrule", r"\end{tabular}"]
    body = [line for line in lines if line.endswith(r"\\")]
    assert len(body) == 4
    columns = next(line for line in lines if line.startswith(r"\begin{tabular}")).count("r", 16)
    for line in body:
        assert len(re.findall(r"(?<!\\)&", line)) == columns
    assert body[1].startswith(r"three\_conv & 0.9000 & 0.8256 to 0.9448 &")
    assert body[2].startswith(r"50\%\_of\_\#1 \& \{more\}\textbackslash{} &")
    assert r"\textasciitilde{}" in body[3]


def test_the_pareto_front_holds_what_nothing_beats(tmp_path):
    def costing(name, accuracy, seconds):
        made = record(name, accuracy=accuracy)
        return replace(made, result=replace(made.result, train_seconds=seconds))

    rows = make_rows([
        costing("slow and best", 0.99, 100.0), costing("quick", 0.9, 1.0), costing("beaten", 0.89, 2.0),
        costing("middling", 0.95, 10.0), costing("same but dearer", 0.95, 11.0),
    ])  # fmt: skip
    front = [row.name for row in pareto_front(rows, "train_seconds")]
    assert front == ["quick", "middling", "slow and best"]


def test_numbers_that_a_chart_shows_keep_their_digits(tmp_path):
    write(tmp_path, record(accuracy=0.98765))
    svg = (tmp_path / "figures" / "before_training.svg").read_text()
    assert "0.750 → 0.750" in svg


def test_the_folder_may_be_named_twice_only_by_mistake(tmp_path):
    write(tmp_path, record())
    with pytest.raises(InputError, match="named twice"):
        write_report(tmp_path, [tmp_path, tmp_path])


def test_odd_names_end_no_report(tmp_path):
    made = record(data="c" * 64)
    odd = replace(made, data=replace(made.data, bad=(BadFile("caf\udce9.jpg", "cut off"),)))
    write(tmp_path, odd, record("lr0.0012"), record("_hidden"), record("data"), record("a[/b]"))
    page = (tmp_path / "report.html").read_text()
    assert "caf\\udce9.jpg" in page
    assert page.count('id="data"') == 1
    assert 'href="#model-lr0.0012"' in page
    assert main([str(tmp_path)]) == 0


def test_folders_whose_names_look_alike_in_file_names_stay_apart(tmp_path):
    for name in ("run 1", "run_1"):
        (tmp_path / name).mkdir()
        append_record(tmp_path / name, record())
    rows = write_report(tmp_path, [tmp_path / "run 1", tmp_path / "run_1"]).rows
    assert len({row.anchor for row in rows}) == 2
    page = (tmp_path / "report.html").read_text()
    assert all(page.count(f'id="model-{row.anchor}"') == 1 for row in rows)


def test_a_file_without_a_whole_record_is_an_input_error(tmp_path):
    (tmp_path / "runs.jsonl").write_text('{"identity": "x", "rec\n')
    with pytest.raises(InputError, match="no whole record"):
        write_report(tmp_path)
    with pytest.raises(InputError, match="no whole record"):
        main([str(tmp_path), "--out", str(tmp_path / "new")])
    assert not (tmp_path / "new").exists()


def test_the_picture_of_the_table_cuts_nothing_off(tmp_path):
    write(tmp_path, record("a_recipe_with_a_rather_long_name"))
    svg = (tmp_path / "figures" / "table.svg").read_text()
    assert "a_recipe_with_a_rather_long_name" in svg
    assert "…" not in svg
    assert "url(http" not in svg and 'url("http' not in svg


@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_a_terminal_of_any_width_shows_whole_names_numbers_and_commands(width, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    names = [f"a_recipe_with_a_rather_long_name_{end}" for end in ("first", "second")]
    weights = "a_file_with_a_long_name.weights.h5 (sha256 0123)"
    (tmp_path / "logs").mkdir()
    comparison = write(tmp_path, *(replace(record(name), weights=weights) for name in names))
    print_table(comparison, tmp_path)
    printed = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    table = printed[printed.index("recipe ") :].split("\n\n")[0]
    assert "…" not in printed
    first_column = "".join(line.split(" ")[0] for line in table.splitlines())
    assert "".join(names) in first_column
    assert all(len(line) <= width for line in table.splitlines())
    assert ("weights" in table.splitlines()[0]) == (width == 200)
    assert ("For want of width without" in " ".join(printed.split())) == (width < 200)
    assert table.count("0.9000") == 2
    command = f"{tensorboard_to_type()} --logdir {tmp_path / 'logs'}"
    assert command in printed.splitlines()


def test_a_network_without_its_pretrained_weights_says_how_it_was_trained():
    old = {
        "epochs": 3,
        "optimizer": "adam",
        "learning_rate": 1e-4,
    }  # as records of the first versions have it
    config = {"pretrained": True, "config": {"phases": [old]}}
    text = markdown(compared([replace(record("mobilenet_v2_160"), config=config)]))
    assert "all layers, 3 epochs of Adam at 0.0001 (constant)" in text
    config["config"]["phases"] = [old | {"schedule": "cosine", "optimizer": "adamw"}]
    text = markdown(compared([replace(record("mobilenet_v2_160"), config=config)]))
    assert "all layers, 3 epochs of AdamW at 0.0001 (cosine)" in text
