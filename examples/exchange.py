"""Exchanges arrays with the shared library of examples/exchange.rs through DLPack, without a copy.

    python3 examples/exchange.py target/release/examples/libexchange.so [numpy|torch]

Prints the addresses of the memory on both sides and checks every value. Without a second argument it does so for NumPy, and
for PyTorch if that is installed.
"""

import ctypes
import sys

# a PyCapsule keeps a pointer to its name, so the names must live as long as the process
NAMES = {True: (b"dltensor_versioned", b"used_dltensor_versioned"), False: (b"dltensor", b"used_dltensor")}

python = ctypes.pythonapi
python.PyCapsule_New.restype = ctypes.py_object
python.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
python.PyCapsule_IsValid.argtypes = [ctypes.py_object, ctypes.c_char_p]
python.PyCapsule_GetPointer.restype = ctypes.c_void_p
python.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
python.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]


class Tensor:
    """A tensor from the shared library, with the methods that `from_dlpack` of NumPy and PyTorch needs."""

    def __init__(self, pointer, is_versioned):
        self.pointer, self.is_versioned = pointer, is_versioned

    def __dlpack__(self, **_):
        assert self.pointer, "the tensor has been taken"
        capsule = python.PyCapsule_New(self.pointer, NAMES[self.is_versioned][0], None)
        self.pointer = None
        return capsule

    def __dlpack_device__(self):
        return (1, 0)  # the CPU


def given(array):
    """Takes the DLPack tensor of an array. Also returns whether its structure has a version."""
    try:
        capsule = array.__dlpack__(max_version=(1, 0))
    except TypeError:  # a library that has DLPack older than 1.0
        capsule = array.__dlpack__()
    is_versioned = bool(python.PyCapsule_IsValid(capsule, NAMES[True][0]))
    name, used = NAMES[is_versioned]
    pointer = python.PyCapsule_GetPointer(capsule, name)
    python.PyCapsule_SetName(capsule, used)
    return pointer, is_versioned


class Library:
    """The shared library."""

    def __init__(self, path):
        self.library = ctypes.CDLL(path)
        self.library.exchange_error.restype = ctypes.c_char_p
        self.library.exchange_range.restype = ctypes.c_void_p
        self.library.exchange_range.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
        for name in ["same", "softmax"]:
            for suffix in ["", "_legacy"]:
                function = getattr(self.library, f"exchange_{name}{suffix}")
                function.restype, function.argtypes = ctypes.c_void_p, [ctypes.c_void_p]

    def checked(self, pointer, is_versioned):
        if not pointer:
            raise ValueError(self.library.exchange_error().decode())
        return Tensor(pointer, is_versioned)

    def range(self, rows, columns):
        return self.checked(self.library.exchange_range(rows, columns), True)

    def call(self, name, array):
        pointer, is_versioned = given(array)
        suffix = "" if is_versioned else "_legacy"
        result = getattr(self.library, f"exchange_{name}{suffix}")(pointer)
        return self.checked(result, is_versioned), is_versioned


def of_numpy(library):
    import numpy as np

    print("NumPy", np.__version__)
    y = np.from_dlpack(library.range(3, 4))
    assert (y == np.arange(12, dtype=np.float32).reshape(3, 4)).all()
    del y  # releases the memory
    x = np.arange(24).reshape(2, 3, 4)
    dtypes = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"]
    for dtype in dtypes:
        whole = (x % 2 if dtype == "bool" else x).astype(dtype)
        for part in [whole, whole.T, whole[:, ::-1], whole[1], whole[:, 1:, ::2], whole[0, 0, 0:1], whole[:0], whole[1, 2, 3, ...]]:
            tensor, is_versioned = library.call("same", part)
            back = np.from_dlpack(tensor)
            assert back.dtype == part.dtype and back.shape == part.shape and (back == part).all(), (dtype, part.shape)
            if is_versioned and part.size:
                assert back.ctypes.data == part.ctypes.data, (dtype, part.shape)
                assert not back.flags.writeable, "what Python has lent is nobody else's to write"
    print(f"an array at {part.ctypes.data:#x} came back from {back.ctypes.data:#x}; its structure has a version: {is_versioned}")
    x = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    y = np.from_dlpack(library.call("softmax", x.T)[0])
    e = np.exp(x.T - x.T.max(-1, keepdims=True))
    assert np.allclose(y, e / e.sum(-1, keepdims=True), atol=1e-6)
    # a tensor of a type that cupric does not have
    try:
        library.call("same", np.array([1j]))
    except ValueError as e:
        print("an error:", e)
    else:
        raise AssertionError("complex numbers are not refused")


def of_torch(library):
    import torch

    print("PyTorch", torch.__version__)
    y = torch.from_dlpack(library.range(3, 4))
    assert torch.equal(y, torch.arange(12.0).reshape(3, 4))
    x = torch.arange(24).reshape(2, 3, 4)
    dtypes = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64]
    for dtype in dtypes:
        whole = x.to(dtype)
        for part in [whole, whole.permute(2, 0, 1), whole[1], whole[:, 1:, ::2], whole[1, 2, 3]]:
            tensor, is_versioned = library.call("same", part)
            back = torch.from_dlpack(tensor)
            assert back.dtype == part.dtype and torch.equal(back, part), (dtype, part.shape)
            if is_versioned:
                assert back.data_ptr() == part.data_ptr(), (dtype, part.shape)
    print(f"a tensor at {part.data_ptr():#x} came back from {back.data_ptr():#x}; its structure has a version: {is_versioned}")
    x = torch.randn(5, 7)
    y = torch.from_dlpack(library.call("softmax", x)[0])
    assert torch.allclose(y, torch.softmax(x, -1), atol=1e-6)


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip())
        sys.exit(0 if sys.argv[1:] in (["-h"], ["--help"]) else 2)
    library = Library(sys.argv[1])
    wanted = sys.argv[2:] or ["numpy", "torch"]
    for name, run in [("numpy", of_numpy), ("torch", of_torch)]:
        if name in wanted:
            try:
                run(library)
            except ImportError as e:
                print(f"{name} left out: {e}")
                if sys.argv[2:]:
                    sys.exit(1)


if __name__ == "__main__":
    main()
