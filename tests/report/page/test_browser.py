"""A scan's page in a real browser: where its rings are, and what keys, wheel and clicks do."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page

from nodules.luna16.rules import COORDINATES
from nodules.report.page.viewer import MARGIN_MM
from tests.report.page.scans import DIRECTIONS, make_balls
from tests.report.page.test_html import page_of

pytestmark = pytest.mark.slow
ORANGE = (255, 157, 46)


def shot(page: Page, selector: str = ".screen") -> np.ndarray:
    picture = Image.open(io.BytesIO(page.locator(selector).first.screenshot()))
    return np.asarray(picture.convert("RGB")).astype(float)


def settle(page: Page, line: int) -> None:
    page.wait_for_selector(f".screen[data-line='{line}']")
    # The next picture is painted.
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 60)))")


def line_of(page: Page) -> int:
    return int(page.locator(".screen").get_attribute("aria-valuenow")) - 1


def middle(of: np.ndarray) -> np.ndarray:
    """The centre of the true pixels, x and y from the edge."""
    return np.array([axis.mean() + 0.5 for axis in np.nonzero(of)[::-1]])


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_rings_are_around_what_the_coordinates_say(opened, tmp_path, direction):
    balls = make_balls(direction)
    page = opened_page(opened, tmp_path, balls)
    # Without the package's own conversion: mm along the world's axes from the corner of the scan.
    corners = balls.geometry.world_from_index(
        [[-0.5] * 3, np.subtract(balls.geometry.size_xyz, 0.5)]
    )
    low, high = corners.min(axis=0), corners.max(axis=0)
    for number, row in enumerate(balls.table.itertuples(), 1):
        page.get_by_role("button", name=str(number), exact=True).click()
        world = np.array([getattr(row, name) for name in COORDINATES])
        line = int((high[2] - world[2]) // 2.5)
        settle(page, line)
        assert line_of(page) == line
        picture = shot(page)
        height, width = picture.shape[:2]
        pixel_mm = (high - low)[:2] / (width, height)
        assert pixel_mm[0] == pytest.approx(pixel_mm[1], rel=0.01)
        wanted = (world - low)[:2] / pixel_mm
        # The ring as it is drawn.
        box = page.locator(f".rings [data-label='{number}'] .line").bounding_box()
        screen = page.locator(".screen").bounding_box()
        left, top = box["x"] - screen["x"], box["y"] - screen["y"]
        center = np.array([left + box["width"] / 2, top + box["height"] / 2])
        assert np.abs(center - wanted).max() < 1
        radius = (row.diameter_mm / 2 + MARGIN_MM) / pixel_mm[0]
        # The same in the pixels of the picture, away from the text beside it.
        y, x = np.indices(picture.shape[:2])
        apart = np.hypot(x + 0.5 - wanted[0], y + 0.5 - wanted[1])
        is_orange = np.abs(picture - ORANGE).max(axis=2) < 40
        is_ring = is_orange & (apart < radius + 3) & (y > wanted[1])
        assert apart[is_ring].mean() == pytest.approx(radius, abs=1)
        angles = np.degrees(np.arctan2(y - wanted[1], x - wanted[0]))[is_ring]
        assert len(set(angles // 10)) >= 17
        # And the picture below has the ball there.
        is_ball = (picture.min(axis=2) > 200) & (apart < radius - 2)
        assert np.abs(middle(is_ball) - wanted).max() * pixel_mm[0] < 0.6


def opened_page(opened, tmp_path, balls=None, **changes) -> Page:
    balls = balls or make_balls()
    path = tmp_path / "report.html"
    page_of(
        path,
        volume_hu=balls.volume_hu,
        geometry=balls.geometry,
        findings=balls.table,
        **changes,
    )
    return opened(path)


def test_keys_and_wheel_scroll(opened, tmp_path):
    page = opened_page(opened, tmp_path)
    screen = page.locator(".screen")
    # The first finding is shown at once.
    settle(page, 14)
    # By keyboard alone: Tab leads to the picture, before anything else.
    page.keyboard.press("Tab")
    assert screen.evaluate("node => node === document.activeElement")
    for key, line in [
        ("ArrowDown", 15),
        ("ArrowUp", 14),
        ("PageUp", 4),
        ("PageUp", 0),
        ("ArrowUp", 0),
        ("PageDown", 10),
        ("End", 19),
        ("Home", 0),
        ("n", 8),
        ("n", 3),
        ("n", 3),
        ("p", 8),
    ]:
        page.keyboard.press(key)
        settle(page, line)
        assert line_of(page) == line
    assert screen.get_attribute("aria-valuetext") == "Slice 11 of 0 to 19, z \N{MINUS SIGN}172.5 mm"
    box = screen.bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.wheel(0, 200)
    settle(page, 10)
    page.mouse.wheel(0, -100)
    settle(page, 9)
    # The page itself has not moved.
    assert page.evaluate("window.scrollY") == 0


def test_a_click_in_the_list_or_the_overview_jumps(opened, tmp_path):
    page = opened_page(opened, tmp_path)
    page.locator("tr[data-label='3'] td.view").first.click()
    settle(page, 3)
    assert page.locator("tr[aria-current]").get_attribute("data-label") == "3"
    box = page.locator(".overview svg").bounding_box()
    page.mouse.click(box["x"] + 10, box["y"] + box["height"] * 0.99)
    settle(page, 19)
    page.get_by_role("button", name="2", exact=True).focus()
    page.keyboard.press("Enter")
    settle(page, 8)


def test_windows_change_what_is_white(opened, tmp_path):
    page = opened_page(opened, tmp_path)
    settle(page, 14)
    lung = shot(page)[-40:-5, 200:260].mean()
    page.get_by_label("Mediastinum").check()
    tissue = shot(page)[-40:-5, 200:260].mean()
    # -850 HU in both windows.
    assert (lung, tissue) == (pytest.approx(255 / 3, abs=3), pytest.approx(0, abs=1))
    page.locator(".screen").focus()
    page.keyboard.press("w")
    assert shot(page)[-40:-5, 200:260].mean() == pytest.approx(lung, abs=0.5)


def test_scores_and_boxes_choose_what_is_ringed(opened, tmp_path):
    balls = make_balls()
    truth = balls.table.drop(columns="probability").head(1)
    page = opened_page(opened, tmp_path, annotated=truth)
    assert page.locator(".rings .ring").count() == 2
    page.get_by_label("findings (solid)").uncheck()
    assert page.locator(".rings .ring.finding").count() == 0
    page.get_by_label("findings (solid)").check()
    page.get_by_label("Score from").fill("0.5")
    assert page.locator("tr.finding:visible").count() == 2
    assert page.locator("caption .count").inner_text() == "2 of 3"
    assert page.locator("tr.annotated:visible").count() == 1


def test_kinds_of_rings_differ_in_more_than_colour(opened, tmp_path):
    balls = make_balls()
    page = opened_page(opened, tmp_path, annotated=balls.table.drop(columns="probability"))
    dashes = {
        kind: page.locator(f".rings .{kind} .line").first.evaluate(
            "node => getComputedStyle(node).strokeDasharray"
        )
        for kind in ("finding", "annotated")
    }
    assert dashes["finding"] == "none"
    assert re.match(r"\d", dashes["annotated"])
    labels = page.locator(".rings text").evaluate_all("nodes => nodes.map((n) => n.textContent)")
    assert labels == ["1 · 0.90 · 12.0 mm", "A1 · 12.0 mm"]


def test_print_has_the_table_and_a_picture_of_each_finding(opened, tmp_path):
    page = opened_page(opened, tmp_path)
    page.emulate_media(media="print")
    assert page.locator("tr.finding:visible").count() == 3
    assert page.locator("tr.finding .view svg:visible").count() == 12
    assert not page.locator(".controls").is_visible()
    assert page.get_by_text("not a medical device").is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_everything_to_press_has_a_name(opened, tmp_path):
    page = opened_page(opened, tmp_path)
    for node in page.locator("button, input, [tabindex]").all():
        named = node.evaluate(
            "n => n.getAttribute('aria-label') || n.textContent.trim()"
            " || [...(n.labels || [])].map((l) => l.textContent).join('')"
        )
        assert named.strip()
    for picture in page.locator("svg[role=img]").all():
        assert picture.get_attribute("aria-label")


def test_a_page_without_findings_scrolls_too(opened, tmp_path):
    balls = make_balls()
    path = tmp_path / "report.html"
    page_of(path, findings=balls.table.head(0), annotated=balls.table.head(0))
    page = opened(path)
    settle(page, 9)
    page.locator(".screen").focus()
    page.keyboard.press("ArrowDown")
    settle(page, 10)
