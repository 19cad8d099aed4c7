import pytest

from facelab.book import parameters
from facelab.errors import ParameterError

CELL = """\
# What may be set from outside.
faces = 64  # how many to draw
offset = -3
rate: float = 1  # a step
photo = ""  # a path; "#" is no comment
fast = False
sizes = [64, 150]
words = []
"""


@pytest.fixture
def known():
    return parameters.declared(CELL)


def test_a_cell_declares_names_defaults_types_and_help(known):
    assert list(known) == ["faces", "offset", "rate", "photo", "fast", "sizes", "words"]
    assert known["faces"] == parameters.Parameter("faces", 64, int, "how many to draw")
    assert known["photo"] == parameters.Parameter("photo", "", str, 'a path; "#" is no comment')
    assert (known["offset"].default, known["offset"].help) == (-3, "")
    assert (known["fast"].kind, known["sizes"].kind) == (bool, list)


def test_an_annotation_decides_the_type(known):
    assert known["rate"].kind is float
    assert repr(known["rate"].default) == "1.0"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("faces = many", "line 1 .* faces: expected .*, got many"),
        ("a = 1\nimport torch", "line 2 .* is not `name = literal`"),
        ("a, b = 1, 2", "line 1 .* is not `name = literal`"),
        ("a: int", "line 1 .* is not `name = literal`"),
        ("a = b = 1", "line 1 .* is not `name = literal`"),
        ("a = None", "a: expected .*, got None"),
        ("a = (1, 2)", r"a: expected .*, got \(1, 2\)"),
        ("a: Path = ''", "a: expected .*, got ''"),
        ("a: int = 'x'", "a: expected a whole number, got 'x'"),
        ("a = [1, 'x']", "a: expected a whole number, got 'x'"),
        ("a = 1\na = 2", "line 2 .* assigns 'a' a second time"),
        ("a = ", "line 1 of the parameters cell is not Python"),
    ],
)
def test_anything_but_a_literal_is_refused(source, message):
    with pytest.raises(ParameterError, match=message):
        parameters.declared(source)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("faces", "16", 16),
        ("faces", " +1_000 ", 1000),
        ("offset", "-7", -7),
        ("rate", "2", 2.0),
        ("rate", "1e-3", 0.001),
        ("photo", "my photo, 2.jpg", "my photo, 2.jpg"),
        ("photo", "12", "12"),
        ("fast", "True", True),
        ("fast", "no", False),
        ("sizes", "1,2, 3", [1, 2, 3]),
        ("sizes", "[1, 2]", [1, 2]),
        ("sizes", "", []),
        ("words", "a,b", ["a", "b"]),
    ],
)
def test_text_becomes_a_value_of_the_parameter_s_type(known, name, text, value):
    converted = parameters.convert(known[name], text)
    assert converted == value
    assert type(converted) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("faces", "many", r"^faces: expected a whole number, got 'many'; for example faces=64$"),
        ("faces", "1.5", "faces: expected a whole number, got '1.5'"),
        ("faces", "", "faces: expected a whole number, got ''"),
        ("rate", "nan", "rate: expected a number, got 'nan'"),
        ("rate", "fast", "rate: expected a number, got 'fast'"),
        ("fast", "2", "fast: expected true or false, got '2'; for example fast=false"),
        ("sizes", "1,x", "sizes: expected a whole number, got 'x'"),
        ("sizes", "[1, 2.5]", "sizes: expected a whole number, got 2.5"),
        ("sizes", "[1", "sizes: expected a list such as 1,2,3, got '.1'.*for example sizes=64,150"),
    ],
)
def test_text_of_another_type_is_refused(known, name, text, message):
    with pytest.raises(ParameterError, match=message):
        parameters.convert(known[name], text)


@pytest.mark.parametrize(
    ("name", "value"), [("faces", True), ("faces", 1.0), ("fast", 1), ("sizes", [True])]
)
def test_a_value_of_the_manifest_must_have_the_type(known, name, value):
    with pytest.raises(ParameterError, match=f"{name}: expected"):
        parameters.accept(known[name], value)


SCRIPT = '# %% tags=["parameters"]\nfaces = 64\nrate = 1.0\nphoto = ""\n'
SMOKE = "[chapter.parameters.smoke]\nfaces = 8\nrate = 2\n"


@pytest.fixture
def chapter(make_book):
    return make_book({"01_faces": SCRIPT}, {"01_faces": SMOKE}).load().chapter("01_faces")


def test_overrides_come_before_the_profile_and_defaults_are_left_to_the_cell(chapter):
    values = parameters.resolve(chapter, "smoke", {"faces": "9", "photo": "1"})
    assert values == {"faces": 9, "rate": 2.0, "photo": "1"}
    assert [type(value) for value in values.values()] == [int, float, str]
    assert parameters.resolve(chapter, "quick", {}) == {}


def test_an_unknown_parameter_is_answered_with_the_known_ones(chapter):
    with pytest.raises(ParameterError) as caught:
        parameters.resolve(chapter, "smoke", {"face": "9"})
    assert str(caught.value) == (
        "01_faces has no parameter 'face'; did you mean 'faces'? it declares: faces, rate, photo"
    )


def test_a_chapter_without_a_parameters_cell_has_none(make_book):
    chapter = make_book({"index": "# %%\nfaces = 1\n"}).load().chapter("index")
    assert parameters.resolve(chapter, "smoke", {}) == {}
    with pytest.raises(ParameterError, match="index has no parameter 'faces'; it declares: none"):
        parameters.resolve(chapter, "smoke", {"faces": "9"})
