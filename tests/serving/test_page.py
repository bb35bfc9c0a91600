"""The page in a real browser, against the real server with a model trained on tiny films."""

from __future__ import annotations

import base64
import csv
import io
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tests.image.dicom_films import dicom

from plainfilm.commands.train import train_prepared
from plainfilm.config import TrainConfig, checked
from plainfilm.data.sources import load
from plainfilm.evaluation import digits
from plainfilm.evaluation.decision import Band, Decision
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.model import Model
from plainfilm.models.vgg import initialise
from plainfilm.models.zoo import recipe
from plainfilm.serving.limits import Limits
from plainfilm.training.preparation import prepare

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="there is no chromium to show the page")
PATIENCE = 30_000  # milliseconds: the machine may be busy
DROP = """([name, text]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
  const event = (kind) => new DragEvent(kind, { dataTransfer: transfer, cancelable: true });
  ["dragover", "drop"].forEach((kind) => dispatchEvent(event(kind)));
}"""


@pytest.fixture(scope="module")
def model(films_folder, tmp_path_factory) -> Model:
    """A model with all that a training keeps in it, and no band for a reader."""
    config = checked({"model": "vgg", "epochs": 2, "batch": 8, "size": 16, "threads": 1, "refer": "none"})
    prepared = prepare(load(str(films_folder)), [TrainConfig(**config)], str(films_folder))[0]
    out = tmp_path_factory.mktemp("page") / "run"
    train_prepared(prepared, out, probes=False)
    return Model.load(out)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def show(browser):
    """Open the page of a running server; at the end nothing may have gone wrong in it, nor been asked elsewhere."""
    expect.set_options(timeout=PATIENCE)
    contexts, faults = [], []

    def opened(running, width=1280, known=True, **how):
        contexts.append(browser.new_context(viewport={"width": width, "height": 800}, **how))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda r: r.url.startswith((running.url, "blob:", "data:")) or faults.append(r.url))
        page.goto(running.url)
        if known:
            expect(page.locator("#about")).to_be_enabled()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not faults


@pytest.fixture
def page(show, running):
    return show(running)


def put(page, *films, names=None):
    """Choose films, and wait until each has its label or its reason."""
    names = names or [f"film {i}.jpeg" for i in range(len(films))]
    files = [{"name": n, "mimeType": "image/jpeg", "buffer": f} for n, f in zip(names, films, strict=True)]
    page.set_input_files("#files", files)
    expect(page.locator("#status")).to_contain_text("labelled")


def said(running, *films):
    """What the service says of films, in order."""
    return running.predict(*films).json()["films"]


def shown(page):
    """(H, W, 3) of what the canvas shows."""
    with Image.open(io.BytesIO(page.locator("#canvas").screenshot())) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)[60:-60, 20:-20]  # without the words on it


def magnified(page, wanted):
    """Wait until the film is so many times as large as when it fits."""
    fits = page.evaluate("""() => {
      const [columns, rows] = document.getElementById("corner").textContent.match(/\\d+/g).map(Number);
      const { clientWidth, clientHeight } = document.getElementById("canvas");
      return devicePixelRatio * Math.min(clientWidth / columns, clientHeight / rows);
    }""")
    expect(page.locator("#corner")).to_contain_text(f"{round(100 * fits * wanted)} %")


def figure(page, name):
    """One of the four figures, 0..1, once what was just asked for is drawn."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return float(page.locator(f'#figures [data-name="{name}"] b').inner_text().removesuffix(" %")) / 100


def test_a_film_dropped_gets_its_label_its_probability_and_its_map(page, running, make_film):
    film = make_film(1, True, (300, 200))
    expect(page.locator("#empty")).to_be_visible()
    page.evaluate(DROP, ["a.jpeg", base64.b64encode(film).decode()])
    (entry,) = said(running, film)
    expect(page.locator("#decision .verdict strong")).to_have_text(entry["label"])
    p = entry["probabilities"][entry["label"]]
    wanted = "> 0.999" if p > 0.999 else f"{p:.3f}"
    expect(page.locator("#decision .verdict span")).to_have_text(f"{wanted} probability")
    expect(page.locator("#mapNote")).to_contain_text(f"what speaks for {entry['label']}")
    expect(page.locator("#empty")).to_be_hidden()
    expect(page.locator(".row .thumb canvas")).to_have_count(1)
    with_map = shown(page)
    page.click("#heat")
    without = shown(page)
    assert abs(with_map - without).max() > 20  # the map's colours
    assert np.ptp(without, axis=2).max() == 0 and without.max() > 150  # the film alone is grey
    expect(page.get_by_text("Research and teaching software, not a medical device.")).to_be_visible()


def test_a_folder_dropped_gives_all_its_films_but_hidden_files(page, make_film, tmp_path):
    for name in ("ward/b.jpeg", "ward/a/film10.jpeg", "ward/a/film2.jpeg", "ward/.DS_Store"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(make_film(1, True))
    mouse = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(tmp_path / "ward")], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        mouse.send("Input.dispatchDragEvent", {"type": kind, "x": 600, "y": 400, "data": data})
        if kind == "dragOver":
            expect(page.locator("#target")).to_be_visible()
    expect(page.locator("#status")).to_have_text(re.compile("3 films labelled"))
    titles = [row.get_attribute("title") for row in page.locator(".row").all()]
    assert titles == ["ward/a/film2.jpeg", "ward/a/film10.jpeg", "ward/b.jpeg"]
    expect(page.locator("#target")).to_be_hidden()


def test_the_threshold_decides_anew_and_the_figures_follow_by_bayes(page, running, model, make_film):
    put(page, make_film(1, True), make_film(2, False))
    p, curve = said(running, make_film(1, True))[0]["probabilities"]["PNEUMONIA"], model.verdict["curve"]
    for threshold, prevalence in ((0.01, 20), (0.99, 3)):
        page.fill("#thresholdNumber", str(threshold))
        page.fill("#prevalenceNumber", str(prevalence))
        label = "PNEUMONIA" if p >= threshold else "NORMAL"
        expect(page.locator("#decision .verdict strong")).to_have_text(label)
        expect(page.locator(".row .label").first).to_have_text(label)
        row = next(row for row in curve if row["threshold"] == threshold)
        se, sp, pi = row["sensitivity"]["value"], row["specificity"]["value"], prevalence / 100
        assert figure(page, "Sensitivity") == pytest.approx(se, abs=6e-4)
        assert figure(page, "Specificity") == pytest.approx(sp, abs=6e-4)
        if se * pi + (1 - sp) * (1 - pi) > 0:
            assert figure(page, "PPV") == pytest.approx(se * pi / (se * pi + (1 - sp) * (1 - pi)), abs=6e-4)
        else:  # nothing is called positive
            expect(page.locator('#figures [data-name="PPV"] b')).to_have_text("–")
    page.click("#thresholdReset")
    expect(page.locator("#thresholdNote")).to_have_text("The model's own.")
    assert figure(page, "Sensitivity") == pytest.approx(model.verdict["scores"]["sensitivity"]["value"], abs=6e-4)


def test_the_table_is_what_predict_says_and_starts_no_formula(page, running, model, make_film):
    films = [make_film(3, True), b"no film", make_film(4, False)]
    names = ["=cmd('x').jpeg", 'a "b", c.txt', "plain.jpeg"]
    put(page, *films, names=names)
    with page.expect_download() as download:
        page.click("#csv")
    rows = {row["path"]: row for row in csv.DictReader(io.StringIO(download.value.path().read_text()))}
    answers = dict(zip(("'" + names[0], *names[1:]), said(running, *films), strict=True))
    assert set(rows) == set(answers)
    for name, answer in answers.items():
        row = rows[name]
        assert row["model"] == model.hash and float(row["threshold"]) == model.threshold
        if "error" in answer:
            assert (row["label"], row["p_NORMAL"], row["refer"], row["reason"]) == ("", "", "yes", answer["error"])
            continue
        assert row["label"] == answer["label"] and row["refer"] == ("yes" if answer["refer"] else "no")
        for label, p in answer["probabilities"].items():
            assert float(row[f"p_{label}"]) == p  # to the last bit


def test_the_picture_is_saved_with_film_label_and_warning_below(page, make_film):
    put(page, make_film(1, True, (400, 300), "TIFF"), names=["chest.one.tiff"])  # no browser shows it itself
    expect(page.locator("#mapNote")).to_contain_text("what speaks for")
    label = page.locator("#decision .verdict strong").inner_text()
    with page.expect_download() as download:
        page.click("#png")
    assert download.value.suggested_filename == f"chest.one-{label}.png"
    with Image.open(download.value.path()) as picture:
        assert picture.width == 560 and picture.height > 300 + 4 * 15
        below = np.asarray(picture.convert("L"))[300:]
        assert (below.max(axis=1) > 100).any()


def test_a_hostile_file_shows_its_reason_and_takes_no_other_with_it(model, serve, show, make_film):
    with serve(model, limits=Limits(film_bytes=20_000)) as running:
        page = show(running)
        names = ["0.jpeg", "<img src=x onerror=alert(1)>.png", "large.jpeg", "other.jpeg"]
        put(page, make_film(0, True), b"<script>", make_film(1, True, (600, 600)), make_film(2, False), names=names)
        expect(page.locator("#status")).to_contain_text("2 films labelled, 2 not")
        page.click(".row:has-text('onerror')")
        expect(page.locator("#decision .card")).to_contain_text("decided by content")
        page.click(".row:has-text('large')")
        expect(page.locator("#decision .card")).to_contain_text("the limit for one film")
        page.select_option("#filter", label="Not labelled (2)")
        expect(page.locator(".row")).to_have_count(2)


def test_the_gate_and_the_band_for_a_reader_are_told(model, serve, show, make_film):
    ramp = io.BytesIO()
    Image.fromarray(np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))).save(ramp, "PNG")
    with serve(replace(model, decision=replace(model.decision, refer=Band(0.0, 1.0)))) as running:
        page = show(running)
        put(page, make_film(0, True), ramp.getvalue())
        (_, entry) = said(running, make_film(0, True), ramp.getvalue())
        assert entry["gate"]["reason"]
        expect(page.locator("#decision .card.refer")).to_contain_text("band for a reader (0 to 1)")
        page.keyboard.press("End")
        reason = entry["gate"]["reason"]
        expect(page.locator("#decision .card.gate")).to_contain_text(reason[1:])
        expect(page.locator("#decision .verdict")).to_have_class(re.compile("doubtful"))
        expect(page.locator(".row").nth(1).locator(".flag")).to_have_text("unusual")
        expect(page.locator("#status")).to_contain_text("2 for a reader")


def noise(draws):
    buffer = io.BytesIO()
    Image.fromarray(draws.integers(0, 256, (64, 64), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_films_that_differ_as_a_set_from_the_training_films_are_warned_of(model, serve, show, make_film):
    """The warning is of all films that the service has seen lately, whoever sent them."""
    draws, warning = np.random.default_rng(0), None
    with serve(model) as running:
        page = show(running)
        put(page, make_film(0, True), make_film(1, False))
        expect(page.locator("#alarm")).to_be_hidden()
        page.click("#about")
        expect(page.locator("#aboutBody")).to_contain_text("like the training films (0 films seen")
        for _ in range(40):
            warning = running.predict(*(noise(draws) for _ in range(10))).json()["warning"]
            if warning:
                break
        assert "The latest films differ from the training films" in warning
        page.reload()
        put(page, make_film(2, True))
        expect(page.locator("#alarm")).to_contain_text("The latest films differ from the training films")
        page.click("#about")
        expect(page.locator("#aboutBody")).to_contain_text("The latest films differ from the training films")
        expect(page.locator("#aboutBody")).to_contain_text("false alarm")


def test_a_model_without_a_verdict_says_so(model, serve, show):
    with serve(replace(model, verdict={})) as running:
        page = show(running)
        expect(page.locator("#figuresNote")).to_contain_text("holds no figures")
        expect(page.locator("#figures")).to_be_hidden()
        page.click("#about")
        expect(page.locator("#aboutBody")).to_contain_text("holds no verdict")
        expect(page.locator("#aboutBody")).to_contain_text("report.html")


def test_the_models_verdict_is_one_click_away(page, model):
    page.click("#about")
    body = page.locator("#aboutBody")
    frozen = "as they were when this file was made"
    for text in (model.verdict["protocol"], model.hash, model.gate.about, *model.verdict["red_lines"], frozen):
        expect(body).to_contain_text(text)
    auroc = model.verdict["scores"]["auroc"]
    expect(body).to_contain_text(f"{auroc['value']:.3f}")
    expect(body).to_contain_text(f"{auroc['low']:.3f}–{auroc['high']:.3f}")


def test_more_than_two_classes_have_no_threshold(serve, show, make_film, tmp_path):
    p = Preprocess(size=16)
    network = recipe("vgg").build(3, p)
    initialise(network, torch.Generator().manual_seed(0))
    Model(network, "vgg", Decision(("BACTERIA", "NORMAL", "VIRUS"), "BACTERIA"), p).save(tmp_path / "model.h5")
    with serve(Model.load(tmp_path)) as running:
        page = show(running)
        put(page, make_film(0, True))
        expect(page.locator("#decision .verdict strong")).to_have_text(said(running, make_film(0, True))[0]["label"])
        expect(page.locator("#decision .each")).to_have_count(3)
        expect(page.locator("#tuning")).to_be_hidden()


def test_every_tool_has_its_key(page, make_film):
    put(page, *[make_film(i, True) for i in range(3)])
    expect(page.locator("#mapNote")).to_contain_text("what speaks for")
    place, corner = page.locator("#place"), page.locator("#corner")
    for key, where in (("ArrowDown", "2 of 3"), ("End", "3 of 3"), ("ArrowRight", "3 of 3"), ("ArrowUp", "2 of 3")):
        page.keyboard.press(key)
        expect(place).to_have_text(where)
    expect(page.locator(".row[aria-selected=true] .title")).to_have_text("film 1.jpeg")
    expect(page.locator("#mapNote")).to_contain_text("what speaks for")
    upright = shown(page)
    page.keyboard.press("h")
    expect(page.locator("#heat")).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("i")
    expect(page.locator("#invert")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("+")
    magnified(page, 1.25)
    page.keyboard.press("1")
    expect(corner).to_contain_text(" 100 % ")
    page.keyboard.press("0")
    page.keyboard.press("h")
    expect(corner).to_contain_text("(fits)")
    page.mouse.move(1, 1)
    assert abs(shown(page) - upright).max() <= 1  # as it was
    page.keyboard.press("c")
    divider = page.get_by_role("slider", name=re.compile("Line between"))
    divider.press("ArrowLeft")
    expect(divider).to_have_attribute("aria-valuenow", "48")
    page.locator("#list").focus()
    page.keyboard.press("?")
    expect(page.locator("#helpBox")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#helpBox")).to_be_hidden()


def test_mouse_and_fingers_change_window_and_size_and_the_greys_are_right(running, show):
    page = show(running, has_touch=True)
    flat = io.BytesIO()
    picture = Image.new("L", (300, 300), 100)
    picture.paste(20, (0, 0, 300, 30))
    picture.save(flat, "PNG")
    put(page, flat.getvalue())
    page.keyboard.press("h")
    corner = page.locator("#corner")
    expect(corner).to_contain_text("C 128   W 256")
    assert set(shown(page)[200:300, 250:350].ravel()) == {100}
    page.keyboard.press("i")
    assert set(shown(page)[200:300, 250:350].ravel()) == {155}
    page.keyboard.press("i")
    box = page.locator("#canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + box["width"] / 5, y - box["height"] / 5)
    page.mouse.up()
    expect(corner).to_contain_text("C 77   W 307")  # a fifth of 256 each: brighter, softer
    assert abs(shown(page)[200:300, 250:350] - 255 * ((100 - (76.8 - 0.5)) / 306.2 + 0.5)).max() < 1.5
    page.mouse.wheel(0, -400)
    magnified(page, 2**0.6)
    page.mouse.dblclick(x, y)
    expect(corner).to_contain_text("(fits)")
    fingers = page.context.new_cdp_session(page)
    for kind, apart in (("touchStart", 40), ("touchMove", 60), ("touchMove", 80)):
        points = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    magnified(page, 2)


DEEP = np.add.outer(np.arange(300), np.arange(300)).astype(np.uint16) + 1000  # 1000 to 1598, of 12 bits
WHOSE = {"PatientID": "=4711", "PatientName": "Roe^Jane", "AccessionNumber": "A1", "StudyInstanceUID": "1.2"}


def test_the_window_moves_through_all_the_depth_of_a_dicom_film(page):
    narrow = dicom(DEEP, BitsStored=12, WindowCenter=1100, WindowWidth=100)
    put(page, narrow, names=["a.dcm"])
    page.keyboard.press("h")
    corner = page.locator("#corner")
    expect(corner).to_contain_text("300 × 300")
    expect(corner).to_contain_text("C 128   W 256")  # a preview of 8 bits, in which all from 1150 on is white
    middle = (slice(200, 300), slice(250, 350))
    assert set(shown(page)[middle].ravel()) == {255}
    box = page.locator("#canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + box["width"] / 2 - 5, y)
    page.mouse.up()
    expect(corner).to_contain_text("C 1100   W 149")
    page.mouse.move(x - box["width"] / 2 + 5, y)
    for _ in range(4):  # as far as the window goes
        page.mouse.down()
        page.mouse.move(x + box["width"] / 2 - 5, y + box["height"] / 2 - 5)
        page.mouse.up()
        page.mouse.move(x - box["width"] / 2 + 5, y - box["height"] / 2 + 5)
    expect(corner).to_contain_text("C 1200   W 400")
    seen = shown(page)[middle]
    assert len(np.unique(seen)) > 1 and seen.max() < 255  # what was white has shades


def test_a_ruler_measures_in_the_films_own_millimetres(page, make_film):
    put(page, dicom(DEEP, ImagerPixelSpacing=[0.5, 0.5]), make_film(1, True, (300, 300)), names=["a.dcm", "b.jpeg"])
    page.keyboard.press("h")
    page.keyboard.press("r")
    expect(page.locator("#ruler")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("1")
    expect(page.locator("#corner")).to_contain_text(" 100 %")
    box = page.locator("#canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drawn():
        page.mouse.move(x - 60, y)
        page.mouse.down()
        page.mouse.move(x + 40, y)
        page.mouse.up()

    drawn()
    expect(page.locator("#length")).to_have_text("50.0 mm at the detector")
    assert (np.ptp(shown(page), axis=2) > 100).sum() > 50  # the line has a colour
    page.keyboard.press("ArrowDown")
    expect(page.locator("#length")).to_have_text("")
    page.keyboard.press("1")
    expect(page.locator("#corner")).to_contain_text(" 100 %")
    drawn()
    expect(page.locator("#length")).to_have_text("100 px")


def test_a_header_is_shown_on_demand_and_whose_it_is_when_asked(page, make_film):
    put(page, dicom(DEEP, KVP="125", **WHOSE), make_film(1, True), names=["a.dcm", "b.jpeg"])
    page.keyboard.press("d")
    body = page.locator("#headerBody")
    expect(body).to_contain_text("KVP")
    expect(body).not_to_contain_text("Roe")
    page.click("#whose")
    expect(body).to_contain_text("Roe^Jane")
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("d")
    expect(body).to_contain_text("no DICOM file")


def test_the_table_names_patients_and_objects_only_when_asked(page, make_film):
    put(page, dicom(DEEP, **WHOSE), make_film(1, True), names=["a.dcm", "b.jpeg"])

    def table(choice):
        page.click("#csv")
        with page.expect_download() as download:
            page.click(f"#csvBox button[value={choice}]")
        return list(csv.DictReader(download.value.path().read_text().splitlines()))

    assert "patient_id" not in table("without")[0]
    first, second = table("with")
    assert first["patient_id"] == "'=4711"  # a spreadsheet would run it
    assert (first["accession_number"], first["study_instance_uid"], first["sop_instance_uid"]) == ("A1", "1.2", "1.2.3")
    assert second["sop_instance_uid"] == ""


def test_five_hundred_films_leave_the_page_light(page, make_film):
    films = [make_film(i % 5, bool(i % 2), (24, 24)) for i in range(500)]
    put(page, *films)
    expect(page.locator("#status")).to_contain_text("500 films labelled", timeout=120_000)
    assert page.locator(".row").count() < 30
    page.keyboard.press("End")
    expect(page.locator("#place")).to_have_text("500 of 500")
    expect(page.locator(".row[aria-selected=true] .title")).to_have_text("film 499.jpeg")
    page.click("#clear")
    page.click("#clearBox button[value=yes]")
    expect(page.locator("#empty")).to_be_visible()
    assert page.locator(".row").count() == 0


def test_a_phone_never_scrolls_sideways(running, show, make_film):
    page = show(running, width=390)
    wide = "document.documentElement.scrollWidth"
    assert page.evaluate(wide) == 390
    put(page, make_film(0, True), b"x", names=["n" * 200 + ".jpeg", "W" * 200])
    assert page.evaluate(wide) == 390
    page.keyboard.press("End")
    expect(page.locator("#decision .card")).to_be_visible()
    page.click("#about")
    assert page.evaluate(wide) == 390


def test_a_busy_server_is_asked_again(page, make_film):
    answers = [503, 429, 200]

    def busy(route):
        status = answers.pop(0)
        if status == 200:
            route.continue_()
        else:
            route.fulfill(status=status, headers={"Retry-After": "0"}, json={"error": "Busy."})

    page.route("**/predict", busy)
    put(page, make_film(0, True))
    expect(page.locator("#status")).to_have_text("1 film labelled")
    assert not answers


def test_what_could_not_be_sent_can_be_tried_again(page, make_film):
    page.route("**/predict", lambda route: route.fulfill(status=500, json={"error": "This is a bug."}))
    put(page, make_film(0, True))
    expect(page.locator("#decision .card")).to_contain_text("This is a bug.")
    page.unroute("**/predict")
    page.click("#again")
    expect(page.locator("#status")).to_have_text("1 film labelled")
    expect(page.locator("#decision .verdict")).to_be_visible()


def test_another_models_answers_are_not_shown_under_this_ones_name(model, serve, show, make_film):
    """As when the server was started anew with another model while the page was open."""
    now = replace(model)
    with serve(now) as running:
        page = show(running)
        put(page, make_film(0, True))
        now.hash = "f" * 64
        page.set_input_files("#files", [{"name": "b.jpeg", "mimeType": "image/jpeg", "buffer": make_film(1, True)}])
        expect(page.locator("#status")).to_have_text("1 film labelled, 1 not")
        page.locator("#list [data-state=failed]").click()
        expect(page.locator("#decision .card")).to_contain_text("Another model answers here now; load the page again.")


def test_the_token_is_asked_for_once(model, serve, show, make_film):
    with serve(model, token="open-sesame") as running:
        page = show(running, known=False)
        for typed in ("wrong", "open-sesame"):
            expect(page.locator("#tokenBox")).to_be_visible()
            page.fill("#token", typed)
            page.keyboard.press("Enter")
        expect(page.locator("#about")).to_be_enabled()
        put(page, make_film(0, True))
        expect(page.locator("#mapNote")).to_contain_text("what speaks for")
        page.reload()
        expect(page.locator("#about")).to_be_enabled()
        expect(page.locator("#tokenBox")).to_be_hidden()


def test_a_page_with_films_asks_before_it_is_left(show, running, make_film):
    asked = []
    for films in ([], [make_film(1, True)]):
        page = show(running)
        page.on("dialog", lambda box: (asked.append(box.type), box.accept()))
        if films:
            put(page, *films)
        page.click("#invert" if films else "#theme")  # browsers ask only where somebody did something
        page.close(run_before_unload=True)
        page.wait_for_event("close") if not page.is_closed() else None
    assert asked == ["beforeunload"]


def test_probabilities_on_the_page_are_those_of_the_reports(page):
    """The same digits by the same rule, in both languages."""
    rng = np.random.default_rng(0)
    odds = rng.normal(scale=6, size=(300, 2))
    odds[::2, 1] = odds[::2, 0] + rng.normal(scale=1e-3, size=150)
    pairs = [*(1 / (1 + np.exp(-odds))).tolist(), [1.0, 0.9999], [0.0, 0.5], [0.5, 0.5], [0.9995, 1.0]]
    here = page.evaluate(
        """async (pairs) => {
          const { beside, edge, probability } = await import("/static/figures.js");
          return pairs.map(([p, cut]) => [probability(p, [cut]), edge(cut), ...beside(p, cut)]);
        }""",
        pairs,
    )
    for (p, cut), (alone, at, *both) in zip(pairs, here, strict=True):
        told, [limit] = digits.beside(p, [cut])
        assert (alone, at, both) == (digits.shown(p, [cut]), digits.edge(cut), [told, limit]), (p, cut)


def test_light_and_dark(page):
    back = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(back)
    page.click("#theme")
    light = page.evaluate(back)
    assert sum(map(int, re.findall(r"\d+", dark))) < 100 < 600 < sum(map(int, re.findall(r"\d+", light)))
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
