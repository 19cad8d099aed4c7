"""The design's promises about structure, read off the syntax trees."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "facelab"

# From the ground up: a module may import from its own layer and from those before it.
LAYERS = (
    {"errors", "phases", "types", "verdicts"},
    {"assets", "devices", "images", "layers", "losses", "progress", "structural_similarity"},
    {"data", "generators", "geometry", "recognition"},
    {"methods"},
    {"engine", "figures", "metrics", "widgets"},
    {"book", "comparison"},
    {"course"},
    {"cli", "doctor", "identity", "__main__"},
)
HEAVY = {"torchvision", "facenet_pytorch", "matplotlib", "IPython", "ipywidgets", "papermill"}


def _layer(module: str) -> int:
    for height, names in enumerate(LAYERS):
        if module in names:
            return height
    raise AssertionError(f"facelab.{module} has no layer; add it to LAYERS in {__file__}")


def _imports(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: import from facelab by its full name"
            if node.module == "facelab":
                yield from ((node.lineno, f"facelab.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module


def upward_imports(package: Path) -> list[str]:
    """Return `file:line: what` for each import that goes up the layers, or out to the data."""
    found = []
    for path in sorted(package.rglob("*.py")):
        own = path.relative_to(package).parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        for line, name in _imports(ast.parse(path.read_text())):
            parts = name.split(".")
            if parts[0] in {"data_scripts", "tests", "chapters", "benchmarks"}:
                found.append(f"{path.name}:{line}: {name}")
            if parts[0] != "facelab" or len(parts) < 2 or parts[1].startswith("__"):
                continue
            if _layer(parts[1]) > _layer(own):
                found.append(f"{path.name}:{line}: {own} may not import {name}")
    return found


def test_imports_only_go_down():
    assert upward_imports(PACKAGE) == []


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("images.py", "from facelab.recognition import align\n"),
        ("recognition/align.py", "def late():\n    import facelab.book.manifest\n"),
        ("types.py", "from facelab import images\n"),
        ("assets.py", "import data_scripts.photographs\n"),
    ],
)
def test_an_upward_import_is_found(tmp_path, module, text):
    path = tmp_path / module
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert len(upward_imports(tmp_path)) == 1


def test_import_facelab_is_light():
    """`import facelab` costs under 0.3 s beyond torch and brings no heavy package along."""
    program = (
        "import sys, time, torch; start = time.perf_counter(); import facelab;"
        "print(time.perf_counter() - start);"
        "print([n for n in sys.modules if n.split('.')[0] in {'torchvision', 'facenet_pytorch',"
        "'matplotlib', 'IPython', 'ipywidgets', 'papermill', 'jupyter_core', 'PIL'}])"
    )
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    seconds, heavy = out.stdout.splitlines()
    assert float(seconds) < 0.3
    assert heavy == "[]"


def test_heavy_packages_are_imported_where_they_are_used():
    """At a module's top they would cost every user of the module; `book` may have them."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0] == "book":
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                for line, name in _imports(node):
                    if name.split(".")[0] in HEAVY:
                        found.append(f"{path.name}:{line}: {name}")
    assert found == []


def test_files_keep_to_their_size():
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 450, path


def test_nothing_is_unpickled():
    """`torch.load` only ever reads weights, and pickle is not imported."""
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "data_scripts").rglob("*.py")]:
        tree = ast.parse(path.read_text())
        names = {name.split(".")[0] for _, name in _imports(tree)}
        assert not names & {"pickle", "dill", "cloudpickle", "joblib"}, path
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert keywords.get("weights_only") == "True", f"{path}:{node.lineno}"
