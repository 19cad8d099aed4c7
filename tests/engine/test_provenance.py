"""Where a result comes from."""

import hashlib
import subprocess

from facelab.engine import provenance


def test_the_commit_and_whether_files_differ_from_it(with_git, tmp_path):
    assert provenance.commit(tmp_path) == {}
    (tmp_path / "a.txt").write_text("one")
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for arguments in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "First"]):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    clean = provenance.commit(tmp_path)
    assert (len(clean["sha"]), clean["dirty"]) == (40, False)
    (tmp_path / "a.txt").write_text("two")
    assert provenance.commit(tmp_path) == clean | {"dirty": True}


def test_sums_of_assets_come_from_the_table():
    assert provenance.asset_sums([]) == {}
    sums = provenance.asset_sums(["mtcnn"])
    assert len(sums["mtcnn"]) == 64


def test_every_file_of_a_folder_has_its_sum(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("a/b.txt", "c.txt", "record.json", ".lock"):
        (tmp_path / name).write_text(name)
    assert provenance.file_sums(tmp_path, leave_out=["record.json"]) == {
        name: hashlib.sha256(name.encode()).hexdigest() for name in ("a/b.txt", "c.txt")
    }


def test_the_machine_is_told_in_one_line():
    assert "cores" in provenance.machine()
    assert "\n" not in provenance.machine()
