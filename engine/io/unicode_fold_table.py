#!/usr/bin/env python3
"""Prints the tables of engine/io/unicode_fold.cpp, of Unicode 16.0: runs of punctuation (P*), non-spacing marks (Mn) and controls (Cc, Cf,
Co), lower-case letters, and canonical decompositions without their marks.   pip install unicodedata2==16.0.0"""
import textwrap

import unicodedata2 as unicode

assert unicode.unidata_version == "16.0.0"
CHARACTERS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
HANGUL = range(0xAC00, 0xAC00 + 11172)


def array(kind, name, values):
    body = ", ".join(map(str, values))
    print(f"constexpr {kind} {name}[] = {{\n" + textwrap.indent(textwrap.fill(body, 134), "    ") + "};")


def runs(*categories):
    """Begin and length of each run of characters of these categories."""
    found = []
    for c in range(0x110000):
        if not unicode.category(chr(c)).startswith(categories):
            continue
        if found and c == sum(found[-1]):
            found[-1][1] += 1
        else:
            found.append([c, 1])
    return [number for run in found for number in run]


def lower_case():
    """First, last, step and distance to the lower-case letter; U+0130, the only one with two code points, is left out."""
    found = []
    for c in CHARACTERS:
        small = chr(c).lower()
        if small == chr(c) or len(small) > 1:
            continue
        distance = ord(small) - c
        if found and found[-1][3] == distance and c - found[-1][1] in ((1, 2) if found[-1][0] == found[-1][1] else (found[-1][2],)):
            found[-1][1:3] = c, c - found[-1][1]
        else:
            found.append([c, c, 1, distance])
    return [number for run in found for number in run]


def bases():
    """Of each decomposable character but Hangul, what is left without marks."""
    result = {}
    for c in CHARACTERS:
        parts = unicode.normalize("NFD", chr(c))
        if parts != chr(c) and c not in HANGUL:
            result[c] = [ord(p) for p in parts if unicode.category(p) != "Mn"]
    return result


array("uint32_t", "kPunctuation", runs("P"))
array("uint32_t", "kNonspacingMarks", runs("Mn"))
array("uint32_t", "kControls", runs("Cc", "Cf", "Cs", "Co"))
array("int32_t", "kLowerCase", lower_case())
single = {c: parts[0] for c, parts in bases().items() if len(parts) == 1}
begins = [c for c in single if c - 1 not in single]
array("uint32_t", "kBaseRuns", [n for b in begins for n in (b, next(i for i in range(1, 9999) if b + i not in single))])
array("uint32_t", "kBases", single.values())
array("uint32_t", "kLongBases", [n for c, parts in bases().items() if len(parts) > 1 for n in [c, *parts, 0][:4]])
