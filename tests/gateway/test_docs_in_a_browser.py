"""A user with a browser and a token, on the API page."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support import expected_conditions as expected
from selenium.webdriver.support.wait import WebDriverWait

from tests.support.environment import LiveService

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.one_engine("a browser speaks to the gateway, which calls without a socket"),
    pytest.mark.skipif(not (CHROMIUM and CHROMEDRIVER), reason="chromium or chromedriver is not installed"),
]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[WebDriver]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for argument in (
        "--headless=new",
        "--no-sandbox",  # containers run tests as root
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1300,1800",
        f"--user-data-dir={tmp_path / 'profile'}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(CHROMEDRIVER))
    try:
        yield driver
    finally:
        driver.quit()


class ApiPage:
    """What a user does on the page, in the page's own words."""

    def __init__(self, browser: WebDriver, url: str) -> None:
        self._browser = browser
        self._wait = WebDriverWait(browser, 30)
        browser.get(f"{url}/docs")

    def authorize(self, token: str) -> None:
        self._click(".scheme-container .authorize")
        self._find(".modal-ux input[type=text]").send_keys(token)
        self._click(".modal-ux button[type=submit]")
        self._click(".modal-ux .btn-done")

    def open(self, operation_id: str) -> None:
        self._click(f"#operations-LiveStream-{operation_id} .opblock-summary-control")

    def fill(self, field: str, value: str) -> None:
        self._replace(f"tr[data-property-name='{field}'] input", value)

    def attach(self, field: str, file: Path) -> None:
        self._find(f"tr[data-property-name='{field}'] input[type=file]").send_keys(str(file))

    def write_body(self, body: object) -> None:
        self._replace("textarea.body-param__text", json.dumps(body))

    def execute(self, operation_id: str) -> dict[str, Any]:
        """Press the button; the envelope as the page shows it."""
        within = f"#operations-LiveStream-{operation_id}"
        self._click(f"{within} .execute")
        shown: dict[str, Any] = json.loads(self._find(f"{within} .live-responses-table code").text)
        return shown

    def _replace(self, selector: str, value: str) -> None:
        self._find(selector).send_keys(Keys.CONTROL, "a", Keys.NULL, value)

    def _find(self, selector: str) -> WebElement:
        return self._wait.until(expected.visibility_of_element_located((By.CSS_SELECTOR, selector)))

    def _click(self, selector: str) -> None:
        self._wait.until(expected.element_to_be_clickable((By.CSS_SELECTOR, selector))).click()


async def test_a_user_creates_and_joins_a_stream_on_the_api_page(
    browser: WebDriver, live_service: LiveService, tmp_path: Path
) -> None:
    """The page is how users try the API: a token, a form and a button must be enough, under its strict policy."""
    image = tmp_path / "thumbnail.png"
    Image.new("RGB", (64, 36), "teal").save(image)

    def scenario() -> tuple[dict[str, Any], dict[str, Any]]:
        page = ApiPage(browser, live_service.http_url)
        page.authorize(live_service.token("ayse"))
        page.open("createStream")
        page.fill("title", "Yeni ürün tanıtımı")
        page.attach("thumbnail", image)
        created = page.execute("createStream")
        page.open("createStream")  # closes it
        page.open("joinStreamAsCreator")
        page.write_body({"liveStreamId": created["data"]["id"]})
        return created, page.execute("joinStreamAsCreator")

    created, joined = await asyncio.to_thread(scenario)  # the service may share this thread's loop

    assert created["statusCode"] == 201
    assert created["data"]["title"] == "Yeni ürün tanıtımı"
    assert joined["statusCode"] == 200
    assert joined["data"]["liveStream"]["id"] == created["data"]["id"]
    assert joined["data"]["agora"]["role"] == "host"
    assert joined["data"]["agora"]["token"].startswith("007")
    assert browser.get_log("browser") == []  # violations of the content security policy would stand here


async def test_the_api_page_shows_what_is_wrong_without_a_token(browser: WebDriver, live_service: LiveService) -> None:
    """Whoever forgets to authorise must see the refusal itself, not a page that stays silent."""

    def scenario() -> dict[str, Any]:
        page = ApiPage(browser, live_service.http_url)
        page.open("createStream")
        page.fill("title", "Yeni ürün tanıtımı")
        return page.execute("createStream")

    refused = await asyncio.to_thread(scenario)

    assert refused["statusCode"] == 401
    assert refused["errors"][0] == "Authentication required"
