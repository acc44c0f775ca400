"""The schemas of records for pydantic, so that FastAPI accepts `-> Campaign`. Pydantic's own request imports it."""

from typing import Any, get_args

import attrs
from pydantic_core import core_schema
from typing_extensions import TypedDict  # pydantic refuses typing's `TypedDict` on Python 3.11


def record_schema(kind: Any, handler: Any) -> Any:
    """Return the schema of a record: an instance, or a JSON object with all attribute names.

    Args:
        kind: the class of the record.
        handler: pydantic's `GetCoreSchemaHandler`.
    """
    attributes = {field.name: field.type for field in attrs.fields(kind)}
    # The functional form, whose name is the name of the schema in OpenAPI.
    json_object = handler.generate_schema(TypedDict(kind.__name__, attributes))  # type: ignore[operator]  # mypy wants a literal dict
    from_object = core_schema.no_info_after_validator_function(lambda values: kind(**values), json_object)
    return core_schema.json_or_python_schema(
        json_schema=from_object,
        python_schema=core_schema.union_schema([core_schema.is_instance_schema(kind), from_object]),
        serialization=core_schema.plain_serializer_function_ser_schema(kind.to_dict, return_schema=json_object),
    )


def records_schema(source: Any, handler: Any) -> Any:
    """Return the schema of a response's records: an instance of `Records`, which becomes a JSON array.

    Args:
        source: `Records`, or `Records[Campaign]`.
        handler: pydantic's `GetCoreSchemaHandler`.
    """
    records = get_args(source)
    array = core_schema.list_schema(handler.generate_schema(records[0]) if records else None)
    return core_schema.json_or_python_schema(
        json_schema=array,
        python_schema=core_schema.is_instance_schema(getattr(source, "__origin__", source)),
        serialization=core_schema.plain_serializer_function_ser_schema(list, return_schema=array),
    )
