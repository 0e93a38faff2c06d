"""multipart/form-data as pairs of names and values, for `read.Reader.texts`."""

import re
from collections.abc import AsyncGenerator

from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException, MultiPartParser

MAX_FIELDS = 40
MAX_FILES = 1
MAX_FIELD_BYTES = 64 * 1024

_BOUNDARY = re.compile(r';\s*boundary=("?)([!-~]{1,70})\1\s*(?:;|$)', re.IGNORECASE)  # RFC 2046, section 5.1.1


class NotAForm(ValueError):
    """The body is not a whole form, or has more parts or longer ones than any form of this API."""


async def read_form(content_type: str, body: bytes) -> list[tuple[str, str | bytes]]:
    """The fields of a form in their order: texts as str, files as bytes. Raises NotAForm.

    A file's name and type are never used. An empty part that has the form of a file without a name is what a browser
    sends when no file was chosen; it is left out.
    """
    boundary = _BOUNDARY.search(content_type)
    if not boundary:
        raise NotAForm
    # Latin-1 keeps every byte, so that text which is not UTF-8 is found here, and not guessed at there.
    header = f'multipart/form-data; charset=latin-1; boundary="{boundary[2]}"'
    parser = _WholeFormParser(
        Headers({"content-type": header}),
        _yield_once(body),
        max_files=MAX_FILES,
        max_fields=MAX_FIELDS,
        max_part_size=MAX_FIELD_BYTES,
    )
    try:
        form = await parser.parse()
    except MultiPartException:
        raise NotAForm from None
    try:
        if not parser.complete:
            raise NotAForm
        pairs: list[tuple[str, str | bytes]] = []
        for name, value in form.multi_items():
            if isinstance(value, str):
                pairs.append((_decode_utf8(name), _decode_utf8(value)))
            elif value.filename or value.size:
                pairs.append((_decode_utf8(name), await value.read()))
        return pairs
    finally:
        await form.close()


class _WholeFormParser(MultiPartParser):
    """Notices whether the final boundary came, and keeps files in memory: the body was there already."""

    spool_max_size = 0  # never written to a disk
    complete = False

    def on_end(self) -> None:
        self.complete = True


async def _yield_once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


def _decode_utf8(text: str) -> str:
    try:
        return text.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise NotAForm from None
