"""Rows of the table of control methods: encoder.add, list, show, remove."""

from __future__ import annotations

from typing import Any, Final

from node.control.api import NodeApi
from node.control.codes import Code
from node.control.encoders import examples as ex
from node.control.encoders import params as p
from node.control.encoders import results as r
from node.control.params import Nothing
from node.control.rpc import Method, calls

ENCODERS: Final[tuple[Method[Any, Any], ...]] = (
    Method(
        "encoder.add",
        "Keep an encoder package, once a confined process has read it.",
        p.EncoderAddParams,
        r.Encoder,
        calls(NodeApi.encoder_add),
        (Code.INPUT,),
        (p.EncoderAddParams("/srv/minilm.assay", "minilm"), ex.ENCODER),
    ),
    Method(
        "encoder.list",
        "The encoders of this home.",
        Nothing,
        tuple[r.Encoder, ...],
        calls(NodeApi.encoder_list),
        (),
        (Nothing(), (ex.ENCODER,)),
    ),
    Method(
        "encoder.show",
        "One encoder, read again by a confined process.",
        p.EncoderParams,
        r.EncoderDetail,
        calls(NodeApi.encoder_show),
        (Code.INPUT,),
        (p.EncoderParams("minilm"), ex.DETAIL),
    ),
    Method(
        "encoder.remove",
        "Remove an encoder that no running job needs.",
        p.EncoderParams,
        r.EncoderRemoved,
        calls(NodeApi.encoder_remove),
        (Code.INPUT, Code.STATE),
        (p.EncoderParams("minilm"), ex.REMOVED),
    ),
)
