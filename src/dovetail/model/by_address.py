"""Named tuples of arrays that compiled code hands on by their address, instead of field by field at every call.

A named tuple of a dozen arrays is some hundred numbers; Numba makes each of them an argument of every function that the
tuple is given to, and compiling takes twice as long. Fields cannot be changed, so where they lie in memory may be told
instead: Python's arguments are written down once, and functions read from there what they need.
"""

from __future__ import annotations

from typing import Any, TypeVar

from numba.core import cgutils
from numba.core.datamodel.models import PrimitiveModel
from numba.core.imputils import impl_ret_borrowed
from numba.core.types import Array, BaseNamedTuple, BaseTuple, Type  # type: ignore[attr-defined]
from numba.core.typing.templates import AttributeTemplate
from numba.extending import NativeValue, infer_getattr, lower_getattr_generic, register_model, typeof_impl, unbox

from dovetail.content import content_key

_Class = TypeVar("_Class", bound=type)


class ByAddress(Type):
    """Where in memory the fields of a named tuple lie; named tuples among them lie inside it."""

    def __init__(self, fields: BaseNamedTuple) -> None:
        self.fields = fields
        # Names of types are part of every compiled function's name: short ones compile faster.
        super().__init__(f"{fields.instance_class.__name__}@{content_key(str(fields))[:12]}")

    @property
    def key(self) -> Any:
        """What tells types apart."""
        return self.fields, *classes(self.fields)


def classes(fields: BaseNamedTuple) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the names of a named tuple's class and fields, and of those within; Numba compares their types only."""
    inside = [one for field in fields.types if isinstance(field, BaseNamedTuple) for one in classes(field)]
    return (fields.instance_class.__qualname__, fields.fields), *inside


def by_address(cls: _Class) -> _Class:
    """Have compiled code take named tuples of a class by their address. They must hold arrays, numbers, or others."""

    @typeof_impl.register(cls)  # type: ignore[untyped-decorator]
    def type_of(value: Any, context: Any) -> Any:
        types = [typeof_impl(field, context) for field in value]
        if any(one is None for one in types):
            return None
        return ByAddress(BaseTuple.from_types([_in_place(one) for one in types], cls))

    return cls


def holds_arrays(argument: Type) -> bool:
    """Return whether an argument brings arrays' addresses with it, which another argument may have, too."""
    if isinstance(argument, BaseTuple):
        return any(holds_arrays(one) for one in argument.types)
    return isinstance(argument, Array)


def _in_place(one: Type) -> Type:
    return one.fields if isinstance(one, ByAddress) else one


@register_model(ByAddress)
class _Model(PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, typ: ByAddress) -> None:
        super().__init__(manager, typ, manager.lookup(typ.fields).get_value_type().as_pointer())


@infer_getattr
class _Attributes(AttributeTemplate):  # type: ignore[misc]
    key = ByAddress

    def generic_resolve(self, typ: ByAddress, name: str) -> Any:
        """Return the type of a field."""
        if name not in typ.fields.fields:
            return None
        field = typ.fields.types[typ.fields.fields.index(name)]
        return ByAddress(field) if isinstance(field, BaseNamedTuple) else field


@lower_getattr_generic(ByAddress)  # type: ignore[untyped-decorator]
def _field(context: Any, builder: Any, typ: ByAddress, address: Any, name: str) -> Any:
    at = typ.fields.fields.index(name)
    field, place = typ.fields.types[at], cgutils.gep_inbounds(builder, address, 0, at)
    if isinstance(field, BaseNamedTuple):
        return place
    return impl_ret_borrowed(context, builder, field, builder.load(place))


@unbox(ByAddress)  # type: ignore[untyped-decorator]
def _write_down(typ: ByAddress, value: Any, c: Any) -> NativeValue:
    native = c.unbox(typ.fields, value)
    return NativeValue(
        cgutils.alloca_once_value(c.builder, native.value), is_error=native.is_error, cleanup=native.cleanup
    )
