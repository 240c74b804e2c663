// What the command reads of its own runs and of files that it is given: config.json of every kind of run, rows of benchmarks, data to be
// cut.
#include "tests/fuzz/one_of.h"
#include "tests/fuzz/target.h"
#include "tools/autoencoder_model.h"
#include "tools/bench/page.h"
#include "tools/clip_model.h"
#include "tools/consistency_model.h"
#include "tools/data/subset.h"
#include "tools/diffusion_model.h"
#include "tools/finetune/finetune_run.h"
#include "tools/forecast_model.h"
#include "tools/gan_model.h"
#include "tools/image_classifier.h"
#include "tools/ssl_model.h"
#include "tools/tabular_model.h"
#include "tools/train/detector_run.h"
#include "tools/train/encoder_run.h"
#include "tools/train/gpt_run.h"
#include "tools/train/moe_run.h"
#include "tools/train/segment_run.h"
#include "tools/train/translate_run.h"

using namespace plumb;
using namespace plumb::tools;

namespace plumb_fuzz {
namespace {

using Runs = OneOf<AutoencoderRun, ClassifierRun, ClipRun, ConsistencyRun, DetectorRun, DiffusionRun, EncoderRun, FinetuneRun, ForecastRun,
                   GanRun, GptRun, MoeRun, SegmentRun, SslRun, TabularRun, TranslateRun>;

void read_rows(std::string_view bytes) { bench_page(parse_rows(std::string(bytes), "rows.jsonl")); }
std::vector<std::string> row_seeds() {
  return {
      R"({"bench":"environment","command":"plumb bench","date":"2026-11-27","processor":"AMD","cores":2,"load":"2.1"})"
      "\n"
      R"({"bench":"steps","work":"moe","side":"plumb","device":"cpu","dtype":"f32","step_s":0.5,"step_s_95":[0.4,0.6],"tokens_per_s":9,"peak_mib":5,"fastest":true})"
      "\n"
      R"({"bench":"steps","work":"moe","side":"torch","step_s":0.7,"step_s_95":[0.6,0.8],"ratio":1.4,"ratio_95":[1.2,1.6]})"
      "\n",
      R"({"bench":"ceiling","what":"product f32","gflop_per_s":200})"
      "\n"
      R"({"bench":"kernels","kernel":"rand","shape":"64","dtype":"f32","side":"plumb","us":5,"us_95":[4,6],"gb_per_s":8,"bound":"memory","share_of_ceiling":0.5})"
      "\n",
      R"({"bench":"overhead","work":"tiny","side":"plumb","ns_per_op_fwd_bwd":200,"ns_per_op_fwd_bwd_95":[190,210]})"
      "\n"
      R"({"bench":"start","side":"plumb","first_step_s":0.02,"first_step_s_95":[0.01,0.03]})"
      "\n"
      R"({"bench":"profile","work":"moe","ms":400,"share":0.9})"
      "\n"
      R"({"bench":"profile","work":"moe","kernel":"matmul","ms":3,"share":0.5})"
      "\n",
      R"({"bench":"scaling","axis":"batch","sizes":[2,4],"seconds":[0.1,0.2],"exponent":1,"exponent_95":[0.9,1.1],"theory":1})"
      "\n"
      R"({"bench":"threads","work":"gpt","threads":2,"step_s":0.5,"step_s_95":[0.4,0.6],"speedup":1.9,"speedup_95":[1.8,2]})"
      "\n"};
}

// The first byte says what the file is called; all records are picked, which makes the file again.
void cut(std::string_view bytes) {
  constexpr const char* kNames[] = {"x", "x.csv", "x.txt", "x.bin"};
  if (bytes.empty()) return;
  const char* name = kNames[static_cast<uint8_t>(bytes[0]) % 4];
  RecordFile file = cut_records(bytes.substr(1), name, true);
  std::vector<int64_t> all;
  for (size_t i = 0; i < file.records.size(); ++i) all.push_back(static_cast<int64_t>(i));
  file.pick(all);
}
std::vector<std::string> cut_seeds() {
  std::string idx{'\0', 0, 0, 8, 2, 0, 0, 0, 3, 0, 0, 0, 2};
  return {idx + "aabbcc", "\1a,b\n1,\"2\n3\"\n", "\2one\ntwo", "\3" + std::string(3073, 'a')};
}

}  // namespace

std::vector<Target> tool_targets() {
  return {
      {"run_config", Runs::read, Runs::seeds, "json"},
      {"bench_rows", read_rows, row_seeds, "json"},
      {"subset", cut, cut_seeds, "csv", 4096},
  };
}

}  // namespace plumb_fuzz
