"""What the page of a debugging report is made of, read off its text."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from debug_folder import WORDS, write_folder

from keras_listen.debugging import page as debugging
from keras_listen.debugging.map_figure import bokeh_script, point_table
from keras_listen.debugging.page import movement_tables, write_page
from keras_listen.debugging.ticket_page import read_ticket
from keras_listen.errors import RunError
from keras_listen.output.pages import data_block, link, number, percent, policy


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of 20 points without a page; copy it before changing anything in it."""
    root = tmp_path_factory.mktemp("debug") / "report"
    write_folder(root, 20)
    return root


@pytest.fixture
def report(folder, tmp_path):
    """A copy of `folder`, and of its name, too."""
    return shutil.copytree(folder, tmp_path / "report")


def contrast(color: str, ground: float) -> float:
    """Return a colour's contrast, as WCAG has it, to black (0) or white (1)."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [((part + 0.055) / 1.055) ** 2.4 for part in parts]  # the branch near 0 aside
    light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (max(light, ground) + 0.05) / (min(light, ground) + 0.05)


def text_of(page) -> str:
    """Return a page without Bokeh's library."""
    text = page.read_text(encoding="utf-8")
    assert text.count(bokeh_script()) == 1
    return text.replace(bokeh_script(), "")


#: An empty one, so that browsers look for none.
ICON = "data:,"


def test_equal_folders_have_equal_pages(report, folder):
    """Bokeh numbers its models anew in each figure; the page doesn't show it."""
    first = write_page(report).read_bytes()
    assert write_page(folder).read_bytes() == first


def test_the_page_links_to_nothing_that_is_not_there(report):
    text = text_of(write_page(report))
    links = set(re.findall(r'(?:src|href)="([^"#]+)"', text)) - {ICON}
    assert len(links) > 40
    assert [name for name in links if not (report / name).is_file()] == []
    assert not re.search(r"\w+://", text)


def test_a_single_file_has_everything_in_it(report):
    text = text_of(write_page(report, single_file=True))
    addresses = set(re.findall(r'(?:src|href)="([^"#]+)"', text)) - {ICON}
    assert {address.partition(",")[0] for address in addresses} == {
        *("points.csv", "data:image/png;base64", "data:audio/wav;base64"),
    }
    sounds = json.loads(re.search(r'id="data-sounds">(.*?)</script>', text)[1])
    assert list(sounds) == sorted(path.name for path in (report / "sounds").iterdir())
    assert all(value.startswith("data:audio/wav;base64,") for value in sounds.values())


def test_a_report_without_sounds_has_no_players(tmp_path):
    write_folder(tmp_path, 12, speech=False)
    text = text_of(write_page(tmp_path))
    assert "<audio" not in text
    points = json.loads(re.search(r'id="data-points">(.*?)</script>', text)[1])
    assert points["sounds"] == [[]] * 12


def test_without_misclassified_utterances_the_page_says_so(tmp_path):
    write_folder(tmp_path, 12, mistakes=False)
    assert "no utterance was misclassified" in text_of(write_page(tmp_path))


def test_tickets_that_nobody_asked_for_are_told_from_none(tmp_path):
    write_folder(tmp_path, 12, tickets=0)
    text = text_of(write_page(tmp_path))
    assert "none was asked for" in text
    assert "no utterance was misclassified" not in text


@pytest.mark.parametrize(("most", "shown"), [(6, True), (5, False)])
def test_a_large_confusion_matrix_is_only_drawn(report, monkeypatch, most, shown):
    monkeypatch.setattr(debugging, "MATRIX", most)
    text = text_of(write_page(report))
    assert ("Rows are spoken words" in text) is shown
    assert ("There are too many words for a table" in text) is not shown
    assert "confusion.png" in text


def test_words_that_nobody_said_have_a_column_and_no_row(report):
    results = json.loads((report / "results.json").read_text(encoding="utf-8"))
    results["confusion"][1] = [0] * len(WORDS)
    (report / "results.json").write_text(json.dumps(results), encoding="utf-8")
    text = text_of(write_page(report)).partition("Confusion matrix")[2].partition("Movement")[0]
    assert text.count("<span>go</span>") == 1
    assert 'class="name">go</th>' not in text
    assert text.count('class="cell right"') == len(WORDS) - 1


def test_the_page_says_what_it_is_about(report):
    about = "Testing utterances of the &lt;store&gt;, each maximized to its own word in 20 steps"
    assert f"{about} with the prior ae." in text_of(write_page(report))
    manifest = json.loads((report / "manifest.json").read_text(encoding="utf-8"))
    manifest["command"] |= {"split": "all", "words": ["a&b", "no"], "speakers": ["1", "2"]}
    (report / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    about = "All utterances of the &lt;store&gt; (a&amp;b, no) by 2 chosen speakers, each"
    assert about in text_of(write_page(report))


def test_notes_and_movement_are_on_the_page(report):
    text = text_of(write_page(report))
    assert "The counts rose to 3 commands &amp; 4 speakers &lt;until there were enough&gt;." in text
    assert "<h4>direction all</h4>\n<p><small>shares of variance</small></p>" in text
    assert re.search(r">same word</th>\s*<td>0\.75</td>", text)


def test_movement_numbers_become_tables():
    given = {
        "explanation": {"direction": "shares"},
        "distance": {"all": {"mean": 2.5, "largest": 4}, "wrong": None},
        "direction_all": {"explanation": "own words", "word": {"share": 0.5}},
        "direction_wrong": {},
        "cosine": {"all": 0.25, "same_word": None},
    }
    found = {section.name: section for section in movement_tables(given)}
    assert list(found) == ["distance", "direction all", "direction wrong", "cosine"]
    assert found["distance"].columns == ["", "mean", "largest"]
    assert found["distance"].rows == [("all", ["", 2.5, 4]), ("wrong", [None, "", ""])]
    assert [found[n].about for n in found] == ["", "own words", "shares", ""]
    assert found["direction wrong"].rows == []
    assert found["cosine"].rows == [("all", [0.25]), ("same word", [None])]


def test_a_map_of_principal_components_is_not_called_t_sne(report):
    results = json.loads((report / "results.json").read_text(encoding="utf-8"))
    results["map"] = {"perplexity": None, "trustworthiness": None}
    (report / "results.json").write_text(json.dumps(results), encoding="utf-8")
    text = text_of(write_page(report))
    assert "Two principal components, trustworthiness \N{EN DASH}." in text
    assert "t-SNE, perplexity" not in text


@pytest.mark.parametrize("name", ["points.csv", "results.json", "manifest.json"])
def test_a_missing_file_is_named(report, name):
    (report / name).unlink()
    with pytest.raises(RunError, match=f"cannot read .*{name}"):
        write_page(report)


def test_a_table_that_is_cut_short_is_refused(report):
    text = (report / "points.csv").read_text(encoding="utf-8")
    (report / "points.csv").write_text(text[:-30], encoding="utf-8")
    with pytest.raises(RunError, match=r"cut short or lacks columns: .*ticket"):
        write_page(report)


def test_the_most_confident_mistakes_come_first(report):
    sure = {"down-0a7c2a8d_nohash_0": 0.5, "yes-1b4c9b89_nohash_5": 0.9}
    for name, confidence in sure.items():
        path = report / "tickets" / name / "ticket.json"
        about = json.loads(path.read_text(encoding="utf-8")) | {"confidence": confidence}
        path.write_text(json.dumps(about), encoding="utf-8")
    text = text_of(write_page(report))
    names = re.findall(r'data-id="([^"]+)"', text)
    assert (names[0], names[-1]) == ("yes-1b4c9b89_nohash_5", "down-0a7c2a8d_nohash_0")
    assert len(names) == 4
    assert "(90 %) <small>speaker 1b4c9b89" in text


def test_a_word_without_examples_says_so(report):
    before = text_of(write_page(report)).count("<p>There is none in the split.</p>")
    path = report / "tickets" / "down-0a7c2a8d_nohash_0" / "ticket.json"
    about = json.loads(path.read_text(encoding="utf-8"))
    about["neighbours"]["predicted"] = []
    path.write_text(json.dumps(about), encoding="utf-8")
    text = text_of(write_page(report))
    assert text.count("<p>There is none in the split.</p>") == before + 1


def test_a_damaged_ticket_is_named(report):
    ticket = next((report / "tickets").iterdir()) / "ticket.json"
    about = json.loads(ticket.read_text(encoding="utf-8"))
    ticket.write_text(json.dumps(about | {"probability_path": [0.5]}), encoding="utf-8")
    with pytest.raises(RunError, match=rf"the ticket .*{re.escape(ticket.parent.name)} is damaged"):
        write_page(report)


def test_a_ticket_is_drawn_from_its_path(tmp_path):
    """Probabilities that rise evenly are a line from the lower left to the upper right."""
    about = {
        **{"id": "a", "file": "a.wav", "word": "no", "speaker": "s", "predicted": "up"},
        **{
            "confidence": 0.75,
            "mended": False,
            "steps": [0, 10, 20],
            "probability_path": [0.0, 0.5, 1.0],
        },
        "mistaken_path": [1.0, 0.25, 0.0],
        **{"predicted_path": ["up", "no", "no"], "first_step": 10},
        "change": {"share_low": 0.25, "share_speech": 0.75},
        "neighbours": {"true": [{"id": "b", "file": "b.wav", "distance": 2}], "predicted": []},
        "versions": ["original", "maximized"],
    }
    (tmp_path / "ticket.json").write_text(json.dumps(about), encoding="utf-8")
    found = {"original.png": "o", "maximized.wav": "m", "smallest.png": "not listed"}
    ticket = read_ticket(tmp_path, lambda name: found.get(name, ""), {"b-before.wav"})
    assert ticket.path == "0.0,80.0 150.0,40.0 300.0,0.0"
    assert ticket.mistaken == "0.0,0.0 150.0,60.0 300.0,80.0"
    assert ticket.first == 150
    assert ticket.heard == [(0, 0, "up"), (10, 20, "no")]
    assert [(v.name, v.picture, v.sound) for v in ticket.versions] == [
        ("original", "o", ""),
        ("maximized", "", "m"),
    ]
    assert ticket.shares == [("in the speech bands", 0.75), ("below them", 0.25)]
    assert ticket.neighbours["true"][0].sound == "b-before.wav"
    assert ticket.neighbours["predicted"] == []
    sounds = {"b-before.wav", "b-recording.wav"}
    recorded = read_ticket(tmp_path, lambda name: "", sounds)
    assert recorded.neighbours["true"][0].sound == "b-recording.wav"


def test_points_name_words_and_speakers_once(tmp_path):
    rows = [{key: str(value) for key, value in row.items()} for row in write_folder(tmp_path, 7)]
    rows[0] |= {"predicted": "elsewhere", "distance": "", "x_after": "nan"}
    table = point_table(rows, WORDS)
    assert table["words"] == [*WORDS, "elsewhere"]
    assert table["word"] == [0, 1, 2, 3, 4, 5, 0]
    assert table["predicted"][0] == len(WORDS)
    assert [table["speakers"][i] for i in table["speaker"]] == [row["speaker"] for row in rows]
    assert len(set(table["colors"])) == len(WORDS) + 1
    assert all(contrast(color, ground) > 2.9 for color in table["colors"] for ground in (0, 1))
    assert json.loads(data_block(table))["distance"][:2] == [None, 1.1]


def test_data_cannot_end_its_element():
    value = {"</script><!--": ["&amp;", "\u2028\u2029", float("nan"), 1.5, True]}
    text = str(data_block(value))
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"</script><!--": ["&amp;", "\u2028\u2029", None, 1.5, True]}


def test_addresses_are_encoded():
    assert link('a b/#1 %?"<ü>.wav') == "a%20b/%231%20%25%3F%22%3C%C3%BC%3E.wav"


def test_the_policy_names_scripts_by_their_checksums():
    """The checksum of alert('Hello, world.'); is the example of the standard, CSP level 2."""
    allowed = "script-src 'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"
    assert allowed in policy(["alert('Hello, world.');"])
    assert "script-src 'none'" in policy([])
    assert "unsafe-eval" not in policy([])


def test_numbers_are_short_and_none_is_a_dash():
    assert [number(value) for value in (12345, 0.123456, None, float("nan"), True)] == [
        *("12,345", "0.123", "\N{EN DASH}", "\N{EN DASH}", "yes"),
    ]
    assert (percent(0.1234), percent(0.86, 0), percent(None)) == ("12.3 %", "86 %", "\N{EN DASH}")
