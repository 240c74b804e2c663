// Configurations of autoencoders: their fields and what these may be.
#include "models/autoencoder/autoencoder_config.h"

#include "engine/io/json_fields.h"
#include "models/autoencoder/quantizer.h"
#include "models/autoencoder/vae.h"
#include "models/autoencoder/vqvae.h"
#include "models/require.h"

namespace plumb::autoencoder {

static const std::vector<std::string>& words_of(Likelihood) {
  static const std::vector<std::string> words{"bernoulli", "gaussian"};
  return words;
}

namespace {

constexpr auto network_fields = [](auto& c, auto&& f) {
  f("channels", c.channels), f("side", c.side), f("width", c.width), f("multipliers", c.multipliers), f("blocks", c.blocks),
      f("attention", c.attention);
  f("groups", c.groups), f("dropout", c.dropout), f("latent", c.latent), f("vector", c.vector), f("likelihood", c.likelihood),
      f("sigma", c.sigma);
};
constexpr auto vae_fields = [](auto& c, auto&& f) { f("network", c.network), f("beta", c.beta), f("free_bits", c.free_bits); };
constexpr auto quantizer_fields = [](auto& c, auto&& f) {
  f("codes", c.codes), f("commitment", c.commitment), f("decay", c.decay), f("restart", c.restart);
};
constexpr auto vqvae_fields = [](auto& c, auto&& f) { f("network", c.network), f("quantizer", c.quantizer); };

constexpr int64_t kMostChannels = 1 << 20;  // products of sizes stay far from what 64 bits hold

void not_negative(const char* model, std::initializer_list<std::pair<const char*, double>> numbers) {
  for (auto [name, value] : numbers)
    require(value >= 0, std::string(model) + ": " + name + " must not be negative, it is " + decimal(value));
}

}  // namespace

std::string AutoencoderConfig::to_json() const { return fields_to_json(*this, network_fields); }
AutoencoderConfig AutoencoderConfig::from_json(const std::string& text) {
  return fields_from_json<AutoencoderConfig>("autoencoder", text, network_fields);
}
std::string VaeConfig::to_json() const { return fields_to_json(*this, vae_fields); }
VaeConfig VaeConfig::from_json(const std::string& text) { return fields_from_json<VaeConfig>("vae", text, vae_fields); }
std::string QuantizerConfig::to_json() const { return fields_to_json(*this, quantizer_fields); }
QuantizerConfig QuantizerConfig::from_json(const std::string& text) {
  return fields_from_json<QuantizerConfig>("vqvae", text, quantizer_fields);
}
std::string VqVaeConfig::to_json() const { return fields_to_json(*this, vqvae_fields); }
VqVaeConfig VqVaeConfig::from_json(const std::string& text) { return fields_from_json<VqVaeConfig>("vqvae", text, vqvae_fields); }

void AutoencoderConfig::check() const {
  require_positive(
      "autoencoder",
      {{"channels", channels}, {"side", side}, {"--width", width}, {"--blocks", blocks}, {"--groups", groups}, {"--latent", latent}});
  not_negative("autoencoder", {{"--sigma", sigma}});
  require(!multipliers.empty(), "autoencoder: --multipliers must name at least one level");
  require_rate("autoencoder", "--dropout", dropout);
  require(levels() <= 16, "autoencoder: --multipliers name " + std::to_string(levels()) + " levels; there can be 16");
  require(width <= kMostChannels,
          "autoencoder: --width must be at most " + std::to_string(kMostChannels) + ", it is " + std::to_string(width));
  for (int64_t m : multipliers)
    require(m >= 1 && m <= kMostChannels,
            "autoencoder: --multipliers must lie in [1, " + std::to_string(kMostChannels) + "], one is " + std::to_string(m));
  require(width % groups == 0, "autoencoder: --groups " + std::to_string(groups) + " does not divide the " + std::to_string(width) +
                                   " channels of the first convolution");
  for (int64_t l = 0; l < levels(); ++l)
    require(channels_at(l) % groups == 0, "autoencoder: --groups " + std::to_string(groups) + " does not divide the " +
                                              std::to_string(channels_at(l)) + " channels of level " + std::to_string(l));
  require(side % (int64_t{1} << (levels() - 1)) == 0, "autoencoder: images of side " + std::to_string(side) + " cannot be halved " +
                                                          std::to_string(levels() - 1) +
                                                          " times, once for each of --multipliers after the first");
}

void VaeConfig::check() const {
  network.check();
  not_negative("vae", {{"--beta", beta}, {"--free-bits", free_bits}});
}

void QuantizerConfig::check() const {
  require_positive("vqvae", {{"--codes", codes}});
  not_negative("vqvae", {{"--commitment", commitment}, {"--restart", restart}});
  require_rate("vqvae", "--codebook-decay", decay);
}

void VqVaeConfig::check() const {
  network.check();
  quantizer.check();
  require(!network.vector, "vqvae: the latent must be a map, whose places are quantised one by one; vector is set");
}

}  // namespace plumb::autoencoder
