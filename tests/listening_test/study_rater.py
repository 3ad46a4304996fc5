"""A rater in front of a browser: what tests of both pages do there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from browser import Browser

ENTER, SPACE, TAB = "\ue007", " ", "\ue004"
SHOWN = "return [...document.querySelectorAll('main > section')].find(s => !s.hidden)?.id"


class Seat:
    """A rater's view of the test in a browser."""

    def __init__(self, browser: Browser):
        self.browser = browser

    def visit(self, address: str, *, width: int = 1200, height: int = 900) -> None:
        """Open an address as if for the first time there, and wait for a screen."""
        phone = width < 500
        self.browser.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )
        self.browser.driver.get("about:blank")
        self.browser.complaints()
        self.browser.driver.get(address)
        self.browser.wait(SHOWN)

    def reload(self) -> None:
        """Reload the page and wait for a screen."""
        self.browser.driver.refresh()
        self.browser.wait(SHOWN)

    def screen(self) -> str:
        """Return the name of the screen that is shown."""
        return self.browser.run(SHOWN)

    def wait_for(self, screen: str) -> None:
        """Wait for a screen."""
        self.browser.wait(f"{SHOWN} === arguments[0]", screen)

    def click(self, selector: str) -> None:
        """Click an element."""
        self.browser.find(selector).click()

    def text(self, selector: str) -> str:
        """Return the text of an element."""
        return self.browser.find(selector).text

    def press(self, *keys: str) -> None:
        """Press keys."""
        self.browser.press(*keys)

    def hear(self) -> None:
        """Wait until the recording has been played to its end."""
        self.browser.wait(
            "return document.querySelector('#item:not([hidden]) fieldset:not([hidden]):enabled')"
        )

    def place(self) -> int:
        """Return the number of the recording that is shown."""
        return int(self.text("#place").split()[0])

    def wait_for_place(self, number: int) -> None:
        """Wait for a recording by its number."""
        script = "return document.getElementById('place').textContent.startsWith(arguments[0])"
        self.browser.wait(script, f"{number} of ")

    def message(self) -> str:
        """Return what the page has to say; empty where nothing."""
        return self.browser.run(
            "const m = document.getElementById('message'); return m.hidden ? '' : m.textContent"
        )

    def double_click(self, selector: str) -> None:
        """Double-click an element."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.browser.driver).double_click(self.browser.find(selector)).perform()

    def rate(self, value: Any) -> None:
        """Hear the recording that is shown, choose with a key, go on with Enter."""
        self.hear()
        self.press(str(value))
        self.press(ENTER)


def keep_downloads(browser: Browser, folder: Path) -> None:
    """Let the browser save files into a folder."""
    browser.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))


def downloaded(folder: Path, seconds: float = 10) -> Path:
    """Wait for the file that is saved into a folder, and return it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        files = [path for path in folder.glob("*.csv") if path.stat().st_size]
        if files and not list(folder.glob("*.crdownload")):
            return files[0]
        time.sleep(0.05)
    raise AssertionError(f"nothing was saved: {list(folder.iterdir())}")
