"""The notebooks, as a reader runs them: in a folder of their own, with what the package draws."""

import re
import resource
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
LONGEST = 180  # seconds, of a notebook on two idle cores: what is measured are those of the processor
LARGEST = 30_000  # bytes, of a notebook without outputs


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert notebook.metadata.kernelspec.name == "python3"
    assert path.stat().st_size < LARGEST


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_of_a_notebook_lead_to_files(path):
    text = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
    targets = re.findall(r"\]\(([\w./-]+\.\w+)\)", text)
    assert targets and all((path.parent / target).is_file() for target in targets)


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    """Executes a notebook; returns by cell what it printed and showed, and the folder that it wrote to."""
    for name in ("here", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # else figures go there, not into the notebook

    def execute(name):
        notebook = nbformat.read(ROOT / "examples" / f"{name}.ipynb", as_version=4)
        place = {"metadata": {"path": str(tmp_path / "here")}}
        before = processor_seconds()
        NotebookClient(notebook, timeout=4 * LONGEST, kernel_name="python3", resources=place).execute()
        assert processor_seconds() - before < 2 * LONGEST
        assert not list((tmp_path / "here").iterdir())
        (out,) = (tmp_path / "temporary").glob("cnnzoo-*")
        found = {cell.id: said(cell) for cell in notebook.cells if cell.cell_type == "code"}
        assert not any("Warning" in text or "\x1b[" in text for text in found.values())
        return found, out

    return execute


def processor_seconds():
    """Of all processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def said(cell):
    """What a cell printed and showed, in the order of its outputs; a picture is the word PICTURE."""
    parts = []
    for output in cell.outputs:
        data = output.get("data", {})
        parts.append(output.get("text") or data.get("text/markdown") or "PICTURE" * ("image/png" in data))
    return "".join(parts)


def numbers(pattern, text):
    return [int(number) for number in re.search(pattern, text).groups()]


@pytest.mark.slow
def test_which_cnn_should_i_use(outputs):
    found, out = outputs("which_cnn")
    for name in ("look", "audit", "intervals"):
        assert found[name].count("PICTURE") == 1
    met, tested = numbers(r"random split: (\d+) of (\d+) test", found["split"])
    assert met > tested / 2
    assert numbers(r"grouped split: (\d+) of", found["split"]) == [0]
    for name in ("lenet5", "crack_net", "crack_net_tuned"):
        assert re.search(
            rf"^\| {name} \| 0\.\d{{3}} \| 0\.\d{{3}} to [01]\.\d{{3}} \|", found["results"], re.M
        )
    assert "**Verdict.** " in found["results"]
    assert ("PICTURE" in found["mistakes"]) != (" 0 mistakes" in found["mistakes"])
    assert str(out / "compared" / "report.html") in found["next"]
    assert (out / "compared" / "report.html").is_file()


def test_cracks_in_my_own_photographs(outputs):
    found, out = outputs("own_photographs")
    for name in ("photographs", "tiles", "looked", "map", "adapt"):
        assert found[name].count("PICTURE") == 1
    assert numbers(r"crack_1.jpg: (\d+) of", found["predict"])[0] > 4
    assert numbers(r"sound.jpg: (\d+) of", found["predict"]) == [0]
    assert re.search(r"^\| crack_1.jpg \| [1-9]\d* \| \d{3,}\.\d+ mm", found["measures"], re.M)
    assert re.search(r"^\| sound.jpg \| 0 \| 0 mm", found["measures"], re.M)
    assert (out / "maps" / "map.html").is_file()
    unlike, tiles = numbers(r"(\d+) of (\d+) tiles are unlike", found["unlike"])
    assert 0 <= unlike <= tiles == 48
    before, after = re.findall(r"(\d+) of \d+ sound ones", found["adapt"])
    assert int(after) < int(before)
    assert "verdicts changed on 0" in found["export"]
    same, asked = numbers(r"same verdict on (\d+) of (\d+) tiles", found["onnx"])
    assert same == asked == tiles
