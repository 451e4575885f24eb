"""Configurations as JSON, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from wisp.config.checks import require
from wisp.errors import InputError

C = TypeVar("C")


def to_json(config: Any) -> dict[str, Any]:  # noqa: ANN401 - a configuration
    """``config`` as JSON values, complete and reloadable with :func:`from_json`."""
    from pydantic import TypeAdapter

    return dict(TypeAdapter(type(config)).dump_python(config, mode="json"))


def from_json(kind: type[C], values: Mapping[str, Any]) -> C:
    """The ``kind`` of configuration that :func:`to_json` saved; unknown keys are refused."""
    from pydantic import TypeAdapter, ValidationError

    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    require(not unknown, f"config.json: unknown keys {unknown} for {kind.__name__}")
    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"config.json: {place}: {first['msg']}") from None


def defaults(kind: type[Any]) -> dict[str, Any]:
    """The default values of a ``kind`` of configuration, where it has some, as JSON values.

    What a run of an earlier version does not know of was as the default is.
    """
    from pydantic import TypeAdapter

    return {
        field.name: TypeAdapter(Any).dump_python(field.default, mode="json")
        for field in dataclasses.fields(kind)
        if field.default is not dataclasses.MISSING
    }
