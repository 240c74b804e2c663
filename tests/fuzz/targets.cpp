// The list of targets, and files that lie in memory.
#include "tests/fuzz/target.h"

#include <sys/mman.h>
#include <unistd.h>

#include <stdexcept>

#include "engine/core/error.h"
#include "tests/scratch.h"

namespace plumb_fuzz {

std::vector<Target> all_targets() {
  std::vector<Target> all;
  for (auto part : {archive_targets, array_targets, configuration_targets, data_set_targets, image_targets, result_targets, run_targets,
                    table_targets, tokenizer_targets, tool_targets})
    for (const Target& target : part()) all.push_back(target);
  return all;
}

bool refused(const Target& target, std::string_view bytes) {
  try {
    target.read(bytes);
  } catch (const plumb::OutOfMemoryError&) {
    throw;
  } catch (const plumb::Error&) { return true; }
  return false;
}

MemoryFile::MemoryFile() : descriptor_(memfd_create("fuzz", MFD_CLOEXEC)), path_("/proc/self/fd/" + std::to_string(descriptor_)) {}

void MemoryFile::put(std::string_view bytes) const {
  if (ftruncate(descriptor_, static_cast<off_t>(bytes.size())) != 0 ||
      pwrite(descriptor_, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    throw std::runtime_error("no file in memory");
}

void with_file(std::string_view bytes, const std::function<void(const std::string& path)>& read) {
  static const MemoryFile file;
  file.put(bytes);
  read(file.path());
}

std::string written(const std::string& ending, const std::function<void(const std::string& path)>& write) {
  plumb_test::Scratch scratch;
  write(scratch.path("file" + ending));
  return scratch.get("file" + ending);
}

}  // namespace plumb_fuzz
