// Finding the tensors that a path stands for: a run, a directory of weights, a file.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "engine/io/safetensors.h"

namespace plumb::tools {

struct StoredTensors {
  std::vector<std::string> files;  ///< that hold the tensors
  std::vector<std::string> others; ///< further files of tensors in the same run
  FileMetadata metadata;
  StateDict tensors;
};

/// What `path` holds, as it is stored. A file: its own tensors. A directory: its model.safetensors, or the pieces that
/// model.safetensors.index.json names, or the newest of checkpoints/; with `step`, that checkpoint. Throws IoError naming the path and
/// what was looked for; as load_safetensors.
StoredTensors load_stored(const std::string& path, std::optional<int64_t> step);

/// Those whose names contain one of `patterns`, or match it where it has * or ?. All for no patterns. Throws ConfigError naming the
/// first pattern that nothing matches.
StateDict matching(const StateDict& tensors, const std::vector<std::string>& patterns);

}  // namespace plumb::tools
