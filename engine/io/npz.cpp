// .npz: a zip archive of .npy files.
#include "engine/io/file.h"
#include "engine/io/npy.h"
#include "engine/io/zip.h"

namespace plumb {

StateDict load_npz(const std::string& path) {
  StateDict arrays;
  for (auto& [file, content] : read_zip(read_nonempty_file(path), path)) {
    std::string name = file.ends_with(".npy") ? file.substr(0, file.size() - 4) : file;
    if (!arrays.emplace(name, parse_npy(content, path + ": " + file)).second)
      throw_io_error("npz", path, "has the array \"" + name + "\" twice");
  }
  return arrays;
}

void save_npz(const std::string& path, const StateDict& arrays, NpzOptions options) {
  ZipEntries entries;
  for (const auto& [name, x] : arrays) entries.emplace_back(name + ".npy", npy_bytes(x));
  write_file_atomic(path, zip_bytes(entries, options.compress, path));
}

}  // namespace plumb
