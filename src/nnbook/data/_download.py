"""Download a file whose checksum is known, and go on where an earlier try broke off."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Literal
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from filelock import FileLock

from nnbook._progress import progress_bar

CHUNK = 1 << 16


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Args:
        tries: how often in a row a server may fail to send anything new.
        wait: seconds to wait after the first failure; the double after the next one, and so on.
        timeout: seconds without a byte after which a connection counts as broken.
    """

    tries: int = 4
    wait: float = 1.0
    timeout: float = 30.0


PATIENT = Patience()


def fetch(
    urls: Sequence[str],
    path: Path,
    sha256: str,
    *,
    patience: Patience = PATIENT,
    progress: bool | Literal["auto"] = "auto",
) -> Path:
    """Bring a file to ``path``, whole and with the right checksum, or raise and leave none there.

    What has arrived is kept as ``<path>.part`` and the next call asks for the rest. Two processes
    that want the same file wait for each other.

    Args:
        urls: where the file can be had; the next is tried when one fails.
        path: where it goes.
        sha256: its checksum.
        patience: how long to try.
        progress: whether to show a bar; ``"auto"`` means only on a terminal.

    Returns:
        The path.

    Raises:
        ConnectionError: if no server sends the file.
        ValueError: if a server sends another file.
    """
    if _is_right(path, sha256):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    problems: list[str] = []
    wrong = False
    with FileLock(path.with_name(path.name + ".lock")):
        if _is_right(path, sha256):  # another process was faster
            return path
        for url in urls:
            try:
                if _right_after_transfer(url, part, sha256, patience, progress):
                    os.replace(part, path)
                    return path
            except (OSError, HTTPException) as error:
                problems.append(f"{url}: {error or type(error).__name__}")
            else:
                wrong = True
                problems.append(f"{url}: the file has another sha256 than {sha256}")
    told = "; ".join(problems) or "no address is given"
    raise (ValueError if wrong else ConnectionError)(
        f"download: {path.name} was not downloaded: {told}. "
        "Check the network and try again (what has arrived is kept), install Debian's "
        "package dataset-fashion-mnist, or give a folder with the files."
    )


def _is_right(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def _right_after_transfer(
    url: str, part: Path, sha256: str, patience: Patience, progress: bool | Literal["auto"]
) -> bool:
    """Transfer the file; if it is wrong, delete it, and try once more without an old beginning."""
    resumed = part.exists()
    _transfer(url, part, patience, progress)
    right = _is_right(part, sha256)
    if not right:
        part.unlink()
        if resumed:
            return _right_after_transfer(url, part, sha256, patience, progress)
    return right


def _transfer(url: str, part: Path, patience: Patience, progress: bool | Literal["auto"]) -> None:
    """Add to ``part`` until it is as long as the file; each broken connection is made anew."""
    failures = 0
    while True:
        before = _size(part)
        problem = "the connection broke off"
        try:
            if _pull(url, part, patience.timeout, progress):
                return
        except HTTPError as error:
            error.close()
            if error.code < 500:
                raise
            problem = str(error)
        except (OSError, HTTPException) as error:
            problem = str(error) or type(error).__name__
        failures = 0 if _size(part) > before else failures + 1
        if failures == patience.tries:
            raise ConnectionError(f"{problem}, {failures} times, at byte {_size(part)}")
        time.sleep(patience.wait * 2**failures)


def _pull(url: str, part: Path, timeout: float, progress: bool | Literal["auto"]) -> bool:
    """Ask for the bytes that are missing and append them; return whether that is all of them."""
    have = _size(part)
    headers = {"User-Agent": "nnbook", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response: HTTPResponse = urlopen(Request(url, headers=headers), timeout=timeout)
    except HTTPError as error:
        if error.code == 416 and have:  # nothing lies beyond: the checksum decides
            error.close()
            return True
        raise
    with response:
        if response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            total = int(response.headers["Content-Range"].rpartition("/")[2])
        else:  # the server sends all of it again
            have = 0
            total = int(response.headers.get("Content-Length", -1))
        name = part.name.removesuffix(".part")
        options = {"total": max(total, have), "initial": have, "desc": name, "unit_scale": True}
        with (
            part.open("ab" if have else "wb") as file,
            progress_bar(progress, unit="B", **options) as bar,
        ):
            while chunk := response.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    return total == -1 or _size(part) >= total


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
