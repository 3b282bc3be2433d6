"""The page of `jreid serve` in a real browser."""

import base64

import numpy as np
import pytest
from helpers.browser import browser, console_errors, needs_browser, requested, resize
from helpers.served import served
from helpers.stub_searcher import StubSearcher, encoded

from jreid.serve.app import create_app

pytestmark = needs_browser


@pytest.fixture(scope="module")
def page():
    searcher = StubSearcher()
    with served(create_app(searcher)) as port, browser(390, 844) as driver:
        driver.searcher = searcher
        driver.home = f"http://127.0.0.1:{port}/"
        yield driver


@pytest.fixture
def opened(page):
    page.get(page.home)
    page.searcher.seen.clear()
    console_errors(page), requested(page)
    return page


@pytest.fixture
def photo(tmp_path):
    file = tmp_path / "<i>query.png"
    file.write_bytes(encoded(np.full((40, 20, 3), 90, np.uint8)))
    return str(file)


def choose(page, file):
    page.find_element("id", "file").send_keys(file)


def wait(page, condition):
    from selenium.webdriver.support.wait import WebDriverWait

    return WebDriverWait(page, 20).until(lambda _: condition())


def shown(page):
    script = "return [...document.querySelectorAll('#hits li')].map((item) => item.innerText)"
    return page.execute_script(script)


def text(page, name):
    return page.find_element("id", name).text


def test_a_chosen_image_is_searched_with(opened, photo):
    choose(opened, photo)
    first, second, _ = wait(opened, lambda: shown(opened))
    assert first.split("\n") == ["1", "0.900", "cam1/0001.png"]
    assert "cam2/a <b> & 'c'.png" in second
    wait(opened, lambda: "cannot be read" in shown(opened)[2])  # its thumbnail is gone
    assert "<i>query.png, infrared: the 3 nearest of 3 visible images" in text(opened, "status")
    opened.find_element("css selector", "[value=visible]").click()
    wait(opened, lambda: ", visible: " in text(opened, "status"))
    assert [modality for _, modality in opened.searcher.seen] == ["infrared", "visible"]
    preview = opened.find_element("id", "preview")
    assert preview.is_displayed() and preview.get_attribute("naturalWidth") == "20"
    others = [url for url in requested(opened) if not url.startswith((opened.home, "blob:"))]
    assert not others
    # The thumbnail that is gone is the only thing to complain about.
    assert all("/thumbnails/2" in error for error in console_errors(opened))


def test_an_image_may_be_dropped(opened, photo):
    data = base64.b64encode(encoded(np.zeros((9, 9, 3), np.uint8))).decode()
    opened.execute_script(
        """
        const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));
        const files = new DataTransfer();
        files.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
        document.body.dispatchEvent(
          new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true }));
        """,
        data,
    )
    wait(opened, lambda: "dropped.png" in text(opened, "status"))
    assert len(shown(opened)) == 3


def test_what_is_refused_is_said(opened, photo, tmp_path):
    from selenium.webdriver.common.by import By

    opened.find_element(By.ID, "search").click()
    assert text(opened, "error") == "Choose an image first."
    choose(opened, photo)
    wait(opened, lambda: shown(opened))
    file = tmp_path / "text.png"
    file.write_bytes(b"no image")
    choose(opened, str(file))
    error = wait(opened, lambda: text(opened, "error"))
    assert error == "The image is not a JPEG, PNG or BMP image."
    assert not shown(opened)
    choose(opened, photo)
    wait(opened, lambda: shown(opened) and not text(opened, "error"))
    opened.execute_script("document.getElementById('form').dataset.maxMebibytes = 0")
    choose(opened, str(file))  # the hits of the image before are not this one's
    assert text(opened, "error") == "The image has more than 0 MiB."
    assert not shown(opened)


def test_the_keyboard_suffices(opened, photo):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    choose(opened, photo)
    wait(opened, lambda: shown(opened))
    opened.execute_script("document.activeElement.blur()")
    reached = []
    for _ in range(4):
        ActionChains(opened).send_keys(Keys.TAB).perform()
        active = opened.switch_to.active_element
        reached.append(active.get_attribute("id") or active.get_attribute("name"))
    assert reached == ["file", "modality", "top", "search"]
    field = opened.find_element("id", "top")
    field.clear()
    field.send_keys("2", Keys.ENTER)
    wait(opened, lambda: len(shown(opened)) == 2)


def test_assistive_technology_gets_names(opened, photo):
    choose(opened, photo)
    wait(opened, lambda: shown(opened))
    nodes = opened.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    named = {(n["role"]["value"], n["name"]["value"]) for n in nodes if n.get("name")}
    for expected in (
        ("radio", "infrared"),
        ("spinbutton", "Images to show"),
        ("button", "Search"),
        ("list", "Images found, nearest first"),
        ("image", "Query: <i>query.png"),
    ):
        assert expected in named
    assert {n["role"]["value"] for n in nodes} >= {"alert", "status", "main", "form", "heading"}


@pytest.mark.parametrize("width", [320, 390, 1400])
def test_nothing_is_wider_than_the_page(opened, photo, width):
    choose(opened, photo)
    wait(opened, lambda: shown(opened))
    try:
        resize(opened, width, 800)
        assert opened.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        resize(opened, 390, 844)
