"""Logits in one byte: int8 codes, and the table of their values.

The table is that of the µ-law of telephony (ITU-T G.711): eight pieces of 16 codes, in
steps of 1/64 from 0 to 1/4, and in each further piece in steps twice as large, up to
±61.75. So the rounding error is at most 1/128 near zero, where masks have their edges,
and nowhere more than about 3 %. Codes are in the order of their values, and the code 0
is 0.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import MaskError

__all__ = [
    "LOGIT_LIMIT",
    "LOWEST",
    "OLD_VALUES",
    "VALUES",
    "Codes",
    "Values",
    "dequantise",
    "quantise",
]

#: int8 codes of logits, of any shape.
Codes: TypeAlias = NDArray[np.int8]
#: The values of the codes: 256 float32, that of the code c at c + 128.
Values: TypeAlias = NDArray[np.float32]


def _table() -> Values:
    code = np.arange(-128, 129)
    piece, place = np.divmod(np.abs(code), 16)
    value = np.sign(code) * ((16.0 + place) * 2.0**piece - 16) / 64
    return value[:256].astype(np.float32)


#: The table of all files that are written now.
VALUES = _table()
VALUES.setflags(write=False)

#: The table of files that have none: steps of 1/8 up to ±15.875.
OLD_VALUES = (np.arange(-128, 128) / 8).astype(np.float32)
OLD_VALUES.setflags(write=False)

#: The code of the lowest logit; −128 is not used.
LOWEST = -127
#: The largest logit that is kept; larger ones are clipped.
LOGIT_LIMIT = float(VALUES[-1])


def quantise(logits: NDArray[np.floating] | Codes) -> Codes:
    """Round logits to the codes of the nearest values; those beyond ±61.75 are clipped.

    An int8 array holds codes already and is returned as it is.

    Raises:
        MaskError: A logit is not a number.
    """
    from .resample import encode

    if logits.dtype == np.int8:
        return logits.astype(np.int8, copy=False)
    if logits.dtype != np.float32:
        # Clipped first: the lowest float64 does not fit into float32.
        logits = np.clip(logits, -LOGIT_LIMIT, LOGIT_LIMIT).astype(np.float32)
    flat = np.ascontiguousarray(logits).reshape(-1)
    codes = np.empty(flat.shape, np.int8)
    if not encode(flat, codes):
        raise MaskError("logits hold NaN; the predictor is broken on this frame")
    return codes.reshape(logits.shape)


def dequantise(codes: Codes, values: Values = VALUES) -> NDArray[np.float32]:
    """Turn codes back into logits; the inverse of `quantise`."""
    # Equal to values[codes.astype(np.int16) + 128], and faster.
    return values.take(codes.view(np.uint8) ^ np.uint8(128))
