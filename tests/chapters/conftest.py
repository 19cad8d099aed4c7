"""Every chapter of book.toml, one test after the other: a new chapter is picked up by itself."""

from pathlib import Path

import pytest

from facelab.book import manifest
from facelab.book.manifest import Chapter, Manifest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def book() -> Manifest:
    return manifest.load(ROOT / "book.toml")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that takes `chapter` all of them."""
    if "chapter" in metafunc.fixturenames:
        chapters: tuple[Chapter, ...] = manifest.load(ROOT / "book.toml").chapters
        metafunc.parametrize("chapter", chapters, ids=[each.slug for each in chapters])
