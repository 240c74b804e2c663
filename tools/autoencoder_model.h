// What `plumb train vae`, `eval` and `sample` share: a run's settings, its model, and how it is measured.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/autoencoder/latent_space.h"
#include "models/autoencoder/vae.h"
#include "models/autoencoder/vqvae.h"
#include "tools/progress_bar.h"
#include "tools/train/settings.h"

namespace plumb::tools {

/// Everything that config.json of an autoencoder run holds.
struct AutoencoderRun {
  std::string model = "vae";      ///< ae, vae or vqvae
  autoencoder::AutoencoderConfig network;
  double beta = 1, free_bits = 0;          ///< of a vae
  autoencoder::QuantizerConfig quantizer;  ///< of a vqvae
  std::vector<std::string> data;  ///< absolute paths, or "digits"
  std::string data_sha256;        ///< of the files' hashes
  double validation = 0.05;       ///< share of the training part that is held back
  std::vector<int64_t> image;     ///< [C, H, W]
  TrainingSettings training;

  AutoencoderRun();
  std::string to_json() const;
  static AutoencoderRun from_json(const std::string& json);
  /// Throws ConfigError naming the option that is out of range.
  void check() const;
};

/// An autoencoder of the run's kind, its weights drawn from the default generator.
std::unique_ptr<autoencoder::Autoencoder> make_autoencoder(const AutoencoderRun& run);

/// The mean loss in nats an image and its parts: "loss", "reconstruction"; of a vae "kl" and the "elbo"; of a vqvae "quantisation" and the
/// "perplexity" of its codes. In evaluation mode, the same random numbers every time.
train::Measures measure(const autoencoder::Autoencoder& model, const AutoencoderRun& run, const data::Dataset& images);

/// A trained model and its latent space.
struct TrainedAutoencoder {
  AutoencoderRun run;
  std::unique_ptr<autoencoder::Autoencoder> model;
  std::optional<autoencoder::LatentSpace> latent_space;  ///< as measured when the run ended; of an unfinished run, now
};
/// In evaluation mode.
TrainedAutoencoder load_autoencoder(const train::RunDirectory& directory);

/// `count` images [n, C, H, W] in [0, 1]: of a vae, decoded from its prior N(0, 1); of the others, from the Gaussian of the latents.
Tensor sample(const TrainedAutoencoder& trained, int64_t count, Generator& random, const ProgressFunction& progress = {});
/// Decoded from N(0, 1).
Tensor sample_prior(const autoencoder::Autoencoder& model, const AutoencoderRun& run, int64_t count, Generator& random,
                    const ProgressFunction& progress = {});
/// Rows of eight images and, under each row, their reconstructions.
Tensor with_reconstructions(const autoencoder::Autoencoder& model, const AutoencoderRun& run, const Tensor& images);

/// Where a run keeps its latent space.
inline constexpr const char* kLatentSpaceFile = "latent_space.safetensors";

}  // namespace plumb::tools
