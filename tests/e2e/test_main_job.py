"""The main job without JavaScript: sign in, list, choose, Connect, and the device's own pages on its own origin (R11-R13, R15).
tests/browser/ does the same in Chromium."""
import base64
import urllib.parse

import pytest

from plain_browser import Page, PlainBrowser


@pytest.fixture
def browser(stack):
    mine = PlainBrowser(stack)
    answer = mine.sign_in()
    assert answer.status == 200, answer.text()
    return mine


def origin(stack, name):
    return f"https://{stack.device_host(name)}:{stack.https_port}"


def test_after_signing_in_the_list_shows_every_device(stack, browser):
    browser.open(stack.env["PORTAL_URL"] + "/devices")
    assert browser.answer.status == 200
    form = next(form for form in browser.page.forms if "device" in form.radios)
    assert {"printer", "pages", "slow"} <= set(form.radios["device"])
    # R12: Connect and Cancel for what was chosen, and each row has a Connect of its own.
    texts = {text for text, _, _ in form.buttons}
    assert {"Connect", "Cancel"} <= texts
    assert {value for text, _, value in form.buttons if text.startswith("Connect to")} >= {"printer", "pages", "slow"}


def test_radio_and_connect_lead_to_the_printers_own_page(stack, browser):
    answer = browser.connect("printer")
    assert answer.status == 200, (browser.trail, answer.text())
    assert browser.url.startswith(origin(stack, "printer") + "/")
    assert answer.body == stack.direct("printer").body


def test_the_printers_images_and_links_work_on_its_own_origin(stack, browser):
    browser.connect("printer")
    start, page = browser.url, browser.page
    assert page.images and page.links
    for reference in {*page.images, *page.links}:
        target = urllib.parse.urljoin(start, reference)
        assert urllib.parse.urlsplit(target).hostname == stack.device_host("printer")
        path = urllib.parse.urlsplit(target).path
        answer = browser.open(target)
        assert answer.status == 200 and answer.body == stack.direct("printer", path).body, target
    assert browser.open(urllib.parse.urljoin(start, "/supplies")).status == 200
    assert browser.open(urllib.parse.urljoin(start, "/media")).status == 200


def test_a_second_device_is_open_at_the_same_time(stack, browser):
    browser.connect("printer")
    browser.connect("pages")
    for name, mark in (("printer", "3F printer"), ("pages", "Demo pages"), ("printer", "3F printer")):
        answer = browser.open(origin(stack, name) + "/")
        assert answer.status == 200 and mark in answer.text()


def test_a_row_of_the_list_has_a_connect_of_its_own(stack, browser):
    browser.open(stack.env["PORTAL_URL"] + "/devices")
    form = next(form for form in browser.page.forms if "device" in form.radios)
    browser.submit(form, button="Connect to Demo pages")
    answer = browser.follow_hand_off()
    assert answer.status == 200 and browser.url.startswith(origin(stack, "pages"))


def test_whoever_knows_the_device_skips_the_list(stack):
    """R15: a stranger is led to sign in and arrives where they wanted to go."""
    stranger = PlainBrowser(stack)
    stranger.open(origin(stack, "pages") + "/form?kept=1")
    assert stranger.form_with("User name")
    form = stranger.form_with("User name")
    stranger.submit(form, {"User name": stack.env["ADMIN_USER"], "Password": stack.env["ADMIN_PASSWORD"]})
    answer = stranger.follow_hand_off()
    assert answer.status == 200, stranger.trail
    assert stranger.url == origin(stack, "pages") + "/form?kept=1"


def test_a_program_with_a_token_needs_no_list(stack):
    assert stack.device("printer").body == stack.direct("printer").body


def test_basic_with_a_token_does_the_same(stack):
    secret = base64.b64encode(f"x:{stack.env['API_TOKEN']}".encode()).decode()
    answer = stack.device("pages", "/landed", token=False, fields={"Authorization": f"Basic {secret}"})
    assert answer.status == 200


def test_the_form_of_a_device_works(stack, browser):
    browser.connect("pages")
    browser.open(origin(stack, "pages") + "/form")
    text = "höher & <weiter> 日本"
    answer = browser.submit(browser.form_with("Text"), {"Text": text})
    assert answer.status == 200, browser.trail
    assert browser.url.startswith(origin(stack, "pages") + "/landed")
    assert text in Page(answer.text()).text


def test_absolute_redirects_stay_on_the_devices_origin(stack, browser):
    browser.connect("pages")
    for path in ("/redirect", "/redirect-path"):
        answer = browser.open(origin(stack, "pages") + path)
        assert answer.status == 200 and browser.url.startswith(origin(stack, "pages") + "/landed"), browser.trail


def test_absolute_links_built_from_the_forwarded_host_lead_back_here(stack, browser):
    browser.connect("pages")
    browser.open(origin(stack, "pages") + "/")
    assert origin(stack, "pages") + "/landed" in browser.page.links


def test_every_cookie_of_the_device_arrives_and_comes_back(stack, browser):
    browser.connect("pages")
    answer = browser.open(origin(stack, "pages") + "/")
    names = [line.split("=")[0] for line in answer.all_fields("Set-Cookie")]
    assert {"visits", "theme", "session"} <= set(names)
    shown = browser.open(origin(stack, "pages") + "/cookies").text()
    assert "theme=plain" in shown and "session=demo-session" in shown


def test_the_slow_device_is_waited_for(stack):
    answer = stack.device("slow")
    assert answer.status == 200 and "Slow device" in answer.text()


def test_signing_out_ends_the_devices_pages_too(stack, browser):
    browser.connect("pages")
    browser.open(stack.env["PORTAL_URL"] + "/devices")
    form = next(form for form in browser.page.forms if "sign-out" in form.action)
    browser.submit(form)
    browser.open(origin(stack, "pages") + "/landed")
    assert browser.form_with("User name")
