"""book.toml, the book's only manifest: read, checked field by field, as frozen dataclasses.

Every error names the file, the line and the field, and says what to write. The papers are the
tables of claims.toml, which holds what each of them claims.
"""

import difflib
import functools
import keyword
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from facelab.book import closing, ranges
from facelab.book.ranges import AssignmentPlan
from facelab.book.toml_tables import Table, located, syntax_error
from facelab.errors import BookError, ManifestError

FILE = "book.toml"
SLUG = re.compile(r"index|\d\d_[a-z][a-z0-9_]*")
PAGE_SLUG = re.compile(r"[a-z][a-z0-9_]*")
# The launch buttons know no other host, and take what stands here as it is.
REPOSITORY = re.compile(r"(https://github\.com/[\w.-]+/[\w.-]+(?<!\.git))?")
CHAPTER_KEYS = (
    *("slug", "title", "paper", "module", "minutes"),
    *("parameters", "budget_s", "assets", "claims", "graded", "assignment", "question"),
)
Value = bool | int | float | str | list


@dataclass(frozen=True)
class Book:
    """What the book as a whole is called, by whom, and where its references are."""

    title: str
    subtitle: str
    authors: tuple[str, ...]
    copyright: str
    licence: str
    repository: str
    bibliography: Path


@dataclass(frozen=True)
class Profile:
    """A set of parameters for all chapters: its purpose and its budget for one chapter."""

    name: str
    purpose: str
    budget_s: float


@dataclass(frozen=True)
class Chapter:
    """One chapter: `source` is its script, `notebook` the pair of it with stored outputs.

    `parameters` and `budgets_s` are keyed by profile; `paper` is None for a foundation chapter. A
    `graded` chapter's exercises keep the rules of exercise_rules.py: assignments are made of it.
    """

    slug: str
    title: str
    paper: str | None
    module: str
    minutes: int
    parameters: Mapping[str, Mapping[str, Value]]
    assets: tuple[str, ...]
    claims: tuple[str, ...]
    budgets_s: Mapping[str, float]
    source: Path
    notebook: Path
    graded: bool = False
    assignment: AssignmentPlan = ranges.NOTHING

    def budget_s(self, profile: str) -> float:
        """Return the seconds that this chapter may take at `profile`."""
        return self.budgets_s[profile]


@dataclass(frozen=True)
class ClosingPage:
    """A page after the chapters: `source` is its Markdown, or `made_by` names its maker."""

    slug: str
    title: str
    source: Path | None
    made_by: str | None


@dataclass(frozen=True)
class Manifest:
    """The whole of book.toml; `path` is the file, `root` its folder."""

    path: Path
    book: Book
    profiles: Mapping[str, Profile]
    chapters: tuple[Chapter, ...]
    pages: tuple[ClosingPage, ...] = ()

    @property
    def root(self) -> Path:
        """The folder of book.toml: the clone's top."""
        return self.path.parent

    def profile(self, name: str) -> Profile:
        """Return the profile called `name`; raises `BookError` when book.toml has none."""
        return self.profiles[_known("profile", name, self.profiles)]

    def chapter(self, slug: str) -> Chapter:
        """Return the chapter `slug`; raises `BookError` when book.toml has none."""
        by_slug = {chapter.slug: chapter for chapter in self.chapters}
        return by_slug[_known("chapter", slug, by_slug)]

    def select(self, slugs: Iterable[str] | None = None) -> tuple[Chapter, ...]:
        """Return the named chapters in the book's order, or all of them."""
        wanted = {self.chapter(slug).slug for slug in slugs or ()}
        return tuple(each for each in self.chapters if not wanted or each.slug in wanted)


def _known(what: str, name: str, names: Iterable[str]) -> str:
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise BookError(f"no {what} {name!r} in book.toml; {hint}it has: {', '.join(names)}")


def find_root() -> Path:
    """Return the folder of the book: the nearest book.toml above the working folder.

    Outside a clone it is the clone that facelab was installed from. Raises `BookError` when neither
    has a book.toml.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if (folder / FILE).is_file():
            return folder
    raise BookError(f"no {FILE} in {here} or above it; run this inside a clone of the book")


@functools.cache
def claims() -> dict[str, dict[str, str]]:
    """Return what the papers claim, by id (`ganid.table1`): `paper` and `show`."""
    path = Path(__file__).with_name("claims.toml")
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    return {
        f"{paper}.{name}": claim for paper, table in tables.items() for name, claim in table.items()
    }


def papers() -> tuple[str, ...]:
    """Return the papers' keys, in the order of the ledger."""
    return tuple(dict.fromkeys(claim.partition(".")[0] for claim in claims()))


def load(path: Path | None = None) -> Manifest:
    """Return the manifest in `path`, or that of `find_root()`; raises `ManifestError`."""
    path = Path(path) if path is not None else find_root() / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ManifestError(f"{path}: expected UTF-8 text; save the file as UTF-8") from None
    except OSError as error:
        reason = f"can't be read: {error.strerror}"
        raise ManifestError(f"{path}: {reason}; give the path of a book.toml") from None
    return parse(text, path)


def parse(text: str, path: Path) -> Manifest:
    """Return the manifest that `text` holds; `path` says where it lies. Raises `ManifestError`."""
    path = path.resolve()
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise syntax_error(path.name, text, error) from None
    top = Table(data, "", path.name, located(text)).only("book", "profiles", "chapter", "page")
    book = _book(top.table("book"), path.parent)
    profiles = {table.key: _profile(table) for table in top.tables("profiles", "profile")}
    chapters: dict[str, Chapter] = {}
    for table in top.array("chapter"):
        chapter = _chapter(table, path.parent, profiles)
        _require_free(table, chapter.slug, chapters)
        chapters[chapter.slug] = chapter
    pages: dict[str, ClosingPage] = {}
    for table in top.array("page", default=[]):
        page = _page(table, path.parent)
        _require_free(table, page.slug, {**chapters, **pages})
        pages[page.slug] = page
    return Manifest(path, book, profiles, tuple(chapters.values()), tuple(pages.values()))


def _require_free(table: Table, slug: str, taken: Iterable[str]) -> None:
    if slug in taken:
        raise table.error("slug", f'"{slug}" is taken by an entry above; write another')


def _book(table: Table, root: Path) -> Book:
    table = table.renamed("book").only(*Book.__dataclass_fields__)
    return Book(
        title=table.text("title"),
        subtitle=table.text("subtitle", default=""),
        authors=table.texts("authors", '["..."]'),
        copyright=table.text("copyright", '"2026"'),
        licence=table.text("licence", '"Apache-2.0"'),
        repository=table.take(
            "repository",
            "https://github.com/OWNER/NAME or empty text",
            '""',
            _is_address,
            default="",
        ),
        bibliography=root / table.text("bibliography", '"chapters/references.bib"'),
    )


def _is_address(value: object) -> bool:
    return isinstance(value, str) and REPOSITORY.fullmatch(value) is not None


def _profile(table: Table) -> Profile:
    if not table.key.isidentifier():
        problem = "expected a name of letters and digits; write [profiles.quick]"
        raise table.error(table.key, problem)
    table = table.only("purpose", "budget_s")
    return Profile(table.key, table.text("purpose"), table.seconds("budget_s"))


def _chapter(table: Table, root: Path, profiles: Mapping[str, Profile]) -> Chapter:
    """Return the chapter of one [[chapter]] table; its folder is `root`/chapters."""
    if isinstance(table.data.get("slug"), str):
        table = table.renamed(f'chapter "{table.data["slug"]}"')
    table = table.only(*CHAPTER_KEYS)
    slug = table.take("slug", '"index" or NN_name in small letters', '"01_faces"', _is_slug)
    return Chapter(
        slug=slug,
        title=table.text("title"),
        paper=_paper(table),
        module=table.take("module", "a module's name", '"facelab.recognition"', _is_module),
        minutes=table.take("minutes", "a whole number of minutes", "60", _is_count),
        parameters=_parameters(table, profiles),
        assets=_assets(table),
        claims=_claims(table),
        budgets_s=_budgets(table, profiles),
        source=root / "chapters" / f"{slug}.py",
        notebook=root / "chapters" / f"{slug}.ipynb",
        graded=table.take("graded", "true or false", "true", _is_truth, default=False),
        assignment=ranges.read(table, claims()),
    )


def _page(table: Table, root: Path) -> ClosingPage:
    """Return the page of one [[page]] table: written, or made."""
    if isinstance(table.data.get("slug"), str):
        table = table.renamed(f'page "{table.data["slug"]}"')
    table = table.only(*ClosingPage.__dataclass_fields__)
    slug = table.take("slug", "a name in small letters", '"notation"', _is_page_slug)
    title, makers = table.text("title"), tuple(closing.MAKERS)
    place = f"chapters/{closing.FOLDER}/{slug}.md"
    if "source" in table.data and "made_by" in table.data:
        raise table.error("made_by", "the page has a source already; keep one of the two")
    if "made_by" in table.data:
        expected = f"one of {', '.join(makers)}"
        maker = table.take("made_by", expected, f'"{makers[0]}"', makers.__contains__)
        return ClosingPage(slug, title, None, maker)
    expected = f'the page\'s Markdown, "{place}", or made_by'
    source = table.take("source", expected, f'"{place}"', place.__eq__)
    return ClosingPage(slug, title, root / source, None)


def _is_page_slug(value: object) -> bool:
    return isinstance(value, str) and PAGE_SLUG.fullmatch(value) is not None


def _is_slug(value: object) -> bool:
    return isinstance(value, str) and SLUG.fullmatch(value) is not None


def _is_module(value: object) -> bool:
    return isinstance(value, str) and all(part.isidentifier() for part in value.split("."))


def _is_truth(value: object) -> bool:
    return isinstance(value, bool)


def _is_count(value: object) -> bool:
    return type(value) is int and value > 0


def _paper(table: Table) -> str | None:
    keys = papers()
    expected = f"one of {', '.join(keys)}"
    return table.take("paper", expected, f'"{keys[0]}"', keys.__contains__, default=None)


def _assets(table: Table) -> tuple[str, ...]:
    names = table.texts("assets", '["astronaut"]', default=())
    if names:
        from facelab.assets import ASSETS

        _each_known(table, "assets", names, ASSETS, "facelab assets list shows all")
    return names


def _claims(table: Table) -> tuple[str, ...]:
    ids = table.texts("claims", '["ganid.table1"]', default=())
    _each_known(table, "claims", ids, claims(), "facelab/book/claims.toml has all")
    return ids


def _each_known(
    table: Table, key: str, names: Iterable[str], known: Iterable[str], remedy: str
) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else remedy
            raise table.error(key, f"{name!r} is unknown; {hint}")


def _parameters(table: Table, profiles: Mapping[str, Profile]) -> dict[str, dict[str, Value]]:
    """Return the values of each profile's parameters, with a table for every profile."""
    found: dict[str, dict[str, Value]] = {name: {} for name in profiles}
    for values in _by_profile(table, "parameters", profiles):
        for name in values.data:
            if not name.isidentifier() or keyword.iskeyword(name):
                raise values.error(name, "expected a Python name; write for example faces = 64")
            expected = "true or false, a number, text or a list of these"
            found[values.key][name] = values.take(name, expected, "64", _is_value)
    return found


def _by_profile(table: Table, key: str, profiles: Mapping[str, Profile]) -> list[Table]:
    """Return the tables of [chapter.KEY], each of a declared profile."""
    outer = table.table(key, default={})
    for name in outer.data:
        if name not in profiles:
            known = ", ".join(profiles)
            raise outer.error(name, f"no such profile; write one of [profiles]: {known}")
    return [outer.table(name).renamed(f"{table.where}: {key}.{name}") for name in outer.data]


def _is_value(value: object) -> bool:
    if isinstance(value, list):
        return all(not isinstance(item, list) and _is_value(item) for item in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, bool | int | str)


def _budgets(table: Table, profiles: Mapping[str, Profile]) -> dict[str, float]:
    """Return the seconds of each profile: the chapter's own, else the profile's."""
    own = table.table("budget_s", default={}).renamed(f"{table.where}: budget_s")
    own = own.only(*profiles)
    return {name: own.seconds(name, profile.budget_s) for name, profile in profiles.items()}
