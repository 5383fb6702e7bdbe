"""Mutations of Parquet and Arrow files by their structure: descriptions, headers of pages, and the data between."""

import random
from typing import Any

import thrift
from mutations import mutated_bytes

PAGE_OFFSETS = (9, 11)  # fields of a chunk's description: where its pages of data and of levels begin
ODD = [0, 1, 2, 8, -1, -8, 1 << 7, 1 << 15, (1 << 31) - 1, 1 << 31, 1 << 40, (1 << 63) - 1, -(1 << 63)]


def mutated_parquet(data: bytes, draw: random.Random) -> bytes:
    """A Parquet file with a mutation of its description, of the header of a page, or of a page."""
    size = int.from_bytes(data[-8:-4], "little")
    body, footer = data[: -8 - size], data[-8 - size : -8]
    try:
        about, _ = thrift.read(footer)
        offsets = sorted(place[2] for chunk in _chunks(about) for place in chunk if place[0] in PAGE_OFFSETS)
        if draw.random() < 0.6 or not offsets:
            thrift.mutate(about, draw)
        else:
            start = draw.choice(offsets)
            header, end = thrift.read(body, start)
            if draw.random() < 0.7:
                thrift.mutate(header, draw)
                changed = thrift.written(header)
            else:  # the first bytes of a page are lengths, and widths of the numbers of levels
                page = bytearray(body[end : end + 40])
                for _ in range(draw.choice((1, 1, 4))):
                    page[draw.choice((0, 0, 1, 2, 3, 4, draw.randrange(len(page))))] = draw.choice((0, 1, 32, 127, 255))
                changed, end = body[start:end] + page, end + len(page)
            body = body[:start] + changed + body[end:]
            for chunk in _chunks(about):
                for place in chunk:
                    place[2] += len(changed) - (end - start) if place[0] in PAGE_OFFSETS and place[2] > start else 0
        footer = thrift.written(about)
    except (IndexError, ValueError, TypeError, AttributeError, RecursionError):  # what was mutated is no tree any more
        return mutated_bytes(data, draw)
    return body + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def _chunks(about: list[list[Any]]) -> list[list[list[Any]]]:
    """The descriptions of the chunks of all columns: they are field 3 of entries of field 1 of the row groups."""

    def parts(fields: list[list[Any]], number: int) -> list[Any]:
        return next((value.values if kind == thrift.LIST else [value] for n, kind, value in fields if n == number), [])

    return [about for group in parts(about, 4) for chunk in parts(group, 1) for about in parts(chunk, 3)]


def mutated_arrow(data: bytes, draw: random.Random) -> bytes:
    """An Arrow file or stream with one to three other numbers in the descriptions of its columns and batches."""
    regions = list[tuple[int, int]]()
    start = data.find(b"\xff\xff\xff\xff")
    while start >= 0:
        size = int.from_bytes(data[start + 4 : start + 8], "little")
        if 0 < size < len(data) - start:
            regions.append((start + 4, start + 8 + size))
        start = data.find(b"\xff\xff\xff\xff", start + 1)
    if data[-6:] == b"ARROW1":
        size = int.from_bytes(data[-10:-6], "little")
        regions.append((max(len(data) - 10 - size, 0), len(data) - 6))
    regions = [(begin, end) for begin, end in regions if end - begin >= 16]
    if not regions:
        return mutated_bytes(data, draw)
    changed = bytearray(data)
    begin, end = draw.choice([*regions, regions[-1]])
    for _ in range(draw.choice((1, 1, 3))):
        width = draw.choice((1, 2, 4, 4, 8))
        place = begin + width * draw.randrange((end - begin) // width)
        other = begin + width * draw.randrange((end - begin) // width)
        number = int.from_bytes(changed[place : place + width], "little")
        new = draw.choice((*ODD, number + 1, number - 1, number + 8, 2 * number, number * 1000))
        new = int.from_bytes(changed[other : other + width], "little") if draw.random() < 0.3 else new
        changed[place : place + width] = (new % (1 << 8 * width)).to_bytes(width, "little")
    return bytes(changed)
