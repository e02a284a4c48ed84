"""The folder that workers and the sender share: private, written all or nothing, cleaned up.

What lies there is personal data in the form in which it is sent, so every folder and file
belongs to its owner alone; the shop's secret is never there. A file has its final name only when
all of it is on the disk: a worker that is killed leaves at most a file that nobody looks at.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final

from personaclick_async.errors import ConfigurationError, PersonaClickError

_PRIVATE_FOLDER: Final = 0o700
_PRIVATE_FILE: Final = 0o600
_UNFINISHED: Final = ".unfinished-"


class SpoolFailed(PersonaClickError):
    """The spool can't be read or written: a full disk, a folder that is gone, a damaged file."""


class Spool:
    """One data set's folder in the spool.

    :param folder: the folder that workers and the sender share.
    :param identity: what tells this data set from others; a hash of it names the sub-folder.
    """

    def __init__(self, folder: str | os.PathLike[str], identity: str) -> None:
        self.path = Path(folder) / f"personaclick-{sha256(identity.encode()).hexdigest()[:24]}"

    def make(self) -> None:
        """Make the folder, private from the first moment.

        :raises ConfigurationError: that is not possible, or it is open to others.
        """
        try:
            self.path.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
            self.path.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
            if self.path.stat().st_mode & 0o077:
                raise ConfigurationError("spool: expected a folder that is closed to others")
        except OSError as error:
            raise ConfigurationError(f"spool: can't be made: {error.strerror}") from None

    def part(self, name: str) -> Path:
        """Make room for one partition.

        :raises ConfigurationError: the folder that :meth:`make` made is not here.
        """
        try:
            (self.path / name).mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
        except FileNotFoundError:
            raise ConfigurationError(
                "spool: the folder that the sender has made is not here; workers and sender need "
                "one folder that all of them see, such as one on a network file system"
            ) from None
        except OSError as error:
            raise failed(error) from None
        return self.path / name

    def parts(self) -> Iterable[Path]:
        """Give the partitions' folders."""
        try:
            return sorted(self.path.iterdir())
        except FileNotFoundError:
            return []

    def remove(self) -> None:
        """Take the folder away; what can't be removed stays."""
        shutil.rmtree(self.path, ignore_errors=True)


def write_whole(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file that is there wholly or not at all; see :func:`writing`.

    :raises SpoolFailed: it could not be written.
    """
    with writing(path) as file:
        file.writelines(pieces)


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Write a file that gets its name when the block has ended well and all is on the disk.

    Two workers may write the same file at once: the later one replaces it by its like.

    :raises SpoolFailed: it could not be written.
    """
    unfinished = path.with_name(f"{_UNFINISHED}{secrets.token_hex(8)}")
    try:
        number = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE)
        try:
            with os.fdopen(number, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except BaseException:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise failed(error) from None


def sweep(folder: Path) -> None:
    """Take away what workers that were killed have left unfinished."""
    with suppress(OSError):
        for path in folder.glob(f"{_UNFINISHED}*"):
            path.unlink(missing_ok=True)


def read_whole(path: Path) -> bytes | None:
    """Read a file; None if it is not there.

    :raises SpoolFailed: it can't be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise failed(error) from None


def failed(error: OSError) -> SpoolFailed:
    """Say what happened, without the path."""
    return SpoolFailed(f"the spool can't be read or written ({error.strerror})")
