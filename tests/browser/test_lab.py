"""A student's session: a chapter in a real JupyterLab, which headless Chromium shows.

The chapter is a copy at its smoke parameters and without outputs: what is seen was computed here.
Server and browser are started once, and the tests look at the one page in their order.
"""

import ast
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from playwright.sync_api import expect

from facelab.book import manifest, pairing, parameters, plans
from facelab.book.processes import kill_with_all_below

pytestmark = [pytest.mark.browser, pytest.mark.chapters]

ROOT = Path(__file__).parents[2]
SLUG, PROFILE = "01_faces", "smoke"
# Whether the chapter keeps its budget is for tests/chapters to say.
START_S, RUN_S, STEP_S = 120, 180, 30

# Cells out of view stay in the page, and nobody is asked about news.
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "contentVisibility"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
OPTIONS = ("--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0")
FOLDERS = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "IPYTHONDIR": "ipython",
}

OUTPUT = ".jp-OutputArea-output"
# Of errors and of warnings.
RED = f'{OUTPUT}[data-mime-type="application/vnd.jupyter.stderr"]'
PROMPTS = ".jp-CodeCell .jp-InputPrompt"
# A folded cell shows no number at all.
OVER = f"""() => document.querySelector('{RED}')
  || [...document.querySelectorAll("{PROMPTS}")]
    .every(each => !/\\[[ *]\\]/.test(each.textContent))"""
PIXELS = """image => {
  if (!image.complete || !image.naturalWidth) return null;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas.toDataURL();
}"""


@pytest.fixture(scope="module")
def notebook():
    """The copy that is opened: the stored notebook at the smoke parameters, without outputs."""
    (chapter,) = manifest.load(ROOT / "book.toml").select([SLUG])
    values = parameters.resolve(chapter, PROFILE, {})
    copy = pairing.read_notebook(chapter)
    for cell in copy.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if "parameters" in pairing.tags(cell):
            cell.source += "".join(f"\n{name} = {value!r}" for name, value in values.items())
    return copy


def tagged(notebook, tag):
    """The places of the cells with a tag."""
    return [place for place, cell in enumerate(notebook.cells) if tag in pairing.tags(cell)]


def milliseconds(seconds):
    """The time that a step may take, for Playwright."""
    return 1000 * seconds * plans.budget_scale()


@pytest.fixture(scope="module")
def lab(notebook, tmp_path_factory):
    """What a JupyterLab says of itself whose folders are its own, with the copy in its root."""
    home = tmp_path_factory.mktemp("lab")
    (home / "chapters").mkdir()
    nbformat.write(notebook, home / "chapters" / f"{SLUG}.ipynb")
    for name, values in SETTINGS.items():
        path = home / FOLDERS["JUPYTERLAB_SETTINGS_DIR"] / f"@jupyterlab/{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    with serving(home) as server:
        yield server


@contextlib.contextmanager
def serving(home):
    """Start `jupyter lab` and yield what it says of itself; at the end kill it and its kernels."""
    folders = {name: str(home / folder) for name, folder in FOLDERS.items()}
    command = [Path(sys.executable).with_name("jupyter"), "lab", *OPTIONS]
    log = home / "log.txt"
    with log.open("wb") as output:
        server = psutil.Popen(
            [*command, f"--ServerApp.root_dir={home / 'chapters'}"],
            cwd=home,
            env=os.environ | folders,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield answering(server, home / FOLDERS["JUPYTER_RUNTIME_DIR"], log)
    finally:
        kill_with_all_below(server)
        server.wait()


def answering(server, folder, log):
    """Wait until the server takes connections, and return what it says of itself."""
    deadline = time.monotonic() + START_S * plans.budget_scale()
    while server.poll() is None and time.monotonic() < deadline:
        # The file is there, and then complete, before the port is open.
        with contextlib.suppress(OSError, ValueError):
            said = json.loads((folder / f"jpserver-{server.pid}.json").read_text())
            socket.create_connection(("127.0.0.1", said["port"]), timeout=1).close()
            return said
        time.sleep(0.1)
    pytest.fail(f"JupyterLab doesn't answer; the end of its log:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def asked():
    """The addresses that the page has asked for."""
    return []


@pytest.fixture(scope="module")
def opened(running_chromium, lab, asked):
    """The page with the chapter open and its kernel ready; it reaches the server and no other."""
    kernel = f"{pairing.KERNEL['display_name']} | Idle"
    with running_chromium.tab() as page:
        page.set_default_timeout(milliseconds(START_S))
        elsewhere = re.compile(rf"^(?!{re.escape(lab['url'])}|data:|blob:)")
        page.route(elsewhere, lambda route: route.abort())
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{lab['url']}lab/tree/{SLUG}.ipynb?token={lab['token']}")
        page.get_by_text(kernel).wait_for()
        page.set_default_timeout(milliseconds(STEP_S))
        yield page


@pytest.fixture(scope="module")
def executed(opened):
    """The page after "Run All Cells" of the menu, when all cells were run or one has failed."""
    opened.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
    opened.locator(".lm-Menu-itemLabel", has_text=re.compile("^Run All Cells$")).click()
    opened.wait_for_function(OVER, timeout=milliseconds(RUN_S))
    return opened


def shows(place, text):
    expect(place).to_have_text(text, timeout=milliseconds(STEP_S))


def test_a_chapter_runs_from_top_to_bottom(executed, notebook):
    assert executed.locator(RED).all_text_contents() == []
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    folded = [cell.metadata.get("jupyter", {}).get("source_hidden", False) for cell in code]
    assert executed.locator(PROMPTS).all_text_contents() == [
        "" if hidden else f"[{number}]:" for number, hidden in enumerate(folded, 1)
    ]
    said = "\n".join(executed.locator(f"{OUTPUT} pre").all_text_contents())
    stubs = re.findall(r"^○ .*: not answered yet\.$", said, re.MULTILINE)
    assert len(stubs) == len(tagged(notebook, "exercise")) > 0
    assert said.count("✓") == len(tagged(notebook, "solution")) > 0


def drawn(image, before=None):
    """The pixels of a picture, as soon as they are others than `before`."""
    deadline = time.monotonic() + STEP_S * plans.budget_scale()
    while time.monotonic() < deadline:
        pixels = image.evaluate(PIXELS)
        if pixels not in (None, before):
            return pixels
        image.page.wait_for_timeout(100)
    pytest.fail("the picture stays as it was")


def test_a_slider_changes_its_picture(executed):
    widget = executed.locator(OUTPUT, has=executed.locator("img.facelab-walk"))
    image, readout = widget.locator("img"), widget.locator(".widget-readout")
    middle = drawn(image)
    widget.get_by_role("slider").press("ArrowRight")
    shows(readout, "0.52")
    beside = drawn(image, middle)
    widget.get_by_role("slider").press("ArrowLeft")
    shows(readout, "0.50")
    assert drawn(image, beside) == middle


def answer(page, place, line):
    """Type `line` over the `return` of the cell at a place and run it; return its output."""
    cell = page.locator(".jp-Cell").nth(place)
    cell.locator(".cm-line", has_text=re.compile(r"^\s+return ")).click()
    for key in ("End", "Shift+Home"):
        page.keyboard.press(key)
    page.keyboard.type(line)
    page.keyboard.press("Shift+Enter")
    return cell.locator(OUTPUT)


def test_an_exercise_says_what_is_wrong_and_then_passes(executed, notebook):
    stub, solution = (tagged(notebook, tag)[0] for tag in ("exercise", "solution"))
    wrong = answer(executed, stub, "return ((values + 1) * 255 / 2).to(torch.uint8)")
    told = "0 lies at 127.5 and became 127: the fraction was cut off, round it"
    shows(wrong, f"✗ 1.1 The way back: {told}")
    source = notebook.cells[solution].source
    right = ast.get_source_segment(source, ast.parse(source).body[0].body[-1])
    shows(answer(executed, stub, right), "✓ 1.1 The way back: passed (1 point).")


def test_nobody_else_is_asked_for_anything(executed, lab, asked):
    """Neither by the page nor, for news of JupyterLab, by its server."""
    requests = [address for address in asked if not address.startswith(("data:", "blob:"))]
    assert len(requests) > 0
    assert [address for address in requests if not address.startswith(lab["url"])] == []
    assert [address for address in requests if re.search("/lab/api/(news|update)", address)] == []
