"""Files appear whole or not at all."""

from pathlib import Path

import pytest

from ntjax.errors import UserError
from ntjax.io.files import check_writable, format_bytes, written_atomically


def test_a_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "folder" / "file"
    with written_atomically(path, 5) as file:
        file.write(b"hello")
        assert not path.exists()
    assert path.read_bytes() == b"hello"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, UserError, KeyboardInterrupt])
def test_an_error_leaves_the_earlier_file(tmp_path, error):
    path = tmp_path / "file"
    path.write_bytes(b"earlier")

    def write():
        with written_atomically(path, 5) as file:
            file.write(b"hello")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "file"
    with written_atomically(path, 1) as first, written_atomically(path, 1) as second:
        first.write(b"first")
        second.write(b"second")
    assert path.read_bytes() == b"first"  # whose block ended last
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_the_way_is_a_user_error(tmp_path):
    path = tmp_path / "file"
    path.mkdir()

    def write():
        with written_atomically(path, 5, remedy="choose another name") as file:
            file.write(b"hello")

    with pytest.raises(UserError, match=r"file: cannot be written .*; choose another name$"):
        write()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1940, "1.94 kB"), (10_190_000_000, "10.19 GB")],
)
def test_sizes(count, text):
    assert format_bytes(count) == text


def test_folders_that_cannot_be_written(tmp_path, monkeypatch):
    check_writable(tmp_path / "one" / "two")
    check_writable(Path("new"))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written, since .*file is a file"):
        check_writable(tmp_path / "file" / "two")
    monkeypatch.setattr("ntjax.io.files.os.access", lambda *_: False)
    with pytest.raises(UserError, match=r"two: cannot be written, since .* is read-only"):
        check_writable(tmp_path / "one" / "two")
    assert not (tmp_path / "one").exists()
