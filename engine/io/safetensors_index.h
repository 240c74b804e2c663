// The index of a model that is stored in several safetensors files, as Hugging Face writes it: model.safetensors.index.json.
#pragma once
#include <map>
#include <string>

namespace plumb {

/// The name of every tensor with the path of the file that holds it; files lie in the index's directory or below. Throws IoError naming the
/// index for what is no such index, names no tensor, or names a file that lies elsewhere.
std::map<std::string, std::string> load_safetensors_index(const std::string& path);

}  // namespace plumb
