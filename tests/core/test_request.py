"""The grammar in which backends are asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.request import AUTO, Term, parse


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("cuda", [Term("cuda")]),
        ("cuda:1", [Term("cuda", 1)]),
        ("cuda,opencl:0,cpu", [Term("cuda"), Term("opencl", 0), Term("cpu")]),
        ("cuda,auto", [Term("cuda"), Term("auto")]),
        (" CUDA , cpu ", [Term("cuda"), Term("cpu")]),
        ("my-backend_2", [Term("my-backend_2")]),
    ],
)
def test_terms(text, terms):
    assert list(parse(text).terms) == terms


@pytest.mark.parametrize(
    "text", ["", ",", "cuda,", "cuda:", "cuda:x", "cuda:-1", "auto:0", ":1", "cu da", "1cuda", "cuda:0:1"]
)
def test_what_is_not_of_the_grammar_is_refused_by_name(text):
    with pytest.raises(ValueError, match=r"is neither a backend \('cpu'\), a device \('cuda:1'\) nor 'auto'") as caught:
        parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("value", [0, b"cpu", ["cpu"], object])
def test_other_types_are_refused(value):
    with pytest.raises(TypeError, match="expected a name such as 'cpu'"):
        parse(value)


def test_one_text_gives_one_request():
    assert parse("cuda,cpu") is parse("cuda,cpu")
    assert parse("auto") is AUTO


names = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)


@given(st.lists(st.tuples(names, st.none() | st.integers(0, 9999)), min_size=1))
def test_every_list_of_terms_can_be_written_and_read_back(items):
    items = [(name, None if name == "auto" else device) for name, device in items]
    text = ",".join(name if device is None else f"{name}:{device}" for name, device in items)
    assert [(term.name, term.device) for term in parse(text).terms] == items


@given(st.text(max_size=20))
def test_any_text_parses_or_raises_value_error(text):
    try:
        request = parse(text)
    except ValueError:
        return
    assert request.terms
