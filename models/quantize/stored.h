// Weights in few bits: the tensors of a state as codes with scales, in memory and in a safetensors file, and back.
#pragma once
#include <string>
#include <vector>

#include "engine/io/safetensors.h"
#include "engine/io/state_dict.h"

namespace plumb::quantize {

enum class StorageFormat : uint8_t {
  integer,  ///< code · scale, code of `bits` bits and signed
  rf8,      ///< RF8 (models/quantize/rf8.h), its top exponent as a scale 2^top
};

/// A tensor as codes.
struct StoredTensor {
  Tensor codes;  ///< u8: code + 128 for 8 bits; for 4 bits two codes + 8 a byte, the first in the low half; RF8's bytes
  Tensor scale;  ///< f32 [1], or one for each place of the first dimension
  Shape shape;
  StorageFormat format = StorageFormat::integer;
  int bits = 8;
};

/// The numbers that the codes stand for, f32 on the CPU: bit for bit the same wherever it is called.
/// Throws IoError `quantize: …` for codes that do not fit the shape, or scales that do not.
Tensor decode(const StoredTensor& stored);

/// A state of which some tensors are codes.
struct StoredState {
  std::map<std::string, StoredTensor> coded;
  StateDict plain;

  StateDict decoded() const;
  int64_t bytes() const;  ///< of codes, scales and plain tensors
};

/// Writes a safetensors file: NAME.codes, NAME.scale and NAME.shape (i64) for each coded tensor, the others as they are, and in the
/// metadata "plumb.quantization": "int8", "int4" or "rf8". Throws ValueError if tensors are of different formats or names collide, and as
/// save_safetensors.
void save_stored(const std::string& path, const StoredState& state);
/// Throws IoError for a file that save_stored did not write, or that is damaged; and as load_safetensors.
StoredState load_stored(const std::string& path);
/// The metadata is of a file that save_stored wrote.
bool is_stored(const FileMetadata& metadata);
/// load_safetensors, but decoded where the file holds codes.
StateDict load_weights(const std::string& path);

}  // namespace plumb::quantize
