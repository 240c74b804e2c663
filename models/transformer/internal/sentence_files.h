// The small files of a directory of the sentence-transformers library: which tokens, how they are pooled, how many of them at most.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "engine/io/tokenizer.h"
#include "models/transformer/sentence_encoder.h"

namespace plumb::transformer::detail {

struct SentenceFiles {
  Pooling pooling = Pooling::mean;
  bool normalize = true;
  std::optional<int64_t> max_length;  ///< in tokens, markers included; at least 2
  WordPieceOptions words;             ///< for vocab.txt, where there is no tokenizer.json
};

/// Reads modules.json with the file that it names, sentence_bert_config.json and tokenizer_config.json; what is not there stays as it is
/// above. Throws ConfigError naming the file for modules that are not known, for files outside the directory and for values of another
/// kind.
SentenceFiles read_sentence_files(const std::string& directory);

}  // namespace plumb::transformer::detail
