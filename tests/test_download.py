"""Downloads from a server on this machine that breaks off, forgets, fails, and lies."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from test_data import write_small

from nnbook import data
from nnbook.data import fashion
from nnbook.data._download import Patience, fetch

BODY = np.random.default_rng(1).bytes(300_000)
HASH = hashlib.sha256(BODY).hexdigest()
FAST = Patience(tries=3, wait=0.001, timeout=5.0)


class Server(BaseHTTPRequestHandler):
    """Serves ``files``; breaks off, forgets ranges or fails as its attributes say."""

    files: dict[str, bytes]
    requests: list[tuple[str, str | None]]
    break_after: int | None
    ranges: bool
    errors: list[int]
    delay: float
    url: str

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.requests.append((self.path, wanted))
        if self.errors:
            self.send_error(self.errors.pop(0))
            return
        if self.path not in self.files:
            self.send_error(404)
            return
        body = self.files[self.path]
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if wanted and self.ranges:
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            start = 0
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        time.sleep(self.delay)
        self.wfile.write(body[start:][: self.break_after])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


class Quiet(ThreadingHTTPServer):
    """Ends with the test, and says nothing about a client that hung up."""

    daemon_threads = False

    def handle_error(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[type[Server]]:
    class Fresh(Server):
        """A class of its own for each test, since its attributes are changed."""

    Fresh.files, Fresh.requests, Fresh.errors = {"/file": BODY}, [], []
    Fresh.break_after, Fresh.ranges, Fresh.delay = None, True, 0.0
    http = Quiet(("127.0.0.1", 0), Fresh)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    Fresh.url = f"http://127.0.0.1:{http.server_port}"
    yield Fresh
    http.shutdown()
    http.server_close()
    thread.join()


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_download(server, tmp_path) -> None:
    path = tmp_path / "new" / "file"
    assert fetch([f"{server.url}/file"], path, HASH, patience=FAST) == path
    assert path.read_bytes() == BODY
    path.with_name("file.lock").unlink(missing_ok=True)
    fetch([f"{server.url}/file"], path, HASH, patience=FAST)
    assert len(server.requests) == 1  # the second time it is there
    assert [file.name for file in path.parent.iterdir()] == ["file"]  # nothing was written


def test_a_download_goes_on_where_it_broke_off(server, tmp_path) -> None:
    server.break_after = 100_000
    path = tmp_path / "file"
    fetch([f"{server.url}/file"], path, HASH, patience=FAST)
    assert [wanted for _, wanted in server.requests] == [None, "bytes=100000-", "bytes=200000-"]
    assert path.read_bytes() == BODY


def test_progress_resets_the_patience(server, tmp_path) -> None:
    server.break_after = 20_000  # 15 connections, more than tries
    fetch([f"{server.url}/file"], tmp_path / "file", HASH, patience=FAST)
    assert len(server.requests) == 15


def test_the_next_call_takes_up_the_part(server, tmp_path) -> None:
    (tmp_path / "file.part").write_bytes(BODY[:250_000])
    fetch([f"{server.url}/file"], tmp_path / "file", HASH, patience=FAST)
    assert server.requests == [("/file", "bytes=250000-")]
    assert (tmp_path / "file").read_bytes() == BODY
    assert listing(tmp_path) == ["file"]


def test_a_server_without_ranges_starts_anew(server, tmp_path) -> None:
    server.ranges = False
    (tmp_path / "file.part").write_bytes(BODY[:250_000])
    fetch([f"{server.url}/file"], tmp_path / "file", HASH, patience=FAST)
    assert len(server.requests) == 1  # what came was not added to the part
    assert (tmp_path / "file").read_bytes() == BODY


@pytest.mark.parametrize("part", [b"x" * 1000, BODY + b"x", b"y" * 300_000])
def test_a_wrong_part_is_thrown_away(server, tmp_path, part) -> None:
    (tmp_path / "file.part").write_bytes(part)
    fetch([f"{server.url}/file"], tmp_path / "file", HASH, patience=FAST)
    assert (tmp_path / "file").read_bytes() == BODY
    assert listing(tmp_path) == ["file"]


def test_a_whole_part_needs_no_more_bytes(server, tmp_path) -> None:
    (tmp_path / "file.part").write_bytes(BODY)
    fetch([f"{server.url}/file"], tmp_path / "file", HASH, patience=FAST)
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_wrong_file_in_place_is_replaced(server, tmp_path) -> None:
    (tmp_path / "file").write_bytes(BODY[:-1])
    fetch([f"{server.url}/file"], tmp_path / "file", HASH, patience=FAST)
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_busy_server_is_asked_again(server, tmp_path) -> None:
    server.errors = [503, 500]
    fetch([f"{server.url}/file"], tmp_path / "file", HASH, patience=FAST)
    assert len(server.requests) == 3


def test_the_next_address_is_tried(server, tmp_path) -> None:
    server.files["/other"] = b"other"
    urls = [f"{server.url}/{name}" for name in ("absent", "other", "file")]
    fetch(urls, tmp_path / "file", HASH, patience=FAST)
    assert [path for path, _ in server.requests] == ["/absent", "/other", "/file"]
    assert (tmp_path / "file").read_bytes() == BODY


@pytest.mark.errors
def test_errors_of_a_download(server, tmp_path) -> None:
    path, url = tmp_path / "file", f"{server.url}/file"

    def fails(error, match, urls=(url,), left=()) -> None:
        with pytest.raises(
            error, match=rf"(?s)download: file was not downloaded: .*{match}.*Debian"
        ):
            fetch(list(urls), path, HASH, patience=FAST)
        assert listing(tmp_path) == list(left)

    fails(ConnectionError, "404", [f"{server.url}/absent"])
    fails(ConnectionError, "no address is given", [])
    fails(ConnectionError, "refused", ["http://127.0.0.1:9/file"])
    server.errors = [503] * 3
    fails(ConnectionError, "503.*, 3 times, at byte 0")
    server.files["/file"] = BODY[:-1] + b"?"
    fails(ValueError, f"has another sha256 than {HASH}")
    server.files["/file"], server.break_after = BODY, 0
    (tmp_path / "file.part").write_bytes(BODY[:10])
    fails(ConnectionError, "broke off, 3 times, at byte 10", left=["file.part"])
    server.break_after = None
    fetch([url], path, HASH, patience=FAST)
    assert path.read_bytes() == BODY


def test_a_silent_server_times_out(server, tmp_path) -> None:
    server.delay = 1.0
    quick = Patience(tries=1, wait=0.001, timeout=0.1)
    with pytest.raises(ConnectionError, match=r"timed out, 1 times, at byte 0"):
        fetch([f"{server.url}/file"], tmp_path / "file", HASH, patience=quick)


FETCH = """
import sys
from pathlib import Path
from nnbook.data._download import Patience, fetch
fetch([sys.argv[1]], Path(sys.argv[2]), sys.argv[3], patience=Patience(5, 0.001, 5.0))
"""


def test_two_processes_download_once(server, tmp_path) -> None:
    server.delay, server.break_after = 0.1, 100_000
    arguments = [f"{server.url}/file", str(tmp_path / "file"), HASH]
    runs = [subprocess.Popen([sys.executable, "-c", FETCH, *arguments]) for _ in range(3)]
    assert [process.wait(60) for process in runs] == [0, 0, 0]
    assert (tmp_path / "file").read_bytes() == BODY
    assert len(server.requests) == 3  # the three pieces, once


def test_killed_in_the_middle(server, tmp_path) -> None:
    server.break_after, server.delay = 100_000, 0.2
    arguments = [f"{server.url}/file", str(tmp_path / "file"), HASH]
    process = subprocess.Popen([sys.executable, "-c", FETCH, *arguments])
    part = tmp_path / "file.part"
    while not (part.exists() and part.stat().st_size >= 100_000):
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert listing(tmp_path) == ["file.part"]
    server.delay, server.break_after = 0.0, None
    fetch([arguments[0]], tmp_path / "file", HASH, patience=FAST)
    assert (tmp_path / "file").read_bytes() == BODY
    assert server.requests[-1][1] in ("bytes=100000-", "bytes=200000-")


def test_the_download_of_the_data_set(server, tmp_path, monkeypatch) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    write_small(source)
    files = {}
    for key, file in fashion.FILES.items():
        body = (source / file.name).read_bytes()
        server.files[f"/data/{file.name}"] = body
        packed, content = (hashlib.sha256(b).hexdigest() for b in (body, gzip.decompress(body)))
        files[key] = file._replace(packed=packed, content=content)
    monkeypatch.setattr(fashion, "FILES", files)
    urls = (f"{server.url}/data/",)
    assert data.download_fashion(target, urls=urls, patience=FAST) == target
    assert listing(target) == sorted(file.name for file in files.values())
    assert len(data.fashion_mnist(target).train) == 23
    monkeypatch.setattr(fashion, "URLS", urls)
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / name)
    assert data.download_fashion(urls=urls) == tmp_path / "nnbook" / "fashion-mnist"


def test_progress_bar_of_a_download(server, tmp_path, capsys) -> None:
    (tmp_path / "file.part").write_bytes(BODY[:150_000])
    fetch([f"{server.url}/file"], tmp_path / "file", HASH, patience=FAST, progress=True)
    text = capsys.readouterr().err
    assert "file:  50%" in text  # it starts where the part ends
    assert "300k/300k" in text
    fetch([f"{server.url}/file"], tmp_path / "again", HASH, patience=FAST)
    assert capsys.readouterr().err == ""
