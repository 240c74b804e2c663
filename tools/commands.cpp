// The table of subcommands.
#include "tools/commands.h"

#include <array>
#include <string>

namespace plumb::tools {

extern const Command audit_command, bench_command, board_command, data_command, embed_command, eval_command, explain_command,
    export_command, finetune_command, graph_command, info_command, inspect_command, merge_command, methods_command, predict_command,
    quantize_command, report_command, run_command, sample_command, trace_command, train_command, translate_command;

std::span<const Command* const> commands() {
#ifdef PLUMB_QUICK
  static constexpr std::array table{&train_command, &sample_command, &eval_command, &info_command};
#else
  static constexpr std::array table{&train_command, &finetune_command, &merge_command,     &export_command, &sample_command,
                                    &eval_command,  &predict_command,  &translate_command, &embed_command,  &quantize_command,
                                    &audit_command, &methods_command,  &run_command,       &report_command, &inspect_command,
                                    &trace_command, &graph_command,    &explain_command,   &board_command,  &bench_command,
                                    &data_command,  &info_command};
#endif
  return table;
}

std::string left_out() {
#ifdef PLUMB_QUICK
  return "; this build has what the quick start needs, `bash tools/test.sh` builds everything";
#else
  return "";
#endif
}

}  // namespace plumb::tools
