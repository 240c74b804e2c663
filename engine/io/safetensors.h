// safetensors: the file format of Hugging Face checkpoints. A length, a JSON header of names, types, shapes and byte ranges, then the data.
#pragma once
#include <map>
#include <string>

#include "engine/io/state_dict.h"

namespace plumb {

using FileMetadata = std::map<std::string, std::string>;

/// The tensors of the file at `path`, on the CPU, over the mapped file: changing them in place does not change it, and it may be replaced
/// while they live. With checksums (save_safetensors) it is read once and checked, without nothing is read until it is used. Types: F64,
/// F32, BF16, F16, I64, I32, U8, BOOL. Throws IoError naming file and tensor for a checksum that does not fit and whatever breaks the
/// format: a header that does not fit or parse, duplicate names, unknown types, ranges that overlap, leave holes or end outside the file,
/// sizes unlike shapes.
StateDict load_safetensors(const std::string& path);
/// The header's free-form "__metadata__"; empty if it has none, and without checksums. Throws IoError as load_safetensors does; no data is
/// read.
FileMetadata load_safetensors_metadata(const std::string& path);

/// Writes `state` in order of falling element size, then name, so that every tensor is aligned (as Hugging Face's own writer does), with
/// checksums of the header and each tensor among the metadata. The file appears all at once (AtomicFile), so tensors loaded from `path` may
/// be saved to it. Any strides and device. Throws ValueError for an undefined tensor, the name "__metadata__" or text that is not UTF-8;
/// IoError if writing fails.
void save_safetensors(const std::string& path, const StateDict& state, const FileMetadata& metadata = {});

}  // namespace plumb
