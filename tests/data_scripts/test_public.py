"""Every public dataset's script from a web server to packed faces, on small files."""

from facelab.data.shards import Shards


def test_fresh(bench):
    """From the web or a folder to faces that can be opened; a second time nothing is asked."""
    status, out, err = bench.run()
    assert (status, out) == (0, str(bench.target)), err
    for word in ("licence", "terms", bench.real.title):
        assert word in err
    faces = Shards(bench.target)
    mini = bench.mini
    assert (len(faces), faces.people, faces.size) == (mini.pictures, mini.people, 16)
    assert faces.column("label.split").tolist() == list(mini.splits)
    assert not bench.sources.exists()
    asked = len(bench.server.paths)
    assert asked == len(bench.real.files)
    assert bench.run()[:2] == (0, str(bench.target))
    assert len(bench.server.paths) == asked
    assert bench.run("--verify")[:2] == (0, str(bench.target))
