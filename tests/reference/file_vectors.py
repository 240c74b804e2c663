#!/usr/bin/env python3
"""Writes file_vectors.json beside this file: small .npy, .npz, PNG and JPEG files made by the reference libraries, in hexadecimal, and
what those libraries read from them.   pip install numpy==2.4.6 pillow==13.0.0"""
import io
import json
import pathlib
import struct
import zlib

import numpy
import PIL
from PIL import Image

assert numpy.__version__ == "2.4.6" and PIL.__version__ == "13.0.0"


def npy_file(array, version=None):
    out = io.BytesIO()
    numpy.lib.format.write_array(out, array, version=version)
    return out.getvalue()


def npy_cases():
    count = numpy.arange(24).reshape(2, 3, 4)
    for type_name in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1"):
        values = count - (0 if type_name[0] == "u" else 7)
        yield type_name, npy_file(values.astype(type_name)), values
    yield "bool", npy_file(count % 3 == 0), count % 3 == 0
    for type_name in (">f8", ">f4", ">f2", ">i8", ">i4", ">i2", ">u2"):
        yield type_name, npy_file((count * 3).astype(type_name)), count * 3
    yield "fortran", npy_file(numpy.asfortranarray(count.astype("i2"))), count
    yield "fortran big-endian", npy_file(numpy.asfortranarray(count.astype(">f4"))), count
    yield "scalar", npy_file(numpy.array(2.5, "f4")), numpy.array(2.5)
    yield "vector", npy_file(numpy.arange(3, dtype="i8")), numpy.arange(3)
    yield "no elements", npy_file(numpy.zeros((0, 3), "f4")), numpy.zeros((0, 3))
    yield "version 2", npy_file(count.astype("f4"), (2, 0)), count
    yield "version 3", npy_file(count.astype("f4"), (3, 0)), count


def npz_file(save):
    out = io.BytesIO()
    save(out, a=numpy.arange(6, dtype="f4").reshape(2, 3), **{"name with é": numpy.arange(500, dtype="i8") % 7})
    return out.getvalue()


def image_file(image, format, **options):
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def pixels(width, height, channels, levels=256):
    y, x, c = numpy.meshgrid(numpy.arange(height), numpy.arange(width), numpy.arange(channels), indexing="ij")
    values = ((x * 37 + y * 61 + c * 83 + x * y * 5) % levels).astype("u1")
    return values[..., 0] if channels == 1 else values


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_by_hand(width, height, depth, colour, rows, extra=b"", interlaced=0):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def adam7_rows(rgb):
    for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        part = rgb[y0::dy, x0::dx]
        yield from (row.tobytes() for row in part if row.size)


def image_cases():
    for name, channels in (("grey", 1), ("grey alpha", 2), ("rgb", 3), ("rgba", 4)):
        data = image_file(Image.fromarray(pixels(9, 5, channels)), "PNG")
        yield name, data, pixels(9, 5, channels)
    rgb = pixels(9, 10, 3)
    yield "interlaced", png_by_hand(9, 10, 8, 2, adam7_rows(rgb), interlaced=1), rgb
    bits = pixels(9, 3, 1, 2)
    yield "1-bit grey", image_file(Image.fromarray(bits * 255).convert("1"), "PNG", bits=1), bits * 255
    four = pixels(6, 3, 1, 16)
    packed = [bytes(int(a) << 4 | int(b) for a, b in zip(row[::2], row[1::2])) for row in four]
    yield "4-bit grey", png_by_hand(6, 3, 4, 0, packed), four * 17
    palette = Image.fromarray(pixels(9, 5, 1, 7), "P")
    palette.putpalette([v % 256 for v in range(0, 7 * 3 * 31, 31)])
    yield "palette", image_file(palette, "PNG"), numpy.array(palette.convert("RGB"))
    yield "palette with transparency", image_file(palette, "PNG", transparency=bytes([0, 128, 255, 9])), \
        numpy.array(Image.open(io.BytesIO(image_file(palette, "PNG", transparency=bytes([0, 128, 255, 9])))).convert("RGBA"))
    deep = (numpy.arange(12).reshape(3, 4) * 5003).astype(">u2")
    scaled = ((deep.astype("i8") * 255 + 32895) >> 16).astype("u1")  # the nearest of 256 levels
    yield "16-bit grey", png_by_hand(4, 3, 16, 0, [row.tobytes() for row in deep]), scaled
    gamma = chunk(b"gAMA", struct.pack(">I", 100000))
    yield "gamma is left as stored", png_by_hand(9, 5, 8, 0, [row.tobytes() for row in pixels(9, 5, 1)], gamma), pixels(9, 5, 1)
    smooth = numpy.add.outer(numpy.arange(17) * 9, numpy.arange(19) * 5)
    colour = numpy.stack([smooth, 255 - smooth, smooth // 2 + 60], -1).clip(0, 255).astype("u1")
    for name, image, options in (("jpeg grey", Image.fromarray(colour[..., 0]), {}), ("jpeg rgb", Image.fromarray(colour), {}),
                                 ("jpeg rgb 4:4:4", Image.fromarray(colour), {"subsampling": 0}),
                                 ("jpeg progressive", Image.fromarray(colour), {"progressive": True})):
        data = image_file(image, "JPEG", quality=85, **options)
        yield name, data, numpy.array(Image.open(io.BytesIO(data)))


cmyk = image_file(Image.fromarray(pixels(8, 8, 4), "CMYK"), "JPEG")
result = {
    "npy": [{"name": n, "file": f.hex(), "shape": list(a.shape), "values": a.ravel().tolist()} for n, f, a in npy_cases()],
    "npz": {"stored": npz_file(numpy.savez).hex(), "deflated": npz_file(numpy.savez_compressed).hex()},
    "structured npy": npy_file(numpy.zeros(2, [("a", "f4"), ("b", "i4")])).hex(),
    "text npy": npy_file(numpy.array(["ab", "c"])).hex(),
    "large u8 npy": npy_file(numpy.array([2**63], "u8")).hex(),
    "images": [{"name": n, "file": f.hex(), "shape": list(a.shape) if a.ndim == 3 else [*a.shape, 1], "values": a.ravel().tolist()}
               for n, f, a in image_cases()],
    "cmyk": cmyk.hex(),
}
path = pathlib.Path(__file__).with_name("file_vectors.json")
path.write_text(json.dumps(result, separators=(",", ":")) + "\n")
print(path.name, path.stat().st_size, "bytes")
