"""Which files can't be read as they lie there."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pytest

from auditor.capture.sealed import BINARY, COMPRESSED, ENCRYPTED, PICTURE, sealed


def archive() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        entry = tarfile.TarInfo("etc/hosts")
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"name"))
    return stream.getvalue()


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        made.writestr("hosts", "name")
    return stream.getvalue()


@pytest.mark.parametrize("content", [gzip.compress(b"x"), bz2.compress(b"x"), lzma.compress(b"x"), archive(), zipped()])
def test_what_must_be_opened_first(content: bytes) -> None:
    assert sealed(content[:4096]) == COMPRESSED


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"$ANSIBLE_VAULT;1.1;AES256\n", ENCRYPTED),
        (b"-----BEGIN PGP MESSAGE-----\n", ENCRYPTED),
        (b"\x89PNG\r\n\x1a\n", PICTURE),
        (b"\x7fELF\x02\x01\x01\x00\x00", BINARY),
        (b"", ""),
        (b"PKI of the company\n", ""),
        (b"-----BEGIN CERTIFICATE-----\n", ""),
        ("server=x".encode("utf-16"), ""),
    ],
)
def test_by_its_first_bytes(head: bytes, kind: str) -> None:
    assert sealed(head) == kind
