"""Bodies: what is read, and hostile bodies refused quickly with little memory."""

import json
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cipo.kernel.errors import ApiError, BadRequest, TooLarge, UnsupportedMediaType
from cipo.kernel.wire.decode import MAX_BYTES, MAX_DEPTH, decode

YAML = "application/yaml"
MIB = 1024 * 1024


def test_json_and_yaml_are_read_by_media_type():
    assert decode(b'{"a": [1, {"b": "x:y,{\\"["}]}', "application/json; charset=utf-8") == {"a": [1, {"b": 'x:y,{"['}]}
    assert decode(b'{"a": 1}', "application/apply-patch+yaml") == {"a": 1}
    assert decode(b"{a: 1}", "application/apply-patch+yaml") == {"a": 1}
    assert decode(b"a: 1\n", YAML) == {"a": 1}
    with pytest.raises(UnsupportedMediaType, match="protobuf"):
        decode(b"", "application/vnd.kubernetes.protobuf")


def test_yaml_scalars_are_what_they_look_like():
    body = b"""
date: 2024-01-01
time: 12:30:00
norway: no
zeros: 007
int: -42
hex: 0x1F
float: 1.5e3
inf: .inf
yes: true
none:
tilde: ~
quoted: "42"
text: |
  two
  lines
"""
    assert decode(body, YAML) == {
        "date": "2024-01-01",
        "time": "12:30:00",
        "norway": "no",
        "zeros": "007",
        "int": -42,
        "hex": 31,
        "float": 1500.0,
        "inf": ".inf",
        "yes": True,
        "none": None,
        "tilde": None,
        "quoted": "42",
        "text": "two\nlines\n",
    }


def test_duplicate_keys_are_refused_with_their_paths():
    with pytest.raises(BadRequest, match=r'duplicate field "a\.b", duplicate field "l\[1\]\.x"'):
        decode(b'{"a": {"b": 1, "b": 2}, "l": [1, {"x": 1, "x": 1}]}')
    with pytest.raises(BadRequest, match=r'duplicate field "b\.c" \(line 4\)'):
        decode(b"a: 1\nb:\n  c: 1\n  c: 2\n", YAML)
    with pytest.raises(BadRequest, match="duplicate"):
        decode(b'{"a": 1, "\\u0061": 2}')


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "empty"),
        (b"[NaN]", "not JSON"),
        (b"[Infinity]", "not JSON"),
        (b"1e999", "not JSON"),
        (b'{"a": 123456789012345678901}', "64 bits"),
        (b'"\\u0000"', "NUL"),
        (b'"\xff"', "UTF-8"),
        (b'{"a": 1} {"b": 2}', "not JSON"),
        (b"{'a': 1}", "not JSON"),
    ],
)
def test_what_is_not_strict_json_is_refused(body, why):
    with pytest.raises(BadRequest, match=why):
        decode(body)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "empty"),
        (b"# only a comment", "empty"),
        (b"a: &x [1]\nb: *x", "anchor"),
        (b"a: *x", "alias"),
        (b"a: 1\n---\nb: 2", "second document"),
        (b"a: !!python/object/apply:os.system [x]", "tag"),
        (b"a: !secret x", "tag"),
        (b"<<: {a: 1}", "merge key"),
        (b"? [a]\n: 1", "key must be a word"),
        (b"%YAML 1.1\n---\na: 1", "directives"),
        (b"a: 99999999999999999999999", "64 bits"),
        (b'a: "\\0"', "NUL"),
        (b"a: b: c", "line 1, column 5"),
        (b"a: [1", "not YAML"),
        (b"\xff\xfe\x00", "NUL"),
    ],
)
def test_what_is_not_plain_yaml_is_refused(body, why):
    with pytest.raises(BadRequest, match=why):
        decode(body, YAML)


def bomb(levels: int) -> bytes:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"] + [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines).encode()


HOSTILE = {
    "2 MiB": (b"x" * 2 * MIB, "application/json"),
    "10k deep lists": (b"[" * 10_000 + b"]" * 10_000, "application/json"),
    "10k deep objects": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "application/json"),
    "a MiB of brackets": (b"[" * MIB, "application/json"),
    "many empty lists": (b"[" + b"[]," * 349_000 + b"[]]", "application/json"),
    "sawtooth": (b"[" + (b"[" * 60 + b"]" * 60 + b",") * 8_000 + b"1]", "application/json"),
    "many strings": (b"[" + b'"",' * 300_000 + b'""]', "application/json"),
    "quotes": (b'"' * MIB, "application/json"),
    "many keys": (b"{" + b",".join(b'"%d":1' % i for i in range(80_000)) + b"}", "application/json"),
    "same key": (b"{" + b",".join([b'"a":1'] * 45_000) + b"}", "application/json"),
    "NaN": (b"[NaN]", "application/json"),
    "billion laughs": (bomb(30), YAML),
    "deep yaml": (b"x: " + b"[" * 100_000, YAML),
    "deep dashes": (b"- " * 100_000, YAML),
    "deep blocks": (b"\n".join(b" " * i + b"a:" for i in range(700)), YAML),
    "many yaml values": (b"- a\n" * 60_000, YAML),
    "many yaml keys": (b"".join(b"k%d: 1\n" % i for i in range(20_000)), YAML),
    "tag directives": (b"%TAG !a! b\n" * 20_000, YAML),
    "colons": (b": " * 120_000, YAML),
    "question marks": (b"? " * 100_000, YAML),
    "flow colons": (b"{" + b"a:" * 100_000, YAML),
    "big yaml": (b"a: " + b"x" * 300_000, YAML),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_is_refused_within_50_ms_and_20_mb(name):
    body, media = HOSTILE[name]
    times = []
    for _ in range(3):
        began = time.thread_time()  # of this thread alone: the machine may be busy
        with pytest.raises(ApiError) as refused:
            decode(body, media)
        times.append(time.thread_time() - began)
    assert refused.value.code in (400, 413)
    assert min(times) < 0.05
    tracemalloc.start()
    try:
        with pytest.raises(ApiError):
            decode(body, media)
        assert tracemalloc.get_traced_memory()[1] < 20 * MIB
    finally:
        tracemalloc.stop()


def test_the_limits_themselves_pass():
    assert decode(b'"' + b"x" * (MAX_BYTES - 2) + b'"') == "x" * (MAX_BYTES - 2)
    decode(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(BadRequest, match="64 levels"):
        decode(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))
    decode(b"{" + b",".join(b'"k%d":%d' % (i, i) for i in range(40_000)) + b"}")
    with pytest.raises(TooLarge):
        decode(b" " * (MAX_BYTES + 1))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(VALUES, st.booleans())
def test_whatever_json_can_say_is_read_as_it_was_meant(value, ascii_only):
    assert decode(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary(max_size=300), st.sampled_from(["application/json", YAML]))
def test_any_bytes_are_read_or_refused(body, media):
    try:
        decode(body, media)
    except ApiError as refused:
        assert refused.code in (400, 413)


@given(st.text(alphabet="ab:-[]{}&*!?#|>%'\"\n ,0~\\", max_size=80))
def test_any_text_like_yaml_is_read_or_refused(text):
    try:
        decode(text.encode(), YAML)
    except ApiError as refused:
        assert refused.code in (400, 413)
