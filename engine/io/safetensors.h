// safetensors: the file format of Hugging Face checkpoints. A length, a JSON header of names, types, shapes and byte ranges, then the data.
#pragma once
#include <map>
#include <string>

#include "engine/io/state_dict.h"

namespace plumb {

using FileMetadata = std::map<std::string, std::string>;

/// The tensors of the file at `path`, on the CPU. They view the mapped file; changing them in place does not change the file, and the file
/// may be replaced while they live. A file with checksums (save_safetensors writes them) is read once and checked against them; of any other
/// nothing is read until it is used. Of the format's types, those that Plumb has: F64, F32, BF16, F16, I64, I32, U8, BOOL. Throws IoError
/// naming the file, and the tensor, for a checksum that does not fit and for anything that breaks the format: a header that does not fit or
/// parse, duplicate names, unknown types, ranges that overlap, leave holes or end outside the file, sizes that contradict shapes.
StateDict load_safetensors(const std::string& path);
/// The header's free-form "__metadata__" without the checksums; empty if it has none. Throws IoError as load_safetensors does, but does not
/// read the data.
FileMetadata load_safetensors_metadata(const std::string& path);

/// Writes `state` in order of falling element size, then name, so that every tensor is aligned (as Hugging Face's own writer does).
/// The file appears all at once (AtomicFile), so tensors that were loaded from `path` may be saved to it. Tensors of any strides and
/// device. Checksums (CRC-32C, as 8 hexadecimal digits) are two strings of the metadata, which other readers ignore:
/// "plumb.crc32c.tensors" has one after another those of each tensor's bytes, in the order of data_offsets; "plumb.crc32c.header" that of all
/// bytes before the data, taken with its own digits as 0. Throws ValueError for an undefined tensor, the name "__metadata__" or text that
/// is not UTF-8; IoError if writing fails.
void save_safetensors(const std::string& path, const StateDict& state, const FileMetadata& metadata = {});

}  // namespace plumb
