"""Each test here has a promise for its docstring; `make faults` runs all and writes RELIABILITY.md from them.

A case of a test is one trial of its promise. A test that tries it several times says how often, and what was
measured, with `record_property("tried", 50)` and `record_property("measured", "at most 3 s lost")`.
"""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from experiments.runs.environment import _git_commit

HEAD = """# What cnnzoo promises when things go wrong

Written by `make faults` on {date} at commit {commit}: {cores} cores, {memory:.0f} GiB, {system},
Python {python}. Each promise begins its test in `tests/faults/`; *kept* counts the times that it was put to
the test.

| promise | kept | measured | test |
| --- | --- | --- | --- |
"""


def pytest_addoption(parser):
    parser.addoption("--reliability", metavar="FILE", help="write what was promised, and kept, to this file")


def pytest_configure(config):
    if config.getoption("--reliability", None):
        config.pluginmanager.register(Promises(Path(config.getoption("--reliability"))))


class Promises:
    """Counts how often each promise was tried and kept."""

    def __init__(self, file):
        self.file, self.found = file, {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item):
        report = yield
        promise = " ".join((item.function.__doc__ or "").split("\n\n")[0].split())
        report.user_properties.append(("promise", promise))
        return report

    def pytest_runtest_logreport(self, report):
        name = report.nodeid.partition("[")[0]
        properties = dict(report.user_properties)
        line = self.found.setdefault(name, {"promise": "", "tried": 0, "kept": 0, "measured": []})
        line["promise"] = properties.get("promise", line["promise"])
        if (report.when == "call" and not report.skipped) or report.failed:
            tried = properties.get("tried", 1)
            line["tried"] += tried
            line["kept"] += tried * report.passed
            line["measured"] += filter(None, [properties.get("measured", "")])

    def pytest_sessionfinish(self, session):
        if hasattr(session.config, "workerinput"):
            return
        head = HEAD.format(
            commit=_git_commit(),
            date=datetime.now(UTC).date(),
            cores=len(os.sched_getaffinity(0)),
            memory=psutil.virtual_memory().total / 2**30,
            system=f"{platform.system()} {platform.machine()}",
            python=platform.python_version(),
        )
        self.file.write_text(head + "".join(map(self._line, sorted(self.found))), encoding="utf-8")

    def _line(self, name):
        found = self.found[name]
        kept = f"{found['kept']} of {found['tried']}" if found["tried"] else "skipped here"
        measured = "; ".join(dict.fromkeys(found["measured"]))
        return f"| {found['promise']} | {kept} | {measured} | `{name}` |\n"
