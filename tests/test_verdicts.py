"""Reading a record that may lack parts."""

from facelab.verdicts import at


def test_what_stands_below_names():
    record = {"a": {"b": {"c": 3}, "none": None}}
    assert at(record, "a", "b", "c") == 3
    assert at(record) is record
    for names in (("x",), ("a", "x", "c"), ("a", "none", "c"), ("a", "b", "c", "d")):
        assert at(record, *names) is None
    assert at(None, "a") is None
