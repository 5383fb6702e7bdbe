"""Mutations of files: of any bytes, and of mlpcore's own files by their structure, with the digest computed anew."""

import hashlib
import json
import random
from typing import Any

MARK, ZEROS = b'"mlpcore":"{\\"sha256\\":\\"', b"0" * 64
NAMES = ["", "a\0b", "../../etc/passwd", "x*/ #include <a.h> /*", "'; rm -rf ~; \"", "\u202e\N{SNOWMAN}", "n" * 3000]
NAMES += ["line\nline", "$(reboot)", "__class__", "extra.x", "-1", "99999999999999999999", "0.weight", "__metadata__"]


class Pairs(list):
    """The entries of a JSON object, in order; a key may come twice."""


class Token(str):
    """A piece of JSON text that `written` writes as it stands."""


TOKENS = ["1e400", "-1e400", "NaN", "Infinity", "-0.0", "-0", "1e-400", "9" * 400, "-" + "9" * 400, "9" * 5000, "1.5"]
TOKENS += ["0", "1", "-1", "2", "4", "1e308", "5e-324", str(1 << 31), str(1 << 32), str((1 << 63) - 1), str(1 << 63)]
TOKENS += [str(1 << 64), "1000000000", "true", "false", "null", "[]", "{}", '""', r'"\ud800"', "[" * 40 + "]" * 40]
TOKENS += ["[" * 3000 + "]" * 3000, '{"a":' * 40 + "1" + "}" * 40, '["ReLU"]', '{"type":"ReLU"}', '{"float":"nan"}']
TOKENS += ['{"array":"params.0.weight"}', '{"scalar":"params.0.weight"}', '{"tuple":[]}', '{"dict":[[[],1]]}']
TOKENS += ['{"dict":[["a",1]]}', '{"type":"Linear","in_features":1000000000,"out_features":1000000000,"bias":true}']


def mutated(data: bytes, draw: random.Random) -> bytes:
    """One to three mutations of a file of mlpcore; mostly its digest is right again."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        data = mutated_bytes(data, draw) if draw.random() < 0.3 else _mutated_structure(data, draw)
    return data if draw.random() < 0.1 else sealed(data)


def mutated_bytes(data: bytes, draw: random.Random) -> bytes:
    """Bytes of another kind, cut, inserted, repeated or in another order."""
    changed = bytearray(data)
    first, last = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    last = min(last, first + draw.choice((1, 4, 64, 1000)))
    kind = draw.randrange(7)
    if kind == 0 and data:
        for _ in range(draw.choice((1, 2, 16))):
            changed[draw.randrange(len(data))] = draw.choice((0, 1, 0x20, 0x7F, 0x80, 0xFF, draw.randrange(256)))
    elif kind == 1:
        changed[first:last] = draw.randbytes(last - first)
    elif kind == 2:
        del changed[first:last]
    elif kind == 3:
        changed[first:first] = draw.choice((draw.randbytes(draw.randrange(1, 50)), bytes(8), b'"', b"{", b"\n"))
    elif kind == 4:
        changed[first:first] = data[first:last] * draw.choice((1, 2, 50))
    elif kind == 5:
        middle = (first + last) // 2
        changed[first:last] = data[middle:last] + data[first:middle]
    else:
        changed[:8] = draw.choice((0, 1, 8, len(data), 1 << 24, 1 << 40, (1 << 64) - 1)).to_bytes(8, "little")
    return bytes(changed)


def sealed(data: bytes) -> bytes:
    """The file with the digest of its content, if there is a place for one."""
    start = data.find(MARK) + len(MARK)
    if start < len(MARK) or len(data) < start + 64:
        return data
    digest = hashlib.sha256(data[:start] + ZEROS + data[start + 64 :]).hexdigest()
    return data[:start] + digest.encode() + data[start + 64 :]


def _mutated_structure(data: bytes, draw: random.Random) -> bytes:
    """The file with a mutation of its header, or of the JSON text in it; the data of its tensors may move too."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length], object_pairs_hook=Pairs)
        metadata = dict(dict(header)["__metadata__"])
        about = json.loads(metadata["mlpcore"], object_pairs_hook=Pairs)
    except (ValueError, KeyError, TypeError, RecursionError):
        return mutated_bytes(data, draw)
    if draw.random() < 0.75:
        about = mutated_json(about, draw)
    else:
        header = mutated_json(header, draw)
    if isinstance(header, Pairs):
        entry = Pairs([("mlpcore", Token(json.dumps(written(about))))])
        header = Pairs((key, entry if key == "__metadata__" else value) for key, value in header)
    text = written(header).encode("utf-8", "surrogatepass")
    text += b" " * (-len(text) % 8)
    body = data[8 + length :]
    if draw.random() < 0.05:
        body = mutated_bytes(body, draw) if body else body
    return len(text).to_bytes(8, "little") + text + body


def written(value: Any) -> str:
    """The JSON text of a value that may hold `Pairs` and `Token`."""
    if isinstance(value, Token):
        return str(value)
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{written(str(key))}:{written(item)}" for key, item in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


def mutated_json(value: Any, draw: random.Random) -> Any:
    """The value, which is changed in place, with one mutation of one of its parts."""
    places = _places(value)
    if not places:
        return value
    holder, place = draw.choice(places)
    kind = draw.randrange(8)
    if kind <= 2:
        _put(holder, place, Token(draw.choice(TOKENS)))
    elif kind == 3:
        _put(holder, place, draw.choice(NAMES))
    elif kind == 4:
        del holder[place]
    elif kind == 5:
        holder.insert(draw.randrange(len(holder) + 1), holder[place])
    elif kind == 6:
        other, there = draw.choice(places)
        _put(holder, place, json.loads(written(_get(other, there)), object_pairs_hook=Pairs))
    elif isinstance(holder, Pairs):
        name = draw.choice((*NAMES, draw.choice(holder)[0], "type"))
        holder[place] = (name, holder[place][1])
    else:
        draw.shuffle(holder)
    return value


def _places(value: Any) -> list[tuple[Any, int]]:
    """Every place in a value: the list or object, and the number of its part."""
    found, rest = [], [value]
    while rest:
        holder = rest.pop()
        if isinstance(holder, list):
            found += [(holder, place) for place in range(len(holder))]
            rest += [_get(holder, place) for place in range(len(holder))]
    return found


def _get(holder: Any, place: int) -> Any:
    return holder[place][1] if isinstance(holder, Pairs) else holder[place]


def _put(holder: Any, place: int, value: Any) -> None:
    holder[place] = (holder[place][0], value) if isinstance(holder, Pairs) else value
