import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "data_scripts/packages.py"


@pytest.fixture(scope="module")
def packages(data_script):
    return data_script("packages")


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A folder that pip takes as its only index, and a function that puts a wheel into it."""
    folder = tmp_path / "shop"
    folder.mkdir()
    for name, value in {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
        "PIP_EXTRA_INDEX_URL": "",
    }.items():
        monkeypatch.setenv(name, value)

    def add(name):
        path = folder / f"{name}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", f"name = {name!r}\n")
            info = f"{name}-1.0.dist-info"
            wheel.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
            )
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
        return path, f"{name}==1.0 \\\n    --hash=sha256:{sha256(path.read_bytes()).hexdigest()}"

    return add


def test_what_is_finished_is_never_fetched_again(packages, shop, tmp_path, capsys):
    (first, one), (second, two) = shop("flone"), shop("fltwo")
    lock, out = tmp_path / "lock", tmp_path / "wheels"
    lock.write_text(f"{one}\n    # via x\n{two}\n")
    content = second.read_bytes()
    second.unlink()  # the connection breaks after the first
    with pytest.raises(SystemExit, match="1"):
        packages.main(["--lock", str(lock), "-o", str(out)])
    printed = capsys.readouterr()
    assert "flone==1.0: downloaded" in printed.out
    assert "fltwo==1.0: ERROR" in printed.err
    first.unlink()  # were it asked for again, it would fail now
    second.write_bytes(content)
    packages.main(["--lock", str(lock), "-o", str(out)])
    printed = capsys.readouterr().out
    assert "flone==1.0: is here" in printed
    assert "fltwo==1.0: downloaded" in printed
    assert {path.name for path in out.glob("*.whl")} == {first.name, second.name}


def test_another_sha256_and_other_machines(packages, shop, tmp_path):
    path, requirement = shop("flone")
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(RuntimeError, match=r"flone==1\.0: ERROR"):
        packages.fetch(requirement, tmp_path / "wheels")
    assert not list((tmp_path / "wheels").glob("*.whl"))
    elsewhere = requirement.replace("==1.0", "==1.0 ; sys_platform == 'nowhere'")
    assert packages.fetch(elsewhere, tmp_path / "wheels") == "flone==1.0: not for this machine"


def test_the_lock_is_read_whole(packages):
    lock = (SCRIPT.parents[1] / "requirements.lock").read_text()
    found = packages.requirements(lock)
    assert sum(block.count("--hash") for block in found) == lock.count("--hash")
    assert all(block.split()[0].count("==") == 1 for block in found)
