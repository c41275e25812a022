"""What a pickle says about arrays, without running any of it.

The names a file may use, what each stands for, and our own stand-ins for the calls that NumPy,
joblib and JAX have pickle make. Used by `ntjax.checkpoints.unpickler`.
"""

import enum
import math

import ml_dtypes
import numpy as np


class RefusedFileError(Exception):
    """The file names something weights do not need, or describes an impossible array."""


class Label(enum.Enum):
    """What a name in the file stands for. Labels cannot be called and have no state."""

    JOBLIB_ARRAY = "joblib's description of an array"
    ARRAY_TYPE = "numpy.ndarray"
    DTYPE = "numpy.dtype"
    NUMPY_ARRAY = "NumPy's way of rebuilding an array"
    JAX_ARRAY = "JAX's way of rebuilding an array"
    BFLOAT16 = "ml_dtypes.bfloat16"
    DICTIONARY = "a dictionary type"


LABELS = {
    "joblib.numpy_pickle.NumpyArrayWrapper": Label.JOBLIB_ARRAY,
    "numpy.ndarray": Label.ARRAY_TYPE,
    "numpy.memmap": Label.ARRAY_TYPE,
    "numpy.dtype": Label.DTYPE,
    "numpy.core.multiarray._reconstruct": Label.NUMPY_ARRAY,
    "numpy._core.multiarray._reconstruct": Label.NUMPY_ARRAY,
    "jax._src.array._reconstruct_array": Label.JAX_ARRAY,
    "jax._src.device_array.reconstruct_device_array": Label.JAX_ARRAY,
    "ml_dtypes.bfloat16": Label.BFLOAT16,
    "collections.OrderedDict": Label.DICTIONARY,
    "haiku._src.data_structures.FlatMapping": Label.DICTIONARY,
    "haiku._src.data_structures.FlatMap": Label.DICTIONARY,
    "haiku._src.data_structures.frozendict": Label.DICTIONARY,
}

# Integers and booleans are let through so that the caller can name the parameter that holds them.
_DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")

_MAXIMUM_DIMENSIONS = 8


def printable(text: str, limit: int = 120) -> str:
    """Text from an untrusted file as one short line of ASCII."""
    shown = ascii(text[: limit + 1])[1:-1]
    return shown if len(shown) <= limit else shown[:limit] + "..."


class Dtype:
    """A dtype under construction: named by REDUCE, given its byte order by BUILD."""

    def __init__(self, name: object):
        if name is Label.BFLOAT16:
            self.dtype = np.dtype(ml_dtypes.bfloat16)
            return
        if not isinstance(name, str):
            raise RefusedFileError("describes a dtype in a form NumPy does not write")
        plain = name.lstrip("<>=|")
        if plain.startswith("O"):
            raise RefusedFileError("holds an array of Python objects (dtype object)")
        if plain not in _DTYPES:
            raise RefusedFileError(f"holds an array of dtype {printable(name)}, not of numbers")
        self.dtype = np.dtype(name)

    def build(self, state: object) -> None:
        """Set the byte order from the state tuple of `numpy.dtype.__reduce__`."""
        if not (isinstance(state, tuple) and len(state) >= 8 and state[1] in ("<", ">", "|", "=")):
            raise RefusedFileError("describes a dtype in a form NumPy does not write")
        if any(part is not None for part in state[2:5]):
            raise RefusedFileError("holds an array with named fields or of Python objects")
        if state[1] in "<>":
            self.dtype = self.dtype.newbyteorder(state[1])


class Array:
    """An array under construction: announced by REDUCE or NEWOBJ, filled in by BUILD."""

    def __init__(self, from_joblib: bool):
        self.from_joblib = from_joblib
        self.array: np.ndarray | None = None


def checked_shape(shape: object) -> tuple[int, ...]:
    """`shape` if it is a tuple of sizes that an array can have; else a refusal."""
    if not (
        isinstance(shape, tuple)
        and len(shape) <= _MAXIMUM_DIMENSIONS
        and all(type(size) is int and 0 <= size < 1 << 48 for size in shape)
    ):
        raise RefusedFileError("describes an array with an impossible shape")
    return shape


def array_view(
    data: memoryview, start: int, shape: tuple[int, ...], dtype: np.dtype, fortran: bool
) -> tuple[np.ndarray, int]:
    """The array whose numbers begin at byte `start` of `data`, without a copy, and its end."""
    count = math.prod(shape)
    end = start + count * dtype.itemsize
    if end > len(data):
        raise EOFError
    # NumPy accepts no offset at the very end of a buffer, where an empty array may begin.
    flat = np.frombuffer(data, dtype, count, start) if count else np.empty(0, dtype)
    return (flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)), end


def numpy_array(state: object) -> np.ndarray:
    """The array in the state tuple of `numpy.ndarray.__reduce__`: version 1, numbers as bytes."""
    if not (isinstance(state, tuple) and len(state) == 5 and isinstance(state[2], Dtype)):
        raise RefusedFileError("describes an array in a form NumPy does not write")
    _, shape, dtype, fortran, numbers = state
    if not isinstance(numbers, bytes | memoryview):
        raise RefusedFileError("holds an array of Python objects")
    array, end = array_view(
        memoryview(numbers), 0, checked_shape(shape), dtype.dtype, fortran is True
    )
    if end != len(numbers):
        raise RefusedFileError("holds an array whose shape does not fit its numbers")
    return array


def call(label: object, arguments: object) -> object:
    """What REDUCE stands for: our own stand-in for each call an array's pickle makes."""
    if not isinstance(arguments, tuple):
        raise RefusedFileError("calls a function without a tuple of arguments")
    match label, arguments:
        case Label.DTYPE, (name, *_):
            return Dtype(name)
        case Label.NUMPY_ARRAY, (Label.ARRAY_TYPE, (0,), b"b"):
            return Array(from_joblib=False)
        case Label.JAX_ARRAY, (Label.NUMPY_ARRAY, _, state, _):
            array = Array(from_joblib=False)
            array.array = numpy_array(state)
            return array
        case Label.DICTIONARY, ():
            return {}
        case Label.DICTIONARY, (dict() as contents,):
            return contents
    raise RefusedFileError(f"asks for a call of {described(label)} that no array needs")


def described(value: object) -> str:
    """What a value on the unpickler's stack is, for messages."""
    return value.value if isinstance(value, Label) else f"a {type(value).__name__}"
