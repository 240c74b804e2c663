// Pictures from autoencoders and adversarial generators.
#include <fmt/format.h>

#include "engine/io/image.h"
#include "models/train/image_grid.h"
#include "ops/shape.h"
#include "tools/autoencoder_model.h"
#include "tools/cli/heeded_options.h"
#include "tools/gan_model.h"
#include "tools/image_judge.h"
#include "tools/labelled_images.h"
#include "tools/sample_images.h"

namespace plumb::tools {
namespace {

void print_measures(const std::string& model, const std::vector<std::string>& data, const Tensor& samples, const std::string& judge_path) {
  JsonObject json;
  json.set("model", model);
  json.set("samples", samples.size(0));
  for (const auto& [name, value] : measure_samples(ImageJudge(judge_path), load_images(data), samples)) json.set(name, value);
  fmt::print("{}\n", json.text());
}

void finish(const ImageSampleOptions& o, const std::string& model, const std::vector<std::string>& data, const Tensor& samples) {
  save_picture(o, samples);
  fmt::print(stderr, "{} images of a {}: {}\n", samples.size(0), model, o.out);
  if (!o.judge.empty()) print_measures(model, data, samples, o.judge);
}

void from_autoencoder(const train::RunDirectory& directory, const ImageSampleOptions& o, Generator& random, const CommandLine& line) {
  refuse_unheeded(line,
                  {{{"--truncation"}, false, "it is for style-based GANs"}, {{"--seed"}, !o.reconstruct, "reconstructions are not drawn"}});
  TrainedAutoencoder trained = load_autoencoder(directory);
  if (!o.reconstruct)
    return finish(o, trained.run.model, trained.run.data, sample(trained, o.count, random, progress_bar("sample", "images")));
  require(o.judge.empty(), "--judge judges samples, not reconstructions");
  LabelledImages images = load_images(trained.run.data);
  int64_t count = std::min((o.count + 7) / 8 * 8, images.test.size() / 8 * 8);  // whole rows of eight
  require(count > 0, "--reconstruct needs at least 8 test images");
  Tensor pairs = with_reconstructions(*trained.model, trained.run, images.test.batch(count).next().image);
  save_png(o.out, train::image_grid(pairs, {.columns = 8}));
  fmt::print(stderr, "{} test images, a row of their reconstructions under each row: {}\n", count, o.out);
}

void from_gan(const train::RunDirectory& directory, const ImageSampleOptions& o, Generator& random, const CommandLine& line) {
  GanRun run = GanRun::from_json(directory.config());
  refuse_unheeded(
      line, {{{"--reconstruct"}, false, "it is for autoencoders"}, {{"--truncation"}, run.model == "style", "it is for style-based GANs"}});
  auto pair = load_gan(directory, run);
  if (auto* style = dynamic_cast<gan::StyleGan*>(pair.get())) style->truncation = o.truncation;
  finish(o, run.model, run.data, sample(*pair, run, o.count, random, progress_bar("sample", "images")));
}

}  // namespace

int sample_latent_images(const train::RunDirectory& directory, const ImageSampleOptions& o, uint64_t seed, const CommandLine& line) {
  check_request(o);
  refuse_unheeded(line, {{{"--levels", "--gamma"}, false, "it is for runs of train consistency"},
                         {{"--sampler", "--eta", "--churn"}, false, "it is for runs of train unet"},
                         {{"--class", "--guidance"}, false, "runs of train vae and train gan do not know classes"}});
  if (o.steps.value_or(1) > 1) fmt::print(stderr, "--steps {}: a {} draws in one step\n", *o.steps, kind_of(directory));
  Generator random(seed);
  if (kind_of(directory) == "vae") from_autoencoder(directory, o, random, line);
  else from_gan(directory, o, random, line);
  return 0;
}

}  // namespace plumb::tools
