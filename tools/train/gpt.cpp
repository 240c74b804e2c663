// `plumb train gpt`: a GPT trained on text files.
#include "tools/train/gpt_run.h"

#include "tools/train/kinds.h"
#include "tools/train/run_config.h"
#include "tools/train/text.h"

namespace plumb::tools {
namespace {

constexpr auto fields = [](auto& r, auto&& f) {
  f("model", r.model);
  text_fields(r, f);
};

struct GptModel final : LanguageModel {
  explicit GptModel(const transformer::GptConfig& config) : gpt(config) {}
  nn::Module& module() override { return gpt; }
  const transformer::CausalDecoder& decoder() const override { return gpt; }
  Tensor logits(const Tensor& tokens) override { return gpt(tokens); }

  transformer::Gpt gpt;
};

}  // namespace

std::string GptRun::to_json() const { return run_json("gpt", *this, fields).text(); }

GptRun GptRun::from_json(const std::string& text) {
  GptRun run;
  read_run("gpt", text, run, fields);
  return run;
}

void GptRun::check() const {
  model.check();
  TextRun::check();
}

std::unique_ptr<LanguageModel> GptRun::make(const train::RunDirectory&) const {
  auto made = std::make_unique<GptModel>(model);
  made->gpt.recompute = training.recompute;
  return made;
}

namespace {

struct Options {
  GptRun run;
  bool untied = false;
};

Action define(CommandLine& line) {
  auto o = std::make_shared<Options>();
  transformer::GptConfig& model = o->run.model;
  define_text(line, o->run);
  line.option("--layers", model.layers, "blocks");
  line.option("--heads", model.heads, "attention heads a block");
  line.option("--width", model.width, "model width");
  line.option("--inner", model.inner, "width inside the feed-forward networks; 0: 4 times --width");
  line.option("--context", model.context, "tokens a sequence");
  line.option("--dropout", model.dropout, "probability");
  line.flag("--bias", model.bias, "biases in linear layers and norms");
  line.flag("--untied", o->untied, "an output projection of its own");
  o->run.training.define(line, "sequences");
  auto start = [o, line](const std::string& out) {
    o->run.model.tied = !o->untied;
    return start_text(line, o->run, out);
  };
  return start_or_resume(line, "gpt", start,
                         [](const train::RunDirectory& run) { return resume_text(GptRun::from_json(run.config()), run); });
}

int evaluate(const train::RunDirectory& run, const std::vector<std::string>& data) {
  return evaluate_text(GptRun::from_json(run.config()), run, data);
}

std::unique_ptr<TextRun> text_run(const train::RunDirectory& run) { return std::make_unique<GptRun>(GptRun::from_json(run.config())); }

}  // namespace

extern const TrainingKind gpt_kind;
const TrainingKind gpt_kind{{"gpt", "a GPT, on text files", define}, evaluate, text_run};

}  // namespace plumb::tools
