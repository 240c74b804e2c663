// Stochastic experts in a language model of characters so small a text that it is learnt by heart: what the consistency of two random draws
// is worth.
#include "methods/experiment.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "engine/data/files.h"
#include "engine/data/number_pairs.h"
#include "engine/data/text.h"
#include "methods/efficiency/thor/thor.h"
#include "models/moe/expert_parameters.h"
#include "models/moe/losses.h"
#include "models/optim/adam.h"
#include "models/optim/schedule.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods::thor {
namespace {

// -- the variants -----------------------------------------------------------------------------------

struct Setup {
  const char *name, *about;
  int64_t experts;
  const char* router;
  bool pairs;      // two passes a step, held together
  double alpha;    // by this much
  int64_t longer;  // times as many steps, at a rate as much lower
};

// A step of two passes costs twice as much: those of one pass stand here with the same steps and with the same passes.
constexpr std::array kSetups{
    Setup{"dense", "one feed-forward network in each block", 1, "random_batch", false, 0, 1},
    Setup{"dense, 2x steps", "the compute of two passes a step", 1, "random_batch", false, 0, 2},
    Setup{"dense + R-Drop, alpha 1", "two passes of dropout held together", 1, "random_batch", true, 1, 1},
    Setup{"dense + R-Drop, alpha 5", "two passes of dropout held together", 1, "random_batch", true, 5, 1},
    Setup{"Switch", "4 experts, a learned gate, capacity 1.25, balance loss 0.01", 4, "switch", false, 0, 1},
    Setup{"Switch, 2x steps", "the compute of two passes a step", 4, "switch", false, 0, 2},
    Setup{"hash routing", "4 experts, fixed for each character at random", 4, "hash", false, 0, 1},
    Setup{"random routing", "4 experts, one drawn for each batch, no consistency", 4, "random_batch", false, 0, 1},
    Setup{"random routing, 2x steps", "the compute of two passes a step", 4, "random_batch", false, 0, 2},
    Setup{"THOR, N 2, alpha 5", "2 experts", 2, "random_batch", true, 5, 1},
    Setup{"THOR, alpha 1", "4 experts", 4, "random_batch", true, 1, 1},
    Setup{"THOR, alpha 5", "4 experts", 4, "random_batch", true, 5, 1},
};

struct Work {
  transformer::GptConfig gpt;
  int64_t batch, steps, train_characters, validation_characters, draws;
  double lr = 8e-3;
};

Work work_of(const Cell& cell) {
  Work w{{.layers = 4, .heads = 4, .width = 32, .context = 64, .dropout = 0.1, .bias = true, .inner = 64}, 8, 1000, 8'000, 12'000, 5};
  if (cell.budget() == Budget::smoke) {
    w = {{.layers = 2, .heads = 2, .width = 16, .context = 16, .dropout = 0.1, .bias = true, .inner = 32}, 8, 24, 2'000, 500, 2};
  } else if (cell.budget() == Budget::full) {
    w.gpt.width = 128, w.gpt.inner = 256, w.gpt.layers = 6, w.gpt.context = 128;
    w.batch = 32, w.steps = 10'000, w.lr = 2e-3, w.train_characters = 300'000, w.validation_characters = 100'000;
  }
  return w;
}

// -- the text ---------------------------------------------------------------------------------------

struct Corpus {
  data::TokenStream train, validation;
  int64_t vocabulary;
  bool real;
};

// "1234 one thousand two hundred thirty four": what is written when there is no other text.
std::string numbers_in_words(int64_t characters) {
  std::string text;
  while (static_cast<int64_t>(text.size()) < characters) {
    auto number = static_cast<int64_t>(default_generator().next_below(1'000'000));
    text += std::to_string(number);
    for (const std::string& word : data::number_words(number)) text += " " + word;
    text += "\n";
  }
  return text;
}

// A stretch of Shakespeare's plays from a random place, the first part of it to train on.
Corpus make_corpus(const Work& work) {
  int64_t wanted = work.train_characters + work.validation_characters;
  std::string file = data::find_optional_data_file("", "text", "tinyshakespeare.txt");
  std::string text = file.empty() ? numbers_in_words(wanted) : data::read_text_files({file}).text;
  Tokenizer characters = Tokenizer::characters(text);
  std::vector<int32_t> tokens = characters.encode(text);
  int64_t spare = static_cast<int64_t>(tokens.size()) - wanted;
  auto begin = static_cast<int64_t>(default_generator().next_below(static_cast<uint64_t>(std::max<int64_t>(0, spare)) + 1));
  data::TokenStream stretch = data::TokenStream(tokens).part(begin, begin + wanted);
  return {stretch.part(0, work.train_characters), stretch.part(work.train_characters, wanted), characters.vocab_size(), !file.empty()};
}

// -- training ---------------------------------------------------------------------------------------

moe::MoeGptConfig config_of(const Setup& setup, transformer::GptConfig gpt) {
  moe::MoeGptConfig c = configuration(gpt, setup.experts);
  c.moe.router = setup.router;
  if (c.moe.router == "switch") c.moe.capacity = 1.25;
  return c;
}

// Of one step, and the experts that were met.
Tensor step_loss(const moe::MoeGpt& model, const data::Batch& batch, const Setup& setup, std::vector<moe::Routing>& routings) {
  if (setup.pairs) {
    Loss loss = training_loss(model, batch.tokens, batch.target, {}, {.alpha = setup.alpha, .smoothing = 0});
    routings = std::move(loss.routings);
    return loss.mean();
  }
  moe::MoeGpt::Output out = model.forward(batch.tokens);
  routings = std::move(out.routings);
  Tensor loss = cross_entropy(flatten(out.logits, 0, 1), flatten(batch.target));
  return moe::has_gate(moe::router_named(setup.router)) ? loss + moe::router_loss(routings, {.balance = 0.01}) : loss;
}

void train(Cell& cell, const Setup& setup, const Corpus& corpus, const Work& work, moe::MoeGpt& model) {
  data::RandomWindows windows(corpus.train, {.context = work.gpt.context, .batch = work.batch, .seed = cell.seed()});
  data::ConsecutiveWindows validation(corpus.validation, work.gpt.context, 32);
  int64_t steps = work.steps * setup.longer, every = std::max<int64_t>(1, work.steps / 8);
  moe::ExpertParameters parameters(model);
  optim::Adam adam(parameters.all(), {.lr = work.lr / static_cast<double>(setup.longer), .beta2 = 0.98});
  optim::Schedule schedule = optim::cosine_with_warmup(std::min<int64_t>(100, steps / 4), steps);
  std::vector<moe::Routing> routings;
  for (int64_t step = 0; step < steps; ++step) {
    adam.zero_grad();
    step_loss(model, windows(step), setup, routings).backward();
    parameters.hand_out(routings);
    adam.set_lr_scale(schedule(step));
    adam.step();
    if (step % 20 == 0) cell.progress(static_cast<double>(step) / static_cast<double>(steps));
    if ((step + 1) % every == 0)
      cell.point("Validation loss (nats a character)", "passes", static_cast<double>((step + 1) * (setup.pairs ? 2 : 1)),
                 evaluate(model, validation, {.draws = 1, .seed = cell.seed()}).mean);
  }
}

void run(Cell& cell) {
  Work work = work_of(cell);
  const Setup& setup = *std::ranges::find_if(kSetups, [&](const Setup& s) { return cell.is(s.name); });
  auto corpus = cell.shared("text", [&] { return make_corpus(work); });
  work.gpt.vocab = corpus->vocabulary;
  moe::MoeGpt model(config_of(setup, work.gpt));
  train(cell, setup, *corpus, work, model);

  bool drawn = setup.experts > 1 && std::string(setup.router) == "random_batch";
  data::ConsecutiveWindows validation(corpus->validation, work.gpt.context, 32), training(corpus->train, work.gpt.context, 32);
  auto loss = [&](const data::ConsecutiveWindows& text, Draw draw, int64_t draws) {
    return evaluate(model, text, {.draw = draw, .draws = drawn ? draws : 1, .seed = cell.seed()});
  };
  DrawnLoss sequences = loss(validation, Draw::sequence, work.draws);
  cell.metric("validation loss (nats/char)", sequences.mean);
  cell.metric("drawn by token (nats/char)", loss(validation, Draw::token, 2).mean);
  cell.metric("experts averaged (nats/char)", loss(validation, Draw::average, 1).mean);
  cell.metric("deviation over draws", sequences.deviation);
  cell.metric("disagreement of draws (nats)", sequences.disagreement);
  cell.metric("training loss (nats/char)", loss(training, Draw::sequence, 1).mean);
  cell.metric("passes", static_cast<double>(work.steps * setup.longer * (setup.pairs ? 2 : 1)));
  cell.metric("Shakespeare (else generated)", corpus->real ? 1 : 0);
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "THOR";
  e.paper = "Zuo, Liu, Jiao, Kim, Hassan, Zhang, Zhao and Gao: Taming Sparsely Activated Transformer with Stochastic Experts, ICLR 2022";
  e.claim = "experts drawn at random teach each other when two draws are held together";
  e.metrics = {{"validation loss (nats/char)", Better::lower},
               {"drawn by token (nats/char)", Better::lower},
               {"experts averaged (nats/char)", Better::lower},
               {"deviation over draws", Better::lower},
               {"disagreement of draws (nats)", Better::lower},
               {"training loss (nats/char)", Better::neither},
               {"passes", Better::neither},
               {"Shakespeare (else generated)", Better::neither}};
  for (const Setup& s : kSetups) e.variants.push_back({s.name, s.about});
  e.baseline = "random routing, 2x steps";
  e.method = "THOR, alpha 5";
  e.run = &run;
  return e;
}

}  // namespace plumb::methods::thor
