// A hidden directory beside the one that is asked for, renamed at the end.
#include "tools/whole_directory.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "engine/io/flush.h"
#include "engine/io/inside.h"

namespace plumb::tools {

namespace fs = std::filesystem;

void make_whole_directory(const std::string& path, const std::function<void(const std::string& directory)>& fill) {
  if (path.empty()) throw ConfigError("the name of the directory to make is empty; give --out one");
  if (path_exists(path)) throw ConfigError(path + " exists already; choose another --out");
  fs::path target = fs::absolute(path).lexically_normal();
  if (!target.has_filename()) target = target.parent_path();  // a slash at the end
  fs::path hidden = target.parent_path() / fmt::format(".{}.{}.tmp", target.filename().string(), getpid());
  std::error_code error;
  fs::remove_all(hidden, error);  // of a killed process that had this one's number
  try {
    fill(hidden.string());
    fs::rename(hidden, target, error);
    if (error) throw IoError(path + ": cannot be made: " + error.message());
    if (int failed = flush_directory_of(target.string()))
      throw IoError(path + ": its directory cannot be flushed to the disk: " + std::strerror(failed));
  } catch (...) {
    fs::remove_all(hidden, error);
    throw;
  }
}

void copy_file(const std::string& from, const std::string& to) {
  std::ifstream in(from, std::ios::binary);
  if (!in) throw IoError("read: " + from + ": " + std::strerror(errno));
  AtomicFile out(to);
  std::vector<char> buffer(size_t{1} << 20);
  do {
    in.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    out.write(buffer.data(), static_cast<size_t>(in.gcount()));
  } while (in);
  if (in.bad()) throw IoError("read: " + from + ": " + std::strerror(errno));
  out.commit();
}

void copy_if_there(const std::string& name, const std::string& from, const std::string& to) {
  std::string path = from + "/" + name;
  if (!path_exists(path)) return;
  if (!lies_in(from, path) && !lies_in(from + "/../../blobs", path))
    throw IoError(path + " leads out of " + from + "; put the file itself there, or take it away");
  fs::create_directories(fs::path(to + "/" + name).parent_path());
  copy_file(path, to + "/" + name);
}

}  // namespace plumb::tools
