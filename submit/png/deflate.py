"""A deflate encoder for label maps: small, fast, and always the same bytes.

The output of a compression library changes with its version and the machine, and so
would the digest of a submission. This encoder uses integer arithmetic only. Label maps
consist of runs and of rows that repeat, so it uses two distances only, one byte and one
row. For these it searches nearly all ways to cut the data into matches and literals for
the cheapest. See RFC 1951 for the format.

Kept apart from `palette` so that importing that module does not import the compiler.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..system.compiled import compiled

__all__ = ["deflate"]

_SHORTEST, _LONGEST = 3, 258
_END = 256
_LITERALS, _DISTANCES = 286, 30
#: Larger than the cost of any path through the data, and far from overflow.
_NEVER = 1 << 30


def _length_codes() -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """For each match length: its symbol, its number of extra bits, and their value."""
    symbols, extra, value = (np.zeros(_LONGEST + 1, np.int32) for _ in range(3))
    length = _SHORTEST
    for code in range(28):
        bits = 0 if code < 8 else code // 4 - 1
        for offset in range(1 << bits):
            if length < _LONGEST:
                symbols[length], extra[length] = 257 + code, bits
                value[length] = offset
                length += 1
    symbols[_LONGEST] = 285
    return symbols, extra, value


_LENGTH_SYMBOL, _LENGTH_EXTRA, _LENGTH_VALUE = _length_codes()

#: The order in which the lengths of the code for code lengths are written.
_ORDER = np.array(
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15], np.int64
)


def _typical_costs() -> NDArray[np.int32]:
    """Bits that symbols usually cost in label maps: the start of the search."""
    costs = np.full(_LITERALS, 8, np.int32)
    costs[[0, 255]] = 5
    costs[257:] = 7
    costs[281:] = 5, 4, 3, 5, 1
    return costs


_TYPICAL_COSTS = _typical_costs()


def deflate(rows: NDArray[np.uint8]) -> bytes:
    """Compress H×S bytes whose rows resemble each other; a raw deflate stream."""
    data = np.ascontiguousarray(rows).reshape(-1)
    stride = rows.shape[1]
    # NumPy finds the places where a run, or the equality with the row above, ends
    # faster than a compiled loop would.
    run_breaks = np.flatnonzero(data[1:] != data[:-1]) + 1
    row_breaks = np.flatnonzero(data[stride:] != data[:-stride]) + stride
    stream = _deflate(data, stride, run_breaks, row_breaks, _TYPICAL_COSTS)
    return bytes(stream.tobytes())


@compiled()
def _deflate(
    data: Any, stride: int, run_breaks: Any, row_breaks: Any, costs: Any
) -> Any:
    lengths, distances = _parse(data, stride, run_breaks, row_breaks, costs)
    frequencies = np.zeros(_LITERALS, np.int64)
    distance_frequencies = np.zeros(_DISTANCES, np.int64)
    extra_bits = 0
    for i in range(len(lengths)):
        if distances[i] == 0:
            frequencies[lengths[i]] += 1
        else:
            symbol, bits, _ = _distance_code(distances[i])
            frequencies[_LENGTH_SYMBOL[lengths[i]]] += 1
            distance_frequencies[symbol] += 1
            extra_bits += _LENGTH_EXTRA[lengths[i]] + bits
    frequencies[_END] = 1
    sizes = _code_lengths(frequencies, 15)
    distance_sizes = _code_lengths(distance_frequencies, 15)
    codes = _codes(sizes)
    distance_codes = _codes(distance_sizes)
    body = extra_bits
    for symbol in range(_LITERALS):
        body += frequencies[symbol] * sizes[symbol]
    for symbol in range(_DISTANCES):
        body += distance_frequencies[symbol] * distance_sizes[symbol]
    # The header takes at most 14 + 19·3 bits and 14 for each code length.
    out = np.zeros((body + 71 + 14 * (_LITERALS + _DISTANCES)) // 8 + 16, np.uint8)
    place = _write_header(out, sizes, distance_sizes)
    for i in range(len(lengths)):
        length, distance = lengths[i], distances[i]
        if distance == 0:
            place = _write(out, place, codes[length], sizes[length])
        else:
            symbol = _LENGTH_SYMBOL[length]
            place = _write(out, place, codes[symbol], sizes[symbol])
            place = _write(out, place, _LENGTH_VALUE[length], _LENGTH_EXTRA[length])
            symbol, bits, value = _distance_code(distance)
            place = _write(out, place, distance_codes[symbol], distance_sizes[symbol])
            place = _write(out, place, value, bits)
    place = _write(out, place, codes[_END], sizes[_END])
    return out[: (place + 7) // 8]


@compiled()
def _parse(data: Any, stride: int, run_breaks: Any, row_breaks: Any, costs: Any) -> Any:
    """Cut the data into literals and matches, at the least cost in bits.

    A shortest path over the positions of the data. The steps from a position are a
    literal and, at each of the two distances, the longest match and those that end
    where a run, or the equality with the row above, ends: only there can another token
    become better. A position is skipped if a later one was reached at no higher cost.

    Returns:
        For each token the length, or the literal's value, and the distance, 0 for a
        literal.
    """
    size = len(data)
    length_costs = np.zeros(_LONGEST + 1, np.int32)
    for length in range(_SHORTEST, _LONGEST + 1):
        length_costs[length] = costs[_LENGTH_SYMBOL[length]] + _LENGTH_EXTRA[length]
    # In nearly all label maps the two distances are about equally frequent.
    run_cost = 1
    row_cost = 2 + _distance_code(stride)[1] if stride <= 32768 else _NEVER
    reached = np.empty(size + _LONGEST + 1, np.int32)
    reached[:] = _NEVER
    came_by = np.zeros(size + 1, np.int16)
    at_row = np.zeros(size + 1, np.uint8)
    reached[0] = 0
    run, row = 0, 0
    for here in range(size):
        cost = reached[here]
        if cost == _NEVER:
            continue
        cheapest = np.int32(_NEVER)
        window = reached[here + 1 : here + 1 + _LONGEST]
        for ahead in range(_LONGEST):
            cheapest = min(cheapest, window[ahead])
        if cheapest <= cost:
            continue
        while run < len(run_breaks) and run_breaks[run] < here:
            run += 1
        while row < len(row_breaks) and row_breaks[row] < here:
            row += 1
        literal = cost + costs[data[here]]
        if literal < reached[here + 1]:
            reached[here + 1], came_by[here + 1] = literal, 1
        for kind in range(2):
            if kind == 0:
                if here < 1:
                    continue
                end = run_breaks[run] if run < len(run_breaks) else size
                base = cost + run_cost
            else:
                if here < stride or row_cost == _NEVER:
                    continue
                end = row_breaks[row] if row < len(row_breaks) else size
                base = cost + row_cost
            end = min(end, here + _LONGEST)
            if end - here < _SHORTEST:
                continue
            total = base + length_costs[end - here]
            if total < reached[end]:
                reached[end], came_by[end], at_row[end] = total, end - here, kind
            # The ends of matches at the other distance, within this match.
            other, first = (row_breaks, row) if kind == 0 else (run_breaks, run)
            while first < len(other) and other[first] < end:
                stop = other[first]
                if stop - here >= _SHORTEST:
                    total = base + length_costs[stop - here]
                    if total < reached[stop]:
                        reached[stop], came_by[stop] = total, stop - here
                        at_row[stop] = kind
                first += 1
    count, here = 0, size
    while here > 0:
        here -= came_by[here]
        count += 1
    lengths = np.empty(count, np.int32)
    distances = np.empty(count, np.int32)
    here = size
    while here > 0:
        count -= 1
        length = came_by[here]
        if length == 1:
            lengths[count], distances[count] = data[here - 1], 0
        else:
            lengths[count] = length
            distances[count] = stride if at_row[here] else 1
        here -= length
    return lengths, distances


@compiled()
def _distance_code(distance: int) -> Any:
    """The symbol of a distance, its number of extra bits, and their value."""
    rest = distance - 1
    if rest < 4:
        return rest, 0, 0
    bits, high = 0, rest
    while high >= 4:
        high >>= 1
        bits += 1
    return 2 * bits + high, bits, rest - (high << bits)


@compiled()
def _code_lengths(frequencies: Any, limit: int) -> Any:
    """Lengths of a Huffman code in which none is longer than `limit`."""
    sizes = np.zeros(len(frequencies), np.int64)
    leaves = np.empty(len(frequencies), np.int64)
    weights = np.empty(len(frequencies), np.int64)
    count = 0
    for symbol in range(len(frequencies)):
        if frequencies[symbol] > 0:
            leaves[count], weights[count] = symbol, frequencies[symbol]
            count += 1
    if count < 2:
        # Not all readers accept a code of one symbol; the second one is never used.
        other = leaves[0] if count else 0
        sizes[other], sizes[1 if other == 0 else 0] = 1, 1
        return sizes
    while True:
        longest = _huffman(weights[:count], leaves[:count], sizes)
        if longest <= limit:
            return sizes
        for i in range(count):  # Flatter weights give a flatter tree.
            weights[i] = (weights[i] + 1) // 2


@compiled()
def _huffman(weights: Any, leaves: Any, sizes: Any) -> int:
    """Write the depth of each leaf of a Huffman tree into `sizes`; the greatest one.

    Sorts weights and leaves. The sort is stable, so that the tree is the same
    everywhere.
    """
    count = len(leaves)
    for i in range(1, count):
        light, leaf, j = weights[i], leaves[i], i
        while j > 0 and weights[j - 1] > light:
            weights[j], leaves[j] = weights[j - 1], leaves[j - 1]
            j -= 1
        weights[j], leaves[j] = light, leaf
    weight = np.zeros(2 * count - 1, np.int64)
    parent = np.zeros(2 * count - 1, np.int64)
    weight[:count] = weights
    leaf, inner = 0, count
    for node in range(count, 2 * count - 1):
        for _ in range(2):
            if leaf < count and (inner == node or weight[leaf] <= weight[inner]):
                chosen = leaf
                leaf += 1
            else:
                chosen = inner
                inner += 1
            weight[node] += weight[chosen]
            parent[chosen] = node
    depth = np.zeros(2 * count - 1, np.int64)
    for node in range(2 * count - 3, -1, -1):
        depth[node] = depth[parent[node]] + 1
    longest = 0
    for i in range(count):
        sizes[leaves[i]] = depth[i]
        longest = max(longest, depth[i])
    return longest


@compiled()
def _codes(sizes: Any) -> Any:
    """The canonical Huffman codes of these lengths, first bit lowest."""
    codes = np.zeros(len(sizes), np.int64)
    code = 0
    for size in range(1, 16):
        for symbol in range(len(sizes)):
            if sizes[symbol] == size:
                for bit in range(size):
                    codes[symbol] |= ((code >> bit) & 1) << (size - 1 - bit)
                code += 1
        code <<= 1
    return codes


@compiled()
def _write_header(out: Any, sizes: Any, distance_sizes: Any) -> int:
    """Write the start of the one block: both codes, run-length and Huffman coded."""
    literals = len(sizes)
    while literals > 257 and sizes[literals - 1] == 0:
        literals -= 1
    distances = len(distance_sizes)
    while distances > 1 and distance_sizes[distances - 1] == 0:
        distances -= 1
    lengths = np.empty(literals + distances, np.int64)
    lengths[:literals] = sizes[:literals]
    lengths[literals:] = distance_sizes[:distances]
    symbols = np.empty(len(lengths), np.int64)
    values = np.zeros(len(lengths), np.int64)
    count, start = 0, 0
    while start < len(lengths):
        length, stop = lengths[start], start + 1
        while stop < len(lengths) and lengths[stop] == length:
            stop += 1
        left = stop - start
        if length > 0:
            symbols[count] = length
            count += 1
            left -= 1
        while left >= 3:
            if length == 0 and left >= 11:
                symbols[count], step = 18, min(left, 138)
                values[count] = step - 11
            else:
                symbols[count] = 17 if length == 0 else 16
                step = min(left, 10 if length == 0 else 6)
                values[count] = step - 3
            count += 1
            left -= step
        for _ in range(left):
            symbols[count] = length
            count += 1
        start = stop
    frequencies = np.zeros(19, np.int64)
    for i in range(count):
        frequencies[symbols[i]] += 1
    code_sizes = _code_lengths(frequencies, 7)
    codes = _codes(code_sizes)
    used = 19
    while used > 4 and code_sizes[_ORDER[used - 1]] == 0:
        used -= 1
    place = _write(out, 0, 1, 1)  # The last block …
    place = _write(out, place, 2, 2)  # … with codes of its own.
    place = _write(out, place, literals - 257, 5)
    place = _write(out, place, distances - 1, 5)
    place = _write(out, place, used - 4, 4)
    for i in range(used):
        place = _write(out, place, code_sizes[_ORDER[i]], 3)
    for i in range(count):
        symbol = symbols[i]
        place = _write(out, place, codes[symbol], code_sizes[symbol])
        if symbol == 16:
            place = _write(out, place, values[i], 2)
        elif symbol == 17:
            place = _write(out, place, values[i], 3)
        elif symbol == 18:
            place = _write(out, place, values[i], 7)
    return place


@compiled()
def _write(out: Any, place: int, value: int, bits: int) -> int:
    """Write some bits, lowest first, at a bit position; returns the next position."""
    value <<= place & 7
    byte = place >> 3
    while value > 0:
        out[byte] |= value & 255
        value >>= 8
        byte += 1
    return place + bits
