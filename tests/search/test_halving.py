"""Rounds of a budget, on runs that a formula makes up in place of training."""

from dataclasses import replace

import pytest

from cnnzoo.errors import InputError
from experiments.runs.records import ended_early, record_for
from experiments.search.halving import field_sizes, run_rounds
from tests.live.test_live import spec
from tests.runs.test_records import EPOCH, RESULT

OVERHEAD = 10.0  # seconds of a run that are not its epochs'


class Machine:
    """Makes runs: each recipe has its seconds an epoch, and a loss that falls by a half with each epoch."""

    def __init__(self, seconds, loss):
        self.seconds, self.loss, self.rounds = seconds, loss, []

    def __call__(self, specs, title):
        records = [self.make(each) for each in specs]
        self.rounds.append((title, specs, records))
        return records

    def make(self, asked):
        name = asked.recipe.name
        if name == "broken":
            return record_for(asked, status="failed: no", started="")
        epochs = sum(phase.epochs for phase in asked.resolved_recipe().config.phases)
        history = [
            replace(
                EPOCH,
                epoch=number,
                seconds=0.8 * self.seconds[name],
                validation_seconds=0.2 * self.seconds[name],
                val_loss=self.loss[name] / 2 ** (number + 1),
            )
            for number in range(epochs)
        ]
        took = OVERHEAD + epochs * self.seconds[name]
        if asked.seconds and took > asked.seconds:
            late = "ended early: no epoch in 1 s"
            return record_for(asked, status=late, started="", seconds=asked.seconds)
        if asked.round.last:
            return record_for(asked, status="ok", started="", seconds=took, result=RESULT)
        return record_for(asked, status=ended_early(history, {}), started="", history=history, seconds=took)

    def names(self):
        return [sorted({each.recipe.name for each in specs}) for _, specs, _ in self.rounds]

    def epochs(self, number):
        return {each.recipe.name: each.epochs for each in self.rounds[number][1]}


def specs_of(names, *, seeds=(0,), epochs=1000):
    return [spec(name, seed, epochs=epochs) for seed in seeds for name in names]


def test_each_round_has_half_of_the_recipes_down_to_two():
    assert [field_sizes(count) for count in (1, 2, 3, 5, 6)] == [
        [1, 1], [2, 2], [3, 3, 2], [5, 5, 3, 2], [6, 6, 3, 2],
    ]  # fmt: skip


def test_in_a_round_every_recipe_has_the_same_time_and_the_worse_half_leaves():
    names = ("good", "bad", "slow", "poor")
    seconds = {"good": 2.0, "bad": 1.0, "slow": 20.0, "poor": 2.0}
    machine = Machine(seconds, {"good": 1.0, "bad": 1e300, "slow": 1e-3, "poor": 1e200})
    asked = run_rounds(specs_of(names, seeds=(0, 1)), 20, 1, machine)
    assert machine.names() == [sorted(names), sorted(names), ["good", "slow"]]
    assert asked == [each for _, specs, _ in machine.rounds for each in specs]
    assert [len(specs) for _, specs, _ in machine.rounds] == [4, 8, 4]  # an epoch of one seed; two seeds
    # By hand: 1200 s, of which the first round takes 4 x 10 + 25 = 65; the second has half of the rest, a run
    # an eighth of that: 70.9 s, of which 60.9 are for epochs.
    assert machine.epochs(1) == {"good": 30, "bad": 60, "slow": 3, "poor": 30}
    spent = sum(record.seconds for _, _, records in machine.rounds[:2] for record in records)
    share = (1200 - spent) / 4
    assert machine.epochs(2) == {"good": int((share - 10) / 2), "slow": int((share - 10) / 20)}
    assert sum(record.seconds for _, _, records in machine.rounds for record in records) <= 1200
    assert [each.round.last for _, specs, _ in machine.rounds for each in specs] == [False] * 12 + [True] * 4


def test_what_was_made_before_leads_to_the_same_runs_again():
    names = ("a", "b", "c")
    machine = Machine({"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 1.0, "b": 1.0, "c": 1.0})
    first = run_rounds(specs_of(names), 10, 1, machine)
    again = run_rounds(specs_of(names), 10, 1, machine)
    assert [each.identity for each in again] == [each.identity for each in first]
    longer = run_rounds(specs_of(names), 11, 1, machine)
    assert not {each.identity for each in longer} & {each.identity for each in first}
    assert not {each.identity for each in specs_of(names)} & {each.identity for each in first}


def test_two_at_a_time_have_twice_the_time():
    alone, together = (Machine({"a": 1.0, "b": 1.0}, {"a": 1.0, "b": 1.0}) for _ in range(2))
    run_rounds(specs_of("ab"), 5, 1, alone)
    run_rounds(specs_of("ab"), 5, 2, together)
    # 300 s less 22, by 2 runs: 139 s; 600 less 22: 289.
    assert (alone.epochs(1)["a"], together.epochs(1)["a"]) == (129, 279)


def test_no_recipe_trains_longer_than_it_would_without_a_budget():
    machine = Machine({"a": 1.0, "b": 1.0}, {"a": 1.0, "b": 1.0})
    run_rounds(specs_of("ab", epochs=7), 60, 1, machine)
    assert machine.epochs(1) == {"a": 7, "b": 7}


def test_a_failure_and_one_that_is_too_slow_leave_the_others_going():
    machine = Machine({"a": 1.0, "b": 1.0, "slow": 1e6}, {"a": 1.0, "b": 1.0, "slow": 1.0})
    run_rounds(specs_of(("broken", "a", "slow", "b")), 10, 1, machine)
    assert machine.names() == [["a", "b", "broken", "slow"], ["a", "b"], ["a", "b"]]


def test_too_short_a_budget_says_what_to_do():
    machine = Machine({"a": 100.0, "b": 100.0}, {"a": 1.0, "b": 1.0})
    with pytest.raises(InputError, match=r"too short: .* in the 15 s .* in round 1 of 2; give more minutes"):
        run_rounds(specs_of("ab"), 1, 1, machine)
    # The first round takes 220 of 600 s, the second has 63 for each of six runs.
    with pytest.raises(InputError, match=r"--budget 10: .* in the 63 s .* in round 2 of 2"):
        run_rounds(specs_of("ab", seeds=(0, 1, 2)), 10, 1, machine)
    failing = Machine({}, {})
    run_rounds(specs_of(("broken",)), 1, 1, failing)
    assert failing.names() == [["broken"]]
