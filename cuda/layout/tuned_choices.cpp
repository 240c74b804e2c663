// Reading and appending lines of tuned choices.
#include "cuda/layout/tuned_choices.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "engine/core/error.h"

namespace plumb::cuda_layout {
namespace {

// "key = 1f 0 0 …"
std::pair<std::string, Choice> parsed(const std::string& path, const std::string& line, int number) {
  size_t equals = line.rfind(" = ");
  std::istringstream words(equals == std::string::npos ? "" : line.substr(equals + 3));
  Choice choice{};
  for (uint64_t& word : choice)
    if (!(words >> std::hex >> word))
      throw IoError(fmt::format("tuned choices: {}: line {} is not `key = eight words`: {}", path, number, line));
  return {line.substr(0, equals), choice};
}

}  // namespace

TunedChoices::TunedChoices(std::string path) : path_(std::move(path)) {
  if (path_.empty()) return;
  std::ifstream file(path_);
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.empty()) continue;
    auto [key, choice] = parsed(path_, line, number);
    choices_[key] = choice;
  }
}

std::optional<Choice> TunedChoices::find(const std::string& key) const {
  std::lock_guard lock(mutex_);
  auto found = choices_.find(key);
  return found == choices_.end() ? std::nullopt : std::optional(found->second);
}

void TunedChoices::add(const std::string& key, const Choice& choice) {
  std::lock_guard lock(mutex_);
  choices_[key] = choice;
  if (path_.empty()) return;
  std::string line = key + " =";
  for (uint64_t word : choice) line += fmt::format(" {:x}", word);
  line += '\n';
  std::FILE* file = std::fopen(path_.c_str(), "a");  // one write in append mode: lines of several processes do not mix
  bool written = file && std::fwrite(line.data(), 1, line.size(), file) == line.size();
  if (file) written = std::fclose(file) == 0 && written;
  if (!written) throw IoError("tuned choices: " + path_ + " cannot be written");
}

TunedChoices& tuned_choices() {
  static TunedChoices* choices = [] {
    const char* path = std::getenv("PLUMB_CUDA_TUNE");
    return new TunedChoices(path ? path : "");
  }();
  return *choices;
}

}  // namespace plumb::cuda_layout
