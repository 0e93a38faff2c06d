"""The comments of the contract by full name, from the packaged descriptor set."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet


@cache
def read_comments() -> Mapping[str, str]:
    """Comment by full name (`livestream.v1.Role.ROLE_HOST`): paragraphs, each on one line, an empty line between."""
    api = FileDescriptorSet.FromString((files("livestream.v1") / "api.binpb").read_bytes())
    return {
        name: "\n\n".join(" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", place.leading_comments))
        for file in api.file
        for place in file.source_code_info.location
        if place.leading_comments and (name := _find_full_name(file, place.path))
    }


def _find_full_name(file: FileDescriptorProto, path: Sequence[int]) -> str | None:
    """The name of what lies at `path` (field numbers and indexes in turn, as descriptor.proto's SourceCodeInfo says).

    None where the path leads to a part that has no name of its own, such as an option or the file's syntax.
    """
    if len(path) % 2:
        return None
    node: Any = file
    names = [file.package]
    for number, index in zip(path[::2], path[1::2], strict=True):
        field = node.DESCRIPTOR.fields_by_number[number]
        if not field.is_repeated or field.message_type is None or "name" not in field.message_type.fields_by_name:
            return None
        node = getattr(node, field.name)[index]
        names.append(node.name)
    return ".".join(names)
