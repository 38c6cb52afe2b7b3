"""Tests of the program that looks for values in the files of a workspace."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import zlib
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_codex_workspace.in_container import find_values
from pytest_codex_workspace.in_container.find_values import find_in_pieces

VALUES = {"A": [b"abab", b"c"], "B": [b"bb"]}


@given(
    data=st.text("abc", max_size=30).map(str.encode), cuts=st.lists(st.integers(0, 30), max_size=6)
)
def test_a_value_is_found_wherever_the_data_is_split(data: bytes, cuts: list[int]) -> None:
    """
    The result is the same as for the whole data.
    """
    at = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:stop] for start, stop in pairwise(at)]
    expected = {name for name, some in VALUES.items() if any(one in data for one in some)}

    assert find_in_pieces(pieces, VALUES) == expected


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress], ids=["gzip", "zlib"])
@pytest.mark.parametrize("size", [7, 1 << 20])
def test_a_file_that_is_packed_as_a_whole_is_unpacked(pack, size: int) -> None:
    """
    Git keeps its objects so, and many logs are kept so.
    """
    data = pack(bytes(5000) + b"abab" + os.urandom(500).replace(b"b", b"-"))
    assert b"abab" not in data
    pieces = [data[at : at + size] for at in range(0, len(data), size)]

    assert find_in_pieces(pieces, {"A": [b"abab"]}) == {"A"}


def test_what_only_looks_packed_is_searched_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Broken data is no error, and a bomb is not unpacked without an end.
    """
    monkeypatch.setattr(find_values, "PIECE", 1 << 12)
    values = {"A": [b"abab"]}
    assert find_in_pieces([b"\x1f\x8bnothing", b"abab"], values) == {"A"}
    assert find_in_pieces([b"\x78\x9c", b"abab"], values) == {"A"}
    assert find_in_pieces([b"x"], values) == set()
    for zeros, found in ((1 << 10, {"A"}), (1 << 20, set())):
        assert find_in_pieces([gzip.compress(bytes(zeros) + b"abab")], values) == found
    monkeypatch.setattr(find_values, "_UNPACKED", 1 << 9)
    assert find_in_pieces([gzip.compress(bytes(1 << 10) + b"abab")], values) == set()


def search(root: Path, **changes: object) -> dict[str, object]:
    """
    Run the program as a workspace does.
    """
    values = {"TOKEN": [b"geheim".hex()], "OTHER": [b"anderes".hex()]}
    request = {"values": values, "age": 3600, "seconds": 60, "bytes": 1 << 20, "root": str(root)}
    program = Path(find_values.__file__).read_text()
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        input=json.dumps({**request, **changes}),
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_content_names_and_links_of_what_has_changed(tmp_path: Path) -> None:
    """
    Other files, and other things than files, are passed by; small files come first.
    """
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/large").write_bytes(b"x" * 3_000_000 + b"geheim" + b"anderes")
    (tmp_path / ".npmrc").write_text("token=geheim\n")
    (tmp_path / "is-geheim").symlink_to("to-anderes")
    (tmp_path / "clean").write_text("nothing")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "secret").write_text("geheim")
    (tmp_path / "secret").chmod(0)
    found = search(tmp_path, bytes=1 << 23)

    assert found["complete"] is True
    unreadable = [["TOKEN", "content", f"{tmp_path}/secret"]] if os.getuid() == 0 else []
    assert sorted(found["found"]) == sorted(
        [  # type: ignore[call-overload]
            ["TOKEN", "content", f"{tmp_path}/.npmrc"],
            ["OTHER", "link", f"{tmp_path}/is-geheim"],
            ["TOKEN", "name", f"{tmp_path}/is-geheim"],
            ["OTHER", "content", f"{tmp_path}/sub/large"],
            ["TOKEN", "content", f"{tmp_path}/sub/large"],
            *unreadable,
        ]
    )
    limited = search(tmp_path, bytes=2_000_000)
    assert limited["complete"] is False
    assert ["TOKEN", "content", f"{tmp_path}/.npmrc"] in limited["found"]  # type: ignore[operator]
    assert search(tmp_path, age=-60) == {"found": [], "complete": True}
    assert search(tmp_path, seconds=-1)["complete"] is False
