// `plumb export` as a user runs it. Whether Hugging Face's library loads the result: tests/reference/read_back.py.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <string>

#include "engine/io/file.h"
#include "engine/io/safetensors.h"
#include "engine/io/tokenizer.h"
#include "models/transformer/pretrained.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "tests/tools/run_command.h"
#include "tools/image_classifier.h"

namespace {

std::string reference(const std::string& name) {
  const char* source = std::getenv("PLUMB_SOURCE");
  return std::string(source ? source : ".") + "/tests/reference/" + name;
}

}  // namespace

TEST_CASE("export: a directory of the library comes out with the same tensors under the same names, tokenizer and modules beside them") {
  plumb_test::Scratch scratch;
  for (std::string name : {"gpt2", "llama", "vit", "sentence_encoder"}) {
    INFO(name);
    Outcome o = run_plumb("export " + reference(name) + " --out " + scratch.path(name));
    CHECK(o.err == "");
    REQUIRE(o.code == 0);
    plumb::StateDict before = plumb::load_safetensors(reference(name) + "/model.safetensors");
    plumb::StateDict after = plumb::load_safetensors(scratch.path(name) + "/model.safetensors");
    for (const auto& [tensor, value] : after) {
      auto same = before.find(tensor);
      if (same == before.end()) same = before.find(tensor.substr(tensor.find('.') + 1));  // without the larger class's prefix
      if (same == before.end()) same = before.find("bert." + tensor);
      REQUIRE_MESSAGE(same != before.end(), tensor);
      CHECK(plumb::to_vector(same->second) == plumb::to_vector(value));
    }
  }
  CHECK(scratch.has("sentence_encoder/tokenizer.json"));
  Outcome again = run_plumb("embed --model " + scratch.path("sentence_encoder") + " tide"),
          first = run_plumb("embed --model " + reference("sentence_encoder") + " tide");
  CHECK(again.code == 0);
  CHECK(again.out == first.out);
}

TEST_CASE("export: a GPT that was trained here, with its byte pairs; what the library has no tokenizer for is said") {
  plumb_test::Scratch scratch;
  std::string text;
  for (int i = 0; i < 40; ++i) text += "the tide is in, the tide is out; the lamp is lit and the lamp is dark. ";
  std::string data = scratch.put("text", text);
  for (std::string tokenizer : {"bpe --vocab 270", "char"}) {
    std::string run = scratch.path("run-" + tokenizer.substr(0, 3)), out = run + "-out";
    REQUIRE(run_plumb("train gpt --data " + data + " --out " + run + " --tokenizer " + tokenizer +
                      " --layers 1 --heads 2 --width 16 --context 16 --steps 2").code == 0);
    Outcome o = run_plumb("export " + run + " --out " + out);
    REQUIRE(o.code == 0);
    auto model = plumb::transformer::load_pretrained<plumb::transformer::Gpt>(out);
    CHECK(model.context() == 16);
    if (tokenizer == "char") {
      CHECK(o.err == "plumb: export: the run's tokens are chars, for which that library has no tokenizer: the model alone is exported\n");
    } else {
      CHECK(o.err == "");
      CHECK(plumb::Tokenizer::load(out + "/tokenizer.json").vocab_size() == model.config().vocab);
    }
  }
}

TEST_CASE(
    "export: a vision transformer that was trained here answers as its run; one whose weights are computed from others comes out with the "
    "weights") {
  plumb_test::Scratch scratch;
  for (std::string reparam : {"none", "weight-compander"}) {
    CAPTURE(reparam);
    std::string run = scratch.path(reparam), out = run + "-out";
    REQUIRE(run_plumb(
                "train vit --data digits --patch 4 --layers 1 --heads 2 --width 16 --batch 16 --steps 3 --lr 0.01 --mix mixup --reparam " +
                reparam + " --out " + run)
                .code == 0);
    Outcome o = run_plumb("export " + run + " --out " + out);
    CHECK(o.err == "");
    REQUIRE(o.code == 0);
    auto exported = plumb::transformer::load_pretrained<plumb::transformer::VisionTransformer>(out);
    auto settings = plumb::tools::ClassifierRun::from_json(plumb::read_file(run + "/config.json"));
    plumb::tools::ImageClassifier trained(settings);
    trained.module().load_state(plumb::tools::network_weights(plumb::load_safetensors(run + "/model.safetensors")));
    trained.module().eval();
    exported.eval();
    plumb::Tensor images = plumb::rand({3, 1, 8, 8}), seen = (images - settings.mean[0]) / settings.std[0];
    std::vector<double> wanted = plumb::to_vector(trained(images)), found = plumb::to_vector(exported(seen));
    REQUIRE(wanted.size() == found.size());
    for (size_t i = 0; i < wanted.size(); ++i) CHECK(std::abs(wanted[i] - found[i]) < 1e-5);
  }
}

TEST_CASE("export: what cannot be exported is said in one line, and nothing is written") {
  plumb_test::Scratch scratch;
  Outcome o = run_plumb("export /nowhere --out " + scratch.path("out"));
  CHECK(o.code == 2);
  CHECK(o.err.find("/nowhere") != std::string::npos);
  CHECK_FALSE(scratch.has("out"));
  scratch.put("model/config.json", "{\"model_type\": \"t5\"}");
  o = run_plumb("export " + scratch.path("model") + " --out " + scratch.path("out"));
  CHECK(o.code == 2);
  CHECK(o.err == "plumb: export: " + scratch.path("model") +
                     " is a pretrained t5; export takes a run of train gpt or vit, or a directory with a "
                     "pretrained GPT-2, Llama, Mistral, Qwen2, BERT or ViT\n");
  CHECK_FALSE(scratch.has("out"));
  o = run_plumb("export " + reference("gpt2") + " --out " + scratch.path("model"));
  CHECK(o.code == 2);
  CHECK(o.err == "plumb: export: " + scratch.path("model") + " exists already; choose another --out\n");
}
