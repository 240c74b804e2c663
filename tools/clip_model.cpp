// Images with captions for the tools, and the dual encoder's measures.
#include "tools/clip_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digit_pairs.h"
#include "engine/data/digits/digits.h"
#include "engine/io/sha256.h"
#include "engine/io/wordpiece.h"
#include "models/nn/placement.h"
#include "ops/loss.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tools/train/run_config.h"

namespace plumb::tools {
namespace {

constexpr auto augment_fields = [](auto& a, auto&& f) { f("crop", a.crop), f("zoom", a.zoom), f("noise", a.noise); };
constexpr auto fields = [](auto& r, auto&& f) {
  f("data", r.data), f("data_sha256", r.data_sha256), f("vocab", r.vocab), f("min_count", r.min_count), f("model", r.model);
  augment_fields(r.augment, f);
};

data::CaptionedImages part_of(const data::CaptionedImages& all, const data::Dataset& part) { return {part, all.captions}; }

CaptionedParts digit_pair_parts() {
  data::DatasetParts digits = data::digits();
  CaptionedParts parts;
  parts.train = data::digit_pairs(digits.train(), 4000, -1, 0);
  parts.validation = data::digit_pairs(digits.test(), 500, 0, 1);
  parts.test = data::digit_pairs(digits.test(), 500, 0, 2);
  return parts;
}

CaptionedParts csv_parts(const std::string& path, int64_t channels) {
  data::CaptionedImages all = data::captioned_images(path, channels);
  require(all.images.size() >= 10,
          fmt::format("{}: has {} images; 10 at least are needed to train, validate and test", path, all.images.size()));
  std::vector<data::Dataset> split = all.images.split({0.8, 0.1, 0.1}, {.seed = 0});
  CaptionedParts parts;
  parts.train = part_of(all, split[0]), parts.validation = part_of(all, split[1]), parts.test = part_of(all, split[2]);
  return parts;
}

}  // namespace

ClipRun::ClipRun() {
  training.batch = 64, training.steps = 1500, training.warmup = 75, training.eval_every = 250;
  training.lr = 2e-3, training.min_lr = 0, training.weight_decay = 0.01, training.beta2 = 0.999;
}

std::string ClipRun::to_json() const { return run_json("clip", *this, fields).text(); }

ClipRun ClipRun::from_json(const std::string& text) {
  ClipRun run;
  read_run("clip", text, run, fields);
  return run;
}

void ClipRun::check() const {
  require(min_count >= 1, fmt::format("--min-count must be at least 1, it is {}", min_count));
  require(vocab >= 1, fmt::format("--vocab must be at least 1, it is {}", vocab));
  require(model.channels == 1 || model.channels == 3, fmt::format("--channels must be 1 or 3, it is {}", model.channels));
  require(augment.crop >= 0, fmt::format("--crop must not be negative, it is {}", augment.crop));
  require(augment.zoom >= 0 && augment.zoom < 1, fmt::format("--zoom must lie in [0, 1), it is {}", augment.zoom));
  require(augment.noise >= 0, fmt::format("--noise must not be negative, it is {}", augment.noise));
  training.check();
  require(!training.recompute, "--recompute: a dual encoder has no blocks to compute again; choose a smaller --batch");
}

CaptionedParts load_captioned(const std::string& data, int64_t channels) {
  CaptionedParts parts = data == kDigitPairsData ? digit_pair_parts() : csv_parts(data, channels);
  parts.image = parts.train.images[0].image.shape();
  std::string hashes;
  for (const data::CaptionedImages* set : {&parts.train, &parts.validation, &parts.test}) {
    for (const data::SourceHash& hash : set->images.source_hashes()) hashes += hash.sha256 + "\n";
    for (const std::string& caption : set->captions) hashes += caption + "\n";
  }
  parts.sha256 = sha256(hashes);
  return parts;
}

CaptionedParts same_captioned(const std::string& data, int64_t channels, const std::string& sha256) {
  CaptionedParts parts = load_captioned(data, channels);
  if (parts.sha256 != sha256)
    throw ConfigError(data + " has changed since the run began; a resumed run would not be the same. Restore it, or start a new run");
  return parts;
}

std::string lasting_captioned_name(const std::string& data) {
  return data == kDigitPairsData ? data : std::filesystem::absolute(data).lexically_normal().string();
}

contrastive::Texts ClipModel::texts(const std::vector<std::string>& captions) const {
  constexpr int64_t kMarks = 3;  // padding, begin and end come first
  int64_t room = clip_.clip_config().context - 2;
  std::vector<std::vector<int64_t>> words;
  for (const std::string& caption : captions) {
    std::vector<int32_t> tokens = tokenizer_.encode(caption);
    if (static_cast<int64_t>(tokens.size()) > room)
      throw ValueError(fmt::format("the caption \"{}\" has {} tokens, there is room for {}; a larger --context makes more", caption,
                                   tokens.size(), room));
    words.emplace_back();
    for (int32_t t : tokens) words.back().push_back(kMarks + t);
  }
  contrastive::Texts packed = contrastive::pack_texts(words, clip_.clip_config().context);
  return {nn::input_for(clip_, packed.tokens), nn::input_for(clip_, packed.ends)};
}

Tensor ClipModel::image_features(const Tensor& images) const { return clip_.image_features(nn::input_for(clip_, images)); }
Tensor ClipModel::text_features(const std::vector<std::string>& captions) const { return clip_.text_features(texts(captions)); }
Tensor ClipModel::logits(const Tensor& images, const std::vector<std::string>& captions) const {
  return clip_.logits(image_features(images), text_features(captions));
}

Tokenizer caption_tokenizer(const ClipRun& run, const data::CaptionedImages& train) {
  std::string text;
  for (const data::Batch& batch : train.images.batch(std::min<int64_t>(256, train.images.size())))
    for (const std::string& caption : captions_of(train, batch)) text += caption + "\n";
  return Tokenizer::word_pieces(learn_words(text, run.vocab, run.min_count));
}

ClipModel load_clip(const train::RunDirectory& directory) {
  ClipRun run = ClipRun::from_json(directory.config());
  ClipModel model(run.model, Tokenizer::load(directory.file("tokenizer.json")));
  model.module().load_state(directory.load_model());
  model.module().eval();
  return model;
}

std::vector<std::string> captions_of(const data::CaptionedImages& set, const data::Batch& batch) {
  std::vector<std::string> captions;
  for (int64_t i : to_vector<int64_t>(batch.index)) captions.push_back(set.captions[static_cast<size_t>(i)]);
  return captions;
}

RetrievalScores measure(const ClipModel& model, const data::CaptionedImages& set) {
  constexpr int64_t kChunk = 256;
  NoGrad off;
  std::vector<Tensor> images;  // features, a chunk each; images are read once
  std::vector<std::vector<std::string>> own;
  for (const data::Batch& batch : set.images.batch(std::min(kChunk, set.images.size())))
    images.push_back(model.image_features(batch.image)), own.push_back(captions_of(set, batch));
  std::vector<std::string> different;
  for (const auto& captions : own) different.insert(different.end(), captions.begin(), captions.end());
  std::ranges::sort(different);
  different.erase(std::unique(different.begin(), different.end()), different.end());
  Tensor texts = model.text_features(different);
  RetrievalScores scores;
  scores.captions = static_cast<int64_t>(different.size());
  for (size_t k = 0; k < images.size(); ++k) {
    std::vector<int64_t> place;
    for (const std::string& caption : own[k]) place.push_back(std::ranges::lower_bound(different, caption) - different.begin());
    Tensor logits = to(model.module().logits(images[k], texts), Device{}), truth = from_vector(place);
    double share = static_cast<double>(place.size()) / static_cast<double>(set.images.size());
    scores.loss += share * to_vector(cross_entropy(logits, truth))[0];
    scores.recall_1 += share * contrastive::recall_at(logits, 1, truth);
    scores.recall_5 += share * contrastive::recall_at(logits, std::min<int64_t>(5, scores.captions), truth);
  }
  return scores;
}

train::Measures measures_of(const ClipModel& model, const data::CaptionedImages& set, const std::string& prefix) {
  RetrievalScores scores = measure(model, set);
  return {{prefix + "loss", scores.loss}, {prefix + "recall_1", scores.recall_1}, {prefix + "recall_5", scores.recall_5}};
}

}  // namespace plumb::tools
