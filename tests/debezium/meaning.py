"""Whether a value as Debezium renders it says what PostgreSQL printed: the conversions, each written down once."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from stretto_schemas.envelope import PLACEHOLDER
from tests.debezium.records import Number

_NUMBERS = {"smallint", "integer", "bigint", "oid"}
_FLOATS = {"real", "double precision"}
_TIMES = {"date", "time without time zone", "timestamp without time zone", "timestamp with time zone"}
_GEOMETRY = {"line", "lseg", "box", "path", "polygon", "circle"}

INFINITE = {"infinity", "-infinity"}


def base_type(name: str) -> str:
    """A type's name without length, precision and the like: `time(3) without time zone` is `time without time zone`."""
    return re.sub(r"\([\d,-]+\)", "", name)


def iso_time(kind: str, text: str) -> str:
    """ISO 8601 with `Z`, years as astronomers count them: 44 BC is -0043, and beyond 9999 there is a sign."""
    before_christ = text.endswith(" BC")
    text = text.removesuffix(" BC").removesuffix("+00")
    date, _, time = text.rpartition(" ") if kind.startswith("timestamp") else ("", "", text)
    if kind == "date":
        date, time = text, ""
    if kind == "timestamp with time zone":
        seconds, _, fraction = time.partition(".")
        time = f"{seconds}.{fraction:0<6}"
    if date:
        year, rest = date.split("-", 1)
        number = 1 - int(year) if before_christ else int(year)
        sign = "-" if number < 0 else "+" if number > 9999 else ""
        date = f"{sign}{abs(number):04}-{rest}"
    return f"{date}T{time}Z" if date and time else f"{date}{time}Z"


def time_at_greenwich(text: str) -> str:
    """A `timetz` moved to UTC, its zone lost; a day's end is crossed without a trace."""
    found = re.fullmatch(r"(\d\d):(\d\d):(\d\d)(\.\d+)?([+-])(\d\d)(?::(\d\d))?", text)
    assert found, text
    hour, minute, second, fraction, sign, zone_hour, zone_minute = found.groups()
    offset = (int(zone_hour) * 60 + int(zone_minute or 0)) * (1 if sign == "+" else -1)
    minutes = (int(hour) * 60 + int(minute) - offset) % (24 * 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{second}{fraction or ''}Z"


def iso_interval(text: str) -> str:
    """`P1Y2M3DT4H5M6.789S`: every part is there, each with its own sign."""
    parts = {unit: int(number) for number, unit in re.findall(r"([+-]?\d+) (year|mon|day)", text)}
    clock = re.search(r"([+-]?)(\d+):(\d\d):(\d\d(?:\.\d+)?)", text)
    sign, hour, minute, second = clock.groups() if clock else ("", "0", "0", "0")
    whole, _, fraction = second.partition(".")
    signed = [
        f"{'-' if sign == '-' and number.strip('0.') else ''}{number}" for number in (str(int(hour)), str(int(minute)))
    ]
    seconds = str(int(whole)) + (f".{fraction}" if fraction else "")
    signed.append(f"{'-' if sign == '-' and seconds.strip('0.') else ''}{seconds}")
    days = f"P{parts.get('year', 0)}Y{parts.get('mon', 0)}M{parts.get('day', 0)}D"
    return f"{days}T{signed[0]}H{signed[1]}M{signed[2]}S"


def bits_base64(text: str) -> str:
    """A bit string as Debezium packs it: the bits as one number, its bytes from the lowest on."""
    return base64.b64encode(int(text, 2).to_bytes((len(text) + 7) // 8, "little")).decode()


def same_float(kind: str, theirs: Any, text: str) -> bool:
    """Whether two spellings are the same float, bit for bit."""
    form = "!f" if kind == "real" else "!d"
    return struct.pack(form, float(theirs)) == struct.pack(form, float(text))


def same_point(theirs: Any, text: str) -> bool:
    """Whether Debezium's structure is this point, in its fields and in its well-known binary."""
    numbers = [float(number) for number in text.strip("()").split(",")]
    binary = struct.pack("<BIdd", 1, 1, *numbers)
    expected = {"wkb": base64.b64encode(binary).decode(), "srid": None}
    return (
        isinstance(theirs, Mapping)
        and [float(theirs["x"]), float(theirs["y"])] == numbers
        and {name: theirs[name] for name in expected} == expected
    )


def same_geometry(theirs: Any, text: str) -> bool:
    """Whether hexadecimal digits are this shape, its numbers spelled as Java spells them."""
    said = _from_hex(theirs)
    return said is not None and re.sub(r"\.0(?!\d)", "", said) == text


def _from_hex(theirs: Any) -> str | None:
    try:
        return bytes.fromhex(theirs).decode() if isinstance(theirs, str) else None
    except ValueError:
        return None


def hex_of(text: str) -> str:
    """The text's bytes as hexadecimal digits, as Debezium shows a type that it does not know."""
    return text.encode().hex()


def same_array(kind: str, theirs: Any, text: str) -> bool:
    """Whether a JSON array has these elements; bounds other than from 1 are not in it."""
    elements = array_elements(text)
    return (
        isinstance(theirs, list)
        and len(theirs) == len(elements)
        and all(_same_element(kind.removesuffix("[]"), a, b) for a, b in zip(theirs, elements, strict=True))
    )


def _same_element(kind: str, theirs: Any, text: str | None) -> bool:
    if theirs is None or text is None:
        return theirs is text
    rules: dict[str, Callable[[], bool]] = {
        "boolean": lambda: theirs is (text == "t"),
        "bytea": lambda: theirs == text.removeprefix("\\x"),
        "pair": lambda: theirs == hex_of(text),
    }
    if kind in rules:
        return rules[kind]()
    if kind in _FLOATS:
        return same_float(kind, theirs, text)
    if kind in _TIMES:
        return bool(theirs == iso_time(kind, text))
    return bool(theirs == (Number(text) if kind in _NUMBERS else text)) and isinstance(theirs, Number) == (
        kind in _NUMBERS
    )


def array_elements(text: str) -> list[str | None]:
    """Elements of a one-dimensional array as PostgreSQL prints it."""
    inner = text[text.index("{") + 1 : -1]
    found: list[str | None] = []
    for quoted, plain in re.findall(r'"((?:[^"\\]|\\.)*)"|([^,{}"]+)', inner):
        found.append(None if plain == "NULL" else plain or re.sub(r"\\(.)", r"\1", quoted))
    return found


def plain_money(text: str) -> str:
    """An amount without currency and commas."""
    return text.replace("$", "").replace(",", "")


def is_wrongly_scaled(theirs: Any, text: str) -> bool:
    """Whether a number has the same value and decimals that its type does not have."""
    return isinstance(theirs, str) and "." in theirs and Decimal(theirs) == Decimal(text)


def is_array_placeholder(theirs: Any) -> bool:
    """Whether an array stands for a value that was not sent: the text, or its bytes where elements are numbers."""
    return theirs in ([PLACEHOLDER], [Number(byte) for byte in PLACEHOLDER.encode()])


def same_value(kind: str, theirs: Any, text: str) -> str | None:
    """The name of the difference that explains how Debezium shows this text, None when nothing does."""
    base = base_type(kind)
    judge = _array if base.endswith("[]") else _time if base in _ABOUT_TIME else _number if base in _REAL else _other
    name, holds = judge(base, theirs, text)
    return name if holds else None


_REAL = _FLOATS | {"numeric", "money"}
_ABOUT_TIME = _TIMES | {"time with time zone", "interval"}
_SPECIAL_NUMERICS = {"NaN": "NAN", "Infinity": "POSITIVE_INFINITY", "-Infinity": "NEGATIVE_INFINITY"}


def _array(kind: str, theirs: Any, text: str) -> tuple[str, bool]:
    if text == PLACEHOLDER:
        return "unsent arrays", is_array_placeholder(theirs)
    if "{{" in text:
        return "nested arrays", theirs == [None] * len(text.split("},{"))
    if kind == "numeric[]" and "NaN" in text:
        return "NaN in arrays", theirs is None
    return "arrays", same_array(kind, theirs, text)


def _time(kind: str, theirs: Any, text: str) -> tuple[str, bool]:
    if kind == "interval":
        if text in INFINITE:
            return "infinite intervals", theirs == "P0Y0M0DT0H0M0S"
        return "intervals", theirs == iso_interval(text)
    if text in INFINITE:
        return "infinite times", re.fullmatch(r"[+-]\d{6,7}-\d\d-\d\d(T[\d:.]+)?Z", str(theirs)) is not None
    if text == "24:00:00":
        return "24:00:00", theirs == "00:00:00Z"
    if kind == "time with time zone":
        return "timetz", theirs == time_at_greenwich(text)
    return "dates and times", theirs == iso_time(kind, text)


def _number(kind: str, theirs: Any, text: str) -> tuple[str, bool]:
    if kind == "money":
        return "money", theirs == plain_money(text)
    if kind == "numeric":
        if text in _SPECIAL_NUMERICS:
            return "special numerics", theirs == _SPECIAL_NUMERICS[text]
        return "negative scale", is_wrongly_scaled(theirs, text)
    if text == "-0":
        return "minus zero", isinstance(theirs, Number) and theirs == "-0.0"
    return "digits of floats", isinstance(theirs, Number) and same_float(kind, theirs, text)


def _other(kind: str, theirs: Any, text: str) -> tuple[str, bool]:
    if kind == "bytea":
        return "bytea", f"\\x{theirs}" == text
    if kind == "bit" and len(text) == 1:
        return "single bits", theirs is (text == "1")
    if kind in ("bit", "bit varying"):
        return "bit strings", theirs == bits_base64(text)
    if kind == "point":
        return "points", same_point(theirs, text)
    if kind in _GEOMETRY:
        return "shapes", same_geometry(theirs, text)
    return "other types", theirs == hex_of(text)
