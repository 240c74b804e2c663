// `plumb train moe`: a GPT whose feed-forward networks are mixtures of experts, on text files; from nothing or from a trained GPT.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "engine/autograd/grad_mode.h"
#include "engine/dist/world.h"
#include "engine/io/file.h"
#include "engine/io/safetensors.h"
#include "models/moe/expert_parallel.h"
#include "ops/pointwise.h"
#include "tools/cli/heeded_options.h"
#include "tools/train/gpt_run.h"
#include "tools/train/kinds.h"
#include "tools/train/moe_run.h"
#include "tools/train/run_config.h"
#include "tools/train/text.h"

namespace plumb::tools {
namespace {

constexpr const char* kDense = "dense.safetensors";  // in a run directory: the weights that it was upcycled from

class MoeModel final : public LanguageModel {
 public:
  MoeModel(const moe::MoeGptConfig& config, const moe::LossWeights& weights, bool expert_parallel)
      : gpt(config), weights_(weights), expert_parallel_(expert_parallel) {}
  nn::Module& module() override { return gpt; }
  const transformer::CausalDecoder& decoder() const override { return gpt; }
  Tensor logits(const Tensor& tokens) override { return gpt(tokens); }
  Tensor loss(const Tensor& tokens, const Tensor& target) override;
  // A limit of capacity sorts out tokens by what the device has found, and experts elsewhere get theirs through the host.
  bool waits() const override {
    const moe::MoeConfig& c = gpt.config().moe;
    return expert_parallel_ || (c.capacity > 0 && c.router != "expert_choice");
  }
  std::string note() const override {
    return fmt::format(", a token meets {}, {} of them in gates", gpt.active_parameters(), gpt.router_parameters());
  }
  train::Measures measures() const override;
  void share_out() override {
    if (expert_parallel_ && dist::world().size() > 1) moe::share_out_experts_of(gpt, dist::world());
  }

  moe::MoeGpt gpt;

 private:
  moe::LossWeights weights_;
  bool expert_parallel_;
  std::vector<moe::Routing> last_;  // of the newest loss, outside the graph
};

Tensor MoeModel::loss(const Tensor& tokens, const Tensor& target) {
  moe::MoeGpt::Output out = gpt.forward(tokens);
  Tensor loss = next_token_loss(out.logits, target);
  if (weights_.any()) loss = loss + moe::router_loss(out.routings, weights_);
  last_.clear();
  for (const moe::Routing& r : out.routings) last_.push_back(r.detach());
  return loss;
}

// Means over the layers.
train::Measures MoeModel::measures() const {
  NoGrad off;
  train::Measures sums{{"evenness", 0}, {"largest_share", 0}, {"dropped", 0}, {"unrouted", 0}};
  bool gate = !last_.empty() && last_[0].probability.defined();
  if (gate) sums.insert(sums.end(), {{"gate_entropy", 0}, {"balance_loss", 0}, {"z_loss", 0}});
  for (const moe::Routing& r : last_) {
    moe::RoutingStatistics s = moe::statistics(r);
    std::vector<double> values{s.evenness, *std::max_element(s.share.begin(), s.share.end()), s.dropped, s.unrouted};
    if (gate) values.insert(values.end(), {s.gate_entropy, moe::load_balance_loss(r).item(), moe::router_z_loss(r).item()});
    for (size_t i = 0; i < values.size(); ++i) sums[i].second += values[i] / static_cast<double>(last_.size());
  }
  return sums;
}

constexpr auto fields = [](auto& r, auto&& f) {
  f("model", r.model), f("balance_loss", r.losses.balance), f("importance_loss", r.losses.importance), f("load_loss", r.losses.load);
  f("z_loss", r.losses.z), f("upcycle", r.upcycle);
  text_fields(r, f);
};

}  // namespace

std::string MoeRun::to_json() const {
  JsonObject json = run_json("moe", *this, fields);
  json.set("expert_parallel", expert_parallel);
  return json.text();
}

MoeRun MoeRun::from_json(const std::string& text) {
  MoeRun run;
  read_run("moe", text, run, fields);
  JsonObject::parse(text, "config.json").read("expert_parallel", run.expert_parallel);  // which older runs do not have
  return run;
}

void MoeRun::check() const {
  model.check();
  moe::RouterKind kind = moe::router_named(model.moe.router);
  for (auto [name, weight] :
       {std::pair{"balance", losses.balance}, {"importance", losses.importance}, {"load", losses.load}, {"z", losses.z}})
    require(weight >= 0, fmt::format("--{}-loss must not be negative, it is {}", name, weight));
  require(moe::has_gate(kind) || !losses.any(),
          "--router " + model.moe.router + " has no gate that a loss could balance; leave out the losses");
  require(kind == moe::RouterKind::noisy || losses.load == 0,
          "--load-loss needs the noise of --router noisy, not --router " + model.moe.router);
  const int processes = dist::world().size();
  if (expert_parallel && processes > 1) {
    require(model.moe.experts >= processes,
            fmt::format("--expert-parallel: {} processes are more than --experts {}; start so many at most", processes, model.moe.experts));
    require(!training.shard_optimizer,
            "--expert-parallel shares the experts' part of the optimiser's state out already; leave out --shard-optimizer");
  }
  TextRun::check();
}

std::optional<Tokenizer> MoeRun::given_tokenizer() const {
  if (upcycle.empty()) return {};
  return Tokenizer::load(upcycle + "/tokenizer.json");
}

void MoeRun::complete(const train::RunDirectory& run) const {
  if (upcycle.empty() || path_exists(run.file(kDense))) return;
  save_safetensors(run.file(kDense), train::RunDirectory::open(upcycle).load_model());
}

std::unique_ptr<LanguageModel> MoeRun::make(const train::RunDirectory& run) const {
  auto made = std::make_unique<MoeModel>(model, losses, expert_parallel);
  made->gpt.recompute = training.recompute;
  if (!upcycle.empty()) moe::upcycle(load_safetensors(run.file(kDense)), made->gpt);
  return made;
}

namespace {

struct Options {
  MoeRun run;
  std::optional<double> balance;
  bool untied = false, raw = false, swiglu = false;
  CommandLine line;
};

// Everything about the dense model comes from its run.
void take_dense(MoeRun& run) {
  run.upcycle = std::filesystem::absolute(run.upcycle).lexically_normal().string();
  GptRun dense = GptRun::from_json(train::RunDirectory::open(run.upcycle).config());
  double dropout = run.model.gpt.dropout;
  run.model.gpt = dense.model;
  run.model.gpt.dropout = dropout;
  run.model.moe.inner = run.model.dense_inner();
  run.model.moe.activation = dense.model.activation;
  run.tokenizer = dense.tokenizer;
  run.bpe_vocab = dense.bpe_vocab;
}

int start(Options& o, const std::string& out) {
  MoeRun& run = o.run;
  moe::RouterKind kind = moe::router_named(run.model.moe.router);
  run.model.gpt.tied = !o.untied;
  run.model.moe.normalize = !o.raw;
  if (o.swiglu) run.model.moe.gated = true, run.model.moe.activation = "silu";
  if (kind == moe::RouterKind::switched && !o.line.given("--top-k")) run.model.moe.top_k = 1;
  run.losses.balance = o.balance.value_or(moe::has_gate(kind) && kind != moe::RouterKind::expert_choice ? 0.01 : 0);
  refuse_unheeded(o.line, {{{"--raw-gates"},
                            kind == moe::RouterKind::softmax || kind == moe::RouterKind::sigmoid,
                            "only --router softmax and sigmoid divide weights by their sum"},
                           {{"--jitter"}, moe::has_gate(kind), "--router " + run.model.moe.router + " has no gate"}});
  if (!run.upcycle.empty()) take_dense(run);
  return start_text(o.line, run, out);
}

Action define(CommandLine& line) {
  auto o = std::make_shared<Options>(Options{.line = line});
  transformer::GptConfig& gpt = o->run.model.gpt;
  moe::MoeConfig& moe = o->run.model.moe;
  define_text(line, o->run);
  line.option("--layers", gpt.layers, "blocks");
  line.option("--heads", gpt.heads, "attention heads a block");
  line.option("--width", gpt.width, "model width");
  line.option("--context", gpt.context, "tokens a sequence");
  line.option("--dropout", gpt.dropout, "probability");
  line.flag("--bias", gpt.bias, "biases in linear layers and norms");
  line.flag("--untied", o->untied, "an output projection of its own");
  line.option("--experts", moe.experts, "experts a layer");
  line.option("--top-k", moe.top_k, "experts a token (1 with --router switch)");
  line.option("--router", moe.router,
              "softmax, sigmoid, noisy, switch, expert_choice, hash, random_batch, random_sequence or random_token");
  line.flag("--raw-gates", o->raw, "softmax and sigmoid: weights of a token's experts as they are, not divided by their sum");
  line.option("--capacity", moe.capacity, "most tokens that an expert takes in training, in its even shares; 0: all");
  line.option("--jitter", moe.jitter, "noise of the gate's input in training: times 1 ± so much");
  line.option("--every", o->run.model.every, "every so many blocks one has experts");
  line.option("--first", o->run.model.first, "the first block that has experts; -1: --every - 1");
  line.option("--inner", moe.inner, "width inside an expert; 0: 4 · --width / --top-k");
  line.option("--shared", moe.shared_inner, "width inside an expert that every token meets; 0: none");
  line.flag("--swiglu", o->swiglu, "gated experts");
  line.option("--balance-loss", o->balance, "weight of the load-balancing loss (0.01 if the experts do not choose and there is a gate)");
  line.option("--importance-loss", o->run.losses.importance, "weight of the importance loss");
  line.option("--load-loss", o->run.losses.load, "noisy: weight of the load loss");
  line.option("--z-loss", o->run.losses.z, "weight of the router's z loss");
  line.flag(
      "--expert-parallel", o->run.expert_parallel,
      "under mpirun, share the experts out over the processes: tokens travel to theirs and back; less memory, the numbers of one process");
  line.option("--upcycle", o->run.upcycle, "run of train gpt whose model the experts start from");
  for (const char* own :
       {"--tokenizer", "--vocab", "--layers", "--heads", "--width", "--context", "--bias", "--untied", "--inner", "--shared", "--swiglu"})
    line.exclude("--upcycle", own);
  o->run.training.define(line, "sequences");
  return start_or_resume(line, "moe", [o](const std::string& out) { return start(*o, out); },
                         [](const train::RunDirectory& run) { return resume_text(MoeRun::from_json(run.config()), run); });
}

int evaluate(const train::RunDirectory& run, const std::vector<std::string>& data) {
  return evaluate_text(MoeRun::from_json(run.config()), run, data);
}

std::unique_ptr<TextRun> text_run(const train::RunDirectory& run) { return std::make_unique<MoeRun>(MoeRun::from_json(run.config())); }

}  // namespace

extern const TrainingKind moe_kind;
const TrainingKind moe_kind{{"moe", "a GPT of experts, on text files", define}, evaluate, text_run};

}  // namespace plumb::tools
