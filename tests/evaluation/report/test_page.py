"""The page of a report as people see it: on a phone, on a desktop, in print."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.browser import DESKTOP_PX, PHONE_PX, Browser, chromium, visit
from tvseg.evaluation.report.build import chapter
from tvseg.evaluation.report.groups import gather
from tvseg.evaluation.report.write import write_report
from tvseg.evaluation.scoring.protocols import PROTOCOLS, Scoring
from tvseg.runs.folder import RunFolder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(scored_runs: list[RunFolder], tmp_path_factory: pytest.TempPathFactory) -> Path:
    scoring = Scoring(PROTOCOLS["honest"], images="test", checkpoint="best")
    (group,) = gather(scored_runs, scoring)
    out = tmp_path_factory.mktemp("page")
    made = chapter(group, roots=None, device=torch.device("cpu"))
    written = write_report([made], out, title="A report", runs=[])
    alone = tmp_path_factory.mktemp("alone") / "report.html"  # without the files beside it
    written.rename(alone)
    return alone


@pytest.mark.parametrize("size_px", [PHONE_PX, DESKTOP_PX])
def test_nothing_sticks_out_is_broken_or_is_asked_for(
    size_px: tuple[int, int], browser: Browser, page: Path
) -> None:
    with visit(browser, page, size_px=size_px) as opened:
        assert opened.width_px() <= size_px[0]
        assert opened.sticking_out() == []
        assert opened.page.locator("img").count() >= 15
        assert opened.broken_images() == []
        assert opened.requests == []
        assert opened.errors == []


def test_wide_tables_scroll_in_their_own_box(browser: Browser, page: Path) -> None:
    with visit(browser, page, size_px=PHONE_PX) as opened:
        width, scrolled = opened.page.evaluate(
            "() => { const box = document.querySelector('[aria-label=\"table scores\"]');"
            "box.scrollLeft = 50; return [box.offsetWidth, box.scrollLeft]; }"
        )
        assert scrolled == 50
        assert 300 < width <= 390


def test_contents_lead_to_every_section(browser: Browser, page: Path) -> None:
    with visit(browser, page, size_px=PHONE_PX) as opened:
        links = opened.page.locator("nav a")
        titles = opened.page.locator("section h3").all_inner_texts()
        assert links.all_inner_texts() == titles
        links.nth(3).click()
        top = opened.page.locator("section h3").nth(3).bounding_box()
        assert top is not None
        assert 0 < top["y"] < 200
        assert opened.requests == []


def test_pictures_have_words_for_those_who_do_not_see_them(browser: Browser, page: Path) -> None:
    with visit(browser, page, size_px=DESKTOP_PX) as opened:
        texts = opened.page.eval_on_selector_all("img", "all => all.map(i => i.alt)")
        assert all(len(text) > 40 for text in texts)
        assert len(set(texts)) == len(texts)
        assert opened.page.locator("html[lang=en]").count() == 1
        assert opened.page.locator("table").count() == opened.page.locator("caption").count()


def test_text_is_dark_on_light_and_large_enough(browser: Browser, page: Path) -> None:
    with visit(browser, page, size_px=PHONE_PX) as opened:
        opened.page.emulate_media(color_scheme="dark")
        ink, paper, size = opened.page.evaluate(
            "() => { const s = getComputedStyle(document.body);"
            "return [s.color, s.backgroundColor, parseFloat(s.fontSize)]; }"
        )
        assert sum(map(int, ink[4:-1].split(","))) < 150
        assert paper == "rgb(255, 255, 255)"
        assert size >= 16


def test_print_has_pages_and_cuts_no_table_off(browser: Browser, page: Path) -> None:
    with visit(browser, page, size_px=DESKTOP_PX) as opened:
        pdf = opened.page.pdf(prefer_css_page_size=True)
        assert pdf.startswith(b"%PDF")
        assert pdf.count(b"/Type /Page\n") >= 5
        opened.page.emulate_media(media="print")
        opened.page.set_viewport_size({"width": 680, "height": 900})  # 180 mm between margins
        assert opened.width_px() <= 680
        assert opened.sticking_out() == []
