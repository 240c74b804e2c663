// UnetConfig to JSON and back.
#include "models/unet/unet_config.h"

#include <algorithm>
#include <type_traits>

#include "engine/core/error.h"
#include "engine/io/json_object.h"

namespace plumb::unet {
namespace {

// The one list of names: visit(name, member) for each, in order.
template <typename Config, typename Visit>
void each_member(Config& c, Visit&& visit) {
  visit("in_channels", c.in_channels);
  visit("out_channels", c.out_channels);
  visit("width", c.width);
  visit("multipliers", c.multipliers);
  visit("blocks", c.blocks);
  visit("attention_levels", c.attention_levels);
  visit("middle_attention", c.middle_attention);
  visit("heads", c.heads);
  visit("head_width", c.head_width);
  visit("groups", c.groups);
  visit("embedding", c.embedding);
  visit("time", c.time);
  visit("time_scale", c.time_scale);
  visit("scale_shift", c.scale_shift);
  visit("resample", c.resample);
  visit("skips", c.skips);
  visit("dropout", c.dropout);
  visit("classes", c.classes);
  visit("null_class", c.null_class);
  visit("context", c.context);
  visit("transformer_depth", c.transformer_depth);
  visit("self_condition", c.self_condition);
  visit("zero_init", c.zero_init);
}

void require(bool holds, const std::string& problem) {
  if (!holds) throw ConfigError("unet: " + problem);
}

// The words for the values of each enumeration, in order.
const std::vector<std::string>& words(Resample) {
  static const std::vector<std::string> all{"convolution", "block", "pool"};
  return all;
}
const std::vector<std::string>& words(Skips) {
  static const std::vector<std::string> all{"every_layer", "every_level"};
  return all;
}
const std::vector<std::string>& words(TimeKind) {
  static const std::vector<std::string> all{"sinusoidal", "fourier"};
  return all;
}

template <typename Member>
void write(JsonObject& json, const char* name, const Member& member) {
  if constexpr (std::is_enum_v<Member>) json.set(name, words(member)[static_cast<size_t>(member)]);
  else json.set(name, member);
}

template <typename Member>
void read(const JsonObject& json, const char* name, Member& member) {
  if constexpr (std::is_enum_v<Member>) {
    std::string word = words(member)[static_cast<size_t>(member)];
    json.read(name, word);
    auto found = std::ranges::find(words(member), word);
    require(found != words(member).end(), std::string(name) + " cannot be \"" + word + "\"");
    member = static_cast<Member>(found - words(member).begin());
  } else {
    json.read(name, member);
  }
}

}  // namespace

std::string UnetConfig::to_json() const {
  JsonObject json;
  each_member(*this, [&](const char* name, const auto& member) { write(json, name, member); });
  return json.text();
}

UnetConfig UnetConfig::from_json(const std::string& text) {
  auto json = JsonObject::parse(text, "unet");
  UnetConfig c;
  each_member(c, [&](const char* name, auto& member) { read(json, name, member); });
  c.check();
  return c;
}

bool UnetConfig::attends(int64_t level) const { return std::ranges::find(attention_levels, level) != attention_levels.end(); }

void UnetConfig::check() const {
  for (auto [name, value] : {std::pair{"in_channels", in_channels}, {"out_channels", out_channels}, {"width", width}, {"blocks", blocks}, {"heads", heads}, {"groups", groups},
                             {"transformer_depth", transformer_depth}})
    require(value >= 1, std::string(name) + " must be at least 1, it is " + std::to_string(value));
  for (auto [name, value] : {std::pair{"head_width", head_width}, {"embedding", embedding}, {"classes", classes}, {"context", context}})
    require(value >= 0, std::string(name) + " must not be negative, it is " + std::to_string(value));
  require(!multipliers.empty(), "multipliers must name at least one level");
  require(width % 2 == 0, "width must be even for the time embedding, it is " + std::to_string(width));
  require(dropout >= 0 && dropout < 1, "dropout must lie in [0, 1), it is " + std::to_string(dropout));
  for (int64_t l = 0; l < levels(); ++l) {
    require(multipliers[static_cast<size_t>(l)] >= 1, "multipliers must be at least 1, one is " + std::to_string(multipliers[static_cast<size_t>(l)]));
    int64_t c = channels(l), per_head = head_width > 0 ? head_width : heads;
    require(c % groups == 0, std::to_string(groups) + " groups do not divide the " + std::to_string(c) + " channels of level " + std::to_string(l));
    if (attends(l) || (middle_attention && l == levels() - 1))
      require(c % per_head == 0, (head_width > 0 ? "head_width " : "heads ") + std::to_string(per_head) + " does not divide the " + std::to_string(c) + " channels of level " + std::to_string(l));
  }
  for (int64_t l : attention_levels) require(l >= 0 && l < levels(), "attention level " + std::to_string(l) + " is outside [0, " + std::to_string(levels()) + ")");
}

}  // namespace plumb::unet
