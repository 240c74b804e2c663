// Configurations of the ResNets to JSON and back.
#include "models/resnet/resnet.h"

#include "engine/io/json_fields.h"
#include "models/require.h"
#include "models/resnet/wide_resnet.h"

namespace plumb::resnet {

static constexpr auto fields = [](auto& c, auto&& f) {
  f("small_images", c.small_images), f("bottleneck", c.bottleneck), f("blocks", c.blocks), f("width", c.width), f("channels", c.channels),
      f("classes", c.classes);
  f("norm", c.norm), f("groups", c.groups), f("padded_shortcuts", c.padded_shortcuts), f("zero_residual", c.zero_residual);
};
static constexpr auto wide_fields = [](auto& c, auto&& f) {
  f("depth", c.depth), f("widen", c.widen), f("dropout", c.dropout), f("channels", c.channels), f("classes", c.classes), f("norm", c.norm),
      f("groups", c.groups);
};

namespace {

void check_norm(const std::string& norm, int64_t groups, int64_t narrowest) {
  require(norm == "batch" || norm == "group" || norm == "instance" || norm == "none",
          "--norm " + norm + " is unknown; choose batch, group, instance or none");
  if (norm != "group") return;
  require(groups >= 1 && narrowest % groups == 0,
          "--groups " + std::to_string(groups) + " does not divide the " + std::to_string(narrowest) + " channels of the first stage");
}

void at_least_one(std::initializer_list<std::pair<const char*, int64_t>> numbers) {
  for (auto& [name, value] : numbers) require(value >= 1, std::string(name) + " must be at least 1, it is " + std::to_string(value));
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

std::string ResNetConfig::to_json() const { return fields_to_json(*this, fields); }
ResNetConfig ResNetConfig::from_json(const std::string& text) { return fields_from_json<ResNetConfig>("resnet", text, fields); }
std::string WideResNetConfig::to_json() const { return fields_to_json(*this, wide_fields); }
WideResNetConfig WideResNetConfig::from_json(const std::string& text) {
  return fields_from_json<WideResNetConfig>("wide resnet", text, wide_fields);
}

void ResNetConfig::check() const {
  at_least_one({{"--width", width}, {"channels", channels}});
  require(classes >= 0, "classes must not be negative, there are " + std::to_string(classes));
  require(!blocks.empty() && blocks.size() <= 4, "a resnet has one to four stages, not " + std::to_string(blocks.size()));
  for (int64_t n : blocks) at_least_one({{"the number of blocks a stage", n}});
  check_norm(norm, groups, width);
}

void WideResNetConfig::check() const {
  at_least_one({{"--widen", widen}, {"channels", channels}, {"classes", classes}});
  require(depth >= 10 && depth % 6 == 4, "--depth " + std::to_string(depth) + " is not 6n + 4 with n at least 1 (10, 16, 22, …)");
  require(dropout >= 0 && dropout < 1, "--dropout must lie in [0, 1), it is " + decimal(dropout));
  check_norm(norm, groups, 16);
}

}  // namespace plumb::resnet
