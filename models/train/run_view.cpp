// Looking at a run from outside, while it is written.
#include "models/train/run_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "engine/io/inside.h"
#include "engine/io/unicode.h"
#include "models/train/html.h"

namespace plumb::train {
namespace {

namespace fs = std::filesystem;
constexpr size_t kBuckets = 750, kFrozenPictures = 4, kHistograms = 12;
constexpr size_t kMostCurves = 1000, kMostSettings = 1000;  // more than a page can show; names are looked up one by one

// Bytes of the file from `from` on.
std::string rest_of(const std::string& path, size_t from) {
  std::ifstream file(path, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(from));
  return {std::istreambuf_iterator<char>(file), {}};
}

// Size and time of the last change, as a word.
std::string stamp(const std::string& path) {
  std::error_code error;
  auto size = fs::file_size(path, error);
  if (error) return "0";
  auto time = fs::last_write_time(path, error);
  return fmt::format("{:x}t{:x}", size, error ? 0 : static_cast<uint64_t>(time.time_since_epoch().count()));
}

// val_accuracy: "validation accuracy"; train_discriminator_loss: "training discriminator loss".
std::string spoken(const std::string& name) {
  std::string words = name.starts_with("val_")     ? "validation " + name.substr(4)
                      : name.starts_with("train_") ? "training " + name.substr(6)
                                                   : name;
  std::ranges::replace(words, '_', ' ');
  return words;
}

// At most `most` of them, evenly spaced, the last among them.
template <typename T>
std::vector<T> some_of(const std::vector<T>& all, size_t most) {
  size_t shown = std::min(most, all.size());
  std::vector<T> some;
  for (size_t i = 1; i <= shown; ++i) some.push_back(all[i * all.size() / shown - 1]);
  return some;
}

JsonObject json_of(const Curve& curve) {
  JsonObject json;
  json.set("step", curve.step);
  json.set("value", curve.value);
  return json;
}

// The values of a config.json, each a text. Throws ConfigError.
JsonObject settings_of(const std::string& text) {
  JsonObject settings;
  auto listing = JsonObject::parse(text, "config.json").listing();
  if (listing.size() > kMostSettings)
    throw ConfigError(fmt::format("config.json: has {} values, more than the {} that a page shows", listing.size(), kMostSettings));
  for (auto& [name, value] : listing) settings.set(name, value);
  return settings;
}

}  // namespace

Curve thinned(const Curve& curve, size_t buckets) {
  size_t n = curve.step.size();
  if (n <= 2 * buckets) return curve;
  Curve thin{curve.name, {}, {}};
  for (size_t b = 0; b < buckets; ++b) {
    size_t from = b * n / buckets, to = (b + 1) * n / buckets, least = from, most = from;
    for (size_t i = from; i < to; ++i) {
      if (!std::isfinite(curve.value[least]) || curve.value[i] < curve.value[least]) least = i;
      if (!std::isfinite(curve.value[most]) || curve.value[i] > curve.value[most]) most = i;
    }
    for (size_t i : {std::min(least, most), std::max(least, most)})
      if (thin.step.empty() || thin.step.back() != curve.step[i]) {
        thin.step.push_back(curve.step[i]);
        thin.value.push_back(curve.value[i]);
      }
  }
  return thin;
}

std::string valid_utf8(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    Utf8Char c = decode_utf8(text, at);
    append_utf8(out, c.valid ? c.code_point : 0xFFFD);
    at += static_cast<size_t>(c.bytes);
  }
  return out;
}

RunView::RunView(RunDirectory run, bool ending) : run_(std::move(run)), ending_(ending) { update(); }

std::string RunView::contents(const std::string& name) const {
  std::string path = run_.file(name);
  return lies_in(run_.path(), path) ? read_file(path) : "";
}

void RunView::add(const Metrics& line) {
  if (line.step <= steps_)  // a resumed run writes steps again
    for (Curve& curve : curves_)
      while (!curve.step.empty() && curve.step.back() >= line.step) curve.step.pop_back(), curve.value.pop_back();
  std::erase_if(curves_, [](const Curve& curve) { return curve.step.empty(); });
  steps_ = line.step;
  for (auto& [name, value] : line.values) {
    auto curve = std::ranges::find(curves_, name, &Curve::name);
    if (curve == curves_.end()) {
      if (curves_.size() == kMostCurves)
        throw IoError(fmt::format("metrics: {}: has more than {} different names", run_.file("metrics.jsonl"), kMostCurves));
      curve = curves_.insert(curves_.end(), {valid_utf8(name), {}, {}});
    }
    curve->step.push_back(line.step);
    curve->value.push_back(value);
  }
}

// Whole lines that were added; all of them where the file is not what it was.
void RunView::read_metrics_on() {
  std::string path = run_.file("metrics.jsonl");
  if (!lies_in(run_.path(), path)) return;
  std::string more = rest_of(path, read_ > 0 ? read_ - 1 : 0);
  if (read_ > 0 && !more.starts_with('\n')) {
    *this = RunView(run_, ending_);
    return;
  }
  if (read_ > 0) more.erase(0, 1);
  more.resize(more.rfind('\n') == std::string::npos ? 0 : more.rfind('\n') + 1);
  std::vector<Metrics> lines = parse_metrics(path, more, lines_ + 1);
  for (const Metrics& line : lines) add(line);
  read_ += more.size();
  lines_ += lines.size();
}

void RunView::update() {
  version_ = version();  // before reading: what is written meanwhile is another version
  try {
    problem_.clear();
    read_metrics_on();
  } catch (const Error& error) {
    problem_ = valid_utf8(error.what());
  }
}

std::string RunView::version() const {
  std::vector<int64_t> pictures = run_.sample_steps(), texts = run_.text_steps();
  return fmt::format("{}.{}.{}.{}.{:d}", stamp(run_.file("metrics.jsonl")), stamp(run_.file("config.json")),
                     pictures.empty() ? 0 : pictures.back(), texts.empty() ? 0 : texts.back(), run_.finished());
}

std::string RunView::histograms_version() const { return stamp(run_.file("histograms.jsonl")); }

std::string RunView::summary() const {
  if (steps_ == 0) return "No step is finished yet.";
  std::string text = fmt::format("{} steps", steps_);
  for (const char* prefix : {"train_loss", "val_", "test_"})
    for (const Curve& curve : curves_)
      if (curve.name.starts_with(prefix))
        text += fmt::format("{} {} {:.4f}", text.find(';') == std::string::npos ? ";" : ",", spoken(curve.name), curve.value.back());
  return text + ".";
}

std::string RunView::picture(int64_t step) const {
  std::string path = run_.samples_path(step);
  try {
    return lies_in(run_.path(), path) ? read_file(path) : "";
  } catch (const IoError&) { return ""; }  // damaged: as good as none
}

JsonObject RunView::json(const std::string& pictures) const {
  auto readable = [&](const std::string& name) -> std::string {
    try {
      return contents(name);
    } catch (const IoError&) { return ""; }  // damaged: as good as none
  };
  JsonObject json, config, curves;
  json.set("name", valid_utf8(run_.path()));
  json.set("version", version_);
  json.set("histograms_version", histograms_version());
  json.set("finished", ending_ || run_.finished());
  json.set("summary", summary());
  for (const Curve& curve : curves_) curves.set(curve.name, json_of(thinned(curve, kBuckets)));
  json.set("curves", curves);
  std::string problem = problem_;
  auto damaged = [&](const Error& error) {  // since the run was opened
    if (problem.empty()) problem = valid_utf8(error.what());
  };
  try {
    if (std::string text = contents("config.json"); !text.empty()) config = settings_of(text);
  } catch (const ConfigError& error) {
    damaged(error);
  } catch (const IoError& error) { damaged(error); }
  json.set("config", config);
  json.set("problem", problem);
  std::vector<JsonObject> shown, written;
  for (int64_t step : pictures.empty() ? some_of(run_.sample_steps(), kFrozenPictures) : run_.sample_steps()) {
    std::string png = pictures.empty() ? picture(step) : "";
    JsonObject& one = shown.emplace_back();
    one.set("step", step);
    one.set("image", pictures.empty() ? png_address(png) : fmt::format("{}{}.png", pictures, step));
  }
  json.set("pictures", shown);
  std::string title = readable("samples/title.txt");
  json.set("pictures_title", valid_utf8(title.empty() ? "Samples" : title));
  for (int64_t step : some_of(run_.text_steps(), kFrozenPictures)) {
    JsonObject& one = written.emplace_back();
    one.set("step", step);
    one.set("text", valid_utf8(readable(fmt::format("samples/{}", fs::path(run_.text_path(step)).filename().string()))));
  }
  json.set("texts", written);
  return json;
}

JsonObject RunView::histograms() const {
  JsonObject json;
  std::vector<JsonObject> lines;
  try {
    std::string text = contents("histograms.jsonl");
    for (StepLine& line : some_of(parse_step_lines("histograms", run_.file("histograms.jsonl"), text), kHistograms))
      lines.push_back(std::move(line.line));
  } catch (const Error&) {  // damaged: there are none to show
    lines.clear();
  }
  json.set("lines", lines);
  return json;
}

}  // namespace plumb::train
