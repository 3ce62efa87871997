import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootc_orch.model.strict_json import MAX_DEPTH, canonical, check_names, loads
from orch_frame.errors import InvalidImageError, LimitError

LIMIT = 1000
# What is shorter tells more about the clock than about the reader.
CLOCK_SECONDS = 0.001
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=20,
)


def parse(data):
    return loads(data, what="the manifest", limit=LIMIT)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        pytest.param(b'{"layers": [], "layers": []}', "'layers' is there twice", id="M16-twice"),
        pytest.param(b'{"a": {"b": 1, "\\u0062": 2}}', "'b' is there twice", id="M16-escaped"),
        pytest.param(b"[" * 65 + b"]" * 65, "nested deeper than 64", id="M17-nested"),
        pytest.param(b'{"a":' * 70 + b"1" + b"}" * 70, "nested deeper", id="M17-objects"),
        pytest.param(b"NaN", "NaN is not a number", id="M18-nan"),
        pytest.param(b"-Infinity", "-Infinity is not a number", id="M18-infinity"),
        pytest.param(b"\xef\xbb\xbf{}", "byte order mark", id="M18-bom"),
        pytest.param('{"a": 1}'.encode("utf-16"), "not valid JSON", id="M18-utf-16"),
        pytest.param(b'"\xff"', "not valid JSON", id="M18-not-utf-8"),
        pytest.param(b"{} {}", "Extra data", id="M18-trailing-document"),
        pytest.param(b"{}\0", "Extra data", id="M18-trailing-nul"),
        pytest.param(b'"\\ud800"', "surrogate", id="M18-lone-surrogate"),
        pytest.param(b'{"\\uDFFF": 1}', "surrogate", id="M18-lone-surrogate-in-a-key"),
        pytest.param(b"9" * 401, "too large", id="M18-many-digits"),
        pytest.param(b"9223372036854775808", "too large", id="M11-2-to-the-63"),
        pytest.param(b"-99999999999999999999", "too large", id="negative-too-large"),
        pytest.param(b'"\n"', "not valid JSON", id="raw-newline-in-a-string"),
        pytest.param(b'"\\', "not valid JSON", id="cut-in-an-escape"),
        pytest.param(b"", "not valid JSON", id="empty"),
    ],
)
def test_what_two_readers_could_see_differently_is_refused(data, complaint):
    with pytest.raises(InvalidImageError, match=complaint):
        parse(data)


def test_a_document_beyond_the_limit_is_refused_unread():
    assert parse(b'"' + b"x" * (LIMIT - 2) + b'"') == "x" * (LIMIT - 2)
    with pytest.raises(LimitError, match=f"The manifest has {LIMIT + 1} bytes"):
        parse(b"[" * (LIMIT + 1))


def test_depth_is_counted_outside_strings_only():
    assert parse(b'"' + b"[" * 100 + b'"') == "[" * 100
    assert parse(b'["\\"[[[[", "' + b"{" * 100 + b'"]') == ['"[[[[', "{" * 100]
    value = parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert isinstance(value, list)


def test_a_surrogate_pair_is_text():
    assert parse(b'"\\ud83d\\udc33"') == "🐳"


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(lambda size: b"[" * size, id="M17-brackets"),
        pytest.param(lambda size: b'"\\"' * (size // 3), id="strings-that-do-not-end"),
        pytest.param(lambda size: b'{"a":"' + b"\\" * size, id="backslashes"),
    ],
)
def test_hostile_documents_are_refused_in_linear_time(hostile):
    def seconds(size):
        data = hostile(size)
        tries = []
        for _ in range(3):
            # Of this process alone, and the best of three: other load on the machine counts little.
            start = time.process_time()
            with pytest.raises(InvalidImageError):
                loads(data, what="the manifest", limit=2**23)
            tries.append(time.process_time() - start)
        return max(min(tries), CLOCK_SECONDS)

    # Eight times as much takes 8 times as long, and 64 times where time grows with the square.
    assert seconds(1_600_000) < 24 * seconds(200_000)


@given(VALUES)
def test_what_json_writes_is_read_back(value):
    assert loads(json.dumps(value).encode(), what="it", limit=10**6) == value


def test_a_field_in_another_case_is_refused():
    check_names({"layers": 1, "other": 2}, ("layers",), what="the manifest")
    with pytest.raises(InvalidImageError, match=r"'Layers' where the format has 'layers'"):
        check_names({"layers": 1, "Layers": 2}, ("layers",), what="the manifest")


def test_a_letter_that_go_folds_into_ascii_is_another_case():
    with pytest.raises(InvalidImageError, match="where the format has 'layers'"):
        check_names({"layer\u017f": 1}, ("layers",), what="the manifest")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param({"b": 1, "a": [True, None]}, '{"a":[true,null],"b":1}', id="keys-sorted"),
        pytest.param(
            {"\ufb33": 1, "\U0001f600": 2}, '{"\U0001f600":2,"\ufb33":1}', id="keys-by-utf-16-units"
        ),
        pytest.param("é/\x7f", '"é/\x7f"', id="nothing-escaped-needlessly"),
        pytest.param('"\\\b\t\n\f\r\0\x1f', r'"\"\\\b\t\n\f\r\u0000\u001f"', id="escapes"),
        pytest.param({"a": {}, "b": []}, '{"a":{},"b":[]}', id="empty"),
    ],
)
def test_the_canonical_form_is_that_of_rfc_8785(value, text):
    assert canonical(value) == text
