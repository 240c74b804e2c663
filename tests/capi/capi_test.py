"""The C API from Python by ctypes: elements shared with NumPy and PyTorch through DLPack, written on one side and read on the other.
usage: capi_test.py libplumb_c.so        Ends with "skipped: …" where NumPy is not installed; PyTorch's part where PyTorch is not."""
import ctypes
import sys

try:
    import numpy
except ImportError:
    print("skipped: this Python has no NumPy")
    sys.exit(0)
try:
    import torch
except ImportError:
    torch = None

library = ctypes.CDLL(sys.argv[1])
library.plumb_last_error.restype = ctypes.c_char_p
library.plumb_version.restype = ctypes.c_char_p
library.plumb_free.argtypes = [ctypes.c_void_p]
library.plumb_free.restype = None
python = ctypes.pythonapi
python.PyCapsule_New.restype = ctypes.py_object
python.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
python.PyCapsule_GetPointer.restype = ctypes.c_void_p
python.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
python.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]
NAMES = {name: ctypes.create_string_buffer(name) for name in (b"dltensor", b"dltensor_versioned", b"used_dltensor", b"used_dltensor_versioned")}


class PlumbError(Exception):
    pass


def call(name, *arguments):
    if getattr(library, name)(*arguments) != 0:
        raise PlumbError(library.plumb_last_error().decode())


class Tensor:
    """A tensor of the library; speaks Python's side of DLPack."""

    def __init__(self, handle):
        self.handle = handle

    def __del__(self):
        library.plumb_free(self.handle)

    def __dlpack_device__(self):
        return (1, 0)

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        versioned = max_version is not None and max_version[0] >= 1
        managed = ctypes.c_void_p()
        if versioned:
            call("plumb_to_dlpack", self.handle, 0, ctypes.byref(managed))
        else:
            call("plumb_to_dlpack_unversioned", self.handle, ctypes.byref(managed))
        return python.PyCapsule_New(managed, NAMES[b"dltensor_versioned" if versioned else b"dltensor"], None)

    def apply(self, name, *others):
        out = ctypes.c_void_p()
        call(name, self.handle, *(o.handle if isinstance(o, Tensor) else o for o in others), ctypes.byref(out))
        return Tensor(out)

    def item(self):
        value = ctypes.c_double()
        call("plumb_item", self.handle, ctypes.byref(value))
        return value.value


def from_dlpack(array, versioned):
    """Takes the capsule of any array; a taken capsule is renamed, which is how Python knows who lets go."""
    try:
        capsule = array.__dlpack__(max_version=(1, 0)) if versioned else array.__dlpack__()
    except TypeError:  # an array of before 1.0
        return from_dlpack(array, False)
    name = b"dltensor_versioned" if versioned else b"dltensor"
    out = ctypes.c_void_p()
    pointer = ctypes.c_void_p(python.PyCapsule_GetPointer(capsule, name))
    call("plumb_from_dlpack" if versioned else "plumb_from_dlpack_unversioned", pointer, ctypes.byref(out))
    python.PyCapsule_SetName(capsule, NAMES[b"used_" + name])
    return Tensor(out)


def check_numpy(versioned):
    given = numpy.arange(12, dtype=numpy.float32).reshape(3, 4)
    part = given[1:, ::2]  # strides and an offset
    x = from_dlpack(part, versioned)
    assert x.apply("plumb_sum").item() == 4 + 6 + 8 + 10
    given[1, 0] = 100  # NumPy writes, Plumb reads
    assert x.apply("plumb_sum").item() == 124
    back = numpy.from_dlpack(x)
    assert back.shape == (2, 2) and back.strides == part.strides
    given[2, 2] = -1
    assert back[1, 1] == -1
    y = x.apply("plumb_square")
    seen = numpy.from_dlpack(y)
    call("plumb_add_scaled", y.handle, ctypes.c_double(1.0), y.handle)  # Plumb writes, NumPy reads
    assert seen[0, 0] == 2 * 100.0**2
    del x, y
    assert seen[0, 0] == 20000 and part[0, 0] == 100
    try:
        from_dlpack(numpy.zeros(3, dtype=numpy.int16), versioned)
    except PlumbError as e:
        assert "int16" in str(e), e
    else:
        raise AssertionError("int16 was taken")


def check_read_only():
    locked = numpy.arange(3, dtype=numpy.float32)
    locked.flags.writeable = False
    try:
        x = from_dlpack(locked, True)
    except BufferError:  # NumPy before 2.1 gives no read-only arrays away
        return
    call("plumb_add_scaled", x.handle, ctypes.c_double(1.0), x.handle)
    assert x.apply("plumb_sum").item() == 6 and locked.sum() == 3


def check_torch(versioned):
    given = torch.arange(6, dtype=torch.float32).reshape(2, 3).t()
    x = from_dlpack(given, versioned)
    given[2, 1] = 50  # PyTorch writes, Plumb reads
    assert x.apply("plumb_sum").item() == 60
    back = torch.from_dlpack(x)
    assert back.stride() == given.stride() and back.data_ptr() == given.data_ptr()
    y = x.apply("plumb_mul", x)
    seen = torch.from_dlpack(y)
    seen[0, 0] = 7  # PyTorch writes to Plumb's memory
    assert y.apply("plumb_sum").item() == 7 + float((given * given).sum())
    for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8, torch.bool):
        z = torch.ones(2, 3, dtype=dtype)
        assert torch.from_dlpack(from_dlpack(z, versioned)).dtype == dtype
        assert torch.from_dlpack(from_dlpack(z, versioned)).data_ptr() == z.data_ptr()


def check_gradient():
    """d mean(tanh(x w)²)/dw as PyTorch has it, over PyTorch's own memory."""
    torch.manual_seed(0)
    x, w = torch.randn(5, 3, dtype=torch.float64), torch.randn(3, 2, dtype=torch.float64)
    ours = from_dlpack(w, True)
    call("plumb_requires_grad", ours.handle, 1)
    loss = from_dlpack(x, True).apply("plumb_matmul", ours).apply("plumb_tanh").apply("plumb_square").apply("plumb_mean")
    call("plumb_backward", loss.handle)
    theirs = w.clone().requires_grad_()
    (x @ theirs).tanh().square().mean().backward()
    assert torch.allclose(torch.from_dlpack(ours.apply("plumb_grad")), theirs.grad, rtol=1e-12, atol=1e-14)


for versioned in (False, True):
    check_numpy(versioned)
    if torch:
        check_torch(versioned)
check_read_only()
if torch:
    check_gradient()
print(f"libplumb_c {library.plumb_version().decode()} shares elements with NumPy {numpy.__version__}" +
      (f" and PyTorch {torch.__version__}" if torch else "; PyTorch is not here: its part was not tried"))
