// Listening to a child.
#include "tools/bench/speaker.h"

#include <fmt/format.h>

#include "engine/core/error.h"

namespace plumb::tools {

Speaker::Speaker(std::string name, std::vector<std::string> command)
    : name_(std::move(name)), child_(std::move(command), {{"OPENBLAS_CORETYPE", std::nullopt}}) {}

JsonObject Speaker::listen() {
  std::optional<std::string> line = child_.receive();
  if (!line) {
    int code = child_.wait();
    std::string complaint = child_.last_complaint();
    throw ConfigError(fmt::format("{} ended{}", name_, complaint.empty() ? fmt::format(" with exit code {}", code) : ": " + complaint));
  }
  JsonObject answer = JsonObject::parse(*line, name_);
  std::string error;
  answer.read("error", error);
  if (!error.empty()) throw ConfigError(name_ + ": " + error);
  return answer;
}

JsonObject Speaker::turn(const std::string& line) {
  child_.send(line);
  return listen();
}

JsonObject Speaker::finish() {
  child_.close_input();
  JsonObject last = listen();
  child_.wait();
  return last;
}

}  // namespace plumb::tools
