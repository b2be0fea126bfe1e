"""The report page in a real browser: no message on the console, charts drawn, filters, sorting, phone, print."""

from __future__ import annotations

import base64
import re
import shutil
import time
from dataclasses import replace

import pytest

import dovetail
from dovetail.advice.advice import Advice, Advised, Figures
from dovetail.components.estimate import estimate
from dovetail.hardware.reader import load_architecture
from dovetail.network.map_network import map_networks
from dovetail.report.page import report_page
from dovetail.report.sections import (
    Point,
    Staircase,
    bars_section,
    curves_section,
    stairs_section,
    table_section,
    text_section,
)
from dovetail.table import Table, headed
from dovetail.workload.densities import Hypergeometric
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import convolution
from network_search import quick_search
from test_report_page import ACCURACIES, _network

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="Debian's chromium and chromium-driver are absent")
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def _advised(cost):
    """Return advice with one change of the design and one liked width."""
    before, after = Figures(200.0, 3e6, 2.0), Figures(100.0, 3e6, 3.0)
    name = cost.distinct[0].name
    stairs = ((16, 1.0), (14, 0.5))
    found = Advised("constraint", "PE", "lift 'split 1'", before, after, 0.5, True, (name,), "cycles")
    width = Advised("width", name, "14 instead of 16", before, after, 0.25, True, (name,), "stairs", stairs, (16, 14))
    return Advice(cost, (found,), (width,), 7, ("more",))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    designs = [(a, estimate(a)) for a in map(load_architecture, ("eyeriss_like", "simba_like"))]
    networks = [_network("small", 7, 16), _network("large", *range(8, 32, 2))]
    pairs = [(network, *design) for network in networks for design in designs]
    costs = map_networks(pairs, front=True, search=quick_search, workers=1)
    points = [Point("x", 50.0, {"energy_uJ": 1.0, "cycles": 2, "edp": 3.0})]
    bars = {"energy_uJ": [1, 2], "cycles": [1, 2], "edp": [1, None]}
    sections = [
        text_section("Words", ["A paragraph."]),
        table_section("Figures", Table(headed("name", "size"), (("b", 2.0), ("a", None)))),
        curves_section("Curves", {"one": points, "other": points}, tags={"one": ["g", "u"], "other": ["h", "v"]}),
        stairs_section("Stairs", [Staircase("g", [(8, 1.0, ""), (7, 0.5, "taken")], 8, [7])], x="channels", y="EDP"),
        curves_section("Several", {"a": points, "b": points}, tags={"a": ["s", "u"], "b": ["t", "u"]}, multiples=True),
        bars_section("Bars", ["i", "j"], {f"a series of number {i}": bars for i in range(6)}),
    ]
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(
        report_page(costs, accuracies=ACCURACIES, sections=sections, advice=[_advised(costs[0])]), encoding="utf-8"
    )
    return file


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}", "--window-size=1280,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, page):
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    _open(browser, page)
    yield browser
    assert browser.get_log("browser") == []


def _open(browser, file):
    """Go to a page and wait for the last line of its script: the driver may return while the page before it stands."""
    browser.get(file.as_uri())
    _await(
        browser, "[location.href.split('#')[0], document.documentElement.dataset.ready].join()", f"{file.as_uri()},yes"
    )


def _await(browser, script, wanted):
    found = None
    for _ in range(50):
        if (found := _run(browser, script)) == wanted:
            return True
        time.sleep(0.1)
    raise AssertionError(found)


def _run(browser, script):
    return browser.execute_script("return " + script)


def _click(browser, text, within="body"):
    buttons = "[...document.querySelector(arguments[0]).querySelectorAll('button')]"
    browser.execute_script(f"{buttons}.find(b => b.textContent === arguments[1]).click()", within, text)


def test_it_draws_every_chart_without_a_network(opened):
    assert _run(opened, "drawn.length") >= 8
    assert _run(opened, "drawn.every(d => d.node.querySelectorAll('svg path').length > 3)")
    assert _run(opened, "performance.getEntriesByType('resource').length") == 0
    for heading in ("Words", "Figures", "Curves", "Bars", "Accuracy against cost", "Where the numbers come from"):
        assert heading in _run(opened, "document.body.innerText")
    text = _run(opened, "[...document.querySelectorAll('section')].map(s => s.innerText).join()")
    assert not {"null", "undefined", "NaN", "[object"} & set(text.replace("[object", " [object ").split())


def test_the_button_saves_what_json_prints(opened):
    text = opened.execute_async_script("results().then(arguments[arguments.length - 1])")
    assert [each.name for each in dovetail.load(text)] == [
        f"{network} on {design}" for network in ("small", "large") for design in ("eyeriss_like", "simba_like")
    ]


def test_what_zeros_do_is_drawn_over_density(browser, tmp_path):
    design = load_architecture("sparse_tensor_core")
    half = convolution(C=4, M=4, P=2, Q=2, name="half")
    half = replace(half, densities=tuple(Hypergeometric(0.5) for _ in half.shape.tensors))
    more = replace(half, name="more", bounds=(*half.bounds[:1], 8, *half.bounds[2:]))
    network = Network("n", (Layer("half", half, 3), Layer("more", more, 1)))
    file = tmp_path / "sparse.html"
    file.write_text(report_page(map_networks([(network, design, estimate(design))], workers=1)), encoding="utf-8")
    _open(browser, file)
    charts = "drawn.filter(d => d.node.closest('#layer-zeros'))"
    assert _run(browser, f"{charts}.length") == 1
    assert _run(browser, f"{charts}[0].chart.getOption().series.map(s => s.name).join()") == (
        "as designed,with Weights in no format"
    )
    browser.execute_script("chooseLayer(1)")
    assert _run(browser, f"{charts}.length") == 1
    assert "What zeros do in more" in _run(browser, "document.querySelector('#layer-zeros').innerText")
    assert browser.get_log("browser") == []


def test_filters_take_designs_away(opened):
    chart = "drawn.find(d => d.node.closest('#curves')).chart.getOption().series.length"
    before = _run(opened, chart)
    _click(opened, "simba_like", "#curves")
    assert _run(opened, chart) == before - 2, "its line, and the front of fewer than three points"
    _click(opened, "simba_like", "#curves")
    assert _run(opened, chart) == before


def test_every_tag_filters(opened):
    chart = "drawn.find(d => d.node.closest('#section-2')).chart.getOption().series.map(s => s.name).join()"
    assert _run(opened, chart) == "one,other"
    _click(opened, "v", "#section-2")
    assert _run(opened, chart) == "one"
    _click(opened, "g", "#section-2")
    assert _run(opened, chart) == ""


def test_metrics_change_the_axis(opened):
    opened.execute_script(
        "const s = document.querySelector('#compare select'); s.value = 'cycles'; s.dispatchEvent(new Event('change'))"
    )
    assert _run(opened, "drawn.find(d => d.node.closest('#compare')).chart.getOption().yAxis[0].name").endswith(
        "cycles"
    )


def test_tables_sort_and_filter(opened):
    rows = "[...document.querySelectorAll('#summary tbody tr')]"
    cells = f"{rows}.map(r => Number(r.children[3].innerText.replaceAll(',', '')))"
    _click(opened, "cycles", "#summary")
    values = _run(opened, cells)
    assert values == sorted(values, reverse=True)
    _click(opened, "cycles", "#summary")
    assert _run(opened, cells) == sorted(values)
    assert _run(opened, "document.querySelectorAll('#summary th[aria-sort=ascending]').length") == 1
    opened.execute_script("choose(2)")
    rows = "document.querySelectorAll('#detail tbody tr').length"
    assert _run(opened, rows) == 12
    opened.execute_script(
        "const i = document.querySelector('#detail input'); i.value = 'l1'; i.dispatchEvent(new Event('input'))"
    )
    assert _run(opened, rows) == 5


def test_a_row_shows_its_network_and_a_layer_its_nest(opened):
    opened.execute_script("document.querySelectorAll('#summary tbody tr')[3].click()")
    assert _run(opened, "document.querySelector('#detail h2').innerText") == "large on simba_like"
    opened.execute_script("document.querySelectorAll('#detail tbody tr')[2].click()")
    nest = _run(opened, "document.querySelector('.nest').innerText")
    assert "Weights" in nest
    assert "Outputs[n][m][p][q] +=" in nest
    assert "How l12 runs" in _run(opened, "document.querySelector('#detail').innerText")
    assert _run(opened, "drawn.every(d => d.node.isConnected)")


def test_what_to_change_stands_above_the_figures_and_leads_to_them(opened):
    text = _run(opened, "document.querySelector('#detail').innerText")
    assert text.index("What to change") < text.index("What stands out") < text.index("Cycles and energy")
    row = "document.querySelector('#advice ~ div tbody tr').innerText"
    assert _run(opened, row).split("\t")[:4] == ["lift 'split 1'", "50 %", "−50 %", "0"]
    _click(opened, "staircase", "#detail")
    steps = "drawn.find(d => d.node.previousElementSibling?.previousElementSibling?.id === 'fig-stairs').chart"
    assert _run(opened, f"{steps}.getOption().series[2].data[0][0]") == 14


def test_the_best_changes_stand_at_the_top_and_lead_to_their_figures(opened):
    titles = _run(opened, "[...document.querySelectorAll('h2')].map(h => h.innerText)")
    assert titles.index("What to change") < titles.index("Accuracy against cost")
    assert "lift 'split 1': 50 % less EDP" in _run(opened, "document.querySelector('#changes').innerText")
    opened.execute_script("choose(2)")
    _click(opened, "cycles by layer", "#changes")
    assert _run(opened, "document.querySelector('#detail h2').innerText") == "small on eyeriss_like"
    assert abs(_run(opened, "document.getElementById('fig-layers').getBoundingClientRect().top")) < 40


#: Words of charts that lie on each other, or beyond their chart.
_UNREADABLE = """[...document.querySelectorAll('svg')].flatMap(svg => {
  const all = svg.getBoundingClientRect(), found = [];
  const words = [...svg.querySelectorAll('text')].filter(t => t.textContent.trim()).map(t => [t.textContent, t.getBoundingClientRect()]);
  words.forEach(([said, a], place) => {
    if (a.left < all.left - 2 || a.right > all.right + 2) found.push('cut: ' + said);
    for (const [other, b] of words.slice(place + 1)) {
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left), down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (across > 3 && down > 4) found.push(said + ' on ' + other);
    }
  });
  return found;
})"""  # noqa: E501


@pytest.mark.parametrize("width", [390, 820, 1440])
def test_no_word_of_a_chart_is_cut_or_lies_on_another(opened, width):
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 500}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    opened.refresh()
    assert _run(opened, "document.documentElement.scrollWidth") <= width
    assert _run(opened, _UNREADABLE) == []


def test_a_layer_is_in_the_address(opened):
    opened.execute_script("choose(2)")
    opened.execute_script("document.querySelectorAll('#layers ~ div tbody tr')[2].click()")
    chosen = _run(opened, "location.hash")
    assert "network=large" in chosen and "layer=l12" in chosen
    opened.execute_script("location.hash = '#network=small&on=simba_like'")
    assert _await(opened, "document.querySelector('#detail h2').innerText", "small on simba_like")
    opened.execute_script("location.hash = arguments[0]", chosen)
    assert _await(opened, "document.querySelector('#layer h3').innerText", "How l12 runs")
    opened.execute_script("history.replaceState(null, '', location.pathname)")


def test_cycles_and_energy_stand_side_by_side_and_ranges_are_half_open(opened):
    assert _run(opened, "document.querySelector('#fig-layers ~ .grid').children.length") == 2
    names = _run(opened, "drawn.map(d => (d.chart.getOption().xAxis || [{}])[0].name).join('|')")
    assert "cycles of all runs" in names and "J of all runs" in names
    assert re.search(r"\w in \[0:\d+\)", _run(opened, "document.querySelector('.nest').innerText"))


def test_paper_shows_what_a_screen_folds(opened):
    opened.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert _run(opened, "document.querySelectorAll('details:not([open])').length") == 0
    assert _run(opened, "drawn.every(d => d.chart.getWidth() === 660)")
    opened.execute_script("dispatchEvent(new Event('afterprint'))")
    assert _run(opened, "document.querySelectorAll('details:not([open])').length") > 0


def test_light_and_dark(opened):
    colour = "getComputedStyle(document.body).backgroundColor"
    opened.execute_script("document.getElementById('theme').click()")
    light = _run(opened, colour)
    opened.execute_script("document.getElementById('theme').click()")
    dark = _run(opened, colour)
    assert light == "rgb(255, 255, 255)"
    assert dark == "rgb(20, 23, 27)"
    assert _run(opened, "drawn[0].chart.getOption().textStyle.color") == "#e8ebef"


def test_it_fits_a_phone(opened):
    size = {"width": 390, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    opened.execute_script("dispatchEvent(new Event('resize'))")
    assert _run(opened, "document.documentElement.scrollWidth") <= 390
    time.sleep(0.3)
    hint = "[...document.querySelectorAll('#summary .hint')].map(h => h.hidden ? '' : h.innerText).join()"
    assert "more columns: scroll sideways" in _run(opened, hint)


def test_the_levels_of_a_loop_nest_stand_inside_each_other_on_a_phone(opened):
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    beyond = "[...document.querySelectorAll('.nest .level .level')].filter(each => each.getBoundingClientRect().right >"
    assert _run(opened, "document.querySelectorAll('.nest .level').length") > 5
    assert _run(opened, f"{beyond} each.parentElement.getBoundingClientRect().right).length") == 0


def test_ticks_that_differ_are_written_differently(opened):
    ticks = [9.4991, 9.4992, 44.79e6, 44.82e6, 2.5e-4, 3e-4, 0.1 + 0.2]
    shown = ["9.4991", "9.4992", "44.79M", "44.82M", "2.5e-4", "3e-4", "0.3"]
    assert (
        opened.execute_script("return arguments[0].map(axis('', { type: 'value' }).axisLabel.formatter)", ticks)
        == shown
    )


def test_it_prints(opened):
    pdf = base64.b64decode(opened.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 20_000


def test_csv_quotes_what_needs_it(opened):
    assert _run(opened, "csv(['a', 'b'], [['x,y', null], ['q\"r', 1.5]])") == 'a,b\n"x,y",\n"q""r",1.5\n'


def test_a_familys_front_tells_what_a_step_buys(browser, tmp_path):
    points = [
        {
            "design": f"d{i}",
            "choice": [i, 0],
            "area_mm2": 1.0 + i,
            "energy_uJ": 8.0 / (1 + i),
            "cycles": 100,
            "edp": 1.0,
        }
        for i in range(4)
    ]
    parameters = [{"name": "glb.depth", "labels": [1, 2, 4, 8]}, {"name": "PE.meshX", "labels": [12, 14]}]
    section = {"kind": "family", "title": "The front", "note": "", "axes": ["area_mm2", "energy_uJ"]}
    file = tmp_path / "front.html"
    file.write_text(
        report_page([], sections=[{**section, "parameters": parameters, "points": points}]), encoding="utf-8"
    )
    _open(browser, file)
    assert _run(browser, "drawn.every(d => d.node.querySelectorAll('svg path').length > 3)")
    browser.execute_script("drawn[0].chart.trigger('click', {seriesType: 'scatter', value: [2, 4, 1]})")
    text = _run(browser, "document.querySelector('#section-0-chosen').innerText")
    assert "glb.depth 1 → 2" in text and "energy, uJ: 8 → 4 (-50 %)" in text  # from the one with less area
    assert "glb.depth 2 → 4" in text and "area, mm^2: 2 → 3 (+50 %)" in text
    rows = _run(browser, "[...document.querySelectorAll('#section-0-worth tbody tr')].map(r => r.innerText)")
    assert rows[0].split("\t") == ["glb.depth", "1", "1", "the least", "+300 %", "the least", "the least"]
    assert rows[-1].split("\t")[2:4] == ["0", "not on the front"]
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    hint = "[...document.querySelectorAll('.hint')].some(h => !h.hidden && h.innerText.startsWith('more to the right'))"
    assert _await(browser, hint, True)
    assert browser.get_log("browser") == []
