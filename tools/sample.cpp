// `plumb sample`: text from a trained or a pretrained decoder, a token at a time; pictures from a trained U-Net, few-step
// generator, autoencoder or GAN.
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "models/transformer/beam_search.h"
#include "models/transformer/generate.h"
#include "tools/cli/heeded_options.h"
#include "tools/commands.h"
#include "tools/language_model.h"
#include "tools/progress_bar.h"
#include "tools/sample_images.h"
#include "tools/text_writer.h"
#include "tools/train/kinds.h"

namespace plumb::tools {
namespace {

struct Options {
  std::string run, prompt = "\n";
  int64_t tokens = 500, beams = 0;
  uint64_t seed = 0;
  transformer::SamplingOptions sampling;
  ImageSampleOptions images;
  CommandLine line;
};

TextWriter trained_writer(const train::RunDirectory& run) {
  const TrainingKind& kind = kind_of_run(run);
  if (!kind.text_run)
    throw ConfigError(run.path() + " is a run of train " + kind.command.name + ", which writes no text" +
                      (kind.evaluate ? "; plumb eval measures it" : ""));
  std::shared_ptr<LanguageModel> model = kind.text_run(run)->load(run);
  return {std::shared_ptr<const transformer::CausalDecoder>(model, &model->decoder()), Tokenizer::load(run.file("tokenizer.json"))};
}

int write_text(const TextWriter& writer, const Options& o) {
#ifndef PLUMB_QUICK
  refuse_unheeded(o.line, {{image_options(), false, o.run + " writes text, and this is for images"}});
#endif
  refuse_unheeded(o.line,
                  {{{"--temperature", "--top-k", "--top-p", "--seed"}, o.beams == 0, "--beams draws nothing, it takes the likeliest"}});
  std::vector<int32_t> prompt = writer.tokenizer.encode(o.prompt);
  if (prompt.empty()) throw ConfigError("--prompt is empty; give at least one character");
  auto write = [](const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); };
  if (o.beams > 0 && o.tokens > 0) {
    transformer::BeamOptions beam{.beams = o.beams, .max_tokens = o.tokens, .on_token = progress_bar("sample", "tokens")};
    write(o.prompt + writer.tokenizer.decode(transformer::beam_search(*writer.model, prompt, beam).front().tokens));
  } else {
    write(o.prompt);
    Generator generator(o.seed);
    ProgressFunction bar;  // text that is written to a terminal shows itself how far it has come
    if (!isatty(STDOUT_FILENO)) bar = progress_bar("sample", "tokens");
    int64_t written = 0;
    transformer::generate(*writer.model, prompt, o.tokens, o.sampling, generator, [&](int32_t token) {
      write(writer.tokenizer.decode({token}));
      std::fflush(stdout);
      if (bar) bar(++written, o.tokens);
    });
  }
  write("\n");
  return 0;
}

int sample(const Options& o) {
  o.sampling.check();
  if (o.tokens < 0) throw ConfigError("--tokens must not be negative, it is " + std::to_string(o.tokens));
  if (o.beams < 0) throw ConfigError("--beams must not be negative, it is " + std::to_string(o.beams));
#ifndef PLUMB_QUICK  // which has no image models and no pretrained ones
  if (auto writer = pretrained_writer(o.run)) return write_text(*writer, o);
  auto run = train::RunDirectory::open(o.run);
  std::string kind = kind_of(run);
  bool images = kind == "unet" || kind == "consistency" || kind == "vae" || kind == "gan";
  refuse_unheeded(o.line, {{{"--prompt", "--tokens", "--temperature", "--top-k", "--top-p", "--beams"},
                            !images,
                            o.run + " draws images, and this is for text"}});
  if (kind == "unet") return sample_images(run, o.images, o.seed, o.line);
  if (kind == "consistency") return sample_few_steps(run, o.images, o.seed, o.line);
  if (kind == "vae" || kind == "gan") return sample_latent_images(run, o.images, o.seed, o.line);
#endif
  return write_text(trained_writer(train::RunDirectory::open(o.run)), o);
}

Action define(CommandLine& line) {
  auto o = std::make_shared<Options>(Options{.line = line});
  line.required("run", o->run, "run directory, or a directory with a pretrained GPT-2 or Llama");
  line.option("--prompt", o->prompt, "text: what to go on from");
  line.option("--tokens", o->tokens, "text: how many to write");
  line.option("--temperature", o->sampling.temperature, "text: how daring; 0: always the most likely token");
  line.option("--top-k", o->sampling.top_k, "text: only the k most likely tokens; 0: all");
  line.option("--top-p", o->sampling.top_p, "text: only the likeliest tokens that reach this probability together");
  line.option("--beams", o->beams, "text: the likeliest found by a beam search of this width; 0: draw");
  line.option("--seed", o->seed, "seed of the draws");
#ifndef PLUMB_QUICK
  define_image_options(line, o->images);
#endif
  return [o] { return sample(*o); };
}

}  // namespace

extern const Command sample_command;
const Command sample_command{"sample", "write text or draw images with a trained model", define};

}  // namespace plumb::tools
