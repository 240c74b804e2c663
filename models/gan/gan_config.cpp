// Configurations of adversarial pairs: their fields and what these may be.
#include "engine/io/json_fields.h"
#include "models/gan/dcgan.h"
#include "models/gan/image_side.h"
#include "models/gan/style.h"
#include "models/require.h"

namespace plumb::gan {
namespace {

constexpr auto dcgan_fields = [](auto& c, auto&& f) {
  f("channels", c.channels), f("side", c.side), f("width", c.width), f("latent", c.latent);
};
constexpr auto style_fields = [](auto& c, auto&& f) {
  f("channels", c.channels), f("side", c.side), f("width", c.width), f("widest", c.widest), f("latent", c.latent), f("style", c.style);
  f("mapping_layers", c.mapping_layers), f("mapping_rate", c.mapping_rate), f("mixing", c.mixing), f("deviation_group", c.deviation_group);
};

}  // namespace

std::string DcganConfig::to_json() const { return fields_to_json(*this, dcgan_fields); }
DcganConfig DcganConfig::from_json(const std::string& text) { return fields_from_json<DcganConfig>("dcgan", text, dcgan_fields); }
std::string StyleConfig::to_json() const { return fields_to_json(*this, style_fields); }
StyleConfig StyleConfig::from_json(const std::string& text) { return fields_from_json<StyleConfig>("style", text, style_fields); }

void DcganConfig::check() const {
  require_positive("dcgan", {{"channels", channels}, {"--width", width}, {"--latent", latent}});
  ImageSide::of(side, "dcgan");
}

void StyleConfig::check() const {
  require_positive("style", {{"channels", channels},
                             {"--width", width},
                             {"--widest", widest},
                             {"--latent", latent},
                             {"--style", style},
                             {"--deviation-group", deviation_group}});
  ImageSide grown = ImageSide::of(side, "style");
  require(grown.doublings < 8, "style: images of side " + std::to_string(side) + " are too large; at most 7 doublings are made");
  require(mapping_layers >= 1 && mapping_layers <= 8,
          "style: --mapping-layers must lie in [1, 8], it is " + std::to_string(mapping_layers));
  require(mapping_rate > 0, "style: mapping_rate must be positive, it is " + decimal(mapping_rate));
  require(mixing >= 0 && mixing <= 1, "style: --mixing must lie in [0, 1], it is " + decimal(mixing));
}

}  // namespace plumb::gan
