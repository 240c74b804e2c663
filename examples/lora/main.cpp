// Fine-tuning with LoRA: a GPT-2 checkpoint is loaded, its weights are frozen, and small adapters beside them learn something new. Without
// a checkpoint of your own, a small one is made first: it can count up, and learns to count down.
//   lora [steps] [directory with config.json, model.safetensors and tokenizer.json of a GPT-2]
#include <plumb/plumb.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

using namespace plumb;

/// Lines of ten digits that count up ("3456789012") or down.
std::string counting(int direction, Generator& generator) {
  std::string text;
  for (int line = 0; line < 2000; ++line) {
    int first = static_cast<int>(generator.next_below(10));
    for (int i = 0; i < 10; ++i) text += static_cast<char>('0' + (first + direction * i + 100) % 10);
    text += '\n';
  }
  return text;
}

void fit(transformer::Gpt& model, const std::vector<int32_t>& tokens, double lr, int steps) {
  std::vector<Tensor> trained;  // frozen weights are none of the optimiser's business
  for (const Tensor& p : model.parameters())
    if (p.requires_grad()) trained.push_back(p);
  optim::AdamW adamw(trained, {.lr = lr, .weight_decay = 0});
  data::RandomWindows windows(data::TokenStream(tokens), {.context = std::min<int64_t>(32, model.context()), .batch = 16});
  for (int step = 0; step < steps; ++step) {
    data::Batch batch = windows(step);
    Tensor loss = cross_entropy(flatten(model(batch.tokens), 0, 1), flatten(batch.target));
    if (step % 50 == 0 || step == steps - 1) std::printf("step %3d  loss %.4f\n", step, loss.item());
    adamw.zero_grad();
    loss.backward();
    adamw.step();
  }
}

/// A directory as Hugging Face's library writes it, with a GPT-2 that counts up.
std::string make_checkpoint(int steps) {
  Generator generator(/*seed=*/0);
  Tokenizer tokenizer = Tokenizer::byte_pairs("0123456789", {.vocab_size = 256});
  transformer::Gpt model({.vocab = 256, .layers = 2, .heads = 4, .width = 64, .context = 64, .bias = true, .activation = "gelu_tanh"});
  std::printf("a checkpoint that counts up\n");
  fit(model, tokenizer.encode(counting(+1, generator)), 3e-3, steps);
  std::string directory = "counting_gpt2";
  transformer::save_pretrained(model, directory);
  tokenizer.save(directory + "/tokenizer.json");
  return directory;
}

int main(int argc, char** argv) try {
  const int steps = argc > 1 ? std::atoi(argv[1]) : 200;
  manual_seed(0);
  const std::string directory = argc > 2 ? argv[2] : make_checkpoint(steps);
  auto model = transformer::load_pretrained<transformer::Gpt>(directory);
  Tokenizer tokenizer = Tokenizer::load(directory + "/tokenizer.json");

  model.train();
  int64_t layers = nn::add_adapter(model, "down", {.rank = 8, .alpha = 16}, {"attention.qkv", "attention.out", "mlp.up", "mlp.down"});
  nn::train_adapters_only(model);
  StateDict adapter = nn::adapter_state(model, "down");
  int64_t trained = 0;
  for (const auto& [name, tensor] : adapter) trained += tensor.numel();
  std::printf("counting down with adapters in %lld layers: %lld of %lld numbers are trained\n", static_cast<long long>(layers),
              static_cast<long long>(trained), static_cast<long long>(model.num_parameters()));
  Generator generator(/*seed=*/1);
  fit(model, tokenizer.encode(counting(-1, generator)), 1e-2, steps);

  save_safetensors("counting_down.safetensors", adapter);  // the adapter alone: it goes with the checkpoint
  nn::merge_adapters(model);                               // from here on the model costs what it did before
  model.eval();
  std::string written;
  transformer::generate(model, tokenizer.encode("\n7"), 9, {.temperature = 0}, generator,
                        [&](int32_t t) { written += tokenizer.decode({t}); });
  std::printf("after 7 comes %s\n", written.c_str());
} catch (const Error& e) {
  std::fprintf(stderr, "lora: %s\n", e.what());
  return 2;
}
