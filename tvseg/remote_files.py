"""Files of object stores and web servers, read through fsspec."""

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from tvseg.errors import UserError
from tvseg.extras import require
from tvseg.files import read_bytes

_WEB = re.compile(r"https?://[^\s'\")]*", re.IGNORECASE)
_SECRET = re.compile(r"(?<=://)[^/?#]*@|[?#].*")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_MISSING, _FORBIDDEN = (404, 410), (401, 403)

SILENCE_S = 30
"""Seconds without a byte after which a web server counts as one that does not answer."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file with a URL such as ``s3://bucket/photograph.jpg``.

    As text it has no query, which may be a signature that lets anybody read the file, and no
    password.

    Attributes:
        url: Of the file.
    """

    url: str

    def __str__(self) -> str:
        return _without_secrets(self.url)

    @property
    def suffix(self) -> str:
        """Of the file's name, as of a path."""
        return PurePosixPath(urlsplit(self.url).path).suffix

    @property
    def stem(self) -> str:
        """The file's name without its suffix, as of a path."""
        return PurePosixPath(urlsplit(self.url).path).stem

    def read(self, *, limit: int) -> bytes:
        """Return the content.

        Raises:
            UserError: There is no such file, it may not be read, or it is larger than ``limit``.
            OSError: It cannot be read now.
        """
        import fsspec

        try:
            store, path = fsspec.core.url_to_fs(self.url, **self._options())
            size = store.size(path)
            if size is None:  # not known before it is read
                with store.open(path, "rb") as file:
                    content: bytes = file.read(limit + 1)
                size = len(content)
            elif size <= limit:
                content = store.cat_file(path)
        except Exception as error:  # of each store's own kind
            raise self._explained(error) from error
        if size > limit:
            raise UserError(f"{self}: must have at most {limit} bytes, has {size} or more")
        return content

    @property
    def _is_of_the_web(self) -> bool:
        return bool(_WEB.match(self.url))

    def _options(self) -> dict[str, Any]:
        """Return fsspec's options for web servers: those of its configuration, and an end."""
        if not self._is_of_the_web:
            return {}
        from aiohttp import ClientTimeout
        from fsspec.config import conf

        known = conf.get(self.url.partition("://")[0].lower(), {}).get("client_kwargs", {})
        end = ClientTimeout(total=None, sock_connect=SILENCE_S, sock_read=SILENCE_S)
        return {"client_kwargs": {"timeout": end} | known}

    def _explained(self, error: Exception) -> UserError | OSError:
        """Return the error of a store as one of ours."""
        cause: BaseException = error
        if self._is_of_the_web and isinstance(error, FileNotFoundError):
            cause = error.__cause__ or error  # fsspec takes every failure for a missing file
        status = getattr(cause, "status", None)
        if status in _MISSING or isinstance(cause, FileNotFoundError):
            return UserError(f"{self}: does not exist")
        if status in _FORBIDDEN or isinstance(cause, PermissionError):
            return UserError(f"{self}: may not be read")
        said = " ".join(str(cause).split()) or str(cause.__cause__ or "") or type(cause).__name__
        return OSError(f"{self}: cannot be reached: {_without_secrets(said):.150}")


File = Path | RemoteFile
"""A file of this machine, or another one."""


def _without_secrets(text: str) -> str:
    return _WEB.sub(lambda found: _SECRET.sub("", found[0]), text)


def is_url(text: str) -> bool:
    """Return whether a text is a URL rather than a path."""
    return bool(_URL.match(text))


def as_file(source: str | os.PathLike[str] | RemoteFile) -> File:
    """Return the file of a path or a URL."""
    if isinstance(source, RemoteFile):
        return source
    return RemoteFile(source) if isinstance(source, str) and is_url(source) else Path(source)


def read_file(file: File, *, limit: int) -> bytes:
    """Return the content of a file.

    Raises:
        UserError: A device, pipe or folder, or a file of more than ``limit`` bytes; a remote one
            that does not exist or may not be read.
        OSError: The file cannot be read.
    """
    return file.read(limit=limit) if isinstance(file, RemoteFile) else read_bytes(file, limit=limit)


def check_stores(files: Collection[RemoteFile]) -> None:
    """Raise UserError unless what reads the files is installed.

    Raises:
        UserError: An unknown kind of URL, or a package that is missing.
    """
    kinds = {file.url.partition("://")[0].lower(): file for file in reversed(list(files))}
    if not kinds:
        return
    require("fsspec")
    import fsspec

    for kind, file in kinds.items():
        try:
            fsspec.get_filesystem_class(kind)
        except ImportError as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"{file} needs a package that is not installed ({reason}): run pip install "
                '"tvseg[remote]"'
            ) from error
        except ValueError as error:
            raise UserError(f"{file}: fsspec knows no files of the kind {kind}://") from error
