// Training on text files: what every kind of language model's `plumb train KIND` does.
#pragma once
#include "tools/language_model.h"

namespace plumb::tools {

/// Adds --data, --tokenizer and --vocab.
void define_text(CommandLine& line, TextRun& run);
/// Starts a run in the directory `out`, which does not exist. Throws ConfigError for missing or too short texts, for an option of `line`
/// that the tokenizer does not heed, and as run.check().
int start_text(const CommandLine& line, TextRun& run, const std::string& out);
/// Goes on with a run. Throws ConfigError if its text has changed.
int resume_text(const TextRun& run, const train::RunDirectory& directory);
/// Prints loss, perplexity and number of tokens of the texts in `data` as a JSON object.
int evaluate_text(const TextRun& run, const train::RunDirectory& directory, const std::vector<std::string>& data);

}  // namespace plumb::tools
