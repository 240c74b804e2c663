// What a training run writes beside its checkpoints: numbers, histograms, pictures and text, for its own pages and for TensorBoard.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "models/train/event_file.h"
#include "models/train/histogram.h"
#include "models/train/metrics.h"
#include "models/train/run_directory.h"
#include "models/train/step_lines.h"

namespace plumb::train {

struct RecorderOptions {
  bool events = true;      ///< event files for TensorBoard
  bool histograms = true;  ///< of weights and gradients, at evaluations
};

class Recorder {
 public:
  /// Goes on after `last_step`: what was recorded of later steps is dropped. Throws IoError if a file of the run cannot be written, as do
  /// all the others.
  Recorder(const RunDirectory& run, int64_t last_step, const RecorderOptions& options);

  /// The last step that metrics.jsonl has a line of; 0: none. Before the first numbers() it is the step that the run goes on from, unless
  /// lines were lost.
  int64_t last_step() const { return last_step_; }
  /// A line of metrics.jsonl.
  void numbers(const Metrics& line);
  /// A line of histograms.jsonl: of the model's parameters, and of the gradients that they have.
  void histograms(const nn::Module& model, int64_t step);
  /// samples/step-N.png: images [n, C, H, W] in [0, 1] on a grid; `title` says what they show.
  void images(const Tensor& images, const std::string& title, int64_t step);
  /// samples/step-N.txt: what the model wrote.
  void text(const std::string& text, int64_t step);
  /// Waits until the disk has the lines that were recorded.
  void sync();
  /// Lets TensorBoard see all of it.
  void flush();

 private:
  const RunDirectory& run_;
  MetricsFile metrics_;
  int64_t last_step_;
  std::optional<StepLines> histograms_;
  std::optional<EventFile> events_;
};

}  // namespace plumb::train
