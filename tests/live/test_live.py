"""The live view, JSON lines and what they are made of, on runs made up by hand."""

import io
import json
import os
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from cnnzoo.training.config import Phase, TrainConfig
from cnnzoo.training.progress import Progress
from experiments.live.jobs import Job, time_left, usual_seconds
from experiments.live.json_lines import JsonLines
from experiments.live.plain import Lines
from experiments.live.terminal import Live, fitting, rough_time
from experiments.live.view import View
from experiments.recipes.recipe import Recipe
from experiments.runs import child as events
from experiments.runs.dispatch import run_missing
from experiments.runs.records import read_records
from experiments.runs.spec import DataFacts, RunSpec
from tests.runs.test_records import EPOCH, RECORD

NOW = Progress(
    phase=0,
    phases=2,
    epoch=2,
    epochs=15,
    step=5,
    steps=10,
    images_per_second=1234.0,
    seconds_left=62.0,
    loss=0.0321,
    best_val_accuracy=0.995,
)


def spec(recipe="three_conv", seed=0, *, epochs=15, out="out"):
    config = TrainConfig(phases=(Phase(epochs=epochs),))
    return RunSpec(
        recipe=Recipe(recipe, "three_conv", 128, 64, config, pretrained=False),
        seed=seed,
        epochs=None,
        weights="random",
        weights_file="",
        manifest="",
        split="",
        others=(),
        recall=None,
        precision=None,
        robustness=False,
        out=str(out),
        command="python",
        demonstration=False,
        data=DataFacts(images={"train": {"a": 70, "b": 70}}),
    )


def jobs_for(*specs):
    return [Job(each, f"[{n}/{len(specs)}] {each.run_name}") for n, each in enumerate(specs, 1)]


def record_of(job, *, status="ok", accuracy=0.9962):
    result = None
    if status == "ok":
        result = replace(
            RECORD.result, test_accuracy=accuracy, test_accuracy_low=0.99, test_accuracy_high=0.999
        )
    recipe = job.spec.resolved_recipe()
    return replace(
        RECORD,
        recipe=recipe.name,
        seed=job.spec.seed,
        status=status,
        config=recipe.as_dict(),
        data=job.spec.data,
        result=result,
    )


class Clock:
    """Tells the time that it was set to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Screen:
    """A live view on a terminal of a given size, the runs it shows, and a clock to move."""

    def __init__(self, jobs, *, width=80, height=24):
        self.console = Console(
            file=io.StringIO(), force_terminal=True, width=width, height=height, highlight=False
        )
        self.clock = Clock()
        self.view = Live(self.console, self.clock)
        self.view.jobs = self.jobs = jobs

    def lines(self):
        rendered = self.console.render_lines(self.view.render(), pad=False)
        return ["".join(segment.text for segment in line).rstrip() for line in rendered]

    def run(self, job, *, seconds=72.0, **record):
        self.view.started(job)
        self.clock.now += seconds
        self.view.ended(job, record_of(job, **record))


def test_the_view_shows_every_state_and_the_numbers_of_the_running_one():
    screen = Screen(jobs_for(*[spec(f"recipe{i}") for i in range(5)]))
    done, before, failed, running, _ = screen.jobs
    screen.run(done)
    screen.view.already_done(before, record_of(before, accuracy=0.5))
    screen.run(failed, seconds=8, status="failed: no file named x.h5")
    screen.view.started(running)
    screen.view.heard(running, events.stage("training"))
    screen.view.heard(running, events.progress(NOW))
    screen.clock.now += 2
    assert screen.lines() == [
        "2 of 5 runs done (1 before), 1 failed, 1 running, 1 waiting",
        "✓ recipe0-seed0  test accuracy 0.9962, 1 min 12 s",
        "✓ recipe1-seed0  test accuracy 0.5000, done before",
        "✗ recipe2-seed0  failed: no file named x.h5",
        "▶ recipe3-seed0  training, phase 1/2, epoch 3/15",
        "  " + "━" * 5 + "╺" + "━" * 24 + "  17%  about 1 min 00 s left",
        "  1,234 images/s, loss 0.0321, best validation accuracy 0.9950",
        "· recipe4-seed0",
        # The running one 60 s; the waiting one the mean of 72 (recipe0) and 62 (recipe3).
        "elapsed 1 min 22 s, about 2 min 07 s left",
    ]


def test_long_names_stay_apart_in_their_lines():
    names = [f"{'a' * 30}_{middle}_{'z' * 30}" for middle in ("first", "second", "third")]
    lines = Screen(jobs_for(*map(spec, names))).lines()[1:-1]
    assert len(set(lines)) == 3 and all(len(line) <= 80 for line in lines)
    ends = [f"{'a' * 60}_{end}" for end in ("first", "second")]
    assert len(set(Screen(jobs_for(*map(spec, ends))).lines()[1:-1])) == 2


def test_what_is_not_known_yet_is_a_question_mark():
    screen = Screen(jobs_for(spec(), spec(seed=1)))
    screen.view.started(screen.jobs[0])
    screen.clock.now = 3.0
    assert screen.lines() == [
        "0 of 2 runs done, 1 running, 1 waiting",
        "▶ three_conv-seed0  starting, 3 s",
        "· three_conv-seed1",
        "elapsed 3 s, time left: ?",
    ]


@pytest.mark.parametrize("height", [3, 8, 24, 200])
@pytest.mark.parametrize("ended", [0, 50, 99, 100])
@pytest.mark.parametrize("width", [30, 80])
def test_a_hundred_runs_never_exceed_the_terminal(height, ended, width):
    jobs = jobs_for(*[spec(f"a_recipe_with_a_long_name_{i}") for i in range(100)])
    screen = Screen(jobs, width=width, height=height)
    for job in jobs[:ended]:
        screen.run(job)
    if ended < 100:
        screen.view.started(jobs[ended])
        screen.view.heard(jobs[ended], events.stage("training"))
        screen.view.heard(jobs[ended], events.progress(NOW))
    lines = screen.lines()
    assert len(lines) < height
    assert all(len(line) <= width for line in lines)
    assert lines[-1].startswith("elapsed")
    if height == 24 and ended == 50:
        assert lines[0].startswith("50 of 100 runs done")
        assert "  … 42 earlier" in lines and "  … 41 more" in lines
        assert len(lines) == 23


def test_the_lines_of_both_sides_are_shared_out():
    assert fitting(3, 4, 7) == (3, 4)
    # Seven lines: ended 3, one for the rest; waiting 2, one for the rest.
    assert fitting(50, 50, 7) == (3, 2)
    assert fitting(1, 50, 7) == (1, 5)
    assert fitting(50, 1, 7) == (5, 1)
    assert fitting(5, 5, 0) == (0, 0) == fitting(5, 5, -3)


def test_the_final_state_is_printed_once_and_a_stopped_run_says_so():
    jobs = jobs_for(spec(), spec(seed=1))
    screen = Screen(jobs)
    with pytest.raises(KeyboardInterrupt), screen.view.running(jobs, [], None):
        screen.run(jobs[0])
        screen.view.started(jobs[1])
        raise KeyboardInterrupt
    written = screen.console.file.getvalue()
    assert "■ three_conv-seed1  stopped" in screen.lines()
    assert written.rstrip().count("1 of 2 runs done, 1 stopped") == 1
    assert written.endswith("\x1b[?25h"), "the cursor is back"


def test_time_left_by_hand():
    jobs = jobs_for(spec("a"), spec("a", 1), spec("a", 2), spec("b"), spec("c"))
    a0, a1, _, b0, _ = jobs
    assert time_left(jobs, {}, now=0.0) is None
    # b took 20 s in an earlier session; for a and c the mean of all kinds is 20 too.
    before = {b0.kind: [10.0, 30.0]}
    assert time_left(jobs, before, now=0.0) == 5 * 20
    # a took 60 s here: a1 and a2 will too, b 20, and c the mean of 60 and 20.
    a0.state, a0.seconds = "done", 60.0
    assert time_left(jobs, before, now=100.0) == 60 + 60 + 20 + 40
    # a1 has run for 15 s: 45 are left.
    a1.state, a1.started = "running", 100.0
    assert time_left(jobs, before, now=115.0) == 45 + 60 + 20 + 40
    # Its training alone needs 80 s more than now, of which 5 have passed since it said so.
    a1.stage, a1.progress, a1.heard = "training", replace(NOW, seconds_left=80.0), 115.0
    assert time_left(jobs, before, now=120.0) == 75 + 60 + 20 + 40
    # Beside it b has run since 110: 10 of its 20 s are left. a2 and c follow on it.
    b0.state, b0.started = "running", 110.0
    assert time_left(jobs, before, now=120.0) == max(75, 10 + 60 + 40)
    for job in jobs:
        job.state, job.seconds = "done", 1.0
    assert time_left(jobs, before, now=120.0) == 0


def test_a_first_run_that_trains_says_how_long_those_of_its_kind_take():
    jobs = jobs_for(spec("a"), spec("a", 1), spec("b"))
    running = jobs[0]
    running.state, running.started = "running", 10.0
    running.stage, running.progress, running.heard = "training", replace(NOW, seconds_left=30.0), 20.0
    # 10 s so far and 30 to go: 40 s for each.
    assert time_left(jobs, {}, now=20.0) == 30 + 40 + 40
    running.stage = "testing"
    assert time_left(jobs, {}, now=55.0) == 0 + 45 + 45


def test_earlier_records_count_for_runs_with_the_same_settings_alone():
    job, longer = jobs_for(spec(), spec(epochs=30))
    record = record_of(job)
    # start, decoding, tracing, training, validation and test: 1 s each in RECORD.
    assert usual_seconds([record, record_of(job, status="failed: x")]) == {job.kind: [6.0]}
    assert longer.kind not in usual_seconds([record])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (247, "4 min 07 s"), (7500, "2 h 05 min")],
)
def test_rough_times(seconds, text):
    assert rough_time(seconds) == text


def test_json_lines_are_strict_json(capsys, tmp_path):
    done, failed = jobs = jobs_for(spec(), spec(seed=1))
    view = JsonLines(Clock())
    view.say("audit: fine")
    view.say("beware", warning=True)
    with view.running(jobs, [], tmp_path):
        view.started(done)
        diverged = replace(EPOCH, loss=float("nan"), val_loss=float("inf"))
        view.heard(done, events.data(100, "1 MB in RAM", 0.5))
        view.heard(done, json.loads(json.dumps(events.progress(replace(NOW, result=diverged)))))
        view.heard(done, events.progress(NOW))
        view.ended(done, record_of(done))
        view.started(failed)
        view.ended(failed, record_of(failed, status="failed: out of memory"))

    def strict(constant):
        raise AssertionError(constant)

    printed = capsys.readouterr()
    assert printed.err == "beware\n"
    plan, epoch, first, second = (json.loads(x, parse_constant=strict) for x in printed.out.splitlines())
    assert plan["runs"][1] == {"name": "three_conv-seed1", "recipe": "three_conv", "seed": 1}
    assert (epoch["name"], epoch["epoch"], epoch["loss"], epoch["val_loss"]) == (
        "three_conv-seed0", 0, None, None,
    )  # fmt: skip
    assert (first["test_accuracy"], first["interval"]) == (0.9962, [0.99, 0.999])
    assert (second["status"], second["test_accuracy"]) == ("failed: out of memory", None)


def test_lines_without_a_terminal(capsys):
    job, failed = jobs = jobs_for(spec(), spec(seed=1))
    view = Lines(Clock())
    with view.running(jobs, [], None):
        view.started(job)
        view.heard(job, events.data(1400, "6 MB in RAM", 0.25))
        view.heard(job, events.progress(replace(NOW, result=EPOCH)))
        view.ended(job, record_of(job))
        view.started(failed)
        view.ended(failed, record_of(failed, status="failed: x"))
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "[1/2] three_conv-seed0: starting from random weights",
        "1,400 training images, 6 MB in RAM, decoded in 0.2 s",
        "[1/2] three_conv-seed0: test accuracy 0.9962",
        "[2/2] three_conv-seed1: starting from random weights",
    ]
    assert printed.err.splitlines() == [
        "phase 1/2 epoch 1: loss 0.5000, accuracy 0.7500, validation loss 0.4000, accuracy 0.8000, "
        "1,234 images/s",
        "[2/2] three_conv-seed1: failed: x",
    ]


def test_lines_of_runs_side_by_side_say_whose_they_are(capsys):
    first, second = jobs = jobs_for(spec(), spec(seed=1))
    view = Lines(Clock())
    with view.running(jobs, [], None):
        view.started(first)
        view.started(second)
        view.heard(second, events.data(1400, "6 MB in RAM", 0.25))
        view.ended(first, record_of(first))
        view.heard(second, events.progress(replace(NOW, result=EPOCH)))
    printed = capsys.readouterr()
    assert "[2/2] three_conv-seed1: 1,400 training images" in printed.out
    assert printed.err.startswith("[2/2] three_conv-seed1: phase 1/2 epoch 1: ")


def test_the_view_shows_runs_side_by_side():
    screen = Screen(jobs_for(spec("a"), spec("b"), spec("c")))
    for job in screen.jobs[:2]:
        screen.view.started(job)
        screen.view.heard(job, events.stage("training"))
        screen.view.heard(job, events.progress(replace(NOW, seconds_left=60.0)))
    lines = screen.lines()
    assert lines[0] == "0 of 3 runs done, 2 running, 1 waiting"
    assert [line for line in lines if "training, phase 1/2, epoch 3/15" in line] == [
        "▶ a-seed0  training, phase 1/2, epoch 3/15",
        "▶ b-seed0  training, phase 1/2, epoch 3/15",
    ]
    # c takes the place of the first to end, and as long as the others do.
    assert lines[-1] == "elapsed 0 s, about 2 min 00 s left"


def test_what_a_run_prints_goes_to_its_log_and_events_come_through(tmp_path):
    code = (
        "import os, sys; from experiments.runs import child as events; tell = events.claim_stdout();"
        "print('printed'); sys.stdout.flush(); os.write(1, b'native\\n'); os.write(2, b'warned\\n');"
        "tell(events.stage('testing')); os.kill(os.getpid(), 9)"
    )
    heard = []
    ended = events.follow([sys.executable, "-c", code], heard.append, tmp_path / "run.log")
    assert (ended, heard) == (-9, [{"event": "stage", "text": "testing"}])
    assert (tmp_path / "run.log").read_text().split() == ["printed", "native", "warned"]


def test_a_silent_run_leaves_no_log_and_stray_lines_go_there(tmp_path):
    for code, expected in (("pass", None), ("print('[1, 2]')", "[1, 2]\n")):
        assert events.follow([sys.executable, "-c", code], pytest.fail, tmp_path / "run.log") == 0
        found = (tmp_path / "run.log").read_text() if (tmp_path / "run.log").exists() else None
        assert found == expected


def test_a_run_ends_with_its_listener(tmp_path):
    """Ctrl-C, or a reader of our pipe that went away, raises where an event is passed on."""
    code = (
        f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()));"
        'print(\'{"event": "stage"}\', flush=True); time.sleep(60)'
    )

    def interrupt(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        events.follow([sys.executable, "-c", code], interrupt, tmp_path / "run.log")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_killed_run_is_a_row_with_the_reason_and_its_log(tmp_path, monkeypatch, capsys):
    (tmp_path / "logs").mkdir()
    killed = tmp_path / "python"
    killed.write_text("#!/bin/sh\necho 'cannot allocate' >&2\nkill -9 $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(killed))
    run_missing(jobs_for(spec(out=tmp_path)), [], tmp_path, View())
    (record,) = read_records(tmp_path)
    log = tmp_path / "logs" / f"three_conv-seed0-{record.identity[:8]}.log"
    reason = f"failed: killed by signal 9, perhaps out of memory; its output is in {log}"
    assert record.status == reason
    assert log.read_text() == "cannot allocate\n"
    assert capsys.readouterr().err == f"[1/1] three_conv-seed0: {reason}\n"
    assert [path.name for path in (tmp_path / "logs").iterdir()] == [log.name]
