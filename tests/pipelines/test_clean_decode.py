"""Detection decides one encoding for a file from its head; decoding is strict and says where it failed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.clean import Undecodable, decode, detect_encoding
from pipelines.clean.decode import HEAD_BYTES

SIMPLIFIED = "这家酒店的房间很大，服务也不错。早餐种类不多，但是味道还可以，下次还会再来的！交通方便，离地铁站只有五分钟。" * 4
TRADITIONAL = "這家酒店的房間很大，服務也不錯。早餐種類不多，但是味道還可以，下次還會再來的！交通方便，離地鐵站只有五分鐘。" * 4
JAPANESE = "このホテルの部屋はとても広くて、サービスも良かったです。朝食の種類は多くありませんが、味はまあまあでした。" * 4
KOREAN = "이 호텔의 방은 매우 넓고 서비스도 좋았습니다. 아침 식사는 종류가 많지 않지만 맛은 괜찮았어요. 지하철역에서 오 분 거리입니다." * 4
ENGLISH = "The room was large and the staff were kind. Breakfast was simple.\n" * 20


@pytest.mark.parametrize(
    ("text", "written", "found"),
    [
        (ENGLISH, "ascii", "utf-8"),
        (SIMPLIFIED, "utf-8", "utf-8"),
        (SIMPLIFIED, "utf-8-sig", "utf-8"),
        (SIMPLIFIED, "gb18030", "gb18030"),
        (SIMPLIFIED, "gbk", "gb18030"),
        (TRADITIONAL, "big5", "big5"),
        (TRADITIONAL.replace("很大", "很大，粧恒裏碁銹嫺"), "cp950", "cp950"),
        (JAPANESE, "cp932", "cp932"),
        (JAPANESE, "shift_jis", "cp932"),
        (JAPANESE, "euc_jp", "euc_jp"),
        (KOREAN, "euc_kr", "cp949"),
        (KOREAN.replace("넓고", "넓고 똠방각하 펲시콜라 쓩"), "cp949", "cp949"),
        (KOREAN, "utf-16-be", "utf-16-be"),
        (SIMPLIFIED, "utf-16", "utf-16-le"),
        (SIMPLIFIED + "\n", "utf-16-le", "utf-16-le"),
        (ENGLISH, "utf-16-be", "utf-16-be"),
        (ENGLISH.replace("was", "’s").replace(".", "…"), "cp1252", "cp1252"),
    ],
)
@pytest.mark.parametrize("cut", [0, 1])
def test_what_was_written_is_found_and_reads_back(text: str, written: str, found: str, cut: int) -> None:
    raw = text.encode(written)
    unit = 2 if "16" in written else 1
    assert detect_encoding(raw[: len(raw) - cut * unit], None) == found
    if not cut:
        assert decode(raw, found) == text


@pytest.mark.parametrize(
    ("text", "written", "found"),
    [
        ("酒店的房间很大", "gb18030", "gb18030"),  # short enough to be Korean, too
        ("這家酒店的房間很大", "big5", "big5"),
        ("这是一个问题。\n", "utf-16-le", "utf-16-le"),  # 一 has a zero byte where ASCII has none
        ("这是一个问题。\n", "utf-16-be", "utf-16-be"),
        ("Zoë met Renée at the café in Málaga.\n" + ENGLISH, "cp1252", "cp1252"),
        ("It was 30° outside, £5 for a crêpe, and no more than that.\n" + ENGLISH, "cp1252", "cp1252"),
    ],
)
def test_little_text_is_enough(text: str, written: str, found: str) -> None:
    assert detect_encoding(text.encode(written), None) == found


@settings(deadline=None)
@given(st.text(min_size=1), st.integers(0, 3))
def test_valid_utf8_is_utf8_wherever_the_head_is_cut(text: str, cut: int) -> None:
    raw = ("好" + text).encode()
    if b"\0" not in raw:
        assert detect_encoding(raw[: max(3, len(raw) - cut)], None) == "utf-8"


def test_a_head_longer_than_needed_is_cut_in_the_middle_of_a_character() -> None:
    raw = b"a" + "好".encode() * HEAD_BYTES
    assert detect_encoding(raw, None) == "utf-8"


@pytest.mark.parametrize("damage", [b"\xff\xfe", b"\x80", b"caf\xe9", b"\xc3("])
@pytest.mark.parametrize("line", [b"a plain line of text", "一行正常的文字".encode()])
def test_one_damaged_line_does_not_turn_a_utf8_file_into_another_encoding(line: bytes, damage: bytes) -> None:
    assert detect_encoding(b"\n".join([line, line, b"bad " + damage + b" line", line, line]), None) == "utf-8"


def test_a_declared_encoding_wins_and_is_widened_to_its_superset() -> None:
    assert detect_encoding(SIMPLIFIED.encode(), "latin-1") == "iso8859-1"
    assert detect_encoding(b"", "GB2312") == "gb18030"
    assert detect_encoding("a".encode("utf-16"), "utf-16") == "utf-16-le"
    assert detect_encoding(b"\xfe\xff\0a", "utf-16") == "utf-16-be"


@pytest.mark.parametrize("name", ["no-such", "base64"])
def test_an_unknown_declared_encoding_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        detect_encoding(b"", name)


@pytest.mark.parametrize("multibyte", ["gb2312", "gbk"])
def test_gb18030_reads_all_that_its_subsets_write(multibyte: str) -> None:
    for lead in range(0x81, 0xFF):
        for trail in range(0x40, 0xFF):
            raw = bytes([lead, trail])
            try:
                expected = raw.decode(multibyte)
            except UnicodeDecodeError:
                continue
            assert raw.decode("gb18030") == expected or (multibyte, raw) in {("gb2312", b"\xa1\xa4"), ("gb2312", b"\xa1\xaa")}


def test_undecodable_names_encoding_and_offset() -> None:
    with pytest.raises(Undecodable) as caught:
        decode("好".encode() + b"\xff!", "utf-8")
    assert caught.value.detail.startswith("not utf-8 at byte 3 (ff 21)")


def test_a_byte_order_mark_is_dropped() -> None:
    assert decode("好".encode("utf-8-sig"), "utf-8") == "好"
    assert decode("\ufeff好".encode("utf-16-le"), "utf-16-le") == "好"
