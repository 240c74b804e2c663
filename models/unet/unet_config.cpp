// UnetConfig to JSON and back.
#include "models/unet/unet_config.h"

#include <algorithm>

#include "engine/io/json_fields.h"

namespace plumb::unet {
namespace {

constexpr auto fields = [](auto& c, auto&& f) {
  f("in_channels", c.in_channels), f("out_channels", c.out_channels), f("width", c.width), f("multipliers", c.multipliers),
      f("blocks", c.blocks);
  f("attention_levels", c.attention_levels), f("middle_attention", c.middle_attention), f("heads", c.heads), f("head_width", c.head_width),
      f("groups", c.groups);
  f("embedding", c.embedding), f("time", c.time), f("time_scale", c.time_scale), f("scale_shift", c.scale_shift), f("resample", c.resample);
  f("skips", c.skips), f("dropout", c.dropout), f("classes", c.classes), f("null_class", c.null_class), f("context", c.context);
  f("transformer_depth", c.transformer_depth), f("self_condition", c.self_condition), f("zero_init", c.zero_init);
};

constexpr int64_t kMostChannels = 1 << 20;  // products of sizes stay far from what 64 bits hold

void require(bool holds, const std::string& problem) {
  if (!holds) throw ConfigError("unet: " + problem);
}

}  // namespace

static const std::vector<std::string>& words_of(Resample) {
  static const std::vector<std::string> words{"convolution", "block", "pool"};
  return words;
}
static const std::vector<std::string>& words_of(Skips) {
  static const std::vector<std::string> words{"every_layer", "every_level"};
  return words;
}
static const std::vector<std::string>& words_of(TimeKind) {
  static const std::vector<std::string> words{"sinusoidal", "fourier"};
  return words;
}

std::string UnetConfig::to_json() const { return fields_to_json(*this, fields); }
UnetConfig UnetConfig::from_json(const std::string& text) { return fields_from_json<UnetConfig>("unet", text, fields); }

bool UnetConfig::attends(int64_t level) const { return std::ranges::find(attention_levels, level) != attention_levels.end(); }

void UnetConfig::check() const {
  for (auto [name, value] : {std::pair{"in_channels", in_channels},
                             {"out_channels", out_channels},
                             {"--width", width},
                             {"--blocks", blocks},
                             {"--heads", heads},
                             {"--groups", groups},
                             {"transformer_depth", transformer_depth}})
    require(value >= 1, std::string(name) + " must be at least 1, it is " + std::to_string(value));
  for (auto [name, value] : {std::pair{"head_width", head_width}, {"embedding", embedding}, {"classes", classes}, {"context", context}})
    require(value >= 0, std::string(name) + " must not be negative, it is " + std::to_string(value));
  require(!multipliers.empty(), "--multipliers must name at least one level");
  require(levels() <= 16, "--multipliers name " + std::to_string(levels()) + " levels; there can be 16");
  require(width <= kMostChannels, "--width must be at most " + std::to_string(kMostChannels) + ", it is " + std::to_string(width));
  require(width % 2 == 0, "--width must be even for the time embedding, it is " + std::to_string(width));
  require(dropout >= 0 && dropout < 1, "--dropout must lie in [0, 1), it is " + decimal(dropout));
  for (int64_t l = 0; l < levels(); ++l) {
    int64_t m = multipliers[static_cast<size_t>(l)];
    require(m >= 1 && m <= kMostChannels,
            "--multipliers must lie in [1, " + std::to_string(kMostChannels) + "], one is " + std::to_string(m));
    int64_t c = channels(l), per_head = head_width > 0 ? head_width : heads;
    require(c % groups == 0,
            "--groups " + std::to_string(groups) + " does not divide the " + std::to_string(c) + " channels of level " + std::to_string(l));
    if (attends(l) || (middle_attention && l == levels() - 1))
      require(c % per_head == 0, (head_width > 0 ? "head_width " : "--heads ") + std::to_string(per_head) + " does not divide the " +
                                     std::to_string(c) + " channels of level " + std::to_string(l));
  }
  for (int64_t l : attention_levels)
    require(l >= 0 && l < levels(),
            "--attention " + std::to_string(l) + " is outside [0, " + std::to_string(levels()) + "), the levels of --multipliers");
}

}  // namespace plumb::unet
