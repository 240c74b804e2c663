// Everything is written twice: as this project's own files, and as events.
#include "models/train/recorder.h"

#include "engine/io/file.h"

namespace plumb::train {
namespace {

JsonObject line_of(const std::vector<NamedHistogram>& all, int64_t step) {
  std::vector<JsonObject> tensors;
  for (const auto& [name, histogram] : all) {
    JsonObject tensor;
    tensor.set("name", name);
    tensor.set("low", histogram.low);
    tensor.set("high", histogram.high);
    tensor.set("counts", histogram.counts);
    tensors.push_back(std::move(tensor));
  }
  JsonObject line;
  line.set("step", step);
  line.set("tensors", tensors);
  return line;
}

}  // namespace

Recorder::Recorder(const RunDirectory& run, int64_t last_step, const RecorderOptions& options)
    : run_(run), metrics_(run.file("metrics.jsonl"), last_step), last_step_(metrics_.last_step()) {
  if (options.histograms) histograms_.emplace("histograms", run.file("histograms.jsonl"), last_step);
  if (!options.events) return;
  events_.emplace(run.path(), last_step);
  if (last_step == 0) events_->text("config", run.config(), 0);
}

void Recorder::numbers(const Metrics& line) {
  metrics_.append(line);
  last_step_ = line.step;
  if (!events_) return;
  for (auto& [name, number] : line.values) events_->scalar(name, number, line.step);
}

void Recorder::histograms(const nn::Module& model, int64_t step) {
  if (!histograms_) return;
  std::vector<NamedHistogram> all = histograms_of(model);
  histograms_->append(line_of(all, step));
  if (!events_) return;
  for (const auto& [name, histogram] : all) events_->histogram(name, histogram, step);
}

void Recorder::images(const Tensor& images, const std::string& title, int64_t step) {
  run_.save_samples(step, images, title);
  if (events_) events_->image(title, read_file(run_.samples_path(step)), step);
}

void Recorder::text(const std::string& text, int64_t step) {
  run_.save_text(step, text);
  if (events_) events_->text("text", text, step);
}

void Recorder::sync() {
  metrics_.sync();
  if (histograms_) histograms_->sync();
}

void Recorder::flush() {
  if (events_) events_->flush();
}

}  // namespace plumb::train
