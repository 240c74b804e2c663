// UnetConfig to JSON and back.
#include "models/unet/unet_config.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"

namespace plumb::unet {

NLOHMANN_JSON_SERIALIZE_ENUM(Resample, {{Resample::convolution, "convolution"}, {Resample::block, "block"}, {Resample::pool, "pool"}})
NLOHMANN_JSON_SERIALIZE_ENUM(Skips, {{Skips::every_layer, "every_layer"}, {Skips::every_level, "every_level"}})
NLOHMANN_JSON_SERIALIZE_ENUM(TimeKind, {{TimeKind::sinusoidal, "sinusoidal"}, {TimeKind::fourier, "fourier"}})

namespace {

using Json = nlohmann::ordered_json;

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

// An unknown word would silently become the first of the enumeration.
template <typename Member>
void read(const Json& json, const char* name, Member& member) {
  if (!json.contains(name)) return;
  member = json.at(name).template get<Member>();
  if constexpr (std::is_enum_v<Member>) require(Json(member) == json.at(name), std::string(name) + " cannot be " + json.at(name).dump());
}

}  // namespace

std::string UnetConfig::to_json() const {
  Json json;
  each_member(*this, [&](const char* name, const auto& member) { json[name] = member; });
  return json.dump();
}

UnetConfig UnetConfig::from_json(const std::string& text) {
  Json json = Json::parse(text, nullptr, false);
  require(json.is_object(), "the configuration is not a JSON object");
  UnetConfig c;
  try {
    each_member(c, [&](const char* name, auto& member) { read(json, name, member); });
  } catch (const nlohmann::json::exception& error) {
    throw ConfigError(std::string("unet: the configuration has a value of the wrong kind: ") + error.what());
  }
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
