// A GPT learns to add. Its text is lines such as "17+5=22", character by character; afterwards it finishes lines that it is given.
//   gpt [steps]
#include <plumb/plumb.h>

#include <cstdio>
#include <cstdlib>
#include <string>

using namespace plumb;

/// `lines` random sums of numbers below 20.
std::string sums(int lines, Generator& generator) {
  std::string text;
  for (int i = 0; i < lines; ++i) {
    uint64_t a = generator.next_below(20), b = generator.next_below(20);
    text += std::to_string(a) + "+" + std::to_string(b) + "=" + std::to_string(a + b) + "\n";
  }
  return text;
}

/// What the model writes after `question`, up to the end of the line.
std::string answer(const transformer::Gpt& model, const Tokenizer& tokenizer, const std::string& question, Generator& generator) {
  std::string written;
  const int32_t end = tokenizer.encode("\n")[0];
  transformer::generate(model, tokenizer.encode(question), 4, {.temperature = 0, .end_token = end}, generator, [&](int32_t token) {
    if (token != end) written += tokenizer.decode({token});
  });
  return written;
}

int main(int argc, char** argv) {
  const int steps = argc > 1 ? std::atoi(argv[1]) : 1000;
  Generator generator(/*seed=*/0);
  const std::string text = sums(20'000, generator);
  Tokenizer tokenizer = Tokenizer::characters(text);
  data::RandomWindows windows(data::TokenStream(tokenizer.encode(text)), {.context = 32, .batch = 32, .seed = 1});

  manual_seed(0);
  transformer::Gpt model({.vocab = tokenizer.vocab_size(), .layers = 2, .heads = 4, .width = 64, .context = 32});
  optim::AdamW adamw(model.parameters(), {.lr = 3e-3, .weight_decay = 0.1});
  optim::Schedule schedule = optim::cosine_with_warmup(steps / 20, steps);
  for (int step = 0; step < steps; ++step) {
    data::Batch batch = windows(step);  // tokens and target [B, T]
    Tensor loss = cross_entropy(flatten(model(batch.tokens), 0, 1), flatten(batch.target));
    if (step % 100 == 0 || step == steps - 1) std::printf("step %4d  loss %.4f\n", step, loss.item());
    adamw.zero_grad();
    loss.backward();
    optim::clip_grad_norm(model.parameters(), 1.0);
    adamw.set_lr_scale(schedule(step));
    adamw.step();
  }

  NoGrad no_grad;
  for (const char* question : {"3+4=", "17+5=", "12+19=", "0+8="})
    std::printf("%s%s\n", question, answer(model, tokenizer, std::string("\n") + question, generator).c_str());
}
