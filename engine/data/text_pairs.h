// Pairs of texts that belong together: a passage's first sentence and its rest, a comment and the function under it.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace plumb::data {

struct TextPair {
  std::string query, document;
  int64_t source = 0;  ///< which text or file it is from: what must not be on both sides of a split
};

/// Words of a text in lower case: runs of letters, digits and apostrophes, and of bytes beyond ASCII. In code also the parts of a name
/// (`consistency_filter`, `ConsistencyOptions`) are words of their own.
std::vector<std::string> words_of(const std::string& text, bool code = false);
/// The first `words` words, joined by spaces.
std::string first_words(const std::string& text, int64_t words, bool code = false);

struct PairRules {
  int64_t query_words = 4, document_words = 8;  ///< at least so many
  double letters = 0.6;                         ///< of the query's characters other than spaces at least this share are ASCII letters
};
/// Why CoRNStack's heuristics would leave the pair out: "short", "URL", "HTML", "invalid characters" or "not English"; empty if they keep
/// it. Long texts are kept.
std::string reason_to_drop(const TextPair& pair, const PairRules& rules = {});
/// Without pairs that there is a reason to drop, or that are equal to an earlier one in query or document.
std::vector<TextPair> selected_pairs(const std::vector<TextPair>& pairs, const PairRules& rules = {});

/// A text whose lines are sentences, cut into passages of `sentences`: the first one is the query, the others the document. A passage of
/// fewer than three is left out. Throws ValueError for sentences < 2.
std::vector<TextPair> passage_pairs(const std::string& text, int64_t sentences, int64_t source = 0);

/// The comments `/// …` of a C++ header with what they stand above: the declaration, or the definition with its body. `definitions` is the
/// source file beside the header (may be empty): where it defines a function of that name at the beginning of a line, that is the document.
std::vector<TextPair> comment_pairs(const std::string& header, const std::string& definitions, int64_t source = 0);
/// comment_pairs of all headers of a source tree, by path: a directory with engine/, ops/, models/ …, or a tar archive of one version (as
/// `git archive` writes it; may be gzipped), which always gives the same pairs. Throws IoError if there is none.
std::vector<TextPair> source_tree_pairs(const std::string& path);

}  // namespace plumb::data
