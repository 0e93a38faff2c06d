"""Public names of fields and enum values."""

import re

from google.protobuf.descriptor import Descriptor, EnumDescriptor

from livestream.v1.access_pb2 import camel_case, upper_case

_STEP = re.compile(r"(\w+)((?:\[[^\]]*\])*)")


def find_public_values(enum: EnumDescriptor) -> dict[str, int]:
    """Numbers by public name: without the prefix, and in lower case unless the enum's options ask for another one.

    `ROLE_HOST` is `host`; `ROLE_UNSPECIFIED` has none. The prefix is what stands before `UNSPECIFIED` in the name of
    the value 0.
    """
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    options = enum.GetOptions().Extensions
    cased = str.upper if options[upper_case] else _to_camel if options[camel_case] else str.lower
    return {cased(each.name.removeprefix(prefix)): each.number for each in enum.values if each.number}


def _to_camel(name: str) -> str:
    first, *further = name.lower().split("_")
    return first + "".join(map(str.capitalize, further))


def to_public_path(message: Descriptor, path: str) -> str:
    """A field path in proto names as the public writes it: `planned_start_date` is `plannedStartDate`.

    Whatever is not a field of `message` is left as it stands.
    """
    steps = []
    within: Descriptor | None = message
    for step in path.split("."):
        match = _STEP.fullmatch(step)
        field = within.fields_by_name.get(match[1]) if within and match else None
        steps.append(field.json_name + match[2] if field and match else step)
        within = field.message_type if field else None
    return ".".join(steps)
