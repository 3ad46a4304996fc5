"""The page of a debugging report, in a real browser."""

from __future__ import annotations

import shutil

import pytest
from browser import Browser
from debug_folder import ALARM, WORDS, write_folder

from keras_listen.debugging.page import write_page

SOURCE = "const source = Bokeh.documents[0].roots()[0].renderers[0].data_source;"
DRAWN = f"{SOURCE} return source.get_length()"
#: Where a point is in the window, by its id.
PLACE = f"""
{SOURCE}
const view = Bokeh.index[Bokeh.documents[0].roots()[0].id];
const i = source.data.id.indexOf(arguments[0]);
const frame = view.frame;
const box = view.el.getBoundingClientRect();
return [box.left + frame.x_scale.compute(source.data.x_before[i]),
        box.top + frame.y_scale.compute(source.data.y_before[i])];
"""
#: Text of the tooltip, which Bokeh keeps in shadow trees.
TOOLTIP = """
const visit = (root) => {
  for (const element of root.querySelectorAll("*")) {
    if (element.matches(".bk-Tooltip") && element.getBoundingClientRect().width) {
      return element.shadowRoot.textContent;
    }
    const found = element.shadowRoot && visit(element.shadowRoot);
    if (found) return found;
  }
};
return visit(document);
"""
ARROW_RIGHT, ARROW_DOWN, ARROW_UP, ENTER, TAB, ESCAPE, END = (
    *("\ue014", "\ue015", "\ue013", "\ue007", "\ue004", "\ue00c", "\ue010"),
)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A folder of 60 points with its page, and its rows."""
    root = tmp_path_factory.mktemp("debug") / "report"
    rows = write_folder(root)
    return write_page(root), rows


@pytest.fixture
def page(chromium, report) -> Browser:
    """The browser with the page of `report` just opened; it must not complain."""
    chromium.open(report[0])
    yield chromium
    assert chromium.complaints() == []


def drawn(browser: Browser) -> int:
    return browser.run(DRAWN)


def column(browser: Browser, label: str, number: int) -> list[str]:
    script = """
    const rows = document.querySelectorAll(`[aria-label="${arguments[0]}"] tbody tr`);
    return [...rows].map(row => row.cells[arguments[1]].textContent);
    """
    return browser.run(script, label, number)


def open_all(browser: Browser) -> None:
    """Open every ticket, and whatever else can be opened, and wait for what is in it."""
    browser.run("document.querySelectorAll('details').forEach(details => { details.open = true })")
    browser.wait("return !document.querySelector('.ticket template')")


def choose(browser: Browser, list_: str, text: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(browser.find(list_)).select_by_visible_text(text)


def test_every_point_is_drawn(page, report):
    assert drawn(page) == len(report[1])
    assert page.find("#drawn").text == "60 of 60"
    names = page.run(f"{SOURCE} return source.data.id")
    assert names == [row["id"] for row in report[1]]
    places = page.run(f"{SOURCE} return Array.from(source.data.y_after)")
    assert places == pytest.approx([row["y_after"] for row in report[1]], abs=1e-4)


def test_the_map_is_painted(page):
    """Pixels of the canvas have the colours of the words."""
    script = """
    const view = Bokeh.index[Bokeh.documents[0].roots()[0].id];
    const canvas = view.canvas_view.primary.canvas;
    const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    const seen = new Set();
    for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 220)
      seen.add([data[i], data[i + 1], data[i + 2]].map(v => v >> 4).join());
    const points = JSON.parse(document.getElementById("data-points").textContent);
    const coarse = (color) => [1, 3, 5].map(at => parseInt(color[at], 16)).join();
    return points.colors.map(color => seen.has(coarse(color)));
    """
    assert page.run(script) == [True] * len(WORDS)


def test_the_pointer_is_told_word_speaker_and_prediction(page, report):
    row = report[1][5]
    page.point(*page.run(PLACE, row["id"]))
    text = page.wait(TOOLTIP)
    for value in (row["word"], row["speaker"], row["predicted"], "0.125", row["file"]):
        assert value in text


def test_filters_change_what_is_drawn_and_which_tickets_are_listed(page, report):
    def count(**values):
        return sum(all(row[k] == v for k, v in values.items()) for row in report[1])

    choose(page, "#filter-word", "go")
    assert drawn(page) == count(word="go") == 10
    assert set(page.run(f"{SOURCE} return source.data.word")) == {"go"}
    page.find("#filter-misclassified").click()
    assert drawn(page) == count(word="go", misclassified=1) == 2
    choose(page, "#filter-word", "all")
    assert drawn(page) == count(misclassified=1) == 12
    choose(page, "#filter-speaker", "1b4c9b89")
    assert drawn(page) == count(misclassified=1, speaker="1b4c9b89") == 3
    assert page.find("#drawn").text == "3 of 60"
    shown = page.run(
        "return [...document.querySelectorAll('.ticket')].filter(t => !t.hidden).length"
    )
    assert (shown, page.find("#ticket-count").text) == (3, "3")


def test_without_after_only_utterances_are_drawn(page):
    page.find("#show-after").click()
    script = (
        "return Bokeh.documents[0].roots()[0].renderers.filter(r => r.visible).map(r => r.name)"
    )
    assert page.run(script) == ["before", "rings"]


HEARD = """
const player = document.getElementById(`sound-${arguments[0]}`);
return player && player.played.length && Number.isFinite(player.duration) && !player.error
  ? [player.duration, decodeURI(player.src.split("/").at(-1))] : null;
"""


def test_a_click_plays_before_and_after_and_opens_the_ticket(page, report):
    row = report[1][5]
    page.point(*page.run(PLACE, row["id"]), click=True)
    assert page.wait(HEARD, "before") == [0.25, f"{row['id']}-before.wav"]
    # The second follows when the first has ended.
    assert page.wait(HEARD, "after") == [0.25, f"{row['id']}-after.wav"]
    opened = page.run(
        "return [...document.querySelectorAll('.ticket[open]')].map(t => t.dataset.id)"
    )
    assert opened == [row["id"]]
    told = page.find("#chosen").text
    assert f"{row['word']} by {row['speaker']}, heard as {row['predicted']}" in told
    assert "right from step 3" in told


def test_a_recording_is_played_rather_than_its_decoded_encoding(chromium, tmp_path):
    rows = write_folder(tmp_path, 12)
    row, sounds = rows[5], tmp_path / "sounds"
    shutil.copyfile(sounds / f"{row['id']}-before.wav", sounds / f"{row['id']}-recording.wav")
    chromium.open(write_page(tmp_path))
    chromium.point(*chromium.run(PLACE, row["id"]), click=True)
    assert chromium.wait(HEARD, "recording")[1] == f"{row['id']}-recording.wav"
    assert chromium.wait(HEARD, "after")[1] == f"{row['id']}-after.wav"
    assert chromium.run("return document.getElementById('sound-before').played.length") == 0
    assert chromium.complaints() == []


def test_a_point_without_ticket_is_told_and_opens_none(page, report):
    row = report[1][7]
    page.point(*page.run(PLACE, row["id"]), click=True)
    assert page.wait(HEARD, "before")
    assert row["file"] in page.find("#chosen").text
    assert page.run("return document.querySelectorAll('.ticket[open]').length") == 0


def test_tables_sort_by_their_heads(page):
    """Words by name, counts by number, in both directions; the head says which."""
    table = "most confused pairs"
    button = page.find(f"[aria-label='{table}'] th:nth-child(2) button")
    button.click()
    assert column(page, table, 1) == sorted(WORDS)
    head = page.find(f"[aria-label='{table}'] th:nth-child(2)")
    assert head.get_attribute("aria-sort") == "ascending"
    page.press(ENTER)
    assert column(page, table, 1) == sorted(WORDS, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    other = page.find(f"[aria-label='{table}'] th:nth-child(1) button")
    other.click()
    assert head.get_attribute("aria-sort") is None
    assert column(page, table, 0) == sorted(WORDS)


def test_numbers_sort_as_numbers(page):
    """9 stands before 10, and what has no number first."""
    page.run("""
      document.querySelectorAll('[aria-label="accuracy by word"] tbody tr').forEach((row, i) => {
        const value = [10, 9, "None", 100, 1, 2][i];
        row.cells[1].dataset.value = value; row.cells[1].textContent = value; })""")
    page.find("[aria-label='accuracy by word'] th:nth-child(2) button").click()
    assert column(page, "accuracy by word", 1) == ["None", "1", "2", "9", "10", "100"]


def focused(browser: Browser) -> str:
    return browser.run("return document.activeElement.parentNode.dataset.id")


def test_the_map_answers_keys(page, report):
    page.run("document.getElementById('map').focus()")
    page.press(ARROW_RIGHT, ARROW_RIGHT)
    assert report[1][1]["file"] in page.find("#chosen").text
    assert page.run("return document.getElementById('sound-before').played.length") == 0
    page.press(*[ARROW_RIGHT] * 4, ENTER)
    assert page.wait(HEARD, "before")[1] == f"{report[1][5]['id']}-before.wav"
    assert page.find(".ticket[open]").get_attribute("data-id") == report[1][5]["id"]
    width = "const r = Bokeh.documents[0].roots()[0].x_range; return r.end - r.start"
    whole = page.run(width)
    page.press("+")
    assert page.run(width) == pytest.approx(whole / 1.4)
    page.press("0")
    assert page.run(width) == pytest.approx(whole)


def test_tickets_are_walked_through_with_arrow_keys(page, report):
    ids = [row["id"] for row in report[1] if row["ticket"]]
    page.run("document.querySelector('.ticket summary').focus()")
    page.press(ARROW_DOWN, ARROW_DOWN, ARROW_UP)
    assert focused(page) == ids[1]
    page.press(END)
    assert focused(page) == ids[-1]
    page.press(ENTER)
    assert page.find(".ticket[open]").get_attribute("data-id") == ids[-1]
    page.press(ESCAPE)
    assert page.run("return document.activeElement.id") == "map"


def test_tab_reaches_the_map_and_then_the_tickets(page):
    page.run("document.getElementById('show-after').focus()")
    page.press(TAB)
    assert page.run("return document.activeElement.id") == "map"
    for _ in range(20):
        page.press(TAB)
        if page.run("return document.activeElement.tagName") == "SUMMARY":
            break
    assert page.run("return document.activeElement.parentNode.className") == "ticket"


def test_a_ticket_shows_and_plays_its_versions(page, report):
    row = report[1][0]
    page.find(".ticket summary").click()
    ticket = page.find(".ticket[open]")
    page.wait("return document.querySelector('.ticket .inside')")
    assert ALARM in ticket.text
    assert "mended by the reconstruction" in ticket.text
    assert f"{row['predicted']} 0 to 2, {row['word']} 3 to 20." in ticket.text
    assert "86 %" in ticket.text
    sizes = """return [...document.querySelectorAll('.ticket[open] .versions img')]
        .map(image => { image.loading = 'eager'; return image.naturalWidth; })"""
    page.wait(f"{sizes}.every(width => width === 90)")
    assert page.run(sizes) == [90] * 5
    page.run(
        "document.querySelectorAll('.ticket[open] audio').forEach(a => { a.preload = 'auto' })"
    )
    lengths = "return [...document.querySelectorAll('.ticket[open] audio')].map(a => a.duration)"
    page.wait(lengths.replace(".map(a => a.duration)", ".every(a => a.duration > 0)"))
    assert page.run(lengths) == [0.25] * 9  # five versions and four neighbours


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_told_from_its_ground(page, scheme):
    """Contrast of at least 4.5, as WCAG asks for, of everything that has a colour of its own."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.command("Emulation.setEmulatedMedia", features=features)
    open_all(page)
    script = """
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const light = (color) => {
      canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
      const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(v => (v / 255) ** 2.2);
      return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
    };
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.background = "Canvas";
    const ground = light(getComputedStyle(probe).backgroundColor);
    return ["body", "a", ".no", ".yes", ".badge.alarm", ".badge.mended"].map(selector => {
      const text = light(getComputedStyle(document.querySelector(selector)).color);
      return Math.max(text, ground) / Math.min(text, ground);
    });
    """
    try:
        contrasts = page.run(script)
    finally:
        page.command("Emulation.setEmulatedMedia", features=[])
    assert min(contrasts) > 4.5, contrasts
    assert max(contrasts) > 12


def test_on_a_phone_the_page_does_not_scroll_sideways(chromium, report):
    chromium.open(report[0], width=390, height=844)
    open_all(chromium)
    assert chromium.run("return [innerWidth, document.documentElement.scrollWidth]") == [390, 390]
    assert chromium.run("return document.getElementById('map').getBoundingClientRect().width") > 300
    assert chromium.complaints() == []


HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "\"'><b onmouseover=alert(1)>",
    "a#b?c%41 d&amp;",
    "{{7*7}}@{word}$x\u2028ü",
)


@pytest.fixture(scope="module", params=[False, True], ids=["files", "single file"])
def hostile(request, tmp_path_factory):
    """A page whose words, speakers, file names and ids are full of markup."""
    root = tmp_path_factory.mktemp("hostile") / "a # & <b> %41"
    rows = write_folder(root, 25, HOSTILE, [f"{word}'s voice" for word in HOSTILE[:4]])
    return write_page(root, single_file=request.param), rows


def test_labels_are_text_and_never_run(chromium, hostile):
    page, rows = hostile
    chromium.open(page)
    assert (
        chromium.run("return document.querySelectorAll('b[onmouseover], img[onerror]').length") == 0
    )
    assert chromium.run("return document.title") == "a # & <b> %41 · keras-listen"
    assert column(chromium, "accuracy by word", 0) == list(dict.fromkeys(r["word"] for r in rows))
    for row in rows[:5]:
        chromium.run("scrollTo(0, 0)")
        x, y = chromium.run(PLACE, row["id"])
        chromium.point(x, y)
        text = chromium.wait(TOOLTIP)
        for key in ("word", "speaker", "file"):
            assert row[key] in text
    assert chromium.complaints() == []


def test_files_with_hostile_names_are_found(chromium, hostile):
    page, rows = hostile
    chromium.open(page)
    chromium.run("document.getElementById('map').focus()")
    for row in rows[:5]:
        chromium.press(ARROW_RIGHT)
        told = chromium.run("return document.getElementById('chosen').textContent")
        assert f"{row['word']} by {row['speaker']}, heard as" in told
        chromium.run("document.getElementById('sound-before').play()")
        assert chromium.wait(HEARD, "before")[0] == 0.25
    open_all(chromium)
    chromium.run("document.querySelectorAll('img').forEach(i => { i.loading = 'eager' })")
    chromium.run("document.querySelectorAll('audio').forEach(a => { a.preload = 'auto' })")
    chromium.wait("return [...document.images].every(image => image.naturalWidth === 90)")
    chromium.wait("return [...document.querySelectorAll('audio')].every(a => a.duration === 0.25)")
    assert chromium.complaints() == []


def test_a_single_file_needs_nothing_beside_it(chromium, tmp_path):
    write_folder(tmp_path / "report", 10)
    page = write_page(tmp_path / "report", single_file=True)
    alone = page.rename(tmp_path / "alone.html")
    chromium.open(alone)
    chromium.run("document.getElementById('map').focus()")
    chromium.press(ARROW_RIGHT, ENTER)
    assert chromium.wait(HEARD, "after")[0] == 0.25
    open_all(chromium)
    chromium.run("document.querySelectorAll('img').forEach(i => { i.loading = 'eager' })")
    chromium.wait("return [...document.images].every(image => image.naturalWidth === 90)")
    assert chromium.complaints() == []


def test_11000_points_are_drawn(chromium, tmp_path):
    write_folder(tmp_path, 11_000, speech=False, tickets=20)
    chromium.open(write_page(tmp_path))
    assert drawn(chromium) == 11_000
    choose(chromium, "#filter-word", "go")
    assert drawn(chromium) == len(range(1, 11_000, len(WORDS)))
    assert chromium.complaints() == []


def test_the_policy_stops_what_slips_through(page):
    """A script that gets into the page all the same does not run."""
    page.run("""
      const script = document.createElement("script");
      script.textContent = "window.slipped = true";
      document.body.append(script);""")
    assert page.run("return window.slipped ?? null") is None
    assert any("Content Security Policy" in line for line in page.complaints())


def test_an_address_opens_a_ticket(chromium, report):
    """A click leaves the ticket's address; who opens that gets the same ticket."""
    page, rows = report
    chromium.open(page, fragment=f"ticket-{rows[10]['id']}")
    assert chromium.find(".ticket[open]").get_attribute("data-id") == rows[10]["id"]
    chromium.point(*chromium.run(PLACE, rows[5]["id"]), click=True)
    assert chromium.wait(HEARD, "before")
    assert chromium.run("return location.hash") == f"#ticket-{rows[5]['id']}"


@pytest.mark.parametrize("width", [1400, 390])
def test_a_ticket_far_down_is_brought_into_view(chromium, tmp_path, width):
    """Tickets out of sight are not laid out: where one is has to be found all the same."""
    rows = write_folder(tmp_path, 300, speech=False)
    last = [row["id"] for row in rows if row["ticket"]][-1]
    chromium.open(write_page(tmp_path), fragment=f"ticket-{last}", width=width)
    script = """
    const box = document.querySelector(`[data-id="${arguments[0]}"]`).getBoundingClientRect();
    return box.top > -1 && box.top < innerHeight - 100 && box.height > 200;
    """
    assert chromium.wait(script, last)
    choose(chromium, "#filter-word", rows[-5]["word"])
    shown = [r["id"] for r in rows if r["ticket"] and r["word"] == rows[-5]["word"]]
    seen = "return [...document.querySelectorAll('.ticket')].filter(t => t.offsetHeight)"
    assert chromium.run(f"{seen}.map(t => t.dataset.id)") == shown
    assert chromium.complaints() == []


def test_misclassified_points_have_rings(page, report):
    script = f"{SOURCE} const rings = Bokeh.documents[0].roots()[0].renderers[3];"
    script += "return rings.view.filter.indices.map(i => source.data.id[i])"
    assert page.run(script) == [row["id"] for row in report[1] if row["misclassified"]]
    choose(page, "#filter-word", "yes")
    wrong = [r["id"] for r in report[1] if r["misclassified"] and r["word"] == "yes"]
    assert page.run(script) == wrong


def test_a_report_with_nothing_wrong_one_speaker_and_no_places_works(chromium, tmp_path):
    """Too few points for t-SNE have no places: they are not seen, but keys still reach them."""
    rows = write_folder(tmp_path, 3, speakers=["one"], mistakes=False)
    table = (tmp_path / "points.csv").read_text(encoding="utf-8")
    for name in ("x_before", "y_before", "x_after", "y_after"):
        for row in rows:
            table = table.replace(f",{row[name]},", ",,").replace(f",{row[name]},", ",,")
    (tmp_path / "points.csv").write_text(table, encoding="utf-8")
    chromium.open(write_page(tmp_path))
    assert drawn(chromium) == 3
    assert chromium.run(f"{SOURCE} return [...source.data.x_before].every(Number.isNaN)")
    chromium.run("document.getElementById('map').focus()")
    chromium.press(ARROW_RIGHT, ENTER)
    assert chromium.wait(HEARD, "before")[1] == f"{rows[0]['id']}-before.wav"
    chromium.find("#filter-misclassified").click()
    assert drawn(chromium) == 0
    assert chromium.complaints() == []
