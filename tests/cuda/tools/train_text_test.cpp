// `plumb train gpt`, moe and translate with --device cuda from one end to the other: on the device as on the CPU.
#include "tests/cuda/tools/runs.h"

using namespace plumb;
using namespace plumb::testing;

static std::string gpt(const Runs& r) {
  return "gpt --data " + r.text() +
         " --layers 1 --heads 2 --width 16 --context 8 --batch 4 --steps 6 --warmup 2 --eval-every 3 --dropout 0.1 --checkpoint-every 0";
}

TEST_CASE("train gpt: on the device as on the CPU, dropout included; the run can be evaluated and sampled") {
  Runs r;
  check_alike(r, gpt(r), 1e-4);
  CHECK(std::abs(r.metrics("cpu").back()["val_loss"] - r.metrics("gpu").back()["val_loss"]) <= 1e-3);
  CHECK(run_here("eval " + r.run("gpu") + " --data " + r.text()) == 0);
  CHECK(run_here("sample " + r.run("gpu") + " --tokens 12") == 0);
}

TEST_CASE("train gpt: the same bits in every run, and with a captured step, whose dropout goes on as it would") {
  Runs r;
  r.train("a", gpt(r) + " --device cuda --ema 0.9");
  r.train("again", gpt(r) + " --device cuda --ema 0.9");
  CHECK(r.weights("a") == r.weights("again"));
  r.train("captured", gpt(r) + " --device cuda --ema 0.9 --capture");
  CHECK(r.losses("a") == r.losses("captured"));
  CHECK(r.weights("a") == r.weights("captured"));
  r.train("parts", gpt(r) + " --device cuda --accumulate 2");
  r.train("captured_parts", gpt(r) + " --device cuda --accumulate 2 --capture");
  CHECK(r.weights("parts") == r.weights("captured_parts"));
}

TEST_CASE("train gpt: 16-bit types, with a captured step and a scaled loss") {
  Runs r;
  r.train("bf16", gpt(r) + " --device cuda --dtype bf16");
  r.train("f16", gpt(r) + " --device cuda --dtype f16");
  r.train("captured", gpt(r) + " --device cuda --dtype f16 --capture");
  CHECK(r.losses("f16") == r.losses("captured"));
  CHECK(r.metrics("f16").back()["loss_scale"] > 1);
  r.train("cpu", gpt(r));
  for (const char* name : {"bf16", "f16"}) CHECK(std::abs(r.losses(name)[0] - r.losses("cpu")[0]) <= 0.05);  // bf16 has 8 bits
}

TEST_CASE("train moe: on the device as on the CPU; what waits within a step is not captured") {
  Runs r;
  std::string moe =
      "moe --data " + r.text() +
      " --layers 1 --heads 2 --width 16 --context 8 --batch 4 --steps 3 --warmup 1 --eval-every 0 --experts 4 --capacity 1 --z-loss 0.001";
  check_alike(r, moe, 1e-4);
  CHECK(run_here("train " + moe + " --device cuda --capture --out " + r.run("no")) == 2);
}

TEST_CASE("train moe: a captured step gives the bits of the step itself, whatever the router and the losses") {
  Runs r;
  std::string moe = "moe --data " + r.text() +
                    " --layers 1 --heads 2 --width 16 --context 8 --batch 4 --steps 4 --warmup 1 --eval-every 0 --experts 4 --device cuda";
  int run = 0;
  for (const char* router : {"softmax --z-loss 0.001", "sigmoid --balance-loss 0.01", "noisy --load-loss 0.1 --importance-loss 0.1",
                             "switch", "expert_choice", "hash", "random_token"}) {
    std::string plain = "plain" + std::to_string(run), captured = "captured" + std::to_string(run);
    ++run;
    r.train(plain, moe + " --router " + router);
    r.train(captured, moe + " --router " + router + " --capture");
    CHECK_MESSAGE(r.losses(plain) == r.losses(captured), router);
    CHECK_MESSAGE(r.weights(plain) == r.weights(captured), router);
  }
}

TEST_CASE("train translate: on the device as on the CPU") {
  Runs r;
  check_alike(r,
              "translate --digits 2 --layers 1 --decoder-layers 1 --heads 2 --width 16 --inner 32 --batch 8 --steps 2 --warmup 1 "
              "--eval-every 0 --dropout 0.1",
              1e-3);
}

TEST_CASE("train: checkpoints on the way change nothing") {
  Runs r;
  r.train("whole", gpt(r) + " --device cuda");
  r.train("half", "gpt --data " + r.text() +
                      " --layers 1 --heads 2 --width 16 --context 8 --batch 4 --steps 6 --warmup 2 --eval-every 3 --dropout 0.1 "
                      "--checkpoint-every 3 --device cuda");
  CHECK(r.weights("whole") == r.weights("half"));
}

TEST_CASE("train: a device that is not there is said so in one line") {
  Runs r;
  CHECK(run_here("train " + gpt(r) + " --device cuda:7 --out " + r.run("none")) == 2);
  CHECK_FALSE(path_exists(r.run("none")));
}
