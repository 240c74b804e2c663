// Pictures from few-step generators, and their measures by a classifier that was trained apart.
#include <fmt/format.h>

#include "ops/create.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tools/cli/heeded_options.h"
#include "tools/consistency_model.h"
#include "tools/image_judge.h"
#include "tools/labelled_images.h"
#include "tools/sample_images.h"

namespace plumb::tools {

int sample_few_steps(const train::RunDirectory& directory, const ImageSampleOptions& o, uint64_t seed, const CommandLine& line) {
  check_request(o);
  ConsistencyRun run = ConsistencyRun::from_json(directory.config());
  refuse_unheeded(line, {{{"--guidance", "--sampler", "--eta", "--churn", "--truncation", "--reconstruct"},
                          false,
                          "runs of train consistency are sampled with --steps, --levels and --gamma"},
                         {{"--gamma"}, run.method == "ctm", "only runs of --method ctm put noise back, this is one of " + run.method}});
  require(o.levels.empty() || !o.steps, "--levels are the steps already; leave --steps out");
  FewStepSampling sampling{.steps = o.steps.value_or(run.sample_steps), .levels = o.levels, .gamma = o.gamma.value_or(run.gamma)};
  size_t calls = levels_of(run, sampling).size();
  Tensor labels = wanted_labels(run.network.classes, o);
  ConsistencyModel model = load_consistency(directory, run);
  Generator generator(seed);
  Tensor samples = sample(model, run, labels, sampling, generator, 100, progress_bar("sample", "images"));
  save_picture(o, samples);
  fmt::print(stderr, "{} images of {} {} of {}: {}\n", o.count, calls, calls == 1 ? "step" : "steps", run.method, o.out);
  if (o.judge.empty()) return 0;
  ImageJudge judge(o.judge);
  JsonObject json;
  json.set("samples", samples.size(0));
  json.set("steps", static_cast<int64_t>(calls));
  if (asks_for_classes(labels)) json.set("as_asked", mean(to(judge.answers(samples) == labels, f64)).item());
  for (const auto& [name, value] : measure_samples(judge, load_images(run.data), samples)) json.set(name, value);
  fmt::print("{}\n", json.text());
  return 0;
}

}  // namespace plumb::tools
