// The training of models of images with --device cuda from one end to the other: every kind gives on the device what it gives on the CPU.
#include "tests/cuda/tools/runs.h"

using namespace plumb;
using namespace plumb::testing;

TEST_CASE("train classifier and vit: on the device as on the CPU") {
  Runs r;
  check_alike(r,
              "classifier --data digits --model resnet --depth 8 --width 4 --batch 16 --steps 3 --warmup 1 --eval-every 0 --crop 1 --flip "
              "--lr 0.05",
              1e-3);
  CHECK(std::abs(r.metrics("cpu").back()["test_loss"] - r.metrics("gpu").back()["test_loss"]) <= 0.01);
  Runs mlp;
  check_alike(
      mlp,
      "classifier --data digits --model mlp --hidden 32 --dropout 0.2 --batch 16 --steps 4 --warmup 1 --eval-every 0 --mixup 0.2 --lr 0.05",
      1e-4);
  mlp.train("plain",
            "classifier --data digits --model mlp --hidden 32 --dropout 0.2 --batch 16 --steps 5 --warmup 1 --eval-every 0 --lr 0.05 "
            "--device cuda");
  mlp.train("captured",
            "classifier --data digits --model mlp --hidden 32 --dropout 0.2 --batch 16 --steps 5 --warmup 1 --eval-every 0 --lr 0.05 "
            "--device cuda --capture");
  CHECK(mlp.weights("plain") == mlp.weights("captured"));
  CHECK(run_here("eval " + r.run("gpu")) == 0);
  Runs vit;
  check_alike(vit, "vit --data digits --patch 4 --layers 1 --heads 2 --width 16 --inner 32 --batch 16 --steps 2 --warmup 1 --eval-every 0",
              1e-4);
}

TEST_CASE("train unet: on the device as on the CPU, with pictures") {
  Runs r;
  check_alike(r,
              "unet --data digits --width 8 --multipliers 1 2 --attention 1 --heads 1 --groups 4 --batch 8 --steps 2 --warmup 1 "
              "--eval-every 0 --sample-steps 2 --self-condition --dropout 0.1",
              1e-3);
  CHECK(run_here("sample " + r.run("gpu") + " --count 4 --steps 2 --out " + r.run("x.png")) == 0);
}

TEST_CASE("train vae: the three kinds on the device as on the CPU") {
  for (const char* model : {"ae", "vae", "vqvae"}) {
    Runs r;
    check_alike(
        r,
        std::string("vae --data digits --width 8 --multipliers 1 2 --groups 4 --batch 8 --steps 2 --warmup 1 --eval-every 0 --model ") +
            model,
        1e-3);
    CHECK(run_here("sample " + r.run("gpu") + " --count 8 --out " + r.run("x.png")) == 0);
  }
}

TEST_CASE("train gan: both kinds on the device as on the CPU") {
  for (const char* model :
       {"dcgan --latent 8 --width 8",
        "style --latent 8 --style 16 --width 8 --widest 16 --mapping-layers 2 --r1-every 1 --path-every 1 --mixing 0.5"}) {
    Runs r;
    check_alike(r, std::string("gan --data digits --batch 8 --steps 2 --warmup 1 --eval-every 0 --model ") + model, 1e-2);
    CHECK(run_here("sample " + r.run("gpu") + " --count 4 --out " + r.run("x.png")) == 0);
  }
}

TEST_CASE("train segment: on the device as on the CPU") {
  Runs r;
  check_alike(r, "segment --size 16 --width 4 --depth 2 --images 16 --validation 12 --test 4 --batch 4 --steps 2 --warmup 1 --eval-every 0",
              1e-3);
}

TEST_CASE("train detector: from learned boxes and from noise, on the device as on the CPU") {
  for (const char* start : {"learned --matching dynamic_k", "noise --matching one_to_one"}) {
    Runs r;
    check_alike(r,
                std::string("detector --size 32 --width 16 --proposals 6 --stages 2 --dynamic 4 --roi-size 3 --backbone-width 4 --images 8 "
                            "--validation 18 --test 2 --batch 2 --steps 2 --warmup 1 --eval-every 0 --start ") +
                    start,
                1e-2);
  }
}

TEST_CASE("train clip: on the device as on the CPU") {
  Runs r;
  check_alike(r, "clip --layers 1 --heads 2 --width 16 --batch 8 --steps 2 --warmup 1 --eval-every 0", 1e-3);
}

TEST_CASE("train consistency: on the device as on the CPU") {
  Runs r;
  check_alike(r,
              "consistency --data digits --s0 2 --s1 4 --batch 8 --steps 2 --warmup 1 --eval-every 0 --width 8 --multipliers 1 2 "
              "--attention 1 --heads 1 --groups 4",
              1e-3);
}
