"""What redaction finds, what it leaves alone, and the laws that hold whatever the text is."""

import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.redact import FINDERS, find, redact, redact_json
from pipelines.redact.checksums import is_resident_id, luhn
from tests.pipelines.pii import BEFORE, BEHIND, PLACEHOLDERS, VALUES, id_cards, redacted, with_check_character, with_check_digit

planted = st.sampled_from(sorted(VALUES)).flatmap(lambda kind: st.tuples(st.just(kind), VALUES[kind]))
pieces = st.one_of(
    planted.map(lambda pair: pair[1]),
    st.text(max_size=12),
    st.sampled_from(["@", "+86", "1", "０", "-", ".", "：", " ", "key=", "<EMAIL>", "://u:", "::", "138", "Tel", "\0", "-----BEGIN "]),
)
texts = st.lists(pieces, max_size=10).map(lambda parts: "".join(parts).encode("utf-8", "ignore").decode())


@settings(deadline=None, max_examples=400)
@given(planted, BEFORE, BEHIND)
def test_what_is_planted_is_found_whole(value: tuple[str, str], before: str, behind: str) -> None:
    kind, written = value
    found = find(pa.array([before + written + behind]), list(FINDERS))
    whole = (before + written + behind).encode()
    assert [(kind, whole[start:end].decode()) for start, end, kind in zip(found.starts, found.ends, found.kinds, strict=True)] == [value]
    (text,) = redacted(before + written + behind)
    assert text == before + PLACEHOLDERS[kind] + behind


@settings(deadline=None, max_examples=300)
@given(st.lists(texts, max_size=5))
def test_laws(rows: list[str]) -> None:
    """Spans are in order and apart; what is between them joins back; counts are the placeholders; nothing is left to redact."""
    array = pa.array(rows, pa.string())
    found, clean = find(array, list(FINDERS)), redact(array, PLACEHOLDERS)
    for row, text in enumerate(rows):
        whole, done, out, kinds = text.encode(), 0, b"", []
        for at, start, end, kind in zip(*found, strict=True):
            if at == row:
                assert done <= start < end <= len(whole)
                whole[start:end].decode()
                out += whole[done:start] + PLACEHOLDERS[kind].encode()
                done = end
                kinds.append((kind, end - start))
        assert clean.texts[row].as_py() == (out + whole[done:]).decode()
        for kind, mark in PLACEHOLDERS.items():
            assert clean.counts[kind][row] == sum(k == kind for k, _ in kinds)
            assert clean.sizes[kind][row] == sum(size for k, size in kinds if k == kind)
            assert clean.texts[row].as_py().count(mark) == clean.counts[kind][row] + text.count(mark)
    again = redact(clean.texts, PLACEHOLDERS)
    assert again.texts.equals(clean.texts)
    assert [redacted(text)[0] for text in rows] == clean.texts.to_pylist()  # a row never depends on its neighbours


@settings(deadline=None)
@given(st.lists(planted, min_size=1, max_size=4), st.sampled_from(["，", "\n", " / ", "和"]))
def test_no_value_survives(values: list[tuple[str, str]], between: str) -> None:
    (text,) = redacted(between.join(value for _, value in values))
    assert all(value not in text for _, value in values)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("手机１３８００１３８０００，邮箱ｚｈａｎｇ＠ｅｘａｍｐｌｅ．ｃｏｍ。", "手机<PHONE>，邮箱<EMAIL>。"),
        ("打我电话13800138000或者加微信", "打我电话<PHONE>或者加微信"),
        ("Tel:13800138000 TEL13800138000", "Tel:<PHONE> TEL<PHONE>"),
        ("（０１０）８８８８－６６６６转１２３，010-88886666", "<PHONE>，<PHONE>"),
        ("身份证号11010519491231002X，不是110105194912310021", "身份证号<ID_CARD>，不是110105194912310021"),
        ("110105 19491231 002X", "<ID_CARD>"),
        ("卡号6222021234567890128", "卡号<CARD>"),
        ("(0151) 496 0394 or 0121 496 0337", "<PHONE> or <PHONE>"),
        ("paid with 501808062324", "paid with <CARD>"),
        ("客服400-810-8888", "客服<PHONE>"),
        ("密码：Xk29vQ81mZp47LrT", "密码：<SECRET>"),
        ("发到a@b.cn的邮箱", "发到<EMAIL>的邮箱"),
        ("a@b.com13800138000", "<EMAIL><PHONE>"),
        ("email='a@b.com' to=a@b.com, o'neil@b.com", "email='<EMAIL>' to=<EMAIL>, <EMAIL>"),
        ("Mail a.b+c@mail.example.co.uk. Then", "Mail <EMAIL>. Then"),
        ("call me at (96) 627-277", "call me at <PHONE>"),
        ("69 987 88 37 office", "<PHONE> office"),
        ("001-825-741-0957x5184, +1 (212) 555-0123 ext. 12", "<PHONE>, <PHONE>"),
        ("4539 9889 1572 0591; 3782-822463-10005", "<CARD>; <CARD>"),
        ("http://58.74.121.78:80/ from [2001:4860:4860::8888]:53, dns 8.8.8.8", "http://<IP>:80/ from [<IP>]:53, dns <IP>"),
        ("postgres://app:hJ8s-22kd@db.example.com/x", "postgres://app:<SECRET>@db.example.com/x"),
        ('{"api_key": "9f86d081884c7d659a2feaa0c55ad015"}', '{"api_key": "<SECRET>"}'),
        ("export AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY0", "export AWS_SECRET_ACCESS_KEY=<SECRET>"),
        ("-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBg\\n", "<SECRET>"),
    ],
)
def test_cases(text: str, expected: str) -> None:
    assert redacted(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "version 10.0.19041.1, v1.2.3.4, 1.2.3.4.5, Chrome/91.0.4472.124, pip install x==12.10.4.20",
        "section 8.2.4.45 of the standard; 127.0.0.1, 192.168.10.12, 0.0.0.0, 255.255.255.0, 10.20.30.40",
        "3.14159265358979323846 and 0.4539988915720591, -1.3800138000e10",
        "ISBN 978-7-111-12345-6, ISBN 0306406152, doi:10.1002/andp.19053220607",
        "2024-01-02 12:34:56.789, 20240102123456, 1700000000000, 12:34:56",
        "4539988915720592 and 1234567812345670",  # Luhn's digit is wrong; no issuer has this range
        "std::vector<int> a::b; fe80::1; x[2001::2]",
        "x@w.shape, icon@2x.png, lodash@4.17.21, @property, a @ b, git@github.com:a/b.git",
        "550e8400-e29b-41d4-a716-446655440000",
        "key = get_config_value_for_key2, token = tokenizer.convert_ids_to_tokens(x)",
        "secret_key = os.environ['SECRET_KEY_OF_PRODUCTION_2']",
        "https://user:password@example/x",
        "sk-learn-contrib-something-else-without-figures",
        "15000000000 yuan; 100-200-3000; 1,380,013,800",
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkq\n-----END PUBLIC KEY-----",
        'if text.startswith("-----BEGIN OPENSSH PRIVATE KEY-----"): read(text)',
        "The password is hunter2. 密码是：请联系管理员",
        "+12345678.25 and 1e+3800138000",
        "",
    ],
)
def test_left_alone(text: str) -> None:
    assert redacted(text) == [text]


def test_batches_with_nothing() -> None:
    assert redacted() == [] and redacted("", "", "") == ["", "", ""]
    assert redacted("no value", "没有") == ["no value", "没有"]


def test_kinds_that_are_off_stay() -> None:
    assert redacted("a@b.com 13800138000", placeholders={"phone": "【电话】"}) == ["a@b.com 【电话】"]


def test_fields_are_redacted_at_every_depth() -> None:
    given_ = {"by": {"mail": "a@b.com", "phones": [13800138000, 7]}, "a@b.com": 1, "label": "good", "n": 1.5, "on": True, "none": None}
    rows = pa.array([json.dumps(given_), None, '{"label": "good"}'])
    found = redact_json(rows, PLACEHOLDERS).to_pylist()
    expected = {"by": {"mail": "<EMAIL>", "phones": ["<PHONE>", 7]}, "<EMAIL>": 1, "label": "good", "n": 1.5, "on": True, "none": None}
    assert json.loads(found[0]) == expected
    assert found[1:] == [None, '{"label": "good"}']


@given(st.text("0123456789", min_size=1, max_size=30))
def test_luhn_against_trying(number: str) -> None:
    whole = with_check_digit(number)
    assert [d for d in "0123456789" if luhn((number + d).encode())] == [whole[-1]]


@given(id_cards)
def test_resident_id_against_the_recursive_rule(number: str) -> None:
    assert [c for c in "0123456789X" if is_resident_id((number[:17] + c).encode())] == [with_check_character(number[:17])[-1]]
    assert is_resident_id(number.lower().encode())


def test_resident_ids_need_a_province_and_a_day() -> None:
    assert is_resident_id(b"11010519491231002X")
    assert not is_resident_id(with_check_character("11010519490230002").encode())
    assert not is_resident_id(with_check_character("99010519491231002").encode())
