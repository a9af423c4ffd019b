"""The report in a real browser: drawn, quiet, alone on its network, and usable from a keyboard."""

from __future__ import annotations

from pathlib import Path

import pytest

from browser import Page
from report_pages import poisoned, poisoned_ids, poisoned_value
from sharpen.report import write_report
from sharpen.run import Run
from tiny_runs import rewritten

pytestmark = pytest.mark.browser

DRAWN = """[...document.querySelectorAll('svg')].filter((svg) => {
  const box = svg.getBoundingClientRect();
  return svg.checkVisibility() && !svg.parentElement.closest('svg') && !(box.width > 0 && box.height > 0);
}).length"""
MARKS = """[...document.querySelectorAll('.rounds-chart .mark > *, .standings .mark > *, .spark-dot, rect.share')]
  .filter((mark) => mark.checkVisibility()).map((mark) => mark.getBoundingClientRect())
  .filter((box) => box.width > 0 && box.height > 0).length"""
WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
FOCUS = "[...document.activeElement.parentElement.children].indexOf(document.activeElement)"


@pytest.fixture
def opened(page: Page, tiny_run: Run, tmp_path: Path) -> Page:
    path = write_report(tiny_run, tmp_path / "report.html")
    page.open(path.as_uri())
    return page


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False), (390, True)])
def test_the_report_is_drawn_without_error_or_request(
    page: Page, tiny_run: Run, tmp_path: Path, width: int, dark: bool
) -> None:
    path = write_report(tiny_run, tmp_path / "report.html")
    page.open(path.as_uri(), width=width, dark=dark)
    assert page.problems == []
    assert page.requests == [path.as_uri()]
    assert page.run(DRAWN) == 0
    assert page.run(MARKS) > 50
    assert page.run(WIDE) <= 0
    ink, paper = page.run("((style) => [style.color, style.backgroundColor])(getComputedStyle(document.body))")
    assert sum(_channels(paper)) < 150 if dark else sum(_channels(paper)) > 700
    assert abs(sum(_channels(ink)) - sum(_channels(paper))) > 450


def test_the_theme_can_be_turned_and_comes_back(opened: Page) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light = opened.run(paper)
    opened.run("document.getElementById('theme').focus()")
    for _ in range(2):
        opened.press_enter()
    assert opened.run(paper) != light
    opened.press_enter()
    assert opened.run(paper) == light


def test_changed_answers_are_paged_and_filtered_and_none_is_lost(opened: Page) -> None:
    total = opened.run("document.querySelectorAll('#change-list > li').length")
    assert total > 20
    seen = set()
    for _ in range(-(-total // 10)):
        shown = opened.run(
            "[...document.querySelectorAll('#change-list > li')].map((li, i) => li.hidden ? -1 : i).filter(i => i >= 0)"
        )
        assert len(shown) <= 10
        seen |= set(shown)
        opened.run("document.querySelector('.pager[data-for=change-list] button[data-step=\"1\"]').click()")
    assert seen == set(range(total))
    assert opened.run("document.querySelector('.pager[data-for=change-list] button[data-step=\"1\"]').disabled")
    status = "document.querySelector('.pager[data-for=change-list] [role=status]').textContent"
    assert opened.run(status).endswith(f"of {total}")
    choose = "((one) => { one.value = 'lost'; one.dispatchEvent(new Event('change')); })(document.querySelector('[name=kind]'))"
    opened.run(choose)
    lost = opened.run("document.querySelectorAll('#change-list > li.lost').length")
    assert opened.run(status) == (f"1 to {min(10, lost)} of {lost}" if lost else "none")


def test_samples_are_filtered_down_to_what_was_asked_for(opened: Page) -> None:
    choose = (
        "(([round, verdict]) => { for (const [name, value] of [['round', round], ['verdicts', verdict]]) {"
        "const one = document.querySelector(`[data-for=group-list] [name=${name}]`);"
        "one.value = value; one.dispatchEvent(new Event('change')); } })"
    )
    opened.run(f"{choose}(['1', 'wrong'])")
    shown = "[...document.querySelectorAll('#group-list > li:not([hidden])')]"
    assert opened.run(f"{shown}.length") > 0
    assert opened.run(f"{shown}.every((li) => li.dataset.round === '1')")
    inner = f"{shown}.flatMap((li) => [...li.querySelectorAll('.samples > li:not([hidden])')])"
    assert opened.run(f"{inner}.length") > 0
    assert opened.run(f"{inner}.every((li) => li.classList.contains('wrong'))")


def test_lists_are_walked_with_the_keyboard(opened: Page) -> None:
    opened.run("document.getElementById('change-list').focus()")
    opened.press("j")
    assert opened.run(FOCUS) == 0
    for _ in range(10):
        opened.press("j")
    assert opened.run(FOCUS) == 10
    assert not opened.run("document.activeElement.hidden")
    opened.press("k")
    assert opened.run(FOCUS) == 9
    opened.run("document.getElementById('change-list').focus()")
    opened.press("ArrowRight")
    status = "document.querySelector('.pager[data-for=change-list] [role=status]').textContent"
    assert opened.run(status).startswith("11 to 20")


def test_without_script_all_is_there(page: Page, tiny_run: Run, tmp_path: Path) -> None:
    path = write_report(tiny_run, tmp_path / "report.html")
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.open(path.as_uri(), settle=False)
    nodes = page.call("DOM.getDocument", depth=-1)
    assert nodes["root"]["children"]
    box = page.call("DOM.querySelectorAll", nodeId=nodes["root"]["nodeId"], selector="#change-list > li:not([hidden])")
    every = page.call("DOM.querySelectorAll", nodeId=nodes["root"]["nodeId"], selector="#change-list > li")
    assert len(box["nodeIds"]) == len(every["nodeIds"]) > 20


def test_hostile_text_runs_nothing_and_fetches_nothing(page: Page, tiny_run: Run, tmp_path: Path) -> None:
    ids = poisoned_ids(tiny_run.held_out)
    run = rewritten(
        tiny_run.folder,
        tmp_path / "poisoned",
        value=lambda kind, value: poisoned(dict(value), ids),
        item=lambda kind, item: poisoned_value(item, ids) if kind in ("prompts", "stage", "report", "result") else item,
    )
    path = write_report(run)
    page.open(path.as_uri())
    page.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    for name in ("change-list", "group-list"):
        page.run(f"document.getElementById('{name}').focus()")
        page.press("j")
    page.run("document.querySelectorAll('bdi, a, pre').forEach((one) => one.dispatchEvent(new Event('mouseover')))")
    assert page.run("window.pwned") is None
    assert page.problems == []
    assert page.requests == [path.as_uri()]
    assert (
        page.run("document.querySelectorAll('img, iframe, object, embed, form[action], base, main style, main script').length")
        == 0
    )
    assert page.run(DRAWN) == 0


def test_a_real_fault_in_a_page_is_noticed(page: Page, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text("<!DOCTYPE html><svg width=0></svg><script>fetch('https://evil.invalid/'); missing()</script>", "utf-8")
    page.open(bad.as_uri())
    assert any("missing" in problem for problem in page.problems)
    assert "https://evil.invalid/" in page.requests
    assert page.run(DRAWN) == 1


def _channels(colour: str) -> list[float]:
    return [float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
