"""The page of runs in a real browser. The fixture `opened` holds every page to no error and no request."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from made_runs import HOSTILE, make_run, make_sweep

from trainlab.pages.command import write_page
from trainlab.recording.run_directory import read_rows
from trainlab.sweeps.point import Status

pytestmark = pytest.mark.process

ROWS = "#table tbody tr[tabindex]"
LINES = "#curves svg .line"


def number(text: str) -> float:
    return float(re.sub(r"[^\d.−-]", "", text.split("±")[0]).replace("−", "-"))


def test_the_first_view_needs_no_click(opened, page_file):
    page = opened(page_file)
    assert page.texts("h1") == ["model × reg.l2 × reg.dropout"]
    assert page.texts("#summary") == ["40 runs: 20 settings, 2 seeds each · 2 failed · 1 interrupted"]
    assert page.count(ROWS) == 20
    assert page.count(LINES) == 20
    assert page.count("#against svg .dot") == page.count("#parallel svg [data-g]:has(path)") - 1 == 19  # one has failed
    assert page.count("#heat svg .cell") > 0
    assert "✕" not in page.texts("body")[0]
    assert page.count("#plain:visible") == 0
    best = page.page.locator("tr.best")
    assert best.count() == 1
    assert min(map(number, page.texts(f"{ROWS} td.by")[:18])) == number(best.locator(".by").inner_text())


def test_without_a_script_there_is_a_plain_table(opened, page_file):
    page = opened(page_file, java_script_enabled=False)
    assert page.count("#plain table tbody tr") == 20
    assert page.count("#page:visible") == 0
    assert "the loss became infinite" in page.texts("#plain")[0]


def test_the_legend_hides_a_line_everywhere(opened, page_file):
    page = opened(page_file)
    page.page.click(".legend button >> nth=0")
    assert page.count(LINES) == 19
    assert page.count(f"{ROWS}.off") == 1
    assert page.count("#parallel svg [data-g]:has(path)") == 19
    page.page.click(".legend button[aria-pressed=false]")
    assert page.count(LINES) == 20


@pytest.mark.parametrize(
    ("text", "settings", "runs"),
    [
        ("reg.l2 > 0.001", 8, 16),
        ("model = mlp and reg.dropout = 0.5", 5, 10),
        ("seed = 1", 20, 20),
        ("state = failed", 1, 2),
        ("trainer.max_epochs = 12 and reg.l2 <= 1e-4", 8, 16),
        ("test/top1_error < 0", 0, 0),
    ],
)
def test_a_filter_leaves_the_right_rows(opened, page_file, text, settings, runs):
    page = opened(page_file)
    page.page.fill("#filter", text)
    assert page.count(ROWS) == page.count(".legend button") == settings
    assert page.texts("#count") == [f"{runs} of 40 runs"]


def test_a_wrong_filter_says_so_and_leaves_the_rows(opened, page_file):
    page = opened(page_file)
    page.page.fill("#filter", "reg.l2 > 0.001")
    page.page.fill("#filter", "reg.l2 > 0.001 and reg.l3 = 1")
    assert "No run has anything called reg.l3" in page.texts("#complaint")[0]
    assert page.count(ROWS) == 8
    page.page.fill("#filter", "")
    assert page.count("#complaint:visible") == 0
    assert page.count(ROWS) == 20


def test_the_search_finds_folders_errors_and_settings(opened, page_file):
    page = opened(page_file)
    page.page.fill("#search", "infinite")
    assert page.count(ROWS) == 1
    page.page.fill("#search", "PERCEPTRON")
    assert page.count(ROWS) == 10


def test_brushing_selects_what_passes_there(opened, page_file):
    page = opened(page_file, height=1500)
    axis = page.page.locator("#parallel .handle").nth(1)  # reg.l2, its upper half
    axis.scroll_into_view_if_needed()
    box = axis.bounding_box()
    x = box["x"] + box["width"] / 2
    page.page.mouse.move(x, box["y"] + 2)
    page.page.mouse.down()
    page.page.mouse.move(x, box["y"] + box["height"] * 0.2, steps=4)
    page.page.mouse.up()
    selected = page.page.locator(f"{ROWS}.on")
    assert {row.locator("th").nth(1).inner_text() for row in selected.all()} == {"0.1"}
    assert selected.count() == 4
    assert page.texts("#count") == ["40 runs · 4 selected"]
    assert page.count("#curves svg > g:last-of-type > .on") == 4, "the same are marked among the curves"
    page.page.mouse.click(x, box["y"] + box["height"] / 2)
    assert selected.count() == 0


def test_brushing_works_by_keyboard(opened, page_file):
    page = opened(page_file)
    page.page.focus("#parallel .handle >> nth=0")
    page.page.keyboard.press("ArrowUp")
    assert page.count(f"{ROWS}.on") == 10
    page.page.keyboard.press("Delete")
    assert page.count(f"{ROWS}.on") == 0


def test_one_selection_everywhere(opened, page_file):
    page = opened(page_file)
    page.page.hover(f"{ROWS} >> nth=3")
    lit = page.page.locator(".lit").evaluate_all("nodes => [...new Set(nodes.map((n) => n.closest('section').id))]")
    assert set(lit) >= {"runs", "curves", "against", "parallel", "heat"}
    page.page.click(f"{ROWS} >> nth=3 >> th >> nth=0")
    assert page.count("#against svg .on") == 1
    page.page.keyboard.press("Escape")
    assert page.count("svg .on") == 0


def test_the_table_opens_sorts_and_compares_by_keyboard(opened, page_file):
    page = opened(page_file)
    page.page.focus(f"{ROWS} >> nth=0")
    page.page.keyboard.press("Enter")
    assert page.texts("tr.member .quiet") == ["seed 0", "seed 1"]
    page.page.keyboard.press("ArrowDown")
    page.page.keyboard.press("Space")
    assert page.page.locator(ROWS).nth(1).get_attribute("aria-selected") == "true"
    page.page.click("thead button:has-text('seconds')")
    assert page.count("th[aria-sort=ascending]") == 1
    column = [number(row.locator("td").nth(6).inner_text()) for row in page.page.locator(ROWS).all()[:18]]
    assert column == sorted(column)
    page.page.check(f"{ROWS} >> nth=2 >> input[type=radio]")
    assert page.page.locator(ROWS).nth(2).locator("td:has-text('reference')").count() == 1


def test_a_failed_run_shows_its_error_its_log_and_its_command(opened, page_file, sweep):
    page = opened(page_file)
    page.page.fill("#filter", "state = failed")
    page.page.click("[aria-expanded=false]")
    page.page.click("tr.member .quiet >> nth=0")
    text = page.texts("#run")[0]
    assert "the loss became infinite in epoch 1; try a smaller one." in text
    log, again, anew = page.texts("#run pre")
    assert log.endswith("error: the loss became infinite in epoch 1; try a smaller one.")
    assert "\x1b" not in log
    assert again.startswith(f"python scripts/rerun.py {sweep}")
    assert anew == """python train.py 'model="perceptron"' reg.l2=0.1 reg.dropout=0.5 seed=0"""
    rows = [row.split("\t") for row in page.texts("#run table >> nth=0 >> tbody >> tr")]
    assert ["reg.l2", "0.1", "0", "0, 0.0001, 0.001, 0.01"] in [[row[0], *row[1:]] for row in rows]


def test_a_finished_run_shows_its_figures_and_its_hardware(opened, page_file):
    page = opened(page_file)
    page.page.click("[aria-expanded=false] >> nth=0")
    page.page.click("tr.member .quiet >> nth=0")
    assert page.count("#run img[alt='confusion matrix']") == 1
    text = page.texts("#run")[0]
    for said in ("device\tCPU", "commit\tc0ffee", "seconds\t", "test/top1_error\t"):
        assert said in text
    assert page.count("#curves .single.chosen") == 1
    page.page.click("#run button:has-text('all runs')")
    assert page.count(ROWS) == 20


def test_curves_against_every_axis(opened, page_file):
    page = opened(page_file)
    for axis in ("step", "images_seen", "training_seconds", "epoch"):
        page.page.select_option("#curves select[data-bound=x]", axis)
        assert page.count(LINES) == 20
        assert "NaN" not in page.page.locator("#curves .frame svg").inner_html()
    for box in ("xlog", "ylog"):
        page.page.check(f"#curves input[data-bound={box}]")
    assert "NaN" not in page.page.locator("#curves .frame svg").inner_html()
    assert page.count("#curves .raw") == 0
    page.page.locator("#curves input[type=range]").fill("0.8")
    assert page.count("#curves .raw") == 20
    page.page.select_option("#curves select[data-bound=metric]", "weight_norm")
    page.page.uncheck("#curves input[data-bound=runs]")
    assert page.count("#curves .single") == 0
    assert page.count("#curves .band") > 0


def test_the_readout_is_the_mean_and_deviation_of_the_runs(opened, tmp_path):
    folder = make_sweep(tmp_path / "sweep", {"seed": [0, 1, 2]})
    write_page([folder], tmp_path / "x.html")
    page = opened(tmp_path / "x.html", "#runs=false")
    box = page.page.locator("#curves .frame").bounding_box()
    line = page.page.locator(LINES).bounding_box()
    page.page.mouse.move(line["x"] + line["width"] - 1, line["y"] + line["height"] - 4)
    assert box["y"] < line["y"]
    said = re.search(r"top1_error ([\d.]+) ± ([\d.]+) % at epoch (\d+), n = 3", page.texts("#readout")[0])
    assert said
    curves = [[row["val/top1_error"] for row in read_rows(run)] for run in sorted(folder.glob("0*"))]
    column = 100 * np.array(curves)[:, int(said[3]) - 1]
    assert float(said[1]) == pytest.approx(column.mean(), abs=0.006)
    assert float(said[2]) == pytest.approx(column.std(ddof=1), abs=0.006)


def test_the_table_takes_the_last_best_or_mean_value_of_a_curve(opened, tmp_path):
    folder = make_sweep(tmp_path / "sweep", {"reg.l2": [0, 1], "seed": [0]})
    write_page([folder], tmp_path / "x.html")
    page = opened(tmp_path / "x.html", "#sort=reg.l2&metric=train%2Floss")
    curves = [np.array([row["train/loss"] for row in read_rows(run)]) for run in sorted(folder.glob("0*"))]
    for by, of in (("last", lambda v: v[-1]), ("best", np.min), ("mean", np.mean)):
        page.page.select_option("#runs select[data-bound=by]", by)
        assert page.count(f"thead button:has-text('{by} train/loss')") == 1
        found = [number(row.locator("td").last.inner_text()) for row in page.page.locator(ROWS).all()]
        assert found == pytest.approx([of(values) for values in curves], rel=1e-3)


def test_the_view_is_in_the_address(opened, page_file):
    page = opened(page_file)
    page.page.fill("#filter", "reg.l2 > 0.001")
    page.page.check("#curves input[data-bound=ylog]")
    page.page.click("thead button:has-text('reg.l2')")
    page.until("/ylog=true.*sort=reg.l2/.test(location.hash)")
    view = page.page.evaluate("location.hash")
    again = opened(page_file, view)
    assert again.page.input_value("#filter") == "reg.l2 > 0.001"
    assert again.page.is_checked("#curves input[data-bound=ylog]")
    assert again.texts(ROWS) == page.texts(ROWS)


def saved(page, selector: str) -> str:
    with page.page.expect_download() as download:
        page.page.click(selector)
    return Path(download.value.path()).read_text()


def test_the_csv_is_what_is_shown(opened, page_file):
    page = opened(page_file)
    page.page.fill("#filter", "model = mlp")
    settings = list(csv.DictReader(io.StringIO(saved(page, "#csv-table"))))
    assert len(settings) == 10
    assert {row["model"] for row in settings} == {"mlp"}
    runs = list(csv.DictReader(io.StringIO(saved(page, "#csv-runs"))))
    assert len(runs) == 20
    mine = [float(run["test/top1_error"]) for run in runs[:2]]
    assert float(settings[0]["test/top1_error:mean"]) == pytest.approx(sum(mine) / 2, rel=1e-12)
    curves = list(csv.DictReader(io.StringIO(saved(page, "#curves button:has-text('CSV')"))))
    assert len(curves) == 20 * 12
    assert set(curves[0]) == {"model", "reg.l2", "reg.dropout", "seed", "epoch", "val/top1_error"}


@pytest.mark.parametrize("part", ["curves", "against", "heat", "parallel"])
def test_a_chart_is_saved_as_svg_with_its_colours(opened, page_file, part):
    page = opened(page_file)
    root = ElementTree.fromstring(saved(page, f"#{part} button:has-text('SVG')"))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    text = ElementTree.tostring(root, encoding="unicode")
    assert "var(" not in text
    assert len(set(re.findall(r"stroke: (?:rgb|color)\([^)]*\)|fill: (?:rgb|color)\([^)]*\)", text))) > 3


def test_dark_mode(opened, page_file):
    ground = "getComputedStyle(document.body).backgroundColor"
    page = opened(page_file, color_scheme="dark")
    dark = page.page.evaluate(ground)
    assert sum(map(int, re.findall(r"\d+", dark)[:3])) < 150
    light = opened(page_file, color_scheme="light")
    assert light.page.evaluate(ground) == "rgb(255, 255, 255)"
    light.page.click("#theme")
    assert light.page.evaluate(ground) == dark


@pytest.mark.parametrize("width", [400, 320])
def test_a_phone_needs_no_scrolling_sideways(opened, page_file, width):
    page = opened(page_file, width=width, height=800)
    too_wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.page.evaluate(too_wide) <= 0
    page.page.click("[aria-expanded=false] >> nth=0")
    page.page.click("tr.member .quiet >> nth=0")
    assert page.page.evaluate(too_wide) <= 0


def test_printed_it_is_table_and_charts(opened, page_file):
    page = opened(page_file)
    page.page.emulate_media(media="print")
    assert page.count("#bar:visible") == 0
    assert page.count("#curves svg:visible") >= 1
    assert page.count(f"{ROWS}:visible") == 20


def test_what_a_record_contains_is_shown_as_text(opened, tmp_path):
    axes = {"model": [HOSTILE, "<b>x</b>"], "reg.l2": ["{{plain}}", 0.1], "seed": [0]}
    folder = make_sweep(tmp_path / "<img src=x onerror=alert(1)>", axes, failed=(0,))
    failed = next(folder.glob("0000_*"))
    Status("failed", HOSTILE, 1).write(failed)
    (failed / "log.txt").write_text(HOSTILE)
    write_page([folder], tmp_path / "x.html")
    page = opened(tmp_path / "x.html")
    assert HOSTILE in page.texts("#table")[0]
    page.page.fill("#filter", "state = failed")
    page.page.click("[aria-expanded=false] >> nth=0")
    page.page.click("tr.member .quiet")
    text = page.texts("#run")[0]
    assert text.count(HOSTILE) >= 4
    assert "<img src=x onerror=alert(1)>" in text
    assert page.count("#page b:not(#readout b)") == page.count("#page img") == 0
    plain = opened(tmp_path / "x.html", java_script_enabled=False)
    assert plain.texts("#plain")[0].count(HOSTILE) >= 2


@pytest.mark.parametrize(
    "axes",
    [
        {"seed": [0]},
        {"seed": [0, 1, 2]},
        {"model.hidden": [[8], [8, 8], None], "seed": [0]},
        {"reg.l2": [0.1, 1], "trainer.compile": [True, False], "seed": [0]},
    ],
    ids=["one run", "one setting", "lists", "truths"],
)
def test_sweeps_of_every_shape(opened, tmp_path, axes):
    folder = make_sweep(tmp_path / "sweep", axes)
    write_page([folder], tmp_path / "x.html")
    page = opened(tmp_path / "x.html")
    assert page.count(LINES) >= 1
    for part in ("curves", "against", "heat", "parallel"):
        assert "NaN" not in page.page.locator(f"#{part}").inner_html()
    assert page.count("#heat:visible") == (len(axes) > 2)


def test_runs_of_which_there_is_nothing_yet(opened, tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s/sweep.json").write_text(
        json.dumps({"points": {"a": {"reg.l2": 0, "seed": 0}, "b": {"reg.l2": 1, "seed": 0}}})
    )
    make_run(tmp_path / "s/a", {"reg.l2": 0, "seed": 0}, 0, 3)
    (tmp_path / "s/a/metrics.csv").write_text("epoch\nx\n")
    write_page([tmp_path / "s"], tmp_path / "x.html")
    page = opened(tmp_path / "x.html")
    assert page.texts(f"{ROWS} .bad") == [" · 1 damaged", " · 1 missing"]
    page.page.click("[aria-expanded=false] >> nth=0")
    page.page.click("tr.member .quiet >> nth=0")
    assert "metrics.csv is damaged" in page.texts("#run")[0]


def test_the_open_page_follows_a_run_that_goes_on(opened, tmp_path, monkeypatch):
    """A page that says so loads itself anew, and its view stays."""
    monkeypatch.setattr("trainlab.pages.command.WATCH_SECONDS", 1.0)
    folder = make_sweep(tmp_path / "sweep", {"reg.l2": [0, 1], "seed": [0]}, going=(1,))

    def stop(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trainlab.pages.command.time.sleep", stop)
    from trainlab.pages.command import goes_on, page_of, read

    file = tmp_path / "x.html"
    file.write_text(page_of(*read([folder]), [], None, reload=goes_on(read([folder])[0])))
    page = opened(file, "#ylog=true")
    page.until("document.querySelector('#summary').textContent === '2 runs: 2 settings · 1 interrupted'")
    make_run(folder / "other", {"reg.l2": 2, "seed": 0}, 7, 3)
    write_page([folder], file, watches=True)
    page.until("document.querySelector('#summary').textContent.startsWith('3 runs')")
    page.until("document.querySelectorAll('#table tbody tr').length === 3")
    page.until("document.querySelector('#curves input[data-bound=ylog]').checked")
