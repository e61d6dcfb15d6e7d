"""A protobuf message counted before it is parsed: strict about what its schema does not know.

Parsing turns two bytes into a hundred: a file of nothing but empty messages would take all memory.
And a parser keeps a field that it does not know, which another parser, with another schema, obeys.
So the bytes are walked first, by the schema: fields are counted, and unknown ones, wrong wire
types, groups and what nests too deep are refused. Nothing is copied.

Encoding: protobuf.dev, 'Encoding'.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from node.encoders import limits
from protocol.errors import InputError

#: Model, graph, node, attribute, tensor, and a type's few: honest files nest 8 deep.
_DEPTH: Final = 12

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_WIRE_TYPES: Final = {
    FieldDescriptor.TYPE_DOUBLE: _FIXED64,
    FieldDescriptor.TYPE_FIXED64: _FIXED64,
    FieldDescriptor.TYPE_SFIXED64: _FIXED64,
    FieldDescriptor.TYPE_FLOAT: _FIXED32,
    FieldDescriptor.TYPE_FIXED32: _FIXED32,
    FieldDescriptor.TYPE_SFIXED32: _FIXED32,
    FieldDescriptor.TYPE_STRING: _BYTES,
    FieldDescriptor.TYPE_BYTES: _BYTES,
    FieldDescriptor.TYPE_MESSAGE: _BYTES,
}


def count_fields(data: memoryview, schema: Descriptor) -> int:
    """Fields of the message, those of messages inside it included.

    Raises InputError if it is cut off, has a field that `schema` does not know or in another form,
    nests deeper than 12 messages, or has more than MAX_ENCODER_FIELDS fields.
    """
    return _Walk(data).message(0, len(data), schema, 0)


class _Walk:
    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._count = 0

    def message(self, at: int, end: int, schema: Descriptor, depth: int) -> int:
        where = schema.name
        if depth > _DEPTH:
            raise _refused(f"{where} at byte {at} nests deeper than {_DEPTH} messages")
        seen: set[int] = set()
        while at < end:
            self._count += 1
            if self._count > limits.MAX_ENCODER_FIELDS:
                raise _refused(f"more than {limits.MAX_ENCODER_FIELDS} fields")
            begin = at
            tag, at = self._varint(at, end, where)
            field = schema.fields_by_number.get(tag >> 3)
            if field is None:
                raise _refused(f"{where} at byte {begin} has an unknown field {tag >> 3}")
            if not field.is_repeated and field.number in seen:
                # Parsers differ: one takes the last, one merges.
                raise _refused(f"{where}.{field.name} at byte {begin} stands twice")
            seen.add(field.number)
            at = self._value(at, end, field, tag & 7, depth)
        return self._count

    def _value(self, at: int, end: int, field: FieldDescriptor, wire: int, depth: int) -> int:
        where = field.full_name
        expected = _WIRE_TYPES.get(field.type, _VARINT)
        packed = field.is_repeated and wire == _BYTES and expected != _BYTES
        if wire != expected and not packed:
            raise _refused(f"{where} at byte {at} has the form {wire}, not {expected}")
        if wire == _VARINT:
            return self._varint(at, end, where)[1]
        if wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            length, at = self._varint(at, end, where)
        if length > end - at:
            raise _refused(f"{where} at byte {at} is cut off: {length} bytes, {end - at} are left")
        if packed and length > limits.MAX_ENCODER_LIST * 8:
            raise _refused(f"{where} has {length} bytes of packed numbers; weights are raw bytes")
        if field.message_type is not None:
            self.message(at, at + length, field.message_type, depth + 1)
        return at + length

    def _varint(self, at: int, end: int, where: str) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                raise _refused(f"{where} is cut off at byte {at}")
            byte = self._data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
        raise _refused(f"{where} has a number of more than 10 bytes at byte {at}")


def _refused(what: str) -> InputError:
    return InputError(f"the network's file is refused: {what}", "encoder.model")
