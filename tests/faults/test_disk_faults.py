"""Disks that are full or can't be written, in the middle of a comparison."""

import os
import subprocess

import pytest
from commands import started

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk"),
]

COMPARE = ("compare", "--recipes", "three_conv", "--limit", 60, "--epochs", 2, "--out", "disk/out")


@pytest.fixture
def disk(tmp_path):
    """A disk of its own, whose size can be changed; returns what changes it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], check=False).returncode:
        pytest.skip("a small disk can't be mounted here")
    yield lambda options: subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)
    subprocess.run(["umount", "--lazy", folder], check=True)


def ran(folder):
    """Compares; returns the exit code and what was said on stderr."""
    (folder / "stderr.txt").unlink(missing_ok=True)
    code = started(*COMPARE, folder=folder).wait(120)
    return code, (folder / "stderr.txt").read_text()


def test_a_full_disk_is_a_line_and_the_same_command_goes_on(disk, tmp_path, record_property):
    """A full disk is said with the file's name, leaves nothing half-written, and the same command goes on."""
    sizes = (64, 150, 400, 600, 800, 1000)
    for kilobytes in sizes:
        disk(f"size={kilobytes}k")
        code, said = ran(tmp_path)
        assert "Traceback" not in said and not list((tmp_path / "disk").glob("**/*.part*"))
        assert code == 0 or "No space left on device" in said
    disk("size=99m")
    code, said = ran(tmp_path)
    assert (code, "Traceback" in said) == (0, False)
    record_property("tried", len(sizes))


def test_a_folder_that_becomes_read_only_is_a_line(disk, tmp_path):
    """A folder that can no longer be written is one line with the way out, and its results stay."""
    disk("size=99m")
    assert ran(tmp_path)[0] == 0
    records = (tmp_path / "disk" / "out" / "runs.jsonl").read_bytes()
    disk("ro")
    code, said = ran(tmp_path)
    assert code == 2 and "disk/out" in said and "choose" in said and "Traceback" not in said
    assert len([line for line in said.splitlines() if line.startswith("error: ")]) == 1
    assert (tmp_path / "disk" / "out" / "runs.jsonl").read_bytes() == records
