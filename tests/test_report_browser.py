"""The report in a real browser: it fits, it is quiet, and its controls do what they say."""

import shutil

import pytest

from report_comparison import make_comparison
from report_fixtures import make_chain, make_layered, make_synth
from wisp.report import write_report

pytestmark = pytest.mark.browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-sync",
    "--disable-component-update",
]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium found: install the system's chromium package")
    with playwright.sync_playwright() as tools:
        started = tools.chromium.launch(executable_path=program, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    evaluation = make_chain(folder)
    return {
        "evaluation": write_report(evaluation),
        "training": write_report(folder / "gan"),
        "layered": write_report(make_layered(folder / "layered")),
        "detector": write_report(folder / "detector"),
        "data set": write_report(make_synth(folder / "procedural")),
        "comparison": write_report(make_comparison(folder / "comparison")),
    }


@pytest.fixture
def visit(browser):
    """Opens a report; whatever the page complains about or asks of a server fails the test."""
    pages, complaints = [], []

    def open_page(path, width=1280, scheme="light"):
        page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme=scheme, has_touch=width < 500
        )
        pages.append(page)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: (
                complaints.append(f"asked for {request.url}")
                if not request.url.startswith(("file:", "data:"))
                else None
            ),
        )
        page.goto(path.as_uri())
        return page

    yield open_page
    for page in pages:
        page.close()
    assert complaints == []


def luminance(colour):
    parts = [int(p) / 255 for p in colour.removeprefix("rgb(").removesuffix(")").split(", ")]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize(
    "kind", ["evaluation", "training", "layered", "detector", "data set", "comparison"]
)
def test_it_fits_and_every_picture_is_there(visit, reports, kind, width, scheme):
    page = visit(reports[kind], width, scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    broken = page.evaluate(
        "[...document.images].filter(i => !(i.complete && i.naturalWidth > 0)).map(i => i.alt)"
    )
    assert broken == []
    assert page.evaluate("document.images.length") > 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_schemes(visit, reports, scheme):
    page = visit(reports["evaluation"], scheme=scheme)
    ground = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (ground < 0.2) == (scheme == "dark")
    for selector in (".lead", ".fine", ".note", ".about", ".contents a", "figcaption", "td.bad"):
        ink = luminance(
            page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).color")
        )
        bright, dim = max(ink, ground), min(ink, ground)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5, selector


def clip(page):
    return page.evaluate("getComputedStyle(document.querySelector('.wipe .after')).clipPath")


def test_the_wipe_follows_the_pointer(visit, reports):
    page = visit(reports["data set"])
    wipe = page.locator(".wipe").first
    wipe.scroll_into_view_if_needed()
    box = wipe.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.3, steps=5)
    page.mouse.up()
    assert int(wipe.locator("input").input_value()) == pytest.approx(20, abs=2)
    at = float(clip(page).removesuffix("%)").rsplit(" ", 1)[1])
    assert at == pytest.approx(20, abs=2)
    edge = page.locator(".wipe .edge").first.bounding_box()
    assert edge["x"] == pytest.approx(box["x"] + box["width"] * 0.2, abs=box["width"] * 0.02)


@pytest.mark.parametrize("width", [1280, 390])
def test_before_and_after_lie_exactly_over_each_other(visit, reports, width):
    wipe = visit(reports["data set"], width=width).locator(".wipe").first
    wipe.scroll_into_view_if_needed()
    before, after = wipe.locator("img").first.bounding_box(), wipe.locator(".after").bounding_box()
    assert after == pytest.approx(before, abs=0.6)


def test_the_wipe_follows_a_finger(visit, reports):
    page = visit(reports["data set"], width=390)
    wipe = page.locator(".wipe").first
    wipe.scroll_into_view_if_needed()
    box = wipe.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] * 0.8, box["y"] + box["height"] * 0.3)
    assert int(wipe.locator("input").input_value()) == pytest.approx(80, abs=2)


def test_the_wipe_follows_the_keyboard_and_says_so(visit, reports):
    page = visit(reports["data set"])
    slider = page.locator(".wipe input").first
    slider.focus()
    before = clip(page)
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    assert slider.input_value() == "25"
    assert clip(page) != before
    assert slider.get_attribute("aria-valuetext") == "25 % before, 75 % after"
    assert "Wipe between before and after" in slider.get_attribute("aria-label")
    page.keyboard.press("Home")
    assert "0%" in clip(page)


def test_the_mask_is_shown_on_demand(visit, reports):
    page = visit(reports["data set"])
    mask, button = page.locator("img.mask").first, page.get_by_role("button", name="mask").first
    assert not mask.is_visible()
    button.click()
    assert mask.is_visible()
    assert button.get_attribute("aria-pressed") == "true"
    assert page.locator("img.mask:not([hidden])").count() == 1
    button.press("Enter")
    assert not mask.is_visible()


def test_saliency_is_toggled_one_by_one_and_all_at_once(visit, reports):
    page = visit(reports["evaluation"])
    total, shown = page.locator("img.over").count(), page.locator("img.over:not([hidden])")
    assert total == 7
    assert shown.count() == 0
    page.get_by_role("button", name="where it looked", exact=True).first.click()
    assert shown.count() == 1
    every = page.get_by_role("button", name="Show where it looked in all")
    every.click()
    assert shown.count() == total
    every.click()
    assert shown.count() == 0


def test_the_threshold_can_be_moved_and_put_back(visit, reports):
    page = visit(reports["evaluation"])
    slider, words = page.locator("#threshold"), page.locator(".explorer-words")
    cell = page.locator("[data-cell=pp] b")
    found = cell.text_content()
    ring = page.locator("[data-chart=roc] .working-point")
    place = ring.get_attribute("cx")
    slider.evaluate("e => { e.value = 0; e.dispatchEvent(new Event('input')); }")
    assert "misses 0" in words.text_content()
    assert page.locator("[data-cell=nn] b").text_content() == "0"
    assert ring.get_attribute("cx") != place
    page.get_by_role("button", name="Back to 0.47").click()
    assert cell.text_content() == found
    # What the script counts is what was written without it.
    assert f"finds {found} of" in words.text_content()
    assert float(ring.get_attribute("cx")) == pytest.approx(float(place), abs=0.1)


def test_groups_are_folded_and_sorted(visit, reports):
    page = visit(reports["evaluation"])
    rows = page.locator(".groups tbody tr")
    visible = page.locator(".groups tbody tr:not([hidden])")
    assert visible.count() == 12 < rows.count()
    page.get_by_role("button", name="Photos").click()
    photos = [int(t) for t in page.locator(".groups tbody td:nth-child(2)").all_text_contents()]
    assert photos == sorted(photos, reverse=True)
    page.get_by_role("button", name="Photos").click()
    assert page.locator(".groups [aria-sort=ascending]").count() == 1
    page.get_by_role("button", name="Show all").click()
    assert visible.count() == rows.count()


def test_the_samples_go_through_training(visit, reports):
    page = visit(reports["training"])
    assert page.locator(".film img:not([hidden])").get_attribute("data-step") == "2\u202f000"
    page.locator(".film-control input").focus()
    page.keyboard.press("Home")
    assert page.locator(".film img:not([hidden])").get_attribute("data-step") == "500"
    assert page.locator(".film-control output").text_content() == "500"


def test_the_contents_show_where_one_is(visit, reports):
    page = visit(reports["evaluation"])
    page.evaluate("document.documentElement.style.scrollBehavior = 'auto'")
    page.locator(".contents a[href='#curves']").click()
    page.wait_for_function("document.querySelector('.contents [aria-current]')?.hash === '#curves'")


def test_it_can_be_read_without_scripts(browser, reports):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(reports["evaluation"].as_uri())
    assert page.locator(".groups tbody tr").count() == 26
    assert page.locator(".groups tbody tr").last.is_visible()
    assert not page.locator(".explorer").is_visible()
    assert page.locator(".film img:not([hidden])").count() == 1
    context.close()


def test_it_prints(visit, reports, tmp_path):
    page = visit(reports["evaluation"])
    page.pdf(path=tmp_path / "report.pdf", format="A4", print_background=True)
    assert (tmp_path / "report.pdf").stat().st_size > 50_000


def test_layers_show_their_photos_and_the_note_leads_to_the_suspects(visit, reports):
    page = visit(reports["layered"])
    photos = page.locator("#layers img.over")
    assert photos.count() > 0
    assert not photos.last.is_visible()
    page.locator("#layers [data-toggle-all]").click()
    assert photos.first.is_visible()
    assert photos.last.is_visible()
    title = page.locator("#suspicious-title")
    expect = pytest.importorskip("playwright.sync_api").expect
    page.locator(".caveats").scroll_into_view_if_needed()
    expect(title).not_to_be_in_viewport()
    page.locator(".caveats a").click()
    expect(title).to_be_in_viewport()
