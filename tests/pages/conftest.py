"""A browser, and the page of a made sweep."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from made_runs import make_sweep

from trainlab.pages.command import write_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
AXES = {"model": ["mlp", "perceptron"], "reg.l2": [0, 1e-4, 1e-3, 1e-2, 0.1], "reg.dropout": [0, 0.5], "seed": [0, 1]}


@pytest.fixture(scope="session")
def sweep(tmp_path_factory) -> Path:
    """40 runs, 20 settings: two have failed, one goes on."""
    return make_sweep(tmp_path_factory.mktemp("page") / "sweep", AXES, failed=(38, 39), going=(37,))


@pytest.fixture(scope="session")
def page_file(sweep) -> Path:
    file = sweep.parent / "report.html"
    write_page([sweep], file)
    return file


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium is installed: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright, which drives the browser, is not there")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])  # CI is root in a container
        yield browser
        browser.close()


class Watched:
    """An open page, and what it did that it should not have done."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (self.said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: self.asked.append(request.url))

    def texts(self, selector: str) -> list[str]:
        return self.page.locator(selector).all_inner_texts()

    def until(self, expression: str) -> None:
        """Wait until it is true, over reloads, too; playwright's own way needs eval, which the page forbids."""
        from playwright.sync_api import Error

        for _ in range(200):
            with suppress(Error):  # between two pages
                if self.page.evaluate(expression):
                    return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never true: {expression}")

    def count(self, selector: str) -> int:
        return self.page.locator(selector).count()


@pytest.fixture
def opened(browser) -> Iterator[Callable[..., Watched]]:
    """opened(file, "#hash", width=…): by the end of the test it has made no error, and no request but for itself."""
    pages: list[tuple[Watched, str]] = []

    def open_page(file: Path, view: str = "", *, width: int = 1400, height: int = 900, **options: Any) -> Watched:
        page = browser.new_page(viewport={"width": width, "height": height}, **options)
        page.set_default_timeout(10_000)
        watched = Watched(page)
        page.goto(file.as_uri() + view)
        pages.append((watched, file.as_uri()))
        return watched

    yield open_page
    for watched, uri in pages:
        watched.page.close()
        assert watched.said == []
        own = [url for url in watched.asked if url.partition("#")[0] != uri and not url.startswith(("data:", "blob:"))]
        assert own == []
        assert watched.asked
