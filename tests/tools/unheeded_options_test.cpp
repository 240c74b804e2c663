// Options that a mode does not heed are refused in one line that names them, and nothing is made or trained.
#include <doctest/doctest.h>

#include <algorithm>

#include "engine/io/file.h"
#include "tests/tools/run_command.h"

namespace {

using plumb_test::Scratch;

void check_error(const std::string& arguments, const std::string& message) {
  Outcome o = run_plumb(arguments);
  CAPTURE(arguments);
  CHECK(o.code == 2);
  CHECK_MESSAGE(o.err.find(message) != std::string::npos, o.err);
  CHECK(std::count(o.err.begin(), o.err.end(), '\n') == 1);
}

struct Refused {
  std::string command, message;
};

std::string made(const Scratch& scratch, const std::string& name, const std::string& arguments) {
  Outcome o = run_plumb(arguments + " --out " + scratch.path(name));
  REQUIRE_MESSAGE(o.code == 0, o.err);
  return scratch.path(name);
}

std::string text(const Scratch& scratch) {
  std::string words;
  for (int i = 0; i < 60; ++i) words += "the fox sees the owl. ";
  return scratch.put("words.txt", words);
}

const std::string kTinyUnet = " --width 8 --multipliers 1 2 --attention 1 --groups 4 --batch 4 --sample-steps 1";

}  // namespace

TEST_CASE("train: options of another model, method or optimiser are refused, and nothing is made") {
  Scratch scratch;
  std::string gpt = "gpt --data " + text(scratch), moe = "moe --data " + text(scratch),
              table = " --data " + scratch.put("t.csv", "a,b\n1,2\n3,4\n");
  std::string out = " --out " + scratch.path("x");
  const Refused all[] = {
      {gpt + " --vocab 300", "--vocab: only --tokenizer bpe learns a vocabulary of a given size; leave it out"},
      {gpt + " --momentum 0.5", "--momentum: --optimizer adamw has --beta1 and --beta2 instead; leave it out"},
      {gpt + " --optimizer sgd --beta2 0.9", "--beta2: --optimizer sgd has --momentum instead; leave it out"},
      {gpt + " --capture", "--capture: the CPU is given its work call by call"},
      {moe + " --router noisy --raw-gates", "--raw-gates: only --router softmax and sigmoid"},
      {moe + " --router hash --jitter 0.1", "--jitter: --router hash has no gate; leave it out"},
      {"classifier --data digits --model mlp --depth 8", "--depth: an mlp's layers are --hidden; leave it out"},
      {"classifier --data digits --model mlp --imagenet", "--imagenet: only --model resnet has it, this is mlp; leave it out"},
      {"classifier --data digits --model wide-resnet --depth 10 --width 8", "--width: only --model resnet has it, this is wide-resnet"},
      {"classifier --data digits --widen 2", "--widen: only --model wide-resnet has it, this is resnet"},
      {"classifier --data digits --hidden 8", "--hidden: only --model mlp has it, this is resnet"},
      {"classifier --data digits --dropout 0.1", "--dropout: a resnet has none"},
      {"classifier --data digits --model mlp --norm group", "--norm: only --model resnet and wide-resnet have norms"},
      {"classifier --data digits --groups 4", "--groups: only --norm group has groups"},
      {"classifier --data digits --reparam-a 2", "--reparam-a: it is --reparam weight-compander's"},
      {"vit --data digits --patch 4 --distil-weight 0.5", "--distil-weight: it is --distil ps-kd's"},
      {"tabular --target b --model logistic --dropout 0.1" + table, "--dropout: logistic regression has no hidden layers"},
      {"tabular --target b --model logistic --activation gelu" + table, "--activation: logistic regression has no hidden layers"},
      {"forecast --order 1 --strength 0.1" + table, "--strength: without --lags there is no regulariser to weigh"},
      {"ssl --method supervised --ratio 2", "--ratio: --method supervised learns from labelled images alone"},
      {"ssl --method semixup --threshold 0.5", "--threshold: --method semixup counts every image"},
      {"ssl --depth 16", "--depth: only --model wide-resnet has it, this is cnn"},
      {"ssl --model wide-resnet --features 8", "--features: only --model cnn has it, this is wide-resnet"},
      {"unet --data digits --unconditional --guidance 2", "--guidance: --unconditional has no classes"},
      {"consistency --data digits --guidance 2", "--guidance: --method ict has no teacher to guide"},
      {"consistency --data digits --solver-steps 3", "--solver-steps: it is --method ctm's, this is ict"},
      {"consistency --data digits --unconditional --class-dropout 0.2", "--class-dropout: the images are shown without classes"},
      {"detector --start learned --denoising-steps 2", "--denoising-steps: learned boxes are not denoised"},
      {"vae --data digits --model ae --codes 16", "--codes: only --model vqvae has a codebook, this is ae; leave it out"},
      {"vae --data digits --model vqvae --beta 2", "--beta: only --model vae has a divergence, this is vqvae"},
      {"vae --data digits --sigma 0.1", "--sigma: only --likelihood gaussian has a deviation"},
      {"gan --data digits --style 8", "--style: only --model style has it, this is dcgan; leave it out"},
      {"gan --data digits --path-every 2", "--path-every: without --path-length there is no such penalty"},
      {"clip --channels 3 --data digit-pairs", "--channels: digit-pairs are grey, of one channel"},
  };
  for (const Refused& one : all) check_error("train " + one.command + out, one.message);
  CHECK(!plumb::path_exists(scratch.path("x")));
}

TEST_CASE("finetune: options of another adapter, and of texts where there are images, are refused") {
  Scratch scratch;
  std::string base = made(scratch, "base", "train classifier --data digits --model mlp --hidden 4 --batch 4 --steps 1");
  std::string tune = "finetune " + base + " --data digits --out " + scratch.path("x");
  const Refused all[] = {{"--eta 2", "--eta: it is --adapter allora's, this is lora; leave it out"},
                         {"--adapter pissa --diversity 1", "--diversity: it is --adapter ba-lora's, this is pissa"},
                         {"--adapter dora --keep-samples 4", "--keep-samples: it is --adapter alignguard's, this is dora"},
                         {"--context 8", "--context: " + base + " does not learn from text; leave it out"}};
  for (const Refused& one : all) check_error(tune + " " + one.command, one.message);
  CHECK(!plumb::path_exists(scratch.path("x")));
}

TEST_CASE("sample: options of images are refused for text, those of text for images, and a search draws nothing") {
  Scratch scratch;
  std::string gpt =
      made(scratch, "gpt", "train gpt --data " + text(scratch) + " --layers 1 --heads 1 --width 8 --context 8 --batch 4 --steps 1");
  std::string unet = made(scratch, "unet", "train unet --data digits" + kTinyUnet + " --steps 1");
  const Refused all[] = {{gpt + " --out " + scratch.path("x.png"), "--out: " + gpt + " writes text, and this is for images; leave it out"},
                         {gpt + " --count 3", "--count: " + gpt + " writes text"},
                         {gpt + " --beams 2 --temperature 0.5", "--temperature: --beams draws nothing"},
                         {unet + " --prompt cat", "--prompt: " + unet + " draws images, and this is for text; leave it out"},
                         {unet + " --top-k 3", "--top-k: " + unet + " draws images"}};
  for (const Refused& one : all) check_error("sample " + one.command, one.message);
}

TEST_CASE("sample: what one generator of images heeds is refused for another") {
  Scratch scratch;
  std::string unet = made(scratch, "unet", "train unet --data digits --unconditional" + kTinyUnet + " --steps 1");
  std::string few = made(
      scratch, "few", "train consistency --data digits --width 8 --multipliers 1 2 --attention 1 --groups 4 --batch 4 --s1 10 --steps 2");
  std::string vae = made(scratch, "vae", "train vae --data digits --width 8 --multipliers 1 2 --groups 4 --batch 4 --steps 1");
  std::string gan = made(scratch, "gan", "train gan --data digits --width 8 --latent 4 --batch 4 --steps 1");
  const Refused all[] = {{unet + " --gamma 0.5", "--gamma: it is for runs of train consistency"},
                         {unet + " --truncation 0.5", "--truncation: it is for style-based GANs"},
                         {unet + " --reconstruct", "--reconstruct: it is for autoencoders"},
                         {unet + " --guidance 2", "--guidance: the run knows no classes to follow"},
                         {unet + " --eta 0.5", "--eta: only --sampler ddim puts noise back by it, this is dpmpp_2m"},
                         {unet + " --sampler ddim --churn 2", "--churn: only --sampler heun and euler add noise by it, this is ddim"},
                         {few + " --eta 0.5", "--eta: runs of train consistency are sampled with --steps, --levels and --gamma"},
                         {few + " --gamma 0.5", "--gamma: only runs of --method ctm put noise back, this is one of ict"},
                         {vae + " --sampler heun", "--sampler: it is for runs of train unet"},
                         {vae + " --guidance 2", "--guidance: runs of train vae and train gan do not know classes"},
                         {vae + " --reconstruct --seed 3", "--seed: reconstructions are not drawn"},
                         {gan + " --levels 1", "--levels: it is for runs of train consistency"},
                         {gan + " --reconstruct", "--reconstruct: it is for autoencoders"}};
  for (const Refused& one : all) {
    check_error("sample " + one.command + " --out " + scratch.path("x.png"), one.message);
    CHECK(!plumb::path_exists(scratch.path("x.png")));
  }
}

TEST_CASE("bench and data: options that nothing heeds are refused before anything is measured or fetched") {
  Scratch scratch;
  const Refused all[] = {{"bench steps --profile --threads 2", "--threads: --profile looks into this process"},
                         {"bench steps --profile --rounds 2", "--rounds: --profile looks into steps of one process"},
                         {"bench steps --python x", "--python: only --against torch runs it"},
                         {"bench memory --capture", "--capture: the CPU is given its work call by call"},
                         {"bench kernels --python x", "--python: only --against torch runs it"},
                         {"bench scaling --only length --size tiny", "--size: it is of --only threads"},
                         {"data fetch --to " + scratch.path("d"), "--to: no data set is named"},
                         {"data fetch mnist --list", "--list"},
                         {"data subset " + text(scratch) + " --header --count 1 --out " + scratch.path("s"),
                          "--header: " + scratch.path("words.txt") + " is no CSV file by its name"},
                         {"data subset x.csv --indices i --seed 1 --out " + scratch.path("s"), "--seed"},
                         {"data pretrained image-encoder --sources .", "--sources: only gpt-sources learns from them"},
                         {"data pretrained --list --steps 3", "--list"}};
  for (const Refused& one : all) check_error(one.command, one.message);
}
