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

import pickle
import struct

import numpy as np

from ntjax.checkpoints.pickled_arrays import (
    LABELS,
    Array,
    Dtype,
    Label,
    RefusedFileError,
    array_view,
    call,
    checked_shape,
    described,
    numpy_array,
    printable,
)

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

    dispatch = {  # noqa: RUF012 (the name and form pickle looks for)
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
