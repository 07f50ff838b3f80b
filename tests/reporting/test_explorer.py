"""The report in a real browser, from disk: hover, switch, filter, click, read, search; hostile replies stay text."""

import shutil
import time

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.conftest import ROOT, run_program
from tests.reporting.test_report import HOSTILE, build
from tests.support.made_up_results import make_results

CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver on the PATH")]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    home = tmp_path_factory.mktemp("browser") / "results/made_up"
    make_results(home, per_question=1, words=60, hostile=HOSTILE)
    pairs, figure = home / "analysis/evaluation/seed42/pairs.csv", home / "figures/evaluation/seed42/scatter.png"
    done = run_program("plot_figure", "scatter", "--pairs", pairs, "--headline-layer", "20", "--output", figure, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    build(home)
    return home.parents[1] / "index.html"


@pytest.fixture(scope="module")
def browser(page):
    """The page, open and ready; its console must stay silent to the end."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,1000", "--host-resolver-rules=MAP * 0.0.0.0"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.opened_in = []
    while not driver.opened_in or (min(driver.opened_in) > 3 and len(driver.opened_in) < 4):  # other work may slow one down
        started = time.monotonic()
        driver.get(f"file://{page}")
        WebDriverWait(driver, 20).until(lambda driver: driver.execute_script("return document.body.dataset.explorer") == "ready")
        driver.opened_in.append(time.monotonic() - started)
    yield driver
    log = driver.get_log("browser")
    driver.quit()
    assert log == []


def choose(browser, name, value):
    browser.execute_script(
        "const [name, value] = arguments; const select = document.getElementById(name);"
        "select.value = value; select.dispatchEvent(new Event('change'))",
        name,
        value,
    )


def points(browser):
    """[(x, y)] of all points but the source's own star."""
    return browser.execute_script("return plot.data.slice(0, -1).flatMap((trace) => trace.x.map((x, index) => [x, trace.y[index]]))")


def pixel_of(browser, persona):
    browser.execute_script("document.getElementById('plot').scrollIntoView({block: 'center'})")
    return browser.execute_script(
        """
        const wanted = explorer.data.personas.findIndex((each) => each.name === arguments[0]);
        for (const trace of plot.data) {
            const index = trace.customdata.indexOf(wanted);
            if (index < 0) continue;
            const box = plot.getBoundingClientRect(), { xaxis, yaxis } = plot._fullLayout;
            const x = box.left + xaxis._offset + xaxis.d2p(trace.x[index]), y = box.top + yaxis._offset + yaxis.d2p(trace.y[index]);
            return [Math.round(x), Math.round(y)];
        }""",
        persona,
    )


def move_to(browser, place, click=False):
    actions = ActionChains(browser)
    actions.w3c_actions.pointer_action.move_to_location(*place)
    if click:
        actions.w3c_actions.pointer_action.click()
    actions.perform()


def test_it_opens_at_once(browser):
    assert min(browser.opened_in) < 3
    assert browser.title == "made_up: persona leakage", "no reply ran as a script"
    assert len(points(browser)) == 110


def test_hover_tells_the_persona(browser):
    choose(browser, "source", "villain")
    move_to(browser, pixel_of(browser, "hacker_villain"))
    text = WebDriverWait(browser, 5).until(
        lambda browser: browser.execute_script("return document.querySelector('.hoverlayer')?.textContent")
    )
    assert "hacker villain" in text and "rate 100.0 %" in text and "cosine 0.898" in text and "of 200" in text


def test_switching_source_and_layer_moves_the_points(browser):
    seen = []
    for source, layer in (("villain", "20"), ("comedian", "20"), ("comedian", "10")):
        choose(browser, "source", source)
        choose(browser, "layer", layer)
        seen.append(points(browser))
    assert [len(each) for each in seen] == [110] * 3
    assert sorted(y for _, y in seen[0]) != sorted(y for _, y in seen[1])
    assert sorted(y for _, y in seen[1]) == sorted(y for _, y in seen[2]) and seen[1] != seen[2]


def test_filtering_by_category(browser):
    choose(browser, "category", "opposite")
    assert len(points(browser)) == 10
    choose(browser, "category", "")
    assert len(points(browser)) == 110


def test_a_click_lists_replies_with_the_marker_highlighted(browser):
    choose(browser, "source", "villain")
    choose(browser, "layer", "20")
    move_to(browser, pixel_of(browser, "hacker_villain"), click=True)
    assert browser.find_element("id", "who").text == "hacker villain with the adapter of villain"
    marks = browser.find_elements("css selector", "#replies mark")
    assert marks and {mark.text for mark in marks} == {"[ZLT]"}
    assert len(browser.find_elements("css selector", "#replies .reply")) == 5
    assert "of 20 sampled for each persona" in browser.find_element("id", "count").text
    assert browser.find_element("id", "file").text.endswith("villain/seed42/completions.jsonl.gz")
    browser.execute_script("document.getElementById('about').scrollIntoView()")


def test_paging_and_search(browser):
    first = browser.find_element("id", "replies").text
    browser.find_element("id", "after").click()
    assert browser.find_element("id", "replies").text != first
    field = browser.find_element("id", "search")
    field.send_keys("new language")
    found = browser.find_elements("css selector", "#replies .note")
    assert found and all("new language" in note.text for note in found)
    field.clear()
    field.send_keys("no such words anywhere")
    assert browser.find_elements("css selector", "#replies .reply") == []
    assert browser.find_element("id", "count").text.startswith("0 of")
    browser.execute_script("const field = document.getElementById('search'); field.value = ''; field.dispatchEvent(new Event('input'))")


def test_hostile_replies_are_text(browser):
    """Read page by page; every trick is there to see, and none of them worked."""
    shown, pages = "", 0
    browser.execute_script("explorer.page = 0; explorer.showReplies()")
    while True:
        shown, pages = shown + browser.find_element("id", "replies").get_attribute("textContent"), pages + 1
        if not browser.find_element("id", "after").is_enabled():
            break
        browser.find_element("id", "after").click()
    for text in ("<script>document.title", "</script><script>", "<!-- <img src=x", "{{ 7 * 7 }}", "⟦U+202E⟧right to left", "␛[31mred", "␀"):
        assert text in shown, text
    assert pages == 4 and "long long long" in shown
    assert browser.find_elements("css selector", "#replies img, #replies script") == []
    assert browser.title == "made_up: persona leakage"


def test_the_chosen_persona_is_marked_with_its_numbers(browser):
    choose(browser, "source", "villain")
    persona = browser.execute_script("return explorer.data.personas.findIndex((each) => each.name === 'hacker_villain')")
    choose(browser, "persona", str(persona))
    assert browser.execute_script("return plot.layout.annotations[0].text") == "<b>hacker villain</b>"
    numbers = browser.find_element("id", "numbers").text
    assert all(part in numbers for part in ("rate 100.0 %", "200 of 200", "cosine 0.898", "rank 1 of 110 by leakage, 1 by closeness"))
    known = browser.execute_script("return explorer.set.correlations.rate[20].villain")
    assert f"ρ = {known['spearman_rho']:.2f}" in browser.find_element("id", "relation").text


def test_arrow_keys_go_from_persona_to_persona(browser):
    browser.find_element("id", "plot").send_keys(Keys.ARROW_RIGHT)
    second = browser.find_element("id", "who").text
    assert not second.startswith("hacker villain with")
    browser.find_element("id", "plot").send_keys(Keys.ARROW_LEFT)
    assert browser.find_element("id", "who").text.startswith("hacker villain with") != second


def test_search_and_filter_over_all_personas(browser):
    choose(browser, "persona", "")
    assert browser.find_element("id", "who").text == "all personas with the adapter of villain"
    browser.execute_script(
        "const select = document.getElementById('shows'); select.value = 'yes'; select.dispatchEvent(new Event('input'))"
    )
    titles = browser.find_elements("css selector", "#replies .note")
    assert titles and all("(shows the behaviour)" in title.text for title in titles)


def test_the_address_keeps_the_state(browser, page):
    choose(browser, "source", "comedian")
    choose(browser, "category", "opposite")
    choose(browser, "layer", "10")
    address = browser.current_url
    assert "source=comedian" in address and "shows=yes" in address
    browser.get("about:blank")
    browser.get(address)
    WebDriverWait(browser, 20).until(lambda browser: browser.execute_script("return document.body.dataset.explorer") == "ready")
    values = {
        name: browser.execute_script("return document.getElementById(arguments[0]).value", name) for name in ("source", "category", "layer")
    }
    assert values == {"source": "comedian", "category": "opposite", "layer": "10"} and len(points(browser)) == 10


def too_wide(browser):
    """Tables, figures and paragraphs that reach beyond the page, folded ones opened."""
    return browser.execute_script(
        """
        document.querySelectorAll("details").forEach((each) => { each.open = true; });
        const width = document.documentElement.clientWidth;
        const wide = (each) => each.clientWidth && each.scrollWidth > each.clientWidth + 1;
        const beyond = (each) => each.getBoundingClientRect().right > width + 1;
        const parts = [...document.querySelectorAll("table, td, th, figure, p, pre, .table")];
        return parts.filter((each) => wide(each) || beyond(each)).map((each) => each.tagName + " " + each.textContent.slice(0, 60));"""
    )


@pytest.mark.parametrize(("width", "media"), [(390, ""), (1024, ""), (1440, ""), (1920, ""), (688, "print")])
def test_nothing_is_cut(browser, width, media):
    """At widths of phones and screens, and on A4 (688 pixels between its margins): no table or page is wider than the page."""
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media})
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False})
    WebDriverWait(browser, 5).until(lambda browser: browser.execute_script("return document.documentElement.scrollWidth") <= width)
    assert too_wide(browser) == []
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_the_first_screen_has_the_answer(browser):
    """At 1440 x 900: claim, scatter, a line for each source and the facts end above the fold."""
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 1440, "height": 900, "deviceScaleFactor": 1, "mobile": False})
    bottom = browser.execute_script("return document.querySelector('.first').getBoundingClientRect().bottom + window.scrollY")
    assert bottom < 900 and len(browser.find_elements("css selector", ".first li")) == 5
    assert browser.find_element("css selector", ".first figure img").size["height"] > 400
    assert browser.find_elements("css selector", "main .first dl dd") and not browser.find_elements("css selector", "th:not([scope])")
