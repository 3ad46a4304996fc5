"""A headless Chromium for tests, driven through Debian's chromium and chromium-driver."""

from __future__ import annotations

import base64
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromedriver")


def require_browser() -> None:
    """Skip where there is no Chromium, unless the environment says that there must be one."""
    if missing := [name for name in PROGRAMS if not shutil.which(name)]:
        reason = f"no {' and no '.join(missing)}: apt-get install chromium chromium-driver"
        if os.environ.get("KERAS_LISTEN_REQUIRE_BROWSER"):
            pytest.fail(f"KERAS_LISTEN_REQUIRE_BROWSER is set, but there is {reason}")
        pytest.skip(f"there is {reason}")


class Browser:
    """One window. Network addresses are cut off: a page gets what lies on the disk."""

    def __init__(self, driver):
        self.driver = driver

    def open(
        self, page: Path, *, fragment: str = "", width: int = 1400, height: int = 1000
    ) -> None:
        """Open a page and wait until its map is drawn."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        self.driver.get("about:blank")
        self.complaints()
        self.driver.get(f"{page.resolve().as_uri()}#{fragment}")
        self.wait("return document.getElementById('drawn')?.textContent")

    def command(self, name: str, **values: Any) -> dict[str, Any]:
        """Give a command of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(name, values)

    def run(self, script: str, *values: Any) -> Any:
        """Run JavaScript in the page and return what it returns."""
        return self.driver.execute_script(script, *values)

    def wait(self, script: str, *values: Any, seconds: float = 30) -> Any:
        """Return what `script` returns as soon as that is true."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, seconds, poll_frequency=0.05).until(
            lambda _: self.run(script, *values), f"still false: {script}"
        )

    def find(self, selector: str):
        """Return the first element that a CSS selector matches."""
        return self.driver.find_element("css selector", selector)

    def press(self, *keys: str) -> None:
        """Press keys wherever the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def point(self, x: float, y: float, *, click: bool = False) -> None:
        """Move the pointer to a place of the window, and click there."""
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.actions.action_builder import ActionBuilder

        builder = ActionBuilder(self.driver)
        # A pointer that jumps is no movement to some listeners: it comes from the side.
        builder.pointer_action.move_to_location(round(x) - 5, round(y))
        builder.pointer_action.move_to_location(round(x), round(y))
        builder.perform()
        if click:
            ActionChains(self.driver).click().perform()

    def complaints(self) -> list[str]:
        """Return warnings and errors of the console since the last call, and dialogs."""
        entries = self.driver.get_log("browser")
        return [entry["message"] for entry in entries if entry["level"] in ("WARNING", "SEVERE")]

    def screenshot(self, path: Path) -> None:
        """Write what is in the window as PNG."""
        picture = self.command("Page.captureScreenshot")["data"]
        path.write_bytes(base64.b64decode(picture))


@contextmanager
def open_browser(*, loopback: bool = False):
    """Start a browser, and end it when the block is left.

    Args:
        loopback: whether it reaches servers at 127.0.0.1.
    """
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--mute-audio"):
        options.add_argument(argument)
    # No name is resolved: what a page asks for elsewhere is an error in the console.
    rules = "MAP * ~NOTFOUND" + (", EXCLUDE 127.0.0.1" if loopback else "")
    options.add_argument(f"--host-resolver-rules={rules}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
