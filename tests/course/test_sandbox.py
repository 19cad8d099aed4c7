"""What a process in each sandbox can do, without notebooks: they are in test_running.py."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from facelab.book.processes import kill_with_all_below
from facelab.course import landlock, sandbox
from facelab.course.limits import Limits, Watch
from facelab.course.sandbox import PACKAGE, Isolation
from facelab.errors import BookError

ATTEMPTS = """
import errno, json, os, sys
def attempt(what):
    try:
        return what()
    except OSError as error:
        return errno.errorcode.get(error.errno, "OSError")
print(json.dumps({name: attempt(what) for name, what in WHAT.items()}))
"""
REFUSED = {"EACCES", "EROFS", "ENOENT", "EPERM"}


@pytest.fixture(params=[*Isolation])
def isolation(request):
    """Each isolation that works on this machine."""
    if why := sandbox.trouble(request.param):
        pytest.skip(f"{request.param}: {why}")
    return request.param


@pytest.fixture
def workspace():
    folder = Path(tempfile.mkdtemp(prefix="facelab-test-"))
    yield folder
    sandbox.remove(folder)
    assert not folder.exists()


@pytest.fixture
def attempts(isolation, workspace):
    """Return a function that tries expressions in a sandbox: each one's value, or its error."""

    def attempts(**expressions: str) -> dict:
        what = ", ".join(f"{name!r}: lambda: {text}" for name, text in expressions.items())
        program = ATTEMPTS.replace("WHAT", f"{{{what}}}")
        command = [sys.executable, "-c", program]
        process = sandbox.start(command, workspace, isolation, Limits(), stderr=subprocess.PIPE)
        out, told = process.communicate(timeout=60)
        assert process.returncode == 0, told.decode()
        return json.loads(out)

    return attempts


def test_a_workspace_is_all_that_can_be_written_to(attempts, workspace, tmp_path):
    secret = tmp_path / "precious.txt"
    secret.write_text("precious")
    before = secret.stat()
    found = attempts(
        own="open('own.txt', 'w').write('mine')",
        home="open(os.path.expanduser('~/a'), 'w').write('1')",
        temporary="__import__('tempfile').TemporaryFile().write(b'12')",
        beside=f"open({str(tmp_path / 'new.txt')!r}, 'w').write('1')",
        over=f"open({str(secret)!r}, 'w').write('1')",
        removed=f"os.remove({str(secret)!r})",
        renamed=f"os.rename({str(secret)!r}, 'taken')",
        linked=f"os.link({str(secret)!r}, 'linked')",
        mode=f"os.chmod({str(secret)!r}, 0)",
        package=f"open({str(PACKAGE / 'evil.py')!r}, 'w').write('1')",
        root="open('/evil-of-a-test', 'w').write('1')",
    )
    allowed = {name: found.pop(name) for name in ("own", "home", "temporary")}
    assert allowed == {"own": 4, "home": 1, "temporary": 2}
    assert (workspace / "own.txt").read_text() == "mine"
    assert set(found.values()) <= REFUSED | {"EXDEV"}
    after = secret.stat()
    assert secret.read_text() == "precious"
    assert (after.st_mode, after.st_nlink) == (before.st_mode, before.st_nlink)
    assert os.listdir(tmp_path) == ["precious.txt"]


def test_only_python_the_package_records_and_the_cache_can_be_read(attempts, tmp_path):
    hidden = tmp_path / "hidden.py"
    hidden.write_text("SECRET")
    (tmp_path / "link").symlink_to(hidden)
    found = attempts(
        hidden=f"open({str(hidden)!r}).read()",
        link=f"open({str(tmp_path / 'link')!r}).read()",
        own_link=f"os.symlink({str(hidden)!r}, 'l') or open('l').read()",
        folder=f"os.listdir({str(tmp_path)!r})",
        chapter=f"open({str(PACKAGE.parent / 'chapters' / '01_faces.py')!r}).read()",
        chapters=f"os.listdir({str(PACKAGE.parent / 'chapters')!r})",
        tests=f"open({__file__!r}).read()",
        book=f"open({str(PACKAGE.parent / 'book.toml')!r}).read()",
        users="open('/etc/passwd').read()",
        package="__import__('facelab.course.roster').__version__",
        record="len(os.listdir('records')) > 3",
        questions="[line for line in open('book.toml') if line.startswith('value')]",
    )
    assert found.pop("package") == "0.1.0"
    assert found.pop("record") is True
    assert set(found.pop("questions")) == {'value = "0"\n'}
    assert set(found.values()) <= REFUSED


def test_there_is_no_network(attempts, file_server):
    file_server.content = b"secret"
    port = file_server.server_port
    connect = f"__import__('socket').create_connection(('127.0.0.1', {port}), 3) and 'connected'"
    assert attempts(connect=connect)["connect"] in {"ECONNREFUSED", "EACCES", "ENETUNREACH"}
    assert file_server.asked == []


def test_our_variables_stay_ours(attempts, monkeypatch):
    monkeypatch.setenv("FACELAB_COURSE_KEY", "a secret")
    found = attempts(variables="list(os.environ)", key="'a secret' in str(os.environ)")
    assert not found["key"]
    assert "FACELAB_COURSE_KEY" not in found["variables"]
    assert "FACELAB_CACHE" in found["variables"]


@pytest.mark.parametrize("isolation", ["bubblewrap", "landlock"], indirect=True)
def test_other_processes_are_out_of_reach(attempts):
    pid = os.getpid()
    found = attempts(
        killed=f"os.kill({pid}, 0)",
        variables=f"open('/proc/{pid}/environ').read()",
        root=f"os.listdir('/proc/{pid}/root')",
    )
    assert set(found.values()) <= REFUSED | {"ESRCH"}


def test_the_cache_is_linked_and_its_locks_are_private(attempts, monkeypatch, tmp_path):
    kept = tmp_path / "cache" / "assets" / "picture" / "a.png"
    kept.parent.mkdir(parents=True)
    kept.write_text("picture")
    sums = tmp_path / "cache" / "assets" / "picture.sums.json"
    sums.write_text(json.dumps({str(kept): [7, kept.stat().st_mtime_ns, "the sum"]}))
    monkeypatch.setenv("FACELAB_CACHE", str(tmp_path / "cache"))
    cache = "__import__('facelab.assets.cache').assets.cache"
    path = f"{cache}.cache_dir() / 'assets' / 'picture' / 'a.png'"
    found = attempts(
        read=f"({path}).read_text()",
        sum=f"{cache}.Sums({cache}.cache_dir() / 'assets' / 'picture.sums.json').of({path})",
        lock=f"{cache}.lock({cache}.cache_dir() / 'assets' / 'picture').__enter__()",
        over=f"({path}).write_text('mine')",
    )
    assert found.pop("over") in REFUSED
    assert found == {"read": "picture", "sum": "the sum", "lock": None}
    assert kept.read_text() == "picture"
    assert not (tmp_path / "cache" / "assets" / "picture.lock").exists()


def test_what_is_to_be_hidden_must_not_lie_where_all_may_read(workspace):
    inside = Path(sys.prefix) / "lib"
    with pytest.raises(BookError, match=r"which every submission may read; move it elsewhere"):
        sandbox.start([], workspace, "guard", Limits(), hidden=[inside])


def test_nothing_is_left_when_the_command_ends(isolation, workspace):
    mark = f"left-{os.getpid()}-{isolation}"
    child = f"import time; time.sleep(300) # {mark}"
    program = f"""
import os, subprocess, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        subprocess.Popen([sys.executable, "-c", {child!r}]).wait()
    os._exit(0)
os.wait(); import time; time.sleep(0.5)
"""
    command = [sys.executable, "-c", program]
    with sandbox.start(command, workspace, isolation, Limits()) as process:
        assert process.wait(timeout=60) == 0
    assert _await(lambda: not _marked(mark))


def _marked(mark: str) -> list[psutil.Process]:
    return [each for each in psutil.process_iter(["cmdline"]) if mark in str(each.info["cmdline"])]


def _await(condition, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_everything_ends_with_whoever_started_it(isolation, workspace):
    mark = f"orphan-{os.getpid()}-{isolation}"
    program = f"""
import sys, time
from pathlib import Path
from facelab.course import sandbox
from facelab.course.limits import Limits
command = [sys.executable, "-c", "import time; time.sleep(300) # {mark}"]
for _ in range(6):
    sandbox.start(command, Path({str(workspace)!r}), {str(isolation)!r}, Limits())
time.sleep(300)
"""
    starter = subprocess.Popen([sys.executable, "-c", program])
    # The last ones have hardly started yet.
    assert _await(lambda: len(_marked(mark)) > 6, 30)
    starter.kill()
    starter.wait()
    assert _await(lambda: not _marked(mark))


def test_a_watched_process_is_ended_when_it_takes_too_much(isolation, workspace):
    program = "import time\nheld = bytearray(200_000_000)\ntime.sleep(300)"
    limits = Limits(memory_mb=100)
    command = [sys.executable, "-c", program]
    with sandbox.start(command, workspace, isolation, limits) as process:
        assert process.wait(timeout=30) != 0


def test_choosing():
    assert sandbox.choose("guard") is Isolation.GUARD
    best = next(each for each in Isolation if not sandbox.trouble(each))
    assert sandbox.choose("auto") is best
    with pytest.raises(BookError, match=r"expected one of auto, bubblewrap, landlock, guard, got"):
        sandbox.choose("docker")


def test_an_isolation_that_is_not_there_is_said_so(monkeypatch):
    sandbox.trouble.cache_clear()
    sandbox.choose.cache_clear()
    monkeypatch.setenv("PATH", "")
    try:
        with pytest.raises(BookError, match=r"bwrap isn't there\); install it \(`apt install"):
            sandbox.choose("bubblewrap")
        assert sandbox.choose("auto") != "bubblewrap"
    finally:
        sandbox.trouble.cache_clear()
        sandbox.choose.cache_clear()


def test_a_kernel_without_landlock_is_said_so(monkeypatch, tmp_path):
    monkeypatch.setattr(landlock, "version", lambda: 0)
    with pytest.raises(OSError, match="no Landlock"):
        landlock.confine(str(tmp_path), [])


def test_limits_are_above_nothing():
    with pytest.raises(BookError, match=r"the limit memory_mb is 0; give a number above 0"):
        Limits(memory_mb=0)


@pytest.fixture
def parent():
    """A process that at a line of its input starts one with an open file that has no name."""
    child = (
        "import tempfile, time\nf = tempfile.TemporaryFile(dir='.')\nf.write(bytes(3_000_000))"
        "\nf.flush(); print(flush=True); time.sleep(300)"
    )
    program = (
        "import subprocess, sys\nsys.stdin.readline()"
        f"\nsubprocess.run([sys.executable, '-c', {child!r}], cwd=sys.argv[1])"
    )

    def start(folder):
        command = [sys.executable, "-c", program, str(folder)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        started.append(subprocess.Popen(command, **pipes))
        return started[0]

    started = []
    yield start
    for process in started:
        kill_with_all_below(psutil.Process(process.pid))
        process.communicate()


def test_space_counts_nameless_files_and_not_what_links_lead_to(tmp_path, parent):
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "large").write_bytes(bytes(5_000_000))
    (work / "link").symlink_to(tmp_path / "large")
    (work / "twice").write_bytes(bytes(1_000_000))
    os.link(work / "twice", work / "again")
    with open(work / "sparse", "wb") as file:
        file.truncate(50_000_000)
    started = parent(work)
    process = psutil.Process(started.pid)
    assert Watch(process, work, Limits(disk_mb=1.5)).look() is None
    assert Watch(process, work, Limits(disk_mb=0.5)).look().outcome == "disk"
    if sys.platform == "linux":
        started.stdin.write(b"\n")
        started.stdin.flush()
        started.stdout.readline()
        excess = Watch(process, work, Limits(disk_mb=3.5)).look()
        assert (excess.outcome, excess.message) == (
            "disk",
            "more than 3.5 MB were written to the disk",
        )


def test_folders_without_end_are_found_and_removed(workspace):
    place = os.open(workspace, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=place)
        below = os.open("d", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = below
    os.close(place)
    assert Watch(psutil.Process(), workspace, Limits()).look().outcome == "disk"
