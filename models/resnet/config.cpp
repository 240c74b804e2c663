// Configurations of the ResNets to JSON and back.
#include <nlohmann/json.hpp>

#include "models/resnet/resnet.h"
#include "models/resnet/wide_resnet.h"

namespace plumb::resnet {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(ResNetConfig, small_images, bottleneck, blocks, width, channels, classes, norm, groups, padded_shortcuts, zero_residual)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(WideResNetConfig, depth, widen, dropout, channels, classes, norm, groups)

namespace {

void require(bool holds, const std::string& problem) {
  if (!holds) throw ConfigError(problem);
}

void check_norm(const std::string& norm, int64_t groups, int64_t narrowest) {
  require(norm == "batch" || norm == "group" || norm == "instance" || norm == "none", "--norm " + norm + " is unknown; choose batch, group, instance or none");
  if (norm != "group") return;
  require(groups >= 1 && narrowest % groups == 0, "--groups " + std::to_string(groups) + " does not divide the " + std::to_string(narrowest) + " channels of the first stage");
}

void at_least_one(std::initializer_list<std::pair<const char*, int64_t>> numbers) {
  for (auto& [name, value] : numbers) require(value >= 1, std::string(name) + " must be at least 1, it is " + std::to_string(value));
}

template <typename Config>
Config parse(const std::string& text, const char* model) {
  auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) throw ConfigError(std::string(model) + ": the configuration is not a JSON object");
  try {
    Config config = json.get<Config>();
    config.check();
    return config;
  } catch (const nlohmann::json::exception& error) {
    throw ConfigError(std::string(model) + ": the configuration has a value of the wrong kind: " + error.what());
  }
}

}  // namespace

ResNetConfig ResNetConfig::cifar(int64_t depth, int64_t width) {
  require(depth >= 8 && depth % 6 == 2, "--depth " + std::to_string(depth) + " is not 6n + 2 with n at least 1 (8, 14, 20, …)");
  int64_t n = (depth - 2) / 6;
  return {.blocks = {n, n, n}, .width = width};
}

ResNetConfig ResNetConfig::imagenet(int64_t depth) {
  ResNetConfig c{.small_images = false, .bottleneck = depth >= 50, .width = 64, .classes = 1000};
  switch (depth) {
    case 18: c.blocks = {2, 2, 2, 2}; break;
    case 34:
    case 50: c.blocks = {3, 4, 6, 3}; break;
    case 101: c.blocks = {3, 4, 23, 3}; break;
    case 152: c.blocks = {3, 8, 36, 3}; break;
    default: throw ConfigError("--depth " + std::to_string(depth) + " is none of 18, 34, 50, 101 and 152");
  }
  return c;
}

std::string ResNetConfig::to_json() const { return nlohmann::json(*this).dump(); }
ResNetConfig ResNetConfig::from_json(const std::string& text) { return parse<ResNetConfig>(text, "resnet"); }
std::string WideResNetConfig::to_json() const { return nlohmann::json(*this).dump(); }
WideResNetConfig WideResNetConfig::from_json(const std::string& text) { return parse<WideResNetConfig>(text, "wide resnet"); }

void ResNetConfig::check() const {
  at_least_one({{"--width", width}, {"channels", channels}, {"classes", classes}});
  require(!blocks.empty() && blocks.size() <= 4, "a resnet has one to four stages, not " + std::to_string(blocks.size()));
  for (int64_t n : blocks) at_least_one({{"the number of blocks a stage", n}});
  check_norm(norm, groups, width);
}

void WideResNetConfig::check() const {
  at_least_one({{"--widen", widen}, {"channels", channels}, {"classes", classes}});
  require(depth >= 10 && depth % 6 == 4, "--depth " + std::to_string(depth) + " is not 6n + 4 with n at least 1 (10, 16, 22, …)");
  require(dropout >= 0 && dropout < 1, "--dropout must lie in [0, 1), it is " + std::to_string(dropout));
  check_norm(norm, groups, 16);
}

}  // namespace plumb::resnet
