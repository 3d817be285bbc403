import io
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow.parquet import write_table

from tests.inference.drawn import draw_picture
from tests.inference.predicted import read_rows, run
from tvseg import remote_files
from tvseg.errors import UserError
from tvseg.inference.input.find import find_photographs
from tvseg.inference.input.read import read_photograph
from tvseg.remote_files import RemoteFile, check_stores


@pytest.fixture
def store(tmp_path: Path) -> Iterator[fsspec.AbstractFileSystem]:
    """Two pictures and a text, in memory."""
    Image.fromarray(draw_picture(90, 120)).save(tmp_path / "one.png")
    store = fsspec.filesystem("memory")
    for name in ("one.png", "b/two.png"):
        store.pipe(f"/photos/{name}", (tmp_path / "one.png").read_bytes())
    store.pipe("/photos/text.png", b"a text")
    yield store
    store.rm("/photos", recursive=True)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_lists_name_photographs_of_any_store(
    store: fsspec.AbstractFileSystem, tmp_path: Path, suffix: str
) -> None:
    columns = {
        "id": ["one", "two", "three", "text", "gone"],
        "path": ["one.png", "memory://photos/b/two.png", f"file://{tmp_path}/one.png",
                 "memory://photos/text.png", "memory://photos/gone.png"],
        "um_per_px": [2.5, None, None, None, None],
    }  # fmt: skip
    path = tmp_path / f"list{suffix}"
    if suffix == ".csv":
        rows = zip(*columns.values(), strict=True)
        lines = [",".join("" if cell is None else str(cell) for cell in row) for row in rows]
        path.write_text("\n".join([",".join(columns), *lines]))
    else:
        write_table(pa.table(columns), path)
    photographs = find_photographs([path])
    assert [photograph.um_per_px for photograph in photographs] == [2.5, *[None] * 4]
    tally = run(photographs, tmp_path / "out", formats=["mask", "overlay", "labelme", "coco"])
    assert (tally.predicted, tally.failed) == (3, 2)
    rows = {row["id"]: row for row in read_rows(tmp_path / "out" / "measurements.csv")}
    assert len({row["disc_area_px"] for row in rows.values()}) == 1
    assert rows["two"]["path"] == "memory://photos/b/two.png"
    reasons = {row["id"]: row["reason"] for row in read_rows(tmp_path / "out" / "failures.csv")}
    assert "cannot be read as a picture" in reasons["text"]
    assert reasons["gone"] == "does not exist"
    assert run(photographs, tmp_path / "out", formats=["mask", "overlay", "labelme", "coco"],
               resume=True).predicted == 3  # fmt: skip


def test_a_remote_photograph_has_the_pixels_of_the_file(
    store: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    pixels, eye = read_photograph(RemoteFile("memory://photos/one.png"))
    assert np.array_equal(pixels, read_photograph(tmp_path / "one.png")[0])
    assert eye == "unknown"


def test_a_store_that_does_not_answer_is_another_matter_than_a_missing_file(
    store: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = RemoteFile("memory://photos/one.png")
    with pytest.raises(UserError, match="must have at most 10 bytes"):
        file.read(limit=10)

    def fail(self: object, path: str) -> bytes:
        raise ConnectionResetError("the line is cut")

    monkeypatch.setattr(type(store), "cat_file", fail)
    with pytest.raises(OSError, match="cannot be reached: the line is cut"):
        file.read(limit=10**9)


class Server(BaseHTTPRequestHandler):
    """Answers /N with status N, and is silent on all other paths."""

    def do_GET(self) -> None:
        if self.path[1:].isdigit():
            self.send_error(int(self.path[1:]))
        else:
            self.rfile.read(1)  # until the client hangs up

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def web() -> Iterator[str]:
    """A web server's address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("404", UserError, "does not exist"),
        ("410", UserError, "does not exist"),
        ("403", UserError, "may not be read"),
        ("503", OSError, "cannot be reached: 503, message='Service Unavailable'"),
        ("silent", OSError, "cannot be reached: Timeout on reading data"),
    ],
)
def test_web_servers_are_not_waited_for_and_say_what_failed(
    path: str, kind: type[Exception], words: str, web: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_files, "SILENCE_S", 0.2)
    file = RemoteFile(f"{web}/{path}")
    with pytest.raises(kind, match=f"{file}: {words}"):
        file.read(limit=100)


def test_a_port_that_nobody_serves_is_no_missing_file() -> None:
    with pytest.raises(OSError, match="cannot be reached: Cannot connect to host"):
        RemoteFile("http://127.0.0.1:9/one.png").read(limit=100)


def test_sizes_that_are_not_known_are_limited(
    store: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Answer(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            asked.append(size)
            return super().read(size)

    monkeypatch.setattr(type(store), "size", lambda *_: None)
    monkeypatch.setattr(type(store), "open", lambda *_: Answer(b"a text"))
    file = RemoteFile("memory://photos/text.png")
    assert file.read(limit=6) == b"a text"
    with pytest.raises(UserError, match="must have at most 5 bytes"):
        file.read(limit=5)
    assert asked == [7, 6]


def test_signatures_and_passwords_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://me:word@host/a/b.png?X-Amz-Signature=c#d"
    assert str(RemoteFile(url)) == "https://host/a/b.png"
    assert str(RemoteFile("s3://bucket/a?b#c.png")) == "s3://bucket/a?b#c.png"

    def fail(_: str, **options: object) -> None:
        raise ConnectionResetError(f"404, url='{url}'")

    monkeypatch.setattr(fsspec.core, "url_to_fs", fail)
    with pytest.raises(OSError, match=r"reached: 404, url='https://host/a/b.png'$"):
        RemoteFile(url).read(limit=9)


def test_unknown_stores_and_missing_packages_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no files of the kind nowhere://"):
        check_stores([RemoteFile("nowhere://a/b.png")])

    def missing(kind: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "get_filesystem_class", missing)
    with pytest.raises(UserError, match=r'Install s3fs.*pip install "tvseg\[remote\]"'):
        check_stores([RemoteFile("s3://a/b.png")])
    assert remote_files.is_url("s3://a/b")
    assert not remote_files.is_url("C:/a/b")


def test_a_list_that_is_no_parquet_file(tmp_path: Path) -> None:
    (tmp_path / "list.parquet").write_bytes(b"id,path\n")
    with pytest.raises(UserError, match="must be a Parquet file"):
        find_photographs([tmp_path / "list.parquet"])
