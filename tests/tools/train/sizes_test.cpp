// Sizes that make no network are named by the options that gave them.
#include <doctest/doctest.h>

#include <algorithm>

#include "engine/io/file.h"
#include "tests/tools/run_command.h"

TEST_CASE("train: a size that makes no network is named by its option, and nothing is made") {
  plumb_test::Scratch scratch;
  struct Wrong {
    const char *options, *message;
  };
  for (auto [options, message] : {Wrong{"unet --data digits --width 7 --groups 1", "--width must be even"},
                                  {"unet --data digits --attention 5", "--attention 5 is outside [0, 3), the levels of --multipliers"},
                                  {"unet --data digits --heads 3", "--heads 3 does not divide the 64 channels of level 2"},
                                  {"unet --data digits --blocks 0", "--blocks must be at least 1, it is 0"},
                                  {"consistency --data digits --groups 5", "--groups 5 does not divide"},
                                  {"vae --data digits --groups 3", "--groups 3 does not divide the 16 channels"},
                                  {"vae --data digits --latent 0", "--latent must be at least 1, it is 0"},
                                  {"vae --data digits --model vqvae --codebook-decay 1", "--codebook-decay must lie in [0, 1)"},
                                  {"vae --data digits --free-bits -1", "--free-bits must not be negative"},
                                  {"gan --data digits --width 0", "--width must be at least 1, it is 0"},
                                  {"gan --data digits --model style --deviation-group 0", "--deviation-group must be at least 1, it is 0"},
                                  {"vit --data digits --patch 4 --heads 3", "--width 128 is not a multiple of --heads 3"},
                                  {"translate --decoder-layers 0", "--decoder-layers must be at least 1, it is 0"},
                                  {"translate --width 9 --heads 3", "need an even --width, it is 9"},
                                  {"encoder --data x --inner 0", "--inner must be at least 1, it is 0"},
                                  {"segment --depth 9", "--depth must lie in [1, 6], it is 9"},
                                  {"detector --backbone-width 6", "--backbone-width 6 is not a multiple of"},
                                  {"detector --first-level 9", "--first-level must be one of"},
                                  {"detector --start here", "--start \"here\" is unknown; choose noise or learned"},
                                  {"clip --heads 5", "--width 48 is not a multiple of --heads 5"}}) {
    Outcome o = run_plumb(std::string("train ") + options + " --out " + scratch.path("x"));
    CAPTURE(options);
    CHECK(o.code == 2);
    CHECK_MESSAGE(o.err.find(message) != std::string::npos, o.err);
    CHECK(std::count(o.err.begin(), o.err.end(), '\n') == 1);
  }
  CHECK(!plumb::path_exists(scratch.path("x")));
}
