"""In a real browser: codes can be explored, and nothing goes wrong."""

import base64
import contextlib
import shutil

import pytest

from tests.report import example
from weightspace.report import study_page

FAMILIES = example.FAMILIES
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
pytestmark = pytest.mark.skipif(
    _CHROMIUM is None, reason=f"no browser: none of {', '.join(_NAMES)}"
)


class Watched:
  """A page, the messages of its console, and its requests."""

  def __init__(self, page):
    self.page, self.errors, self.requests = page, [], []
    page.on("console", self._console)
    page.on("pageerror", lambda error: self.errors.append(str(error)))
    page.on("request", lambda request: self.requests.append(request.url))

  def _console(self, message):
    if message.type in ("error", "warning"):
      self.errors.append(message.text)

  def check(self):
    assert self.requests
    outside = [
        url
        for url in self.requests
        if not url.startswith(("file:", "data:"))
    ]
    assert not outside
    assert not self.errors


@pytest.fixture(scope="module")
def results():
  made = example.make(
      rows=12, seeds=1, encoders=("constant", "dws", "interactive")
  )
  return {"codes": made["codes"]}


@pytest.fixture(scope="module")
def written(results, tmp_path_factory):
  folder = tmp_path_factory.mktemp("explored")
  interrogations = example.interrogations(results)
  return study_page.write(results, folder, interrogations)


@pytest.fixture(scope="module")
def browser():
  from playwright import sync_api

  with sync_api.sync_playwright() as driver:
    # A browser of root's has no sandbox; it opens nothing but our page
    launched = driver.chromium.launch(
        executable_path=_CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
    )
    yield launched
    launched.close()


@contextlib.contextmanager
def _opened(browser, path, **settings):
  context = browser.new_context(
      viewport={"width": 1100, "height": 900}, **settings
  )
  try:
    watched = Watched(context.new_page())
    watched.page.goto(path.as_uri())
    yield watched
  finally:
    context.close()


@pytest.fixture
def watched(browser, written):
  with _opened(browser, written) as one:
    yield one
    one.check()


def _place(plot, points, row):
  """Where a row's point is, from the plot's upper left corner."""
  lows = [min(p[i] for p in points) for i in (0, 1)]
  highs = [max(p[i] for p in points) for i in (0, 1)]
  spread = max(high - low for low, high in zip(lows, highs))
  u, v = (
      (points[row][i] - (lows[i] + highs[i]) / 2) / spread + 0.5
      for i in (0, 1)
  )
  size = plot.evaluate("plot => plot.clientWidth")
  edge = 14
  return (
      edge + u * (size - 2 * edge) + 1,  # 1: the border
      edge + (1 - v) * (size - 2 * edge) + 1,
  )


def _plot(page, family, side="left"):
  name = family.replace("_", "-")
  return page.locator(f"#scatter-{name} .plot[data-side={side}]")


def _lonely(points):
  """The row of the point that is farthest from its nearest neighbour."""

  def apart(row):
    x, y = points[row]
    return min(
        (x - u) ** 2 + (y - v) ** 2
        for other, (u, v) in enumerate(points)
        if other != row
    )

  return max(range(8), key=apart)  # these have interrogations


def _hover(page, results, family):
  points = results["codes"][family]["pictures"]["interactive"]["pca"]
  row, plot = _lonely(points), _plot(page, family)
  x, y = _place(plot, points, row)
  plot.hover(position={"x": x, "y": y})
  return row, plot, (x, y)


@pytest.mark.parametrize("family", FAMILIES)
def test_pointing_at_a_network_tells_whose_it_is(watched, results, family):
  row, plot, _ = _hover(watched.page, results, family)
  tip = plot.locator(".tip")
  assert tip.is_visible()
  lines = tip.inner_text().splitlines()
  rows = results["codes"][family]["rows"]
  if family == "formal_language":
    assert lines[0].startswith("aⁿb")
  else:
    assert lines[0] == rows["describe"][row]
  share = f"{100 * rows['accuracy'][row]:.0f}\N{NO-BREAK SPACE}%"
  assert lines[1].endswith(f"accuracy {share}")
  assert lines[2] == f"step {rows['step'][row]:,}"
  assert lines[3] in ("training", "validation", "held out")
  assert _plot(watched.page, family, "right").locator(".ring").is_visible()
  watched.page.mouse.move(5, 5)
  assert not tip.is_visible()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_click_shows_the_interrogation(watched, results, family):
  _, plot, (x, y) = _hover(watched.page, results, family)
  plot.click(position={"x": x, "y": y})
  name = family.replace("_", "-")
  box = watched.page.locator(f"#scatter-{name} .interrogation")
  assert "interactive probing interrogated" in box.locator("h4").inner_text()
  canvas = box.locator("canvas")
  shades = canvas.evaluate(
      """canvas => new Set(canvas.getContext("2d").getImageData(
          0, 0, canvas.width, canvas.height).data).size"""
  )
  assert shades > 20
  aloud = canvas.get_attribute("aria-label")
  assert aloud.startswith("Step 1: ") and aloud.count("answered") in (22, 50)
  canvas.hover(position={"x": 120, "y": 30})
  assert box.locator(".reading").inner_text().startswith("Step ")


def test_the_description_has_the_answers(watched, results):
  interrogations = example.interrogations(results)["formal_language"]
  row, plot, (x, y) = _hover(watched.page, results, "formal_language")
  plot.click(position={"x": x, "y": y})
  box = watched.page.locator("#scatter-formal-language .interrogation")
  box.locator("select").select_option("1")
  answers = base64.b64decode(interrogations["answers"])
  shape = interrogations["shape"]
  start = ((row * shape["length"] + 2) * shape["parallel"] + 1) * 6
  third = answers[start : start + 6]
  best = interrogations["symbols"][third.index(max(third))]
  canvas = box.locator("canvas")
  description = canvas.get_attribute("aria-label").split("Step 3: ")
  assert f"answered {best} ({max(third) / 2.55:.0f} %)" in (
      description[1].split("Step 4")[0]
  )


def test_keys_do_what_pointing_does(watched, results):
  plot = _plot(watched.page, "tiled_mnist")
  plot.focus()
  watched.page.keyboard.press("Home")
  first = results["codes"]["tiled_mnist"]["rows"]["describe"][0]
  aloud = watched.page.locator("#scatter-tiled-mnist .aloud")
  assert first in aloud.inner_text()
  descriptions = set()
  for key in ("ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown"):
    watched.page.keyboard.press(key)
    descriptions.add(aloud.inner_text())
  assert len(descriptions) > 1
  watched.page.keyboard.press("Home")
  watched.page.keyboard.press("Enter")
  box = watched.page.locator("#scatter-tiled-mnist .interrogation")
  assert first in box.inner_text()
  watched.page.keyboard.press("Escape")
  assert not plot.locator(".tip").is_visible()
  watched.page.keyboard.press("End")  # its interrogation was not kept
  watched.page.keyboard.press("Space")
  assert "No interrogation" in box.inner_text()


def test_every_choice_can_be_drawn(watched):
  page = watched.page
  root = page.locator("#scatter-formal-language")
  picture = "canvas => canvas.toDataURL()"
  for name, count in (
      ("left", 3), ("right", 3), ("projection", 2), ("colour", 6),
  ):  # fmt: skip
    select = root.locator(f"select[name={name}]")
    values = select.locator("option").evaluate_all(
        "all => all.map(option => option.value)"
    )
    assert len(values) == count
    side = "right" if name == "right" else "left"
    canvas = _plot(page, "formal_language", side).locator("canvas")
    seen = set()
    for value in values:
      select.select_option(value)
      seen.add(canvas.evaluate(picture))
    assert len(seen) == count, name


def test_a_tap_does_what_a_click_does(browser, written, results):
  with _opened(browser, written, has_touch=True) as watched:
    watched.page.set_viewport_size({"width": 400, "height": 800})
    plot = _plot(watched.page, "tiled_mnist")
    points = results["codes"]["tiled_mnist"]["pictures"]["interactive"]["pca"]
    x, y = _place(plot, points, _lonely(points))
    plot.tap(position={"x": x, "y": y})
    assert plot.locator(".tip").is_visible()
    box = watched.page.locator("#scatter-tiled-mnist .interrogation")
    assert "interrogated" in box.inner_text()
    width = "document.documentElement.scrollWidth"
    assert watched.page.evaluate(width) <= 400
    watched.check()


def test_print_has_the_static_figures_instead(watched):
  page = watched.page
  figure = page.locator("#codes-pca-1-tiled-mnist")
  widget = page.locator("#scatter-tiled-mnist")
  assert widget.is_visible() and not figure.is_visible()
  page.emulate_media(media="print")
  assert figure.is_visible() and not widget.is_visible()


def test_without_scripts_the_static_figures_are_there(browser, written):
  with _opened(browser, written, java_script_enabled=False) as watched:
    assert watched.page.locator("#codes-pca-1-tiled-mnist").is_visible()
    assert not watched.page.locator("#scatter-tiled-mnist").is_visible()


@pytest.mark.parametrize(
    "planted",
    [
        "<script>console.error('planted')</script>",
        "<script>throw new Error('planted')</script>",
        "<img src='http://planted.invalid/x.png' alt=''>",
    ],
)
def test_what_goes_wrong_is_noticed(browser, written, tmp_path, planted):
  page_text = written.read_text(encoding="utf-8")
  path = tmp_path / "index.html"
  path.write_text(page_text.replace("</body>", planted + "</body>"), "utf-8")
  with (
      _opened(browser, path) as watched,
      pytest.raises(AssertionError, match="planted"),
  ):
    watched.check()
