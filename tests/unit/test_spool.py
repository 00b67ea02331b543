from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy_app.errors import NoRoom
from proxy_app.spool import IN_MEMORY, Spool, spliced


async def joined(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


async def test_a_small_body_touches_no_disk(tmp_path: Path) -> None:
    with Spool(tmp_path / "uploads") as spool:
        for piece in (b"one", b"", b"two"):
            await spool.append(piece)
        assert not spool.on_disk
        assert spool.whole() == b"onetwo"
        assert await joined(spliced(spool, [((0, 3), b"1")])) == b"1two"
    assert not (tmp_path / "uploads").exists()


async def test_a_large_body_waits_in_a_file_without_a_name(tmp_path: Path) -> None:
    pieces = [bytes([number]) * 100_000 for number in range(30)]
    with Spool(tmp_path) as spool:
        for piece in pieces:
            await spool.append(piece)
            assert spool._pending <= IN_MEMORY
        assert spool.on_disk
        assert list(tmp_path.iterdir()) == []
        assert spool.whole() == b""
        assert await joined(spliced(spool, ())) == b"".join(pieces)


@pytest.mark.parametrize("start", [0, 5, 299_995, 1_299_995, 2_999_990])
async def test_a_span_is_replaced_wherever_it_lies(tmp_path: Path, start: int) -> None:
    whole = bytes(range(250)) * 12_000
    with Spool(tmp_path) as spool:
        for at in range(0, len(whole), 99_999):
            await spool.append(whole[at : at + 99_999])
        changed = await joined(spliced(spool, [((start, start + 10), b"new")]))
    assert changed == whole[:start] + b"new" + whole[start + 10 :]


async def test_a_disk_that_cannot_take_it_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with Spool(tmp_path / "file") as spool, pytest.raises(NoRoom, match="disk"):
        await spool.append(b"x" * (IN_MEMORY + 1))
