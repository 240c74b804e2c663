// Download to a .part file, compare its checksum, bring it into its stored form, rename.
#include "tools/data/fetch.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "engine/io/sha256.h"
#include "engine/io/tar.h"
#include "tools/data/download.h"
#include "tools/data/forms.h"

namespace fs = std::filesystem;

namespace plumb::tools {
namespace {

constexpr double kMebi = 1 << 20;

bool on_terminal(std::FILE* log) { return isatty(log == stderr ? STDERR_FILENO : fileno(log)) == 1; }

/// A line that overwrites itself on a terminal; nothing elsewhere.
Progress progress_line(const std::string& path, std::FILE* log) {
  if (!on_terminal(log)) return {};
  auto start = std::chrono::steady_clock::now();
  return [=, last = start](int64_t received, int64_t total) mutable {
    auto now = std::chrono::steady_clock::now();
    if (now - last < std::chrono::milliseconds(200)) return;
    last = now;
    double seconds = std::chrono::duration<double>(now - start).count(), mib = static_cast<double>(received) / kMebi;
    std::string share = total > 0 ? fmt::format("{:3.0f} %", 100.0 * static_cast<double>(received) / static_cast<double>(total)) : "";
    fmt::print(log, "\r{} {} {:.1f} MiB, {:.1f} MiB/s \x1b[K", path, share, mib, mib / seconds);
    std::fflush(log);
  };
}

void check_sum(const RemoteFile& file, const std::string& part) {
  if (file.sha256.empty()) return;
  std::string sum = sha256_of_file(part);
  if (sum == file.sha256) return;
  fs::remove(part);
  throw IoError(fmt::format("{}: SHA-256 is {}, published is {}; what came was thrown away", file.url, sum, file.sha256));
}

/// The file as served, checked, at `part`.
void obtain(const RemoteFile& file, const std::string& part, std::FILE* log) {
  // Without a checksum nothing would tell that a continued file changed in between.
  if (file.sha256.empty()) fs::remove(part);
  if (!(fs::exists(part) && sha256_of_file(part) == file.sha256)) download(file.url, part, progress_line(file.path, log));
  if (on_terminal(log)) fmt::print(log, "\r\x1b[K");
  check_sum(file, part);
}

/// Adds lines to directory/SHA256SUMS, in the form that sha256sum -c reads.
void record_sums(const std::string& directory, const std::vector<std::string>& paths) {
  std::string list = directory + "/SHA256SUMS", sum, path;
  std::map<std::string, std::string> sums;
  for (std::ifstream known(list); known >> sum >> path;) sums[path] = sum;
  for (const std::string& p : paths) sums["./" + p] = sha256_of_file(directory + "/" + p);
  std::string text;
  for (const auto& [p, s] : sums) text += s + "  " + p + "\n";
  write_file_atomic(list, text);
}

/// The .bin files of the archive at `part`, stored in the folder that `file.path` names. Returns their paths.
std::vector<std::string> store_archive(const RemoteFile& file, const std::string& part, const std::string& directory) {
  std::string archive = read_file(part);
  std::string folder = fs::path(file.path).parent_path().string();
  std::vector<std::string> stored;
  for (const auto& [member, content] : tar_members(archive, file.url)) {
    fs::path name = fs::path(member).filename();
    if (name.extension() != ".bin") continue;
    stored.push_back(folder + "/" + name.string());
    write_file_atomic(directory + "/" + stored.back(), content);
  }
  if (stored.empty()) throw IoError(file.url + ": the archive holds no .bin files");
  return stored;
}

std::vector<std::string> store(const RemoteFile& file, const std::string& part, const std::string& directory) {
  if (file.form == Form::cifar_archive) return store_archive(file, part, directory);
  if (file.form != Form::as_it_is) {
    write_file_atomic(directory + "/" + file.path, stored_form(read_file(part), file.form, file.url));
  } else {
    fs::rename(part, directory + "/" + file.path);
  }
  return {file.path};
}

bool is_there(const RemoteFile& file, const std::string& directory) {
  fs::path target = fs::path(directory) / file.path;
  if (file.form != Form::cifar_archive) return fs::exists(target);
  for (const char* name : {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"})
    if (!fs::exists(target.parent_path() / (std::string(name) + ".bin"))) return false;
  return true;
}

void fetch_file(const RemoteFile& file, const std::string& directory, std::FILE* log) {
  std::string target = directory + "/" + file.path;
  if (is_there(file, directory)) {
    if (file.form == Form::as_it_is && !file.sha256.empty() && sha256_of_file(target) != file.sha256)
      throw IoError(
          fmt::format("{} is there, but is not the published file (SHA-256 {}); move it away or choose another --to", target, file.sha256));
    fmt::print(log, "{} is there\n", target);
    return;
  }
  fs::create_directories(fs::path(target).parent_path());
  std::string part = target + ".part";
  obtain(file, part, log);
  std::vector<std::string> stored = store(file, part, directory);
  fs::remove(part);
  record_sums(directory, stored);
  for (const std::string& path : stored)
    fmt::print(log, "{}/{} {:.1f} MiB{}\n", directory, path, static_cast<double>(fs::file_size(directory + "/" + path)) / kMebi,
               file.sha256.empty() ? " (no checksum is published)" : ", checksum right");
}

}  // namespace

const DataSet& find_data_set(const std::string& name) {
  std::string names;
  for (const DataSet& set : catalogue()) {
    if (set.name == name) return set;
    names += (names.empty() ? "" : ", ") + set.name;
  }
  throw ValueError(fmt::format("there is no data set {}; known are {}", name, names));
}

void fetch(const DataSet& set, const std::string& directory, std::FILE* log) {
  for (const RemoteFile& file : set.files) fetch_file(file, directory, log);
}

}  // namespace plumb::tools
