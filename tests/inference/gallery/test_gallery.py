"""The page of a folder of predictions as people see it, made of folders that we predict here."""

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.browser import DESKTOP_PX, PHONE_PX, Browser, Visit, chromium, visit
from tests.inference.drawn import draw_field, make_pipeline
from tests.inference.predicted import run
from tvseg.data.geometry import Box
from tvseg.inference.gallery.gallery import write_gallery
from tvseg.inference.gallery.thumbnails import bytes_each, small_jpeg
from tvseg.inference.output.read_back import SOURCES, read_written
from tvseg.inference.regions import fixed_window

NASTY = "<b>&\"'><script>document.title='taken'</script>".replace("/", "\\")
IDS = ["a2", "a10", "empty", NASTY]  # as they are predicted


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Discs in photographs of 240 x 240 px, one with the name of a villain, no disc, no picture."""
    folder = tmp_path_factory.mktemp("photographs")
    for name, cup, radius in (("a2", 8, 24), ("a10", 16, 20), (NASTY, 30, 40)):
        image = draw_field(240, 90, 130, radius)
        rows, cols = np.mgrid[:240, :240]
        image[..., 0] = np.where(np.hypot(rows - 90, cols - 130) < cup, 255, 40)
        Image.fromarray(image).save(folder / f"{name}.png")
    Image.fromarray(np.full((240, 240, 3), 40, np.uint8)).save(folder / "empty.png")
    (folder / "broken & lost.png").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def predictions(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("predictions")
    pipeline = make_pipeline(fixed_window(Box(30, 70, 120, 120)))
    run(photographs, out, formats=("overlay", *SOURCES), pipeline=pipeline)
    describe(out, list(SOURCES))
    return out


def describe(out: Path, formats: list[str]) -> None:
    """Say in ``run.json`` what ``tvseg predict`` says there."""
    info = json.loads((out / "run.json").read_text())
    encoding = {"0": ["cup", "disc"], "128": ["disc"], "255": []}
    info["about"] |= {"structures": ["cup", "disc"], "encoding": encoding, "formats": formats}
    (out / "run.json").write_text(json.dumps(info))


@pytest.fixture(scope="module")
def page(predictions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "gallery.html"
    assert write_gallery(read_written(predictions), path) == []
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def shown_ids(opened: Visit) -> list[str]:
    # not the inner text: what is far down the page may not be laid out yet
    return [
        text.strip() for text in opened.page.locator(".card:not([hidden]) h3").all_text_contents()
    ]


def green_pixels(opened: Visit) -> int:
    """How many pixels of the first card's picture have the colour of the disc's outline."""
    shot = opened.page.locator(".shots").first.screenshot()
    red, green, blue = np.moveaxis(np.array(Image.open(io.BytesIO(shot)).convert("RGB")), 2, 0)
    return int(((abs(green.astype(int) - 230) < 12) & (red < 20) & (abs(blue - 90.0) < 20)).sum())


@pytest.mark.parametrize("size_px", [PHONE_PX, DESKTOP_PX])
def test_nothing_sticks_out_is_broken_or_is_asked_for(
    size_px: tuple[int, int], browser: Browser, page: Path
) -> None:
    with visit(browser, page, size_px=size_px) as opened:
        assert opened.width_px() <= size_px[0]
        assert opened.sticking_out() == []
        assert opened.page.locator("img").count() == 7  # two of each but the empty one
        assert opened.broken_images() == []
        opened.page.locator(".shots").first.click()
        assert opened.page.locator("dialog img").count() == 2
        wide = "document.querySelector('dialog').scrollWidth"
        assert opened.page.evaluate(wide) <= size_px[0]
        assert opened.requests == []
        assert opened.errors == []


def test_ids_are_text_whatever_is_in_them(browser: Browser, page: Path) -> None:
    with visit(browser, page, size_px=DESKTOP_PX) as opened:
        assert sorted(shown_ids(opened)) == sorted(IDS)
        assert opened.page.locator(".card h3 > *").count() == 0
        assert "taken" not in opened.page.title()
        labels = opened.page.eval_on_selector_all(".shots", "all => all.map(b => b.ariaLabel)")
        assert f"Enlarge {NASTY}" in labels
        assert opened.page.locator("#failures li").all_inner_texts()[0].startswith("broken & lost:")


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("sort=vcdr", ["a10", NASTY, "a2", "empty"]),
        ("sort=vcdr-up", ["a2", NASTY, "a10", "empty"]),
        ("sort=flags", ["empty", NASTY, "a10", "a2"]),
        ("sort=id", [NASTY, "a2", "a10", "empty"]),
        ("sort=id&flag=none", [NASTY, "a2", "a10"]),
        ("flag=flag+no+disc", ["empty"]),
        ("sort=nonsense&flag=nonsense", [NASTY, "a10", "a2", "empty"]),
    ],
)
def test_the_address_sorts_and_filters(
    chosen: str, expected: list[str], browser: Browser, page: Path
) -> None:
    with visit(browser, page, size_px=DESKTOP_PX) as opened:
        opened.page.evaluate(
            "hash => new Promise(done => { addEventListener('hashchange', () => done());"
            " location.hash = hash; })",
            chosen,
        )
        assert shown_ids(opened) == expected
        assert opened.errors == []


def test_choosing_is_kept_in_the_address(browser: Browser, page: Path) -> None:
    with visit(browser, page, size_px=DESKTOP_PX) as opened:
        opened.page.get_by_label("Sort by").select_option("vcdr")
        assert shown_ids(opened)[0] == "a10"
        opened.page.get_by_label("Show").select_option("any")
        assert shown_ids(opened) == ["empty"]
        assert opened.page.url.endswith("#sort=vcdr&flag=any")
        assert opened.page.locator("[role=status]").inner_text() == "1 of 4 shown"
        opened.page.reload()
        assert shown_ids(opened) == ["empty"]


def test_contours_lie_on_the_edge_and_go_and_come(browser: Browser, page: Path) -> None:
    with visit(browser, page, size_px=DESKTOP_PX) as opened:
        drawn = green_pixels(opened)
        assert drawn > 100
        opened.page.keyboard.press("c")
        assert green_pixels(opened) == 0
        assert opened.page.url.endswith("contours=off")
        opened.page.get_by_role("button", name="Show contours").click()
        assert green_pixels(opened) == drawn


def test_the_keyboard_enlarges_and_goes_on(browser: Browser, page: Path) -> None:
    with visit(browser, page, size_px=DESKTOP_PX) as opened:
        order = shown_ids(opened)
        dialog = opened.page.locator("dialog")
        opened.page.locator(".shots").first.focus()
        opened.page.keyboard.press("Enter")
        assert dialog.locator("h3").inner_text() == order[0]
        opened.page.keyboard.press("ArrowRight")
        opened.page.keyboard.press("ArrowRight")
        opened.page.keyboard.press("ArrowLeft")
        assert dialog.locator("h3").inner_text() == order[1]
        assert dialog.locator("dt:text-is('disc_area_px')").is_visible()
        opened.page.keyboard.press("Escape")
        assert not dialog.is_visible()
        focused = opened.page.evaluate("document.activeElement.ariaLabel")
        assert focused == f"Enlarge {order[1]}"


def test_without_scripts_it_is_a_plain_list(browser: Browser, page: Path) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True)
    plain = context.new_page()
    plain.goto(page.resolve().as_uri())
    assert plain.locator(".card:visible h3").count() == 4
    assert plain.locator(".shots img:visible").count() == 7
    assert not plain.locator(".tools").is_visible()
    assert plain.locator("#failures").is_visible()
    context.close()


def test_print_shows_every_card_and_no_tools(browser: Browser, page: Path) -> None:
    with visit(browser, page, size_px=DESKTOP_PX) as opened:
        opened.page.emulate_media(media="print")
        opened.page.set_viewport_size({"width": 680, "height": 900})  # 180 mm between margins
        assert opened.sticking_out() == []
        assert not opened.page.locator(".tools").is_visible()
        assert len(shown_ids(opened)) == 4


def test_every_format_gives_the_same_outlines(predictions: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(predictions, out)
    found = {}
    for source in SOURCES:
        describe(out, [source])
        found[source] = {name: read_written(out).outlines(name) for name in IDS}
    for source in SOURCES[1:]:
        for name in IDS:
            polygons, expected = found[source][name], found[SOURCES[0]][name]
            assert (
                polygons.keys()
                == expected.keys()
                == (set() if name == "empty" else {"cup", "disc"})
            )
            for structure in polygons:
                (one,), (other,) = polygons[structure], expected[structure]
                assert abs(one.min(axis=0) - other.min(axis=0)).max() < 0.02
                assert abs(one.max(axis=0) - other.max(axis=0)).max() < 0.02


def test_a_photograph_that_is_gone_or_another_is_listed(
    photographs: Path, tmp_path: Path, browser: Browser
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(photographs, moved)
    run(moved, tmp_path / "out")
    describe(tmp_path / "out", ["mask"])
    (moved / "a2.png").unlink()
    Image.new("RGB", (50, 60)).save(moved / "a10.png")
    (tmp_path / "out" / "masks" / "empty.png").write_text("no mask")
    path = tmp_path / "index.html"
    problems = dict(write_gallery(read_written(tmp_path / "out"), path))
    assert set(problems) == {"a2", "a10", "empty"}
    assert "No such file" in problems["a2"]
    assert "it has 50 x 60 px now" in problems["a10"]
    assert "masks/empty.png" in problems["empty"]
    with visit(browser, path, size_px=PHONE_PX) as opened:
        assert len(shown_ids(opened)) == 4
        assert opened.page.get_by_text("Not shown:").count() == 3
        assert opened.sticking_out() == []
        opened.page.locator(".shots").click()
        assert "1 of 1" in opened.page.locator(".place").inner_text()
        assert opened.errors == []
    shutil.rmtree(moved)
    with pytest.raises(ValueError, match="none of 4 can be shown"):
        write_gallery(read_written(tmp_path / "out"), tmp_path / "none.html")
    assert not (tmp_path / "none.html").exists()


def test_what_cannot_be_read_is_told(predictions: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be a folder that tvseg predict has written"):
        read_written(tmp_path)
    shutil.copytree(predictions, tmp_path / "out")
    describe(tmp_path / "out", ["overlay"])
    with pytest.raises(ValueError, match=r"must hold outlines .*--formats mask"):
        read_written(tmp_path / "out")
    describe(tmp_path / "out", ["geojson"])
    (tmp_path / "out" / "geojson" / "a2.geojson").write_text('{"features": [{}]}')
    with pytest.raises(ValueError, match=r"a2\.geojson is damaged"):
        read_written(tmp_path / "out").outlines("a2")
    (tmp_path / "out" / "measurements.csv").write_text("id,path\na,b\n")
    with pytest.raises(ValueError, match="must have the columns"):
        read_written(tmp_path / "out")


def test_an_earlier_gallery_is_replaced_and_nothing_else(predictions: Path, tmp_path: Path) -> None:
    written = read_written(predictions)
    mine = tmp_path / "thesis.html"
    mine.write_text("mine")
    with pytest.raises(ValueError, match="is no gallery"):
        write_gallery(written, mine)
    assert mine.read_text() == "mine"
    with pytest.raises(ValueError, match="is a folder"):
        write_gallery(written, tmp_path)
    write_gallery(written, tmp_path / "g.html")
    first = (tmp_path / "g.html").read_bytes()
    write_gallery(written, tmp_path / "g.html")
    assert (tmp_path / "g.html").read_bytes() == first


def test_pictures_keep_to_their_bytes() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (900, 700, 3), np.uint8)
    smooth = np.full((900, 700, 3), 90, np.uint8)
    for most in (24_000, 9_000):
        assert len(small_jpeg(noise, most)) <= most
    assert Image.open(io.BytesIO(small_jpeg(smooth, 24_000))).size == (436, 560)
    assert Image.open(io.BytesIO(small_jpeg(smooth[:50, :40], 24_000))).size == (40, 50)
    assert [bytes_each(count) for count in (1, 750, 2000, 10**5)] == [64000, 64000, 24000, 24000]
