// `plumb sample`: text from a trained GPT, a token at a time; pictures from a trained U-Net.
#include <cstdio>
#include <memory>

#include "models/transformer/generate.h"
#include "tools/commands.h"
#include "tools/language_model.h"
#include "tools/sample_images.h"

namespace plumb::tools {
namespace {

struct Options {
  std::string run, prompt = "\n";
  int64_t tokens = 500;
  uint64_t seed = 0;
  transformer::SamplingOptions sampling;
  ImageSampleOptions images;
};

int sample_text(const train::RunDirectory& directory, const Options& o) {
  o.sampling.check();
  if (o.tokens < 0) throw ConfigError("--tokens must not be negative, it is " + std::to_string(o.tokens));
  GptRun settings = load_settings(directory);
  Tokenizer tokenizer = Tokenizer::load(directory.file("tokenizer.json"));
  std::vector<int32_t> prompt = tokenizer.encode(o.prompt);
  if (prompt.empty()) throw ConfigError("--prompt is empty; give at least one character");
  transformer::Gpt model = load_gpt(directory, settings);
  Generator generator(o.seed);
  std::fwrite(o.prompt.data(), 1, o.prompt.size(), stdout);
  transformer::generate(model, prompt, o.tokens, o.sampling, generator, [&](int32_t token) {
    std::string text = tokenizer.decode({token});
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  });
  std::fputc('\n', stdout);
  return 0;
}

int sample(const Options& o) {
  auto directory = train::RunDirectory::open(o.run);
#ifndef PLUMB_QUICK  // which has no image models
  if (kind_of(directory) == "unet") return sample_images(directory, o.images, o.seed);
#endif
  return sample_text(directory, o);
}

Action define(CommandLine& line) {
  auto o = std::make_shared<Options>();
  line.required("run", o->run, "run directory");
  line.option("--prompt", o->prompt, "text: what to go on from");
  line.option("--tokens", o->tokens, "text: how many to write");
  line.option("--temperature", o->sampling.temperature, "text: how daring; 0: always the most likely token");
  line.option("--top-k", o->sampling.top_k, "text: only the k most likely tokens; 0: all");
  line.option("--top-p", o->sampling.top_p, "text: only the likeliest tokens that reach this probability together");
  line.option("--seed", o->seed, "of the draws");
#ifndef PLUMB_QUICK
  define_image_options(line, o->images);
#endif
  return [o] { return sample(*o); };
}

}  // namespace

extern const Command sample_command;
const Command sample_command{"sample", "write text or draw images with a trained model", define};

}  // namespace plumb::tools
