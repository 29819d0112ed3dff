"""The folder of the pictures that `cnnzoo demo` was sent."""

import os
import time

from experiments.demo.kept import KEPT_MINUTES, LOOKS_AFTER, UPLOAD_SECONDS, Kept


def test_a_path_is_held_where_it_leads_into_the_folder(tmp_path, monkeypatch):
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "out").symlink_to("/etc/passwd")
    (folder / "ring").symlink_to(folder / "ring")
    kept = Kept(folder)
    assert kept.holds(f"{folder}/a/b.png") and kept.holds(f"{folder}/a/../b.png")
    for path in ("", "/", folder, f"{folder}/..", f"{folder}/../demo2/x", f"{folder}/out", "/etc/passwd"):
        assert not kept.holds(str(path))
    for path in (f"{folder}/a\0b", f"{folder}/{'a' * 300}", "http://203.0.113.7/x.png", "~/x"):
        assert not kept.holds(path)
    monkeypatch.chdir(folder)
    assert not kept.holds("http://203.0.113.7/x.png")
    kept.holds(f"{folder}/ring/x")  # whichever: it ends


def test_pictures_are_deleted_by_their_age_and_examples_stay(tmp_path):
    def old(name, seconds):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
        os.utime(path, (time.time() - seconds,) * 2)
        return path

    example = old("example.jpg", 9999)
    kept = Kept(tmp_path)
    due = 60 * KEPT_MINUTES - LOOKS_AFTER
    cancelled, coming = old("tmpab12", UPLOAD_SECONDS + 1), old("tmpcd34", UPLOAD_SECONDS - 5)
    left, new = old("a/wall.jpg", due + 1), old("b/wall.jpg", due - 5)
    kept.sweep()
    assert coming.exists()
    assert example.exists() and new.exists() and not cancelled.exists() and not left.exists()
    new.unlink()
    kept.sweep()
