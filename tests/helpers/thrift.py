"""Thrift's compact protocol, in which Parquet describes its columns and pages: read to a tree, and written again."""

import random
from typing import Any, NamedTuple

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
NUMBERS = [0, 1, -1, 2, 3, 7, 8, 64, 255, 1 << 15, (1 << 31) - 1, -(1 << 31), 1 << 31, (1 << 32) - 1, 1 << 40]
NUMBERS += [(1 << 63) - 1, -(1 << 63), 10**6, 10**9]
TEXTS = [b"", b"\0", b"a" * 5000, b"\xff\xfe", "\u202e\N{SNOWMAN}".encode(), b"a.b", b"list", b"^.*$", b"\x1b[2J"]


class Items(NamedTuple):
    """A list, with the type of its items."""

    kind: int
    values: list[Any]


def read(data: bytes, start: int = 0) -> tuple[list[list[Any]], int]:
    """The fields [number, type, value] of the struct at this place, and the place behind it. ValueError for others."""
    fields, number = list[list[Any]](), 0
    while head := data[start]:
        start += 1
        if head >> 4:
            number += head >> 4
        else:
            number, start = _signed(data, start)
        kind = head & 15
        value: Any = kind == TRUE
        if kind not in (TRUE, FALSE):
            value, start = _value(data, start, kind)
        fields.append([number, kind, value])
    return fields, start + 1


def _value(data: bytes, start: int, kind: int) -> tuple[Any, int]:
    if kind in (TRUE, FALSE, BYTE):  # in a list a truth value is a byte
        return data[start], start + 1
    if kind in (I16, I32, I64):
        return _signed(data, start)
    if kind == DOUBLE:
        return data[start : start + 8], start + 8
    if kind == BINARY:
        size, start = _varint(data, start)
        return data[start : start + size], start + size
    if kind in (LIST, SET):
        size, inner = data[start] >> 4, data[start] & 15
        start += 1
        if size == 15:
            size, start = _varint(data, start)
        values = []
        for _ in range(size):
            value, start = _value(data, start, inner)
            values.append(value)
        return Items(inner, values), start
    if kind == STRUCT:
        return read(data, start)
    raise ValueError(kind)


def _varint(data: bytes, start: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[start] & 127) << shift
        start, shift = start + 1, shift + 7
        if data[start - 1] < 128:
            return value, start


def _signed(data: bytes, start: int) -> tuple[int, int]:
    value, start = _varint(data, start)
    return value >> 1 ^ -(value & 1), start


def written(fields: list[list[Any]]) -> bytes:
    """The bytes of a struct."""
    data, last = bytearray(), 0
    for number, kind, value in fields:
        head = (TRUE if value else FALSE) if kind in (TRUE, FALSE) else kind
        if 0 < number - last < 16:
            data.append((number - last) << 4 | head)
        else:
            data += bytes([head]) + _unsigned(number << 1 if number >= 0 else ~(number << 1))
        last = number
        data += b"" if kind in (TRUE, FALSE) else _bytes(kind, value)
    return bytes(data) + b"\0"


def _bytes(kind: int, value: Any) -> bytes:
    if kind in (TRUE, FALSE, BYTE):
        return bytes([value & 255])
    if kind in (I16, I32, I64):
        return _unsigned(value << 1 if value >= 0 else ~(value << 1))
    if kind == DOUBLE:
        return bytes(value)
    if kind == BINARY:
        return _unsigned(len(value)) + value
    if kind in (LIST, SET):
        size = len(value.values)
        head = bytes([size << 4 | value.kind]) if size < 15 else bytes([0xF0 | value.kind]) + _unsigned(size)
        return head + b"".join(_bytes(value.kind, item) for item in value.values)
    return written(value)


def _unsigned(value: int) -> bytes:
    data = bytearray()
    while value > 127:
        data.append(value & 127 | 128)
        value >>= 7
    return bytes(data) + bytes([value])


def mutate(fields: list[list[Any]], draw: random.Random) -> None:
    """Change one place of the tree: a number or text, or the fields of a struct, or the items of a list."""
    places = _places(fields)
    holder, place = draw.choice(places)
    kind, value = (holder[place][1], holder[place][2]) if isinstance(holder, list) else (holder.kind, None)
    same = [_get(*other) for other in places if _kind(*other) == _kind(holder, place)]
    what, items = draw.randrange(8), holder if isinstance(holder, list) else holder.values
    if what == 0:
        del items[place]
    elif what == 1:
        items[place:place] = [items[place]] * draw.choice((1, 2, 300))
    elif what == 2 and isinstance(holder, list):
        holder[place] = [draw.choice((holder[place][0] + 1, 1, 2, 9, 99, -1)), kind, value]
    elif what == 3:
        _put(holder, place, draw.choice(same))
    elif kind in (BYTE, I16, I32, I64):
        number = _get(holder, place)
        _put(holder, place, draw.choice([*NUMBERS, number + 1, number - 1, 2 * number, -number]))
    elif kind == BINARY:
        _put(holder, place, draw.choice([*TEXTS, _get(holder, place)[:-1], _get(holder, place) * 2]))
    elif kind in (TRUE, FALSE):
        _put(holder, place, not _get(holder, place))
    else:
        draw.shuffle(items)


def _places(value: Any, kind: int = STRUCT) -> list[tuple[Any, int]]:
    """Every place: the struct or list, and the number of its part."""
    found, rest = list[tuple[Any, int]](), [(kind, value)]
    while rest:
        kind, value = rest.pop()
        if kind == STRUCT:
            found += [(value, place) for place in range(len(value))]
            rest += [(part[1], part[2]) for part in value]
        elif kind in (LIST, SET):
            found += [(value, place) for place in range(len(value.values))]
            rest += [(value.kind, item) for item in value.values]
    return found


def _kind(holder: Any, place: int) -> int:
    return int(holder[place][1] if isinstance(holder, list) else holder.kind)


def _get(holder: Any, place: int) -> Any:
    return holder[place][2] if isinstance(holder, list) else holder.values[place]


def _put(holder: Any, place: int, value: Any) -> None:
    if isinstance(holder, list):
        holder[place] = [*holder[place][:2], value]
    else:
        holder.values[place] = value
