"""The app and a page from disk in a real browser, with all requests blocked but those to this machine."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trimesh

from pose2mesh.inference.predictor import Predictor
from pose2mesh.visualization.html_page import write_page
from pose2mesh.visualization.overlay import blank_canvas
from pose2mesh.visualization.renderer import PALETTE
from pose2mesh.visualization.scene import describe_frame
from tests.visualization.test_scene import recovered

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

# Debian's browser, or the one that is named; playwright's own is never downloaded.
CHROMIUM = Path(os.environ.get("POSE2MESH_CHROMIUM", "/usr/bin/chromium"))
FLAGS = [
    "--headless", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
READY = "[data-ready=yes]"
WIDE, PHONE = (1000, 640), (390, 640)
on_both = pytest.mark.parametrize("visit", [WIDE, PHONE], ids=["wide", "phone"], indirect=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}; name one in POSE2MESH_CHROMIUM")
    with sync_api.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield started
        started.close()


class Visit:
    """A browser page, its requests and its errors."""

    def __init__(self, browser: Any, width: int, height: int) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
        self.outside: list[str] = []
        self.faults: list[str] = []
        self.context.route("**/*", self._only_this_machine)
        self.page = self.context.new_page()
        self.page.set_default_timeout(600_000)  # the machine may be busy
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda said: self.faults.append(said.text) if said.type == "error" else None)

    def _only_this_machine(self, route: Any) -> None:
        address = route.request.url
        if address.startswith(("http://127.0.0.1:", "file:", "data:", "blob:")):
            route.continue_()
        else:
            self.outside.append(address)
            route.abort()

    def angles(self) -> tuple[float, float]:
        found = self.page.evaluate(f"document.querySelector('{READY}').viewer.angles()")
        return found["turn"], found["tilt"]

    def lit_pixels(self) -> int:
        """Number of covered pixels of the 3D view, drawn now."""
        return self.page.evaluate(f"""() => {{
            const viewer = document.querySelector('{READY}').viewer;
            viewer.renderer.render(viewer.scene, viewer.camera);
            const gl = viewer.renderer.getContext();
            const [width, height] = [gl.drawingBufferWidth, gl.drawingBufferHeight];
            const pixels = new Uint8Array(4 * width * height);
            gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
            return pixels.filter((value, index) => index % 4 === 3 && value > 0).length;
        }}""")


@pytest.fixture
def visit(request: pytest.FixtureRequest, browser: Any) -> Iterator[Visit]:
    made = Visit(browser, *getattr(request, "param", WIDE))
    yield made
    made.context.close()
    assert made.outside == []
    assert made.faults == []


def fits(visit: Visit) -> bool:
    """Whether nothing overflows to the right."""
    return visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@on_both
def test_an_image_is_dropped_turned_and_downloaded(visit: Visit, port: int, tmp_path: Path) -> None:
    from tests.server.serving import photo

    page = visit.page
    page.goto(f"http://127.0.0.1:{port}/")
    page.wait_for_selector("#examples button")
    assert fits(visit)
    data = page.evaluate_handle("""bytes => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], 'holiday.jpg', { type: 'image/jpeg' }));
        return data;
    }""", list(photo()))  # fmt: skip
    page.dispatch_event("#drop", "drop", {"dataTransfer": data})
    page.wait_for_selector(READY)
    assert page.inner_text("#status") == "1 body recovered."
    assert visit.lit_pixels() > 1000
    assert fits(visit)

    canvas = page.locator(".stage canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    before = visit.angles()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 90, box["y"] + box["height"] / 2 + 20, steps=4)
    page.mouse.up()
    assert abs(visit.angles()[0] - before[0]) > 0.2

    with page.expect_download() as coming:
        page.click("a[data-format=glb]")
    coming.value.save_as(tmp_path / "x.glb")
    assert coming.value.suggested_filename == "holiday.glb"
    assert len(trimesh.load(tmp_path / "x.glb").geometry) == 1


@pytest.mark.thorough
def test_hovering_tells_sizes_and_confidences(visit: Visit, port: int) -> None:
    page = visit.page
    page.goto(f"http://127.0.0.1:{port}/")
    page.click("#examples button >> nth=0")
    page.wait_for_selector(READY)
    page.locator(".picture .target").last.hover(force=True)  # the neck, midway between shoulders of which one is hidden
    assert page.inner_text(".tooltip:visible").splitlines() == ["Person 2 (210845)", "neck: 100 %"]
    page.get_by_role("button", name="Front").click()
    found = page.evaluate(f"""() => {{
        const viewer = document.querySelector('{READY}').viewer;
        viewer.toggle({{ joints: false }});
        const box = viewer.renderer.domElement.getBoundingClientRect();
        const point = viewer.extent(0).getCenter(viewer.controls.target.clone()).project(viewer.camera);
        return [box.left + (point.x + 1) / 2 * box.width, box.top + (1 - point.y) / 2 * box.height];
    }}""")
    page.mouse.move(*found)
    page.wait_for_selector(".view .tooltip:visible")
    told = page.inner_text(".view .tooltip")
    assert "height" in told
    assert "arm span" in told
    assert "confidence" in told
    assert page.locator(".person.marked").count() == 1


@pytest.mark.thorough
def test_the_keyboard_alone_reaches_everything(visit: Visit, port: int) -> None:
    page = visit.page
    page.goto(f"http://127.0.0.1:{port}/")
    page.wait_for_selector("#examples button")
    press_until(page, "document.activeElement.textContent === 'A dance'")
    page.keyboard.press("Enter")
    page.wait_for_selector(READY)
    controls = page.evaluate("""() => [...document.querySelectorAll('button, input, select, summary, a, canvas')]
        .filter(each => each.checkVisibility()).length""")
    reached = set()
    for _ in range(controls + 3):
        page.keyboard.press("Tab")
        place = page.evaluate("""() => {
            const all = [...document.querySelectorAll('button, input, select, summary, a, canvas')];
            return all.indexOf(document.activeElement);
        }""")
        reached.add(place)
    assert len(reached - {-1}) == controls

    press_until(page, "document.activeElement.tagName === 'CANVAS'")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    before = visit.angles()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert math.isclose(visit.angles()[0] - before[0], math.pi / 6, abs_tol=1e-3)
    page.keyboard.press("ArrowUp")
    assert visit.angles()[1] < before[1]
    page.keyboard.press("Home")
    assert math.isclose(visit.angles()[0], before[0], abs_tol=1e-3)

    press_until(page, "document.activeElement.type === 'range'")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#result[data-frame='1']")
    assert page.inner_text(".player output") == "2 / 25"
    press_until(page, "document.activeElement.dataset.format === 'html'")
    with page.expect_download() as coming:
        page.keyboard.press("Enter")
    assert coming.value.suggested_filename == "frame_000.html"


def press_until(page: Any, condition: str) -> None:
    """Press Tab until something is focused."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate(f"() => {condition}"):
            return
    raise AssertionError(f"never focused: {condition}")


@pytest.mark.thorough
def test_pasted_nonsense_is_reported_and_pasted_keypoints_are_recovered(visit: Visit, port: int) -> None:
    from tests.server.serving import coco_people

    page = visit.page
    page.goto(f"http://127.0.0.1:{port}/")
    page.click("summary:has-text('Paste keypoints')")
    page.fill("#keypoints", '{"animals": []}')
    page.click("#paste button")
    page.wait_for_selector("#status[data-state=error]")
    assert page.inner_text("#status").startswith("pasted.json: holds")
    visit.faults.clear()  # the browser itself notes every answer that is not 2xx
    page.fill("#keypoints", json.dumps(coco_people()))
    page.click("#paste button")
    page.wait_for_selector(READY)
    assert page.inner_text("#status") == "2 bodies recovered."
    assert page.locator(".person").count() == 2


@pytest.mark.thorough
def test_the_camera_is_shown_and_can_be_changed(visit: Visit, port: int) -> None:
    from tests.server.serving import coco_people

    page = visit.page
    page.goto(f"http://127.0.0.1:{port}/")
    page.click("summary:has-text('Paste keypoints')")
    page.fill("#keypoints", json.dumps(coco_people()))
    page.click("#paste button")
    page.wait_for_selector("#camera:has-text('a guess from the size')")
    page.fill("#focal", "28")
    page.press("#focal", "Enter")
    page.wait_for_selector("#camera:has-text('as given, 28 mm')")
    page.check("#crop")
    page.wait_for_selector("#camera:has-text('Camera: none')")
    assert page.inner_text("#status") == "2 bodies recovered."


def make_page(recovery: Predictor, path: Path, frames: int = 3) -> str:
    people = recovered(recovery)
    ground = blank_canvas(people, (320, 240))
    write_page(path, "A page", recovery, [
        describe_frame(recovery, people, ground, f"frame {number}", [0, 1], PALETTE[:2]) for number in range(frames)
    ])  # fmt: skip
    return path.as_uri()


@pytest.mark.thorough
def test_a_page_opens_from_disk(visit: Visit, recovery: Predictor, tmp_path: Path) -> None:
    page = visit.page
    page.goto(make_page(recovery, tmp_path / "page.html"))
    page.wait_for_selector(READY)
    assert page.inner_text("h1") == "A page"
    assert visit.lit_pixels() > 1000
    assert page.locator(".person").count() == 2
    assert fits(visit)
    page.locator("input[type=range]").fill("2")
    page.wait_for_selector("main[data-frame='2']")
    before = visit.lit_pixels()
    page.get_by_label("Backdrop").uncheck()
    assert visit.lit_pixels() < before


@pytest.mark.thorough
def test_without_webgl_the_image_and_the_numbers_are_shown(browser: Any, recovery: Predictor, tmp_path: Path) -> None:
    visit = Visit(browser, 1280, 860)
    visit.page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    visit.page.goto(make_page(recovery, tmp_path / "page.html"))
    visit.page.wait_for_selector(READY)
    assert "WebGL is missing" in visit.page.inner_text(".stage")
    assert visit.page.locator(".person").count() == 2
    assert visit.page.evaluate("document.querySelector('.picture img').naturalWidth") == 320
    visit.context.close()
