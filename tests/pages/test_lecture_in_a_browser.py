"""The lecture's page in a real browser: languages, sliders, light and dark, a phone, a keyboard, and no script."""

from __future__ import annotations

import pytest
from test_lecture_page import HOSTILE, study, sweep

from trainlab.pages.lecture.page import write_lecture

pytestmark = pytest.mark.process

TOP = "document.getElementById('momentum').getBoundingClientRect().top"


@pytest.fixture(scope="module")
def lecture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lecture")
    study(folder / "runs/gradient_descent")
    study(folder / "runs/es", lang="es")
    study(folder / "runs/minibatch", "minibatch", sentences=[HOSTILE], head=["a" * 40] * 12, rows=[["b" * 40] * 12])
    sweep(folder / "runs/l2_sweep", "experiment=l2_sweep")
    write_lecture(folder / "lecture.html", [folder / "runs"])
    return folder / "lecture.html"


def test_the_language_is_switched_and_stays_in_the_address(opened, lecture):
    page = opened(lecture, "#lang=en").page
    assert page.locator("h1").inner_text() == "Training Neural Networks"
    page.get_by_text("Español", exact=True).click()
    assert page.locator("h1").inner_text() == "Entrenamiento de Redes Neuronales"
    assert page.evaluate("document.documentElement.lang") == "es"
    assert "python scripts/study.py gradient_descent lang=es" in page.locator("#show-gradient_descent").inner_text()
    assert "lang=es" in page.url
    page.reload()
    assert page.locator("h1").inner_text() == "Entrenamiento de Redes Neuronales"


def test_the_slider_goes_through_the_figures_by_keyboard(opened, lecture):
    page = opened(lecture, "#lang=en").page
    series = page.locator("#show-gradient_descent .series:visible")
    slider = series.locator("input[type=range]")
    assert series.locator("figure:visible").count() == 1
    slider.focus()
    page.keyboard.press("Home")
    assert slider.get_attribute("aria-valuetext") == series.locator("output").inner_text() == "η = 0.1"
    first = series.locator("figure:visible img").get_attribute("src")
    page.keyboard.press("ArrowRight")
    assert series.locator("output").inner_text() == "η = 1"
    assert series.locator("figure:visible img").get_attribute("src") != first
    page.reload()
    assert series.locator("output").inner_text() == "η = 1", "the address has it"


def test_without_a_script_there_is_a_row_of_figures_and_both_languages(opened, lecture):
    page = opened(lecture, java_script_enabled=False).page
    assert page.locator("#show-gradient_descent .series:visible figure:visible").count() == 2
    assert page.locator("#show-gradient_descent .series:visible figcaption:visible").count() == 2
    page.get_by_text("Español", exact=True).click()
    assert page.locator("h1").inner_text() == "Entrenamiento de Redes Neuronales"
    assert page.locator("button:visible").count() == 0


@pytest.mark.parametrize("lang", ["en", "es"])
@pytest.mark.parametrize("width", [320, 400, 700, 1100])
def test_nothing_is_wider_than_the_window(opened, lecture, width, lang):
    page = opened(lecture, f"#lang={lang}", width=width).page
    page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_light_and_dark(opened, lecture):
    page = opened(lecture, color_scheme="dark").page
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.locator("#theme").click()
    light = page.evaluate(ground)
    assert light == "rgb(255, 255, 255)" != dark
    page.reload()
    assert page.evaluate(ground) == light
    page.locator("#theme").click()
    assert page.evaluate(ground) == dark


def test_the_contents_lead_to_the_headings(opened, lecture):
    page = opened(lecture, "#lang=es", reduced_motion="reduce").page
    page.locator(".contents a[href='#momentum']").click()
    assert abs(page.evaluate(TOP)) < 40
    assert page.evaluate("document.activeElement.id") == "momentum"
    assert "lang=es" in page.url
    assert "at=momentum" in page.url
    again = opened(lecture, "#momentum").page
    assert abs(again.evaluate(TOP)) < 40


def test_a_command_is_copied(opened, lecture):
    page = opened(lecture, "#lang=en", permissions=["clipboard-read", "clipboard-write"]).page
    page.locator("#show-vanishing button.copy").click()
    page.wait_for_selector("#show-vanishing button.copied")
    assert page.evaluate("navigator.clipboard.readText()") == "python scripts/study.py vanishing"


def test_a_small_figure_is_enlarged_by_keyboard(opened, lecture):
    page = opened(lecture, "#lang=en").page
    zoom = page.locator("#show-gradient_descent .zoom:visible")
    before = zoom.bounding_box()["width"]
    zoom.focus()
    page.keyboard.press("Enter")
    assert zoom.bounding_box()["width"] > before
    assert zoom.get_attribute("aria-pressed") == "true"


def test_printed_it_has_every_figure_of_a_series_and_no_switches(opened, lecture):
    page = opened(lecture, "#lang=en").page
    page.emulate_media(media="print")
    assert page.locator("#show-gradient_descent .series:visible figure:visible").count() == 2
    assert page.locator("button:not(.zoom):visible, .contents:visible, input:visible").count() == 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#show-gradient_descent details[open]:visible").count() == 1


def test_every_control_has_a_name_and_every_picture_a_text(opened, lecture):
    page = opened(lecture, "#lang=en").page
    nameless = """
        const name = (e) => e.innerText || e.ariaLabel || e.labels?.[0]?.innerText || e.querySelector("img")?.alt;
        const controls = [...document.querySelectorAll("button, input, a, summary")];
        controls.filter((e) => e.checkVisibility() && !name(e)).length
    """
    assert page.evaluate(nameless) == 0
    assert page.evaluate("[...document.images].filter((image) => !image.alt).length") == 0
