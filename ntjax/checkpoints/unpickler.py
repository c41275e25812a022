"""A pickle reader that rebuilds arrays and never calls anything a file names.

A joblib file is a pickle followed, array by array, by raw numbers. A pickle may name any
function of any installed module and have it called, which makes `joblib.load` on a downloaded
file the same as running a downloaded program. Filtering the names is not enough: what is let
through can still be called with hostile arguments, have its attributes replaced, or open a second
unpickler (joblib does that for object arrays). So here a name in the file is never looked up. The
handful that describe an array become inert labels (`Label`), and the three opcodes that make
Python call something (REDUCE, NEWOBJ, BUILD) only ever reach our own stand-ins.

Formats read: joblib >= 0.10 (`NumpyArrayWrapper`), arrays pickled by NumPy itself, JAX arrays
(which pickle as NumPy arrays in a wrapper), and the dictionary types Haiku has used.
"""

import enum
import math
import pickle
import struct
from collections.abc import Callable
from typing import Any, ClassVar

import ml_dtypes
import numpy as np

# Below this size a copy costs less than keeping a view of the file.
_LARGE = 1 << 16

# Opcodes that push plain values or move them about on the stack keep pickle's own code; of the
# others only those redefined below are read at all.
_PLAIN_OPCODES = """
    PROTO STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1
    LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE
    BINUNICODE8 SHORT_BINBYTES EMPTY_DICT EMPTY_LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 LIST
    APPEND APPENDS GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL INST
    OBJ
"""


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


def _code(opcode: str) -> int:
    return getattr(pickle, opcode)[0]


def _checked_tree(tree: object) -> dict[str, dict[str, np.ndarray]]:
    """`{module: {parameter: array}}`, or a refusal that says where the file departs from it."""
    if not isinstance(tree, dict) or not tree:
        raise RefusedFileError("holds no dictionary of modules")
    for module, parameters in tree.items():
        if not isinstance(parameters, dict):
            raise RefusedFileError(f'holds no dictionary of parameters in "{printable(module)}"')
        for name, leaf in parameters.items():
            if not isinstance(leaf, Array) or leaf.array is None:
                raise RefusedFileError(f'holds no array in "{printable(f"{module}/{name}")}"')
    return {
        module: {name: leaf.array for name, leaf in parameters.items()}
        for module, parameters in tree.items()
    }


class _Reader:
    """The two methods pickle needs of a file, over bytes in memory or a memory map."""

    def __init__(self, data: memoryview):
        self.data = data
        self.position = 0

    def take(self, size: int) -> memoryview:
        """The next `size` bytes, without a copy."""
        end = self.position + size
        if end > len(self.data):
            raise EOFError
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def read(self, size: int) -> bytes:
        """The next `size` bytes, exactly."""
        return bytes(self.take(size))

    def readline(self, limit: int = 4096) -> bytes:
        """The next line, for the text opcodes: names and numbers, all short."""
        head = bytes(self.data[self.position : self.position + limit])
        end = head.find(b"\n")
        if end < 0:
            raise EOFError
        return self.read(end + 1)


class ArrayUnpickler(pickle._Unpickler):
    """Reads one pickle of a two-level dictionary of arrays, calling nothing the pickle names.

    The arrays are views of `data` (arrays under 64 KiB that JAX or NumPy pickled: copies).

    Raises `RefusedFileError` for anything else the file asks for, `EOFError` where it ends too
    early, and whatever `pickle` raises on bytes that are no pickle.
    """

    # What pickle keeps, for type checkers.
    proto: int
    stack: list[Any]
    append: Callable[[object], None]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, data: memoryview):
        self._reader = _Reader(data)
        super().__init__(self._reader)

    def load(self) -> dict[str, dict[str, np.ndarray]]:
        """The parameters in the file, `{module: {parameter: array}}`."""
        return _checked_tree(super().load())

    def find_class(self, module: str, name: str) -> Label:
        """The label of a name; refuses every name that does not describe an array."""
        label = LABELS.get(f"{module}.{name}")
        if label is None:
            raise RefusedFileError(
                f'names "{printable(module)}.{printable(name)}", which weights do not need'
            )
        return label

    def _instantiate(self, label: object, _: object) -> None:
        raise RefusedFileError(f"makes an instance of {described(label)} in an outdated way")

    def _refuse(self) -> None:
        if self.proto < 2:  # no joblib file: any bytes at all can look like these old pickles
            raise pickle.UnpicklingError
        raise RefusedFileError("uses a part of the pickle format that weights do not need")

    def _load_frame(self) -> None:
        # Frames only announce how much to read ahead; everything is at hand here.
        self._reader.take(8)

    def _load_large_bytes(self, size: int) -> None:
        self.append(self._reader.take(size) if size >= _LARGE else self._reader.read(size))

    def _load_binbytes(self) -> None:
        self._load_large_bytes(struct.unpack("<I", self._reader.read(4))[0])

    def _load_binbytes8(self) -> None:
        self._load_large_bytes(struct.unpack("<Q", self._reader.read(8))[0])

    def _set_items(self, items: list) -> None:
        contents = self.stack[-1]
        # Keys are text: hashing nested tuples can be made to take for ever.
        if type(contents) is not dict or not all(type(key) is str for key in items[::2]):
            raise RefusedFileError("holds a dictionary whose keys are not names")
        contents.update(zip(items[::2], items[1::2], strict=True))

    def _load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items([key, value])

    def _load_setitems(self) -> None:
        self._set_items(self.pop_mark())

    def _load_reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = call(self.stack[-1], arguments)

    def _load_newobj(self) -> None:
        arguments = self.stack.pop()
        if self.stack[-1] is not Label.JOBLIB_ARRAY or arguments != ():
            self._instantiate(self.stack[-1], arguments)
        self.stack[-1] = Array(from_joblib=True)

    def _load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Dtype):
            target.build(state)
        elif isinstance(target, Array) and target.array is None:
            target.array = self._joblib_array(state) if target.from_joblib else numpy_array(state)
        else:
            raise RefusedFileError(f"sets the state of {described(target)}")

    def _joblib_array(self, state: object) -> np.ndarray:
        """The array whose numbers follow here (joblib.numpy_pickle.NumpyArrayWrapper)."""
        if not (
            isinstance(state, dict)
            and state.get("subclass") is Label.ARRAY_TYPE
            and state.get("order") in ("C", "F")
            and isinstance(state.get("dtype"), Dtype)
        ):
            raise RefusedFileError("describes an array in a form joblib does not write")
        if state.get("numpy_array_alignment_bytes") is not None:  # joblib >= 1.2
            self._reader.take(self._reader.read(1)[0])
        array, self._reader.position = array_view(
            self._reader.data,
            self._reader.position,
            checked_shape(state.get("shape")),
            state["dtype"].dtype,
            state["order"] == "F",
        )
        return array

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **dict.fromkeys(pickle._Unpickler.dispatch, _refuse),
        **{code: pickle._Unpickler.dispatch[code] for code in map(_code, _PLAIN_OPCODES.split())},
        pickle.FRAME[0]: _load_frame,
        pickle.BINBYTES[0]: _load_binbytes,
        pickle.BINBYTES8[0]: _load_binbytes8,
        pickle.SETITEM[0]: _load_setitem,
        pickle.SETITEMS[0]: _load_setitems,
        pickle.REDUCE[0]: _load_reduce,
        pickle.NEWOBJ[0]: _load_newobj,
        pickle.BUILD[0]: _load_build,
    }
