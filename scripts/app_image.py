"""Take the screenshot of the web app in the README, `docs/app.png`, with one of the examples that ship.

python scripts/app_image.py [--example "In the street"] [--chromium /usr/bin/chromium]
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

FLAGS = ["--headless", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
WIDTH_PX, HEIGHT_PX = 1240, 800


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--example", default="In the street")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "app.png")
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "pose2mesh.cli", "serve", "--port", "0", "--offline"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        found = re.search(r"http://\S+/", server.stdout.readline())
        assert found, "the server did not start"
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=arguments.chromium, args=FLAGS)
            page = browser.new_page(viewport={"width": WIDTH_PX, "height": HEIGHT_PX}, color_scheme="light")
            page.goto(found[0])
            page.click(f"#examples button:has-text('{arguments.example}')")
            page.wait_for_selector("#result[data-ready=yes]")
            page.evaluate("scrollTo(0, 0)")
            page.wait_for_timeout(500)  # until the view has been rendered
            page.screenshot(path=arguments.out, full_page=True)
            browser.close()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
