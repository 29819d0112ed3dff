"""report.html as a browser shows it: headless Chromium, driven by Playwright, judged by axe-core."""

import base64
import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest

from cnnzoo.data.audit.summary import AuditFacts
from cnnzoo.training.config import Epoch
from experiments.reporting.write import write_report
from experiments.runs.left import batch_file, mistakes_file, samples_file
from experiments.runs.records import append_record
from tests.reporting.test_verdict import run, with_mistakes

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SUSPECT = "5.jpg"
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


def picture(seed, side=128):
    noise = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    image = cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
    return base64.b64encode(cv2.imencode(".jpg", image)[1].tobytes()).decode()


def finish(folder, made, **data):
    """Adds what a whole run has: an audit, a positive class, pictures of its mistakes."""
    audit = AuditFacts(
        images=3000, twins=900, identical=20, random_split_leaked=70, groups=800, random_split_test=300,
        ordered={"Positive": 30}, label_accuracy=0.99, oddities=4, label_suspects=1, suspects=(SUSPECT,),
    )  # fmt: skip
    data = replace(made.data, **{"audit": audit, "positive": "Positive", **data})
    made = replace(made, data=data, result=replace(made.result, model_bytes=2_000_000))
    (folder / "mistakes").mkdir(exist_ok=True)
    pictures = {f"{i}.jpg": [picture(i), picture(i + 1)] for i in range(12)}
    (folder / mistakes_file(made.run_name, made.identity)).write_text(json.dumps(pictures))
    for name in (batch_file(made.run_name, made.identity), samples_file(made.data.fingerprint)):
        (folder / "figures").mkdir(exist_ok=True)
        (folder / name).write_bytes(base64.b64decode(picture(0, side=600)))
    (folder / f"figures/augmented-{made.recipe}.jpg").write_bytes(base64.b64decode(picture(1, side=600)))
    append_record(folder, made)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three recipes of two seeds each, and one that failed."""
    out = tmp_path_factory.mktemp("out")
    costs = {"slow": (900.0, 9_000_000), "quick": (20.0, 100_000), "middling": (100.0, 1_000_000)}
    for seed in (0, 1):
        for name, wrong in (("slow", (3, 5)), ("quick", range(3, 9)), ("middling", (4, 5))):
            seconds, parameters = costs[name]
            made = run(out, name, with_mistakes(*wrong), seed=seed, train_seconds=seconds,
                       total_params=parameters)  # fmt: skip
            finish(out, made)
    append_record(out, replace(made, recipe="broken", identity="x", status="failed: no memory", result=None))
    write_report(out)
    return out


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def page(request, browser, folder):
    """The page, opened; an error on its console or a request to anywhere fails the test."""
    page = browser.new_page(viewport=request.param)
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda made: asked.append(made.url))
    address = (folder / "report.html").as_uri()
    page.goto(address)
    yield page
    assert said == []
    assert [url for url in asked if not url.startswith(("data:", address))] == []
    page.close()


def names(page):
    return page.locator("#table tbody th").all_inner_texts()


def test_the_table_sorts_by_mouse_and_keyboard(page):
    header = page.get_by_role("columnheader", name="Training")
    header.get_by_role("button").click()
    assert names(page) == ["quick", "middling", "slow", "broken"]
    assert header.get_attribute("aria-sort") == "ascending"
    header.get_by_role("button").press("Enter")
    assert names(page) == ["slow", "middling", "quick", "broken"]  # no number stays last
    assert header.get_attribute("aria-sort") == "descending"
    accuracy = page.get_by_role("columnheader", name="Test accuracy")
    accuracy.get_by_role("button").press("Space")
    assert names(page)[2:] == ["quick", "broken"]  # the best first
    assert header.get_attribute("aria-sort") == "none"


def test_mistakes_are_filtered_by_kind_and_by_labels_worth_a_second_look(page):
    gallery = page.locator("#model-quick .gallery")
    tiles = gallery.locator("li:visible")
    assert tiles.count() == 6
    gallery.get_by_label("Kind").select_option("Actual Positive, predicted Negative")
    assert sorted(tiles.locator("code").all_inner_texts()) == ["3.jpg", "5.jpg", "7.jpg"]
    gallery.get_by_label("worth a second look only").press("Space")
    assert tiles.locator("code").all_inner_texts() == [SUSPECT]
    assert gallery.locator("output").inner_text() == "1 shown"
    gallery.get_by_label("Kind").select_option("Actual Negative, predicted Positive")
    assert gallery.locator("output").inner_text() == "0 shown"


def test_a_point_leads_to_its_model(page):
    page.get_by_role("link", name="middling").and_(page.locator(".chart a")).first.click()
    assert page.url.endswith("#model-middling")
    assert page.locator("#model-middling").is_visible()


def test_nothing_is_wider_than_the_window_and_every_picture_has_words(page):
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("img").count() > 0
    assert page.locator("img:not([alt]), img[alt='']").count() == 0
    outside = "[...document.querySelectorAll('svg')].filter(x => !x.closest('[role][aria-label]')).length"
    assert page.evaluate(outside) == 0
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation(page, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    page.emulate_media(color_scheme=scheme)
    found = axe.Axe().run(page).response["violations"]
    serious = {v["id"]: [n["html"][:200] for n in v["nodes"]] for v in found
               if v["impact"] in ("serious", "critical")}  # fmt: skip
    assert serious == {}


def test_print_shows_what_the_screen_hides(page):
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert page.locator(".filters:visible").count() == 0
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_several_folders_stand_side_by_side(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    append_record(other, run(other, "quick", with_mistakes(1)))
    rows = write_report(tmp_path, [folder, other]).rows
    label = folder.name
    assert [row.name for row in rows] == [
        f"{label}/slow", f"{label}/quick", f"{label}/middling", f"{label}/broken", "other/quick"
    ]  # fmt: skip
    text = (tmp_path / "report.html").read_text()
    assert 'id="model-other_quick"' in text
    assert text.count("data:image/jpeg") > 0  # the pictures of the folder that has some


@pytest.mark.slow
def test_twenty_models_of_five_seeds_and_ten_classes_stay_below_five_megabytes(tmp_path, page_of_many):
    out = page_of_many(tmp_path, recipes=20, seeds=5, classes=10)
    assert (out / "report.html").stat().st_size < 5_000_000
    assert (out / "report.html").read_text().count("data:image/jpeg") > 100


@pytest.fixture
def page_of_many():
    from tests.reporting.test_report import record

    def make(out, *, recipes, seeds, classes):
        rng = np.random.default_rng(0)
        (out / "predictions").mkdir()
        (out / "mistakes").mkdir()
        pictures = json.dumps({f"{i}.jpg": [picture(i), picture(i + 1)] for i in range(40)})
        for number in range(recipes):
            for seed in range(seeds):
                made = record(f"a_recipe_of_some_length_{number}", seed, classes=classes)
                history = [
                    Epoch(epoch // 15, epoch, 2.0 / (epoch + 1), *rng.uniform(0.5, 1, 3).tolist(), 2.0, 0.5)
                    for epoch in range(30)
                ]
                made = replace(
                    made,
                    identity=f"{number:02}{seed:02}{number:04}",
                    data=replace(made.data, positive="class 1"),
                )
                accuracy = write_predictions(out / "predictions" / made.predictions_file(), rng, classes)
                numbers = {"history": history, "test_images": 2000, "test_accuracy": accuracy}
                made = replace(made, result=replace(made.result, **numbers))
                (out / mistakes_file(made.run_name, made.identity)).write_text(pictures)
                append_record(out, made)
        write_report(out)
        return out

    return make


def write_predictions(path, rng, classes):
    labels = np.arange(2000) % classes
    scores = rng.normal(0, 1, (2000, classes))
    scores[np.arange(2000), labels] += np.where(np.arange(2000) < 40, 1, 20)  # which has its picture
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    lines = ["path,group,actual,predicted," + ",".join(f"p_class {i}" for i in range(classes))]
    for i, (label, row) in enumerate(zip(labels, shares, strict=True)):
        numbers = ",".join(f"{p:.6f}" for p in row)
        lines.append(f"{i}.jpg,{i},class {label},class {row.argmax()},{numbers}")
    path.write_text("\n".join(lines))
    return float((shares.argmax(axis=1) == labels).mean())
