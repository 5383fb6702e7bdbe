"""Files of tables of every kind to be mutated, and what a program does with each; for `mutated_files`."""

import gzip
import io
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars
from mutated_columns import mutated_arrow, mutated_parquet
from mutations import mutated_bytes

from mlpcore.tabular import read_table
from mlpcore.tabular.decoding import GZIP, ZSTD, load_zstd

TEXT = "size,town,day,y\n" + "".join(
    f"{i / 7:.3f},{'Rome' if i % 3 else 'O, slo'!r},2020-01-{i % 28 + 1:02},{i % 2}\n".replace("'", '"')
    for i in range(40)
)
PIECES = [b"\0", b'"', b"'", b",", b"\t" * 500, b"\n", b"\r", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3", b"1e400", b"NaN"]
PIECES += [
    b"9" * 400,
    b'"' * 99,
    b"a,b,c,d,e,f,g,h,i",
    b"sep=;\n",
    b"#",
    b"\x1a",
    "\u202e\U0001f600".encode(),
    b"[" * 999,
]
PIECES += [b'{"a":' * 300, b"0000-00-00", b"9999999-99-99", b"-0", b"inf", b"\x85", b"\xe2\x80\xa8", b" " * 2000]


def table_files(folder: Path) -> list[tuple[Path, Callable[[Path], Any]]]:
    """Tables in files of every kind, all read in the same way."""
    frame = polars.DataFrame({"size": np.arange(40) / 7, "town": ["Rome", "Oslo"] * 20, "y": [0, 1] * 20})
    frame = frame.with_columns(day=polars.lit("2020-01-05").str.to_date(), parts=polars.concat_list("y", "y"))
    contents = {
        "plain.csv": TEXT.encode(),
        "semicolons.csv": TEXT.replace(",", ";").replace(".", ",").encode("cp1252"),
        "wide.csv": TEXT.encode("utf-16"),
        "text.gz": gzip.compress(TEXT.encode()),
        "text.zst": load_zstd().compress(TEXT.encode()),
        "lines.json": frame.write_ndjson().encode(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    for compression in ("uncompressed", "snappy", "zstd", "gzip"):
        frame.write_parquet(folder / f"{compression}.parquet", compression=compression, row_group_size=16)
    for compression in ("uncompressed", "lz4", "zstd"):
        frame.write_ipc(folder / f"{compression}.arrow", compression=compression)
    frame.write_ipc_stream(folder / "stream.arrow")
    x = np.arange(24.0).reshape(8, 3)
    np.savez(folder / "plain.npz", x=x, y=np.arange(8))
    np.savez_compressed(folder / "deflated.npz", x=x, y=np.array(list("abcdefgh")))
    return [(path, _read) for path in sorted(folder.iterdir())]


def _read(path: Path) -> None:
    table = read_table(str(path)).read_as({})
    for _ in table.batches(table.names):
        pass
    for name in table.names:
        table.numbers(name)
        for _ in table.cells(name):
            pass


def mutated_table(data: bytes, draw: random.Random) -> bytes:
    """One to three mutations of the bytes, of the structure, or of the text that is compressed in them."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        data = _compressed(data, draw) if draw.random() < 0.7 else mutated_bytes(data, draw)
    return data


def _compressed(data: bytes, draw: random.Random) -> bytes:
    for magic, open_text, compress in (
        (GZIP, gzip.decompress, gzip.compress),
        (ZSTD, lambda data: load_zstd().decompress(data), lambda data: load_zstd().compress(data)),
    ):
        if data.startswith(magic):
            try:
                return compress(_text(open_text(data), draw))
            except (OSError, EOFError, zlib.error, load_zstd().ZstdError):
                return mutated_bytes(data, draw)
    if data[:4] == b"PAR1":
        return mutated_parquet(data, draw)
    if data[:4] in (b"ARRO", b"\xff\xff\xff\xff"):
        return mutated_arrow(data, draw)
    return mutated_bytes(data, draw) if data[:4] == b"PK\3\4" else _text(data, draw)


def _text(data: bytes, draw: random.Random) -> bytes:
    """A text with a hostile piece in it, or mutated as bytes."""
    if draw.random() < 0.5:
        return mutated_bytes(data, draw)
    place, changed = draw.randrange(len(data) + 1), io.BytesIO()
    changed.write(data[:place] + draw.choice(PIECES) * draw.choice((1, 1, 1, 30)) + data[place:])
    return changed.getvalue()
