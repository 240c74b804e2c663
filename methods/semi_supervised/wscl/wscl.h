// WSCL (Zhai, Luan, Doermann, Yuan, ICCV 2023): finds where an image was manipulated from the label of the whole image alone. Three streams
// look at colours, noise residuals and constrained convolutions; what they say together is each one's pseudo-mask (multi-source
// consistency), and a volume of pairwise inconsistencies of patches is trained from the same mask (inter-patch consistency).
//   L = Σ_s BCE(ŷ_s, y) + r(e) (λ_msc Σ_s mean (m_s − t)² + λ_ipc Σ_s BCE(V_s, G)),   r(e) = exp(−5 (1 − e/E)²)
#pragma once
#include <optional>
#include <vector>

#include "methods/semi_supervised/wscl/filters.h"
#include "models/nn/containers.h"
#include "models/nn/conv.h"
#include "models/nn/norm.h"

namespace plumb::methods::wscl {

/// What one stream says of a batch.
struct StreamOutput {
  Tensor map;            ///< m [B, h, w] in (0, 1): manipulated here
  Tensor score;          ///< ŷ [B], pooled from the map
  Tensor inconsistency;  ///< logits of V [B, N, N], N = h' w'
  int64_t side = 0;      ///< of the volume's map: h' = w'
};

/// The logits −⟨f1_i, f2_j⟩ / √C of V_ij = 1 − σ(⟨f1_i, f2_j⟩ / √C), 0 consistent and 1 inconsistent, of feature maps [B, C, h, h]: [B, h²,
/// h²]. Throws ShapeError for maps that differ or are not square.
Tensor inconsistency_logits(const Tensor& f1, const Tensor& f2);
/// V itself.
Tensor consistency_volume(const Tensor& f1, const Tensor& f2);
/// G_ij = 1 − (t_i t_j + (1 − t_i)(1 − t_j)) of masks [B, h, h]: [B, h², h²]; for 0 and 1 the exclusive or. Throws ShapeError for maps that
/// are not square.
Tensor xor_volume(const Tensor& masks);

/// t = Σ_s w_s m_s / Σ w, outside the graph. Hard: in tampered images whose largest t is at most ½ the largest is set to 1, then t ← 1[t >
/// ½]; authentic images get 0 throughout. Soft: t as it is, 0 in authentic images. maps of the streams [B, h, w], labels i64 [B]. Throws
/// ShapeError for maps that differ, ValueError for weights that are negative, all zero or of another number, or labels other than 0 and 1.
Tensor msc_target(const std::vector<Tensor>& maps, const std::vector<double>& weights, const Tensor& labels, bool hard = true);

enum class Targets : uint8_t {
  together,  ///< of all streams, WSCL's
  own,       ///< of each stream's own map: plain self-training, the control
};

struct WsclOptions {
  std::vector<double> weights = {1, 2, 2};  ///< of the streams, in the target and in the ensemble
  double msc = 0.1;                         ///< λ_msc
  double ipc = 0.1;                         ///< λ_ipc
  bool hard = true;
  Targets targets = Targets::together;
};

struct WsclParts {
  Tensor total, classification, msc, ipc;  ///< scalars; msc and ipc without λ and ramp
  Tensor target;                           ///< t [B, h, w] (the first stream's, where each has its own)
  double ramp = 0;                         ///< r
};
/// The loss of a batch in epoch e = 0 … E of E. labels i64 [B]. Throws as msc_target, ValueError for negative λ or epochs < 1, ShapeError
/// for scores that do not fit.
WsclParts wscl_loss(const std::vector<StreamOutput>& streams, const Tensor& labels, int64_t epoch, int64_t epochs,
                    const WsclOptions& options = {});

/// Σ_s w_s m_s / Σ w, and the same of the scores.
struct Ensemble {
  Tensor map;    ///< [B, h, w]
  Tensor score;  ///< [B]
};
Ensemble ensemble(const std::vector<StreamOutput>& streams, const std::vector<double>& weights);

/// 1 where the map [B, h, w], resized bilinearly to [B, height, width], is above `threshold`: i64.
Tensor manipulated(const Tensor& map, int64_t height, int64_t width, double threshold = 0.5);

/// 2ab / (a + b); 0 if either is 0: of the F1 of images and that of pixels.
double combined_f1(double image, double pixel);

// -- the networks -----------------------------------------------------------------------------------------------------------------------

enum class Source : uint8_t {
  rgb,
  srm,
  bayar,
  early  ///< the nine channels of all three, by a 1×1 convolution to three
};
enum class Pooling : uint8_t { otsu, max };

struct StreamConfig {
  Source source = Source::rgb;
  Pooling pooling = Pooling::otsu;
  std::vector<int64_t> channels = {16, 32, 32};  ///< of the encoder's convolutions; all but the first halve the resolution
  int64_t volume = 16;                           ///< features a patch in the volume
  double srm_clip = 5;
  /// Throws ConfigError for no channels or ones below 1.
  void check() const;
};

/// A stream: pre-filter, encoder (3×3 convolutions, batch norm, ReLU), decoder (conv 3×3 – batch norm – ReLU – conv 1×1 – sigmoid) and the
/// two heads of the volume (conv 1×1 – leaky ReLU – conv 1×1 each). Images [B, 3, H, H], normalised.
class Stream : public nn::Module {
 public:
  explicit Stream(const StreamConfig& config);
  StreamOutput operator()(const Tensor& images) const;
  /// Before the sigmoid, [B, h, w].
  Tensor map_logits(const Tensor& images) const;

 private:
  struct Layer : nn::Module {
    nn::Conv2d conv;
    nn::BatchNorm norm;
    Layer(int64_t in, int64_t out, int64_t stride);
    Tensor operator()(const Tensor& x) const;
  };
  struct Head : nn::Module {
    nn::Conv2d in, out;
    Head(nn::Module* parent, std::string name, int64_t channels, int64_t features);
    Tensor operator()(const Tensor& x) const;
  };
  Tensor filtered(const Tensor& images) const;
  Tensor encoded(const Tensor& images) const;
  Tensor decoded(const Tensor& features) const;

  StreamConfig config_;
  std::optional<SrmFilter> srm_;
  std::optional<BayarConv> bayar_;
  std::optional<nn::Conv2d> fusion_;
  nn::ModuleList<Layer> encoder_;
  Layer decoder_;
  nn::Conv2d out_;
  Head head1_, head2_;
};

/// The streams, each a network of its own.
struct WsclModel : nn::Module {
  nn::ModuleList<Stream> streams{this, "streams"};
  explicit WsclModel(const std::vector<StreamConfig>& configs);
  std::vector<StreamOutput> operator()(const Tensor& images) const;
};
/// The published three.
std::vector<StreamConfig> three_streams(const StreamConfig& like = {});

}  // namespace plumb::methods::wscl
