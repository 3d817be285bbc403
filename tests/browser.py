"""A real browser for pages that tvseg writes: Debian's chromium, driven by playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

PHONE_PX = (390, 844)
DESKTOP_PX = (1200, 900)
NEEDS_CHROMIUM = "needs chromium: apt-get install chromium"


@dataclass
class Visit:
    """A page that is open in the browser.

    Attributes:
        page: Playwright's page, for all that is not here.
        requests: Addresses that it has asked for, itself and what it carries in it (``data:``)
            left out.
        errors: What went wrong in it: scripts that failed, messages of errors on the console.
    """

    page: Page
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def width_px(self) -> int:
        """Width of the page with all that sticks out of it; the window's when nothing does."""
        width: int = self.page.evaluate("document.documentElement.scrollWidth")
        return width

    def sticking_out(self) -> list[str]:
        """Elements that reach beyond the window's right edge and cannot be scrolled to alone."""
        found: list[str] = self.page.evaluate(
            """() => [...document.body.querySelectorAll('*')]
            .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
            .filter(e => { for (let p = e.parentElement; p; p = p.parentElement)
                if (['auto', 'scroll'].includes(getComputedStyle(p).overflowX)) return false;
                return true; })
            .map(e => e.outerHTML.slice(0, 80))"""
        )
        return found

    def broken_images(self) -> list[str]:
        """Images that could not be decoded, those further down that load late included."""
        found: list[str] = self.page.evaluate(
            """async () => { const images = [...document.images];
            images.forEach(i => { i.loading = 'eager'; });
            await Promise.all(images.map(i => i.decode().catch(() => {})));
            return images.filter(i => !i.naturalWidth).map(i => i.outerHTML.slice(0, 80)); }"""
        )
        return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window; a test that asks for one is skipped where there is none."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip(NEEDS_CHROMIUM)
    with sync_playwright() as playwright:
        # no sandbox: it needs rights that root in a container has not
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visit(browser: Browser, file: Path, *, size_px: tuple[int, int]) -> Iterator[Visit]:
    """Open a file without a network.

    Args:
        browser: From :func:`chromium`.
        file: The page.
        size_px: Width and height of the window; a narrow one behaves as a phone does.
    """
    width, height = size_px
    context = browser.new_context(
        viewport={"width": width, "height": height}, offline=True, is_mobile=width < 600
    )
    try:
        opened = Visit(context.new_page())
        address = file.resolve().as_uri()
        opened.page.on(
            "request",
            lambda request: (
                None
                if request.url.split("#")[0] == address or request.url.startswith("data:")
                else opened.requests.append(request.url)
            ),
        )
        opened.page.on("pageerror", lambda error: opened.errors.append(str(error)))
        opened.page.on(
            "console",
            lambda message: opened.errors.append(message.text) if message.type == "error" else None,
        )
        opened.page.goto(address)
        yield opened
    finally:
        context.close()
