// Language models as the command sees them, and what the runs that train them on text have in common.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/data/tokens.h"
#include "engine/io/tokenizer.h"
#include "models/train/run_directory.h"
#include "models/transformer/decoder.h"
#include "tools/train/settings.h"

namespace plumb::tools {

/// A model that predicts the next token, of whatever kind.
class LanguageModel {
 public:
  virtual ~LanguageModel() = default;
  virtual nn::Module& module() = 0;
  virtual const transformer::CausalDecoder& decoder() const = 0;
  /// tokens [B, T] → [B, T, vocab]
  virtual Tensor logits(const Tensor& tokens) = 0;
  /// What training minimises: the mean cross-entropy of predicting target [B, T], and what a kind adds.
  virtual Tensor loss(const Tensor& tokens, const Tensor& target);
  /// Whether computing the loss waits for the device, so that a step cannot be captured.
  virtual bool waits() const { return false; }
  /// Shares parts of it out over the processes of dist::world(), before its optimiser is made; nothing where all have the whole model.
  virtual void share_out() {}
  /// Said behind the number of parameters; may be empty.
  virtual std::string note() const { return {}; }
  /// What is worth watching of the last loss, beside it.
  virtual train::Measures measures() const { return {}; }
};

/// What config.json of a run on text holds beside the model. Each kind of training derives from it, and adds its model.
struct TextRun {
  std::vector<std::string> data;  ///< absolute paths, joined in this order
  std::string data_sha256;        ///< of the joined text
  std::string tokenizer = "char";
  int64_t bpe_vocab = 4096;
  TrainingSettings training;

  virtual ~TextRun() = default;
  /// The name of the kind.
  virtual const char* kind() const = 0;
  virtual std::string to_json() const = 0;
  /// Throws ConfigError naming the option that is out of range.
  virtual void check() const;
  virtual void set_vocab(int64_t tokens) = 0;
  virtual int64_t context() const = 0;
  /// A tokenizer that the run has from elsewhere, and so does not make from its text.
  virtual std::optional<Tokenizer> given_tokenizer() const { return {}; }
  /// Puts into the new run directory what a resumed run needs besides.
  virtual void complete(const train::RunDirectory&) const {}
  /// The model as training starts it, drawn from the default generator.
  virtual std::unique_ptr<LanguageModel> make(const train::RunDirectory& run) const = 0;
  /// The model with the run's trained weights, in evaluation mode.
  std::unique_ptr<LanguageModel> load(const train::RunDirectory& run) const;
};

/// A TextRun's entries in a run's list of fields.
template <typename Run, typename F>
void text_fields(Run& r, F&& f) {
  f("data", r.data), f("data_sha256", r.data_sha256), f("tokenizer", r.tokenizer), f("bpe_vocab", r.bpe_vocab);
}

/// The mean cross-entropy of logits [B, T, vocab] and the tokens that came, target [B, T].
Tensor next_token_loss(const Tensor& logits, const Tensor& target);
/// The files' texts joined. Throws IoError naming a file that is missing, empty or unreadable.
std::string read_texts(const std::vector<std::string>& files);
/// Tokens of `text`, called `name` in errors.
data::TokenStream encode_text(const Tokenizer& tokenizer, const std::string& text, const std::string& name);
/// The mean cross-entropy over `windows`, in nats a token. `done(i)` is called after batch i, from 1.
double mean_loss(LanguageModel& model, const data::ConsecutiveWindows& windows, const std::function<void(int64_t)>& done = {});

}  // namespace plumb::tools
