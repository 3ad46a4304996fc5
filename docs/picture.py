"""Make the README's picture: the page of `keras-listen debug` with a ticket open.

    python docs/picture.py DEBUG_FOLDER docs/debug.png

Needs what the tests of pages need: selenium, chromium and chromedriver.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser import open_browser
from PIL import Image


def main(folder: str, target: str) -> None:
    with open_browser() as browser:
        browser.open(Path(folder) / "index.html", width=1440, height=900)
        # The first mistake that becomes right on the way, so that there is a smallest step.
        browser.run("""
          const points = JSON.parse(document.getElementById("data-points").textContent);
          const i = points.ticket.findIndex((has, i) => has && points.first_step[i] > 3);
          Tickets.open(points.id[i]);""")
        browser.wait(
            "const all = [...document.querySelectorAll('.ticket[open] img')];"
            "return all.length && all.every(image => image.complete)"
        )
        browser.run("document.querySelector('.explore').scrollIntoView()")
        browser.screenshot(Path(target))
    # A third of the size, and no difference to see.
    Image.open(target).quantize(256).save(target, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
