import hashlib
import http.server
import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest

from ntjax.datasets.registry import DATASETS, load_dataset
from ntjax.datasets.remote_files import RemoteFile, find_file
from ntjax.errors import UserError

CONTENT = b"name,sequence,label\n" + b"a,ACGT,1\n" * 50_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()

needs_data = pytest.mark.skipif(
    "NTJAX_DATA_DIR" not in os.environ, reason="NTJAX_DATA_DIR is not set: no public data here"
)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requested.append(self.path)
        if self.path == "/missing.csv":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: -100 if self.path == "/short.csv" else None])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.requested = []
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def folders(monkeypatch, tmp_path, request):
    """An empty cache and no data folder, except where the real data are read."""
    monkeypatch.setenv("NTJAX_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("NTJAX_OFFLINE", raising=False)
    if request.node.get_closest_marker("skipif") is None:
        monkeypatch.delenv("NTJAX_DATA_DIR", raising=False)
    return tmp_path


def remote_file(server, name="table.csv", sha256=SHA256):
    url = f"http://127.0.0.1:{server.server_port}/{name}"
    return RemoteFile(path=f"some/{name}", url=url, sha256=sha256, size=len(CONTENT))


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_downloaded_once_into_the_cache(server, folders):
    path = find_file(remote_file(server))
    assert path == folders / "cache/datasets/some/table.csv"
    assert path.read_bytes() == CONTENT
    assert path.stat().st_mode & 0o777 == 0o644

    assert find_file(remote_file(server)) == path
    assert server.requested == ["/table.csv"]
    assert files_below(folders) == ["cache/datasets/some/table.csv"]


def test_cache_below_xdg_cache_home(server, folders, monkeypatch):
    monkeypatch.delenv("NTJAX_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folders / "xdg"))
    assert find_file(remote_file(server)) == folders / "xdg/ntjax/datasets/some/table.csv"


def test_cache_below_home(server, folders, monkeypatch):
    monkeypatch.delenv("NTJAX_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(folders / "home"))
    assert find_file(remote_file(server)) == folders / "home/.cache/ntjax/datasets/some/table.csv"


def put(path, content=CONTENT):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_data_folder_comes_first(server, folders, monkeypatch):
    monkeypatch.setenv("NTJAX_DATA_DIR", str(folders / "data"))
    put(folders / "cache/datasets/some/table.csv")
    own = put(folders / "data/some/table.csv")
    assert find_file(remote_file(server)) == own
    assert server.requested == []


def test_data_folder_without_the_file_falls_back(server, folders, monkeypatch):
    (folders / "data").mkdir()
    monkeypatch.setenv("NTJAX_DATA_DIR", str(folders / "data"))
    assert find_file(remote_file(server)) == folders / "cache/datasets/some/table.csv"
    assert files_below(folders / "data") == []


def test_missing_data_folder_is_refused(server, folders, monkeypatch):
    monkeypatch.setenv("NTJAX_DATA_DIR", str(folders / "nowhere"))
    with pytest.raises(UserError, match="nowhere is not a folder: correct or unset it"):
        find_file(remote_file(server))


def test_changed_file_in_the_data_folder_is_refused(server, folders, monkeypatch):
    monkeypatch.setenv("NTJAX_DATA_DIR", str(folders / "data"))
    own = put(folders / "data/some/table.csv", b"changed")
    with pytest.raises(UserError) as caught:
        find_file(remote_file(server))
    message = str(caught.value)
    assert message.startswith(f"{own}: not the expected file")
    assert hashlib.sha256(b"changed").hexdigest() in message
    assert f"expected {SHA256}: replace it by http://127.0.0.1" in message
    assert own.read_bytes() == b"changed"


def test_changed_file_in_the_cache_is_refused(server, folders):
    put(folders / "cache/datasets/some/table.csv", b"changed")
    with pytest.raises(UserError, match="delete it, and it is downloaded again"):
        find_file(remote_file(server))


@pytest.mark.parametrize(
    ("name", "sha256", "problem"),
    [
        ("table.csv", "0" * 64, "not the expected file"),
        ("short.csv", SHA256, "download failed (it broke off 100 bytes before its end)"),
        ("short.csv", None, "download failed (it broke off 100 bytes before its end)"),
    ],
)
def test_wrong_download_leaves_nothing(server, folders, name, sha256, problem):
    with pytest.raises(UserError) as caught:
        find_file(remote_file(server, name, sha256))
    message = str(caught.value)
    assert message.startswith(f"http://127.0.0.1:{server.server_port}/{name}: {problem}")
    assert f"put it at {folders}/cache/datasets/some/{name}" in message
    assert files_below(folders) == []


def test_http_error(server, folders):
    with pytest.raises(UserError) as caught:
        find_file(remote_file(server, "missing.csv"))
    message = str(caught.value)
    assert "download failed (HTTP Error 404: Not Found): try again, or download http:" in message
    assert f"put it at {folders}/cache/datasets/some/missing.csv" in message
    assert "\n" not in message
    assert files_below(folders) == []


def test_no_network(folders):
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as closed:
        gone = remote_file(closed)
    with pytest.raises(UserError, match=r"download failed \(.*refused\): try again, or download"):
        find_file(gone)
    assert files_below(folders) == []


def test_offline(server, folders, monkeypatch):
    monkeypatch.setenv("NTJAX_OFFLINE", "1")
    with pytest.raises(UserError) as caught:
        find_file(remote_file(server))
    message = str(caught.value)
    assert message.startswith("some/table.csv is not on this machine and NTJAX_OFFLINE is set")
    assert f"download {remote_file(server).url} yourself" in message
    assert f"put it at {folders}/cache/datasets/some/table.csv" in message
    assert server.requested == []

    put(folders / "cache/datasets/some/table.csv")
    assert find_file(remote_file(server)).read_bytes() == CONTENT


def test_cache_that_can_not_be_written(server, folders, monkeypatch):
    put(folders / "file", b"")
    monkeypatch.setenv("NTJAX_CACHE_DIR", str(folders / "file"))
    with pytest.raises(
        UserError, match=r"can't be written \(Not a directory\): set NTJAX_CACHE_DIR"
    ):
        find_file(remote_file(server))


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("ecoli_promotors", "did you mean 'ecoli_promoters'"),
        ("simulated", "did you mean 'simulated_sigma70'"),
        (
            "zebrafish",
            "data sets are ecoli_promoters, simulated_sigma70, ecoli_coding_strand, and nt:TASK",
        ),
    ],
)
def test_unknown_name(name, remedy):
    with pytest.raises(UserError, match=f"there is no data set '{name}': {remedy}"):
        load_dataset(name)


def test_unknown_protocol():
    with pytest.raises(UserError, match="no protocol 'cleen': did you mean 'clean'"):
        load_dataset("simulated_sigma70", "cleen")


def test_simulated_needs_no_files(monkeypatch, folders):
    monkeypatch.setenv("NTJAX_OFFLINE", "1")
    splits = load_dataset("simulated_sigma70")
    assert (len(splits.train), len(splits.test)) == (4_000, 1_000)
    assert splits.train == load_dataset("simulated_sigma70", "published").train
    assert not Path(folders / "cache").exists()


def test_coding_strand_needs_no_files_and_brings_all_parts(monkeypatch, folders):
    monkeypatch.setenv("NTJAX_OFFLINE", "1")
    splits = load_dataset("ecoli_coding_strand")
    parts = (splits.train, splits.validation, splits.calibration, splits.test)
    assert [len(part) for part in parts] == [1_000, 250, 250, 2_000]
    assert {label for part in parts for label in part.labels} == {"forward", "reverse"}
    assert splits.train == load_dataset("ecoli_coding_strand", "published").train
    assert "Markov chain" in splits.notes[0]
    assert DATASETS["ecoli_coding_strand"].reverse_complement == "flip-label"
    assert not Path(folders / "cache").exists()


def test_other_data_sets_leave_parts_and_strands_open():
    splits = load_dataset("simulated_sigma70")
    assert splits.validation is None
    assert splits.calibration is None
    for name in ("ecoli_promoters", "simulated_sigma70"):
        assert DATASETS[name].reverse_complement == "none"


def test_registered_files_are_pinned():
    for name, dataset in DATASETS.items():
        assert dataset.name == name
        assert dataset.licence
        assert dataset.citation
        for file in dataset.files:
            assert re.search(r"/[0-9a-f]{40}/", file.url)  # of a fixed revision
            assert name.startswith("nt") or len(file.sha256) == 64
            assert not Path(file.path).is_absolute()


@needs_data
def test_ecoli_promoters_as_published():
    splits = load_dataset("ecoli_promoters", "published")
    assert (len(splits.train), len(splits.test)) == (17_232, 1_865)
    labels = np.array(splits.test.labels)
    assert ((labels == "1").sum(), (labels == "0").sum()) == (865, 1_000)
    assert "1,748 of 17,232 training rows (1,732 promoters, 16 negatives) share" in splits.notes[0]
    assert "864 of the 864 distinct test promoters stand verbatim" in splits.notes[0]


@needs_data
def test_ecoli_promoters_clean():
    splits = load_dataset("ecoli_promoters")
    assert splits.protocol == "clean"
    assert (len(splits.train), len(splits.test)) == (15_484, 1_865)
    assert (np.array(splits.train.labels) == "1").sum() == 8_616 - 1_732
    assert "were removed; 15,484 rows are left" in splits.notes[0]

    def windows(sequence):
        return {sequence[start : start + 16] for start in range(len(sequence) - 15)}

    complement = str.maketrans("ACGT", "TGCA")
    forbidden = set()
    for sequence, label in zip(splits.test.sequences, splits.test.labels, strict=True):
        if label == "1":
            forbidden |= windows(sequence) | windows(sequence.translate(complement)[::-1])
    assert not any(windows(sequence) & forbidden for sequence in splits.train.sequences)


@needs_data
def test_the_notes_about_composition_hold():
    splits = load_dataset("ecoli_promoters", "published")

    def gc(table, label):
        text = "".join(
            sequence
            for sequence, found in zip(table.sequences, table.labels, strict=True)
            if found == label
        )
        return (text.count("G") + text.count("C")) / len(text)

    found = [gc(table, label) for table in (splits.train, splits.test) for label in "01"]
    np.testing.assert_allclose(found, [0.485, 0.445, 0.40, 0.40], atol=0.006)
