"""Runs a seccomp program as the kernel would: classic BPF over `struct seccomp_data`, the instructions that ours uses."""

import struct
from collections.abc import Sequence

ALLOW = "allow"
KILL = "kill"
_LOAD, _AND, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06


def verdict(program: bytes, audit: int, number: int, arguments: Sequence[int] = ()) -> str | int:
    """`allow`, `kill`, or the errno that the call is answered with."""
    padded = [*arguments, *([0] * (6 - len(arguments)))]
    data = struct.pack("<IIQ6Q", number, audit, 0, *padded)
    instructions = [struct.unpack_from("HBBI", program, offset) for offset in range(0, len(program), 8)]
    place, accumulator = 0, 0
    while True:
        code, if_true, if_false, value = instructions[place]
        place += 1
        if code == _RETURN:
            return _named(value)
        if code == _LOAD:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif code == _AND:
            accumulator &= value
        else:
            place += if_true if _holds(code, accumulator, value) else if_false


def _holds(code: int, accumulator: int, value: int) -> bool:
    if code == _IF_EQUAL:
        return accumulator == value
    if code == _IF_AT_LEAST:
        return accumulator >= value
    if code == _IF_ANY_BIT:
        return bool(accumulator & value)
    raise AssertionError(f"an instruction that the program should not use: {code:#x}")


def _named(value: int) -> str | int:
    if value == 0x7FFF0000:
        return ALLOW
    return KILL if value == 0x80000000 else value & 0xFFFF
