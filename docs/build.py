"""Makes the documentation: notebooks with their output, and the API.

    pip install -e '.[docs]' && python -m docs.build --out=DIR

Writes DIR/api from docstrings, executes the notebooks in docs/notebooks, in
their order, and writes a page for each, and DIR/index.html. Pages ask nobody
for anything; a notebook that fails ends it.
"""

from absl import flags

from weightspace import launch

_OUT = flags.DEFINE_string("out", None, "Folder to write; made if missing.")

NOTEBOOKS = (
    "look_at_a_zoo",
    "your_own_network",
    "your_own_task",
    "your_own_encoder",
)
# Launchers define flags when they are imported, many of the same name
MODULES = ("weightspace", "zoo_gen.shards", "zoo_gen.trainer")


def main() -> None:
  """Launches all of it."""
  import os
  import pathlib
  import tempfile

  from docs import pages, percent, reference

  out = pathlib.Path(_OUT.value)
  out.mkdir(parents=True, exist_ok=True)
  # Before the notebooks, which add plug-ins that are theirs alone
  reference.write(out / "api", MODULES)
  print(out / "api")
  listed = []
  with tempfile.TemporaryDirectory() as folder:
    os.environ["WEIGHTSPACE_NOTEBOOKS"] = folder
    for name in NOTEBOOKS:
      path = pages.HERE / "notebooks" / f"{name}.py"
      cells = percent.parse(path.read_text())
      body = pages.notebook(percent.run(cells, str(path)))
      title = pages.title(cells)
      (out / f"{name}.html").write_text(pages.page(title, body))
      listed.append((f"{name}.html", title, pages.summary(cells)))
      print(out / f"{name}.html")
  (out / "index.html").write_text(pages.index(listed))
  print(out / "index.html")


if __name__ == "__main__":
  launch.run(main, required=("out",))
