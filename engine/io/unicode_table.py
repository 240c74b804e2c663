#!/usr/bin/env python3
"""Prints the two tables of engine/io/unicode.cpp: letters (general category L*) and numbers (N*) of Unicode 16.0,
as alternating lengths of runs outside and inside the class, from code point 0.   pip install unicodedata2==16.0.0"""
import textwrap

import unicodedata2

assert unicodedata2.unidata_version == "16.0.0"


def run_lengths(category):
    inside, start, lengths = False, 0, []
    for code_point in range(0x110000):
        member = unicodedata2.category(chr(code_point))[0] == category
        if member != inside:
            lengths.append(code_point - start)
            inside, start = member, code_point
    return lengths


for name, category in (("kLetters", "L"), ("kNumbers", "N")):
    body = ", ".join(map(str, run_lengths(category)))
    print(f"constexpr uint16_t {name}[] = {{\n" + textwrap.indent(textwrap.fill(body, 134), "    ") + "};")
