// Phantoms measured by four coils at a quarter of the frequencies: is the learned inference machine better with implicit data consistency,
// and does the variational network need it explicitly? Judged under the masks and images of training, under other masks, and on digits.
#include "methods/experiment.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/autograd/grad_mode.h"
#include "engine/data/dataset.h"
#include "engine/data/digits/digits.h"
#include "engine/data/files.h"
#include "engine/io/nifti.h"
#include "methods/vision/cirim/baselines.h"
#include "methods/vision/cirim/cirim.h"
#include "methods/vision/cirim/phantom.h"
#include "models/metrics/image_quality.h"
#include "models/optim/adam.h"
#include "models/train/image_grid.h"
#include "ops/complex.h"
#include "ops/elementary.h"
#include "ops/fft.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/vision.h"

namespace plumb::methods::cirim {

Experiment experiment();

namespace {

constexpr int64_t kCoils = 4;
constexpr double kNoise = 0.01;

/// Images and the coils that see them.
struct Scenes {
  Tensor image, maps;  // [N, H, W, 2], [N, C, H, W, 2]
};
/// Scenes measured once.
struct TestSet {
  std::string name;  // as metrics have it behind their names
  Scenes scenes;
  Tensor mask, y;
};
struct Data {
  Scenes train;
  std::vector<TestSet> tests;
  std::optional<TestSet> head;  // shown, not measured in the table: there where the directory PLUMB_DATA has it
};

Scenes seen_by_coils(const Tensor& magnitude, Generator& g) {
  Scenes s{with_smooth_phase(magnitude, g), {}};
  std::vector<Tensor> maps;
  for (int64_t i = 0; i < magnitude.size(0); ++i) maps.push_back(coil_maps(kCoils, magnitude.size(1), magnitude.size(2), g));
  s.maps = stack(maps);
  return s;
}

Tensor phantoms(int64_t count, int64_t size, Generator& g) {
  std::vector<Tensor> images;
  for (int64_t i = 0; i < count; ++i) images.push_back(draw_ellipses(random_phantom(g), size));
  return stack(images);
}

Tensor some_digits(int64_t count, int64_t size) {
  data::Dataset test = data::digits().test();
  std::vector<Tensor> images;
  for (int64_t i = 0; i < count; ++i) images.push_back(test[i].image);
  return select(interpolate(stack(images), {.size = Size2(size), .mode = Interpolation::linear}), 1, 0);
}

/// Four slices of a T1-weighted head, if the data is there.
std::optional<Tensor> head_slices(int64_t size) {
  std::string path = data::find_optional_data_file("", "mri", "someones_anatomy.nii");
  if (path.empty()) return {};
  Tensor volume = load_nifti(path).values;
  std::vector<Tensor> slices;
  for (int64_t z : {18, 24, 30, 36}) slices.push_back(flip(transpose(select(volume, 2, z), 0, 1), {0}));
  return select(interpolate(unsqueeze(stack(slices), 1), {.size = Size2(size), .mode = Interpolation::linear}), 1, 0);
}

/// A mask of its own for each of `count` images, the zero frequency first.
Tensor draw_masks(MaskKind kind, int64_t count, int64_t size, Generator& g) {
  std::vector<Tensor> masks;
  for (int64_t i = 0; i < count; ++i) masks.push_back(ifftshift(sampling_mask(size, size, {.kind = kind}, g)));
  return stack(masks);
}

/// Measurements with noise of kNoise an image pixel.
Tensor measure(const Tensor& image, const MriOperator& mri, Generator& g) {
  Tensor k = mri.spectrum(image);
  double deviation = kNoise / std::sqrt(2) * std::sqrt(static_cast<double>(image.size(1) * image.size(2)));
  return (k + randn_like(k, &g) * deviation) * mri.mask();
}

TestSet tested(const std::string& name, const Scenes& s, MaskKind kind, Generator& g) {
  Tensor mask = draw_masks(kind, s.image.size(0), s.image.size(1), g);
  return {name, s, mask, measure(s.image, MriOperator(s.maps, mask), g)};
}

Data make_data(const Cell& cell) {
  Generator g(default_generator().next_u64());
  int64_t size = cell.pick<int64_t>(16, 32, 64), train = cell.pick<int64_t>(8, 400, 2000), test = cell.pick<int64_t>(3, 50, 100);
  Data d{seen_by_coils(phantoms(train, size, g), g), {}, {}};
  Scenes same = seen_by_coils(phantoms(test, size, g), g), digits = seen_by_coils(some_digits(test, size), g);
  d.tests = {tested("", same, MaskKind::gaussian_points, g), tested(", other mask", same, MaskKind::equispaced_columns, g),
             tested(", digits", digits, MaskKind::gaussian_points, g)};
  if (auto head = head_slices(size)) d.head = tested("head", seen_by_coils(*head, g), MaskKind::gaussian_points, g);
  return d;
}

using Reconstruct = std::function<Tensor(const Tensor& y, const MriOperator& mri)>;
using Loss = std::function<Tensor(const Tensor& y, const MriOperator& mri, const Tensor& target)>;

struct Candidate {
  std::vector<Tensor> parameters;
  Reconstruct reconstruct;
  Loss loss;
  int64_t steps = 0;  // at the default budget: what fits in equal time
};

template <typename Model>
Candidate by_result(std::shared_ptr<Model> model, int64_t steps) {
  auto run = [model](const Tensor& y, const MriOperator& mri) { return (*model)(y, mri); };
  return {model->parameters(), run,
          [run](const Tensor& y, const MriOperator& mri, const Tensor& target) { return magnitude_loss(run(y, mri), target); }, steps};
}

Candidate by_all_estimates(int64_t cascades, const RimConfig& config, int64_t steps) {
  auto model = std::make_shared<Cirim>(cascades, config);
  return {model->parameters(), [model](const Tensor& y, const MriOperator& mri) { return (*model)(y, mri); },
          [model](const Tensor& y, const MriOperator& mri, const Tensor& target) { return cascade_loss(model->forward(y, mri), target); },
          steps};
}

/// A U-Net that corrects the zero-filled image.
struct ImageUnet : nn::Module {
  NormUnet unet{this, "unet", 16, 2};
  Tensor operator()(const Tensor& y, const MriOperator& mri) const {
    Tensor x = mri.adjoint(y);
    return x + unet(x);
  }
};

const std::vector<Variant>& variants() {
  static const std::vector<Variant> all{
      {"zero-filled", "the adjoint of the measurement"},
      {"TV", "compressed sensing by total variation, its weight chosen on training images"},
      {"U-Net", "a U-Net on the complex zero-filled image"},
      {"CascadeNet", "three networks with hard data consistency"},
      {"E2EVN without DC", "three U-Nets, no data consistency"},
      {"E2EVN", "three U-Nets with learned explicit data consistency"},
      {"RIM", "one inference machine with GRU, eight steps"},
      {"IRIM", "one inference machine with IndRNN, eight steps"},
      {"CIRIM + explicit DC", "three machines of four steps, estimates corrected by soft data consistency"},
      {"CIRIM", "three machines of four steps, the likelihood's gradient as input alone"}};
  return all;
}

// Steps at the default budget take about the same time for all.
Candidate make_candidate(const std::string& v) {
  constexpr int64_t kChannels = 16;
  if (v == "U-Net") return by_result(std::make_shared<ImageUnet>(), 1450);
  if (v == "CascadeNet") return by_result(std::make_shared<CascadeNet>(3, 24), 720);
  if (v == "E2EVN without DC") return by_result(std::make_shared<VariationalNetwork>(3, 8, 2, false), 1060);
  if (v == "E2EVN") return by_result(std::make_shared<VariationalNetwork>(3, 8, 2, true), 940);
  if (v == "RIM") return by_all_estimates(1, {.steps = 8, .channels = kChannels, .unit = RecurrentKind::gru}, 320);
  if (v == "IRIM") return by_all_estimates(1, {.steps = 8, .channels = kChannels}, 430);
  RimConfig config{.steps = 4, .channels = kChannels};
  if (v == "CIRIM + explicit DC") config.consistency = DataConsistency::explicit_estimate;
  return by_all_estimates(3, config, v == "CIRIM" ? 280 : 250);
}

Tensor normalised_magnitude(const Tensor& image) {
  Tensor m = complex_abs(image);
  return unsqueeze(m / clamp_min(amax(m, {-2, -1}, true), 1e-12), 1);
}

/// Trains on measurements with masks and noise drawn anew for every step, and returns the loss at the end (a running mean). `from` and `to`
/// are the shares of the cell that this is; the curve is drawn where `shown`.
double train(Cell& cell, const Data& d, const Candidate& candidate, double lr, int64_t steps, double from, double to, bool shown) {
  int64_t batch = cell.pick<int64_t>(1, 4, 8), size = d.train.image.size(1), every = std::max<int64_t>(1, steps / 25);
  optim::Adam adam(candidate.parameters, {.lr = lr});
  auto schedule = optim::cosine_with_warmup(std::max<int64_t>(1, steps / 10), steps);
  Generator& g = default_generator();
  double recent = 0;
  for (int64_t step = 0; step < steps; ++step) {
    Tensor index = randint(0, d.train.image.size(0), {batch});
    Tensor target = index_select(d.train.image, 0, index);
    MriOperator mri(index_select(d.train.maps, 0, index), draw_masks(MaskKind::gaussian_points, batch, size, g));
    Tensor loss = candidate.loss(measure(target, mri, g), mri, target);
    adam.zero_grad();
    loss.backward();
    adam.set_lr_scale(schedule(step));
    adam.step();
    recent = step == 0 ? loss.item() : 0.9 * recent + 0.1 * loss.item();
    double done = static_cast<double>(step + 1) / static_cast<double>(steps);
    if (shown && step % every == every - 1) cell.point("training loss", "share of the steps", done, recent);
    if (step % 5 == 0) cell.progress(from + (to - from) * done);
  }
  return recent;
}

/// Trains the variant's network with the learning rate that had the lower loss after an eighth of the steps, each from the same weights and
/// with the same draws.
Candidate trained(Cell& cell, const Data& d) {
  Candidate candidate = make_candidate(cell.variant());
  int64_t steps = cell.pick<int64_t>(2, candidate.steps, 10 * candidate.steps), few = std::max<int64_t>(2, steps / 8);
  const Generator start = default_generator();
  double least = INFINITY, lr = 1e-3, done = 0;
  for (double rate : {1e-3, 3e-3}) {
    default_generator() = start;
    double loss = train(cell, d, make_candidate(cell.variant()), rate, few, done, done + 0.1, false);
    done += 0.1;
    if (loss < least) least = loss, lr = rate;
  }
  default_generator() = start;
  candidate = make_candidate(cell.variant());
  train(cell, d, candidate, lr, steps, done, 0.95, true);
  return candidate;
}

/// The weight of TV that reconstructs training images best.
double tuned_lambda(const Cell& cell, const Data& d) {
  Generator g(default_generator().next_u64());
  int64_t count = std::min<int64_t>(cell.pick<int64_t>(2, 20, 50), d.train.image.size(0));
  Scenes some{narrow(d.train.image, 0, 0, count), narrow(d.train.maps, 0, 0, count)};
  TestSet set = tested("", some, MaskKind::gaussian_points, g);
  double best = -INFINITY, chosen = 0;
  for (double lambda : {3e-4, 1e-3, 3e-3, 1e-2}) {
    Tensor x = tv_reconstruct(set.y, MriOperator(some.maps, set.mask), lambda, cell.pick(3, 60, 100));
    double quality = mean(metrics::psnr(normalised_magnitude(x), normalised_magnitude(some.image))).item();
    if (quality > best) best = quality, chosen = lambda;
  }
  return chosen;
}

struct Result {
  Tensor image, truth;  // magnitudes [N, 1, H, W]
};
Result reconstructed(const TestSet& set, const Reconstruct& reconstruct) {
  NoGrad guard;
  return {normalised_magnitude(reconstruct(set.y, MriOperator(set.scenes.maps, set.mask))), normalised_magnitude(set.scenes.image)};
}

void show(Cell& cell, const std::string& title, const Result& r) {
  int64_t shown = std::min<int64_t>(4, r.truth.size(0));
  Tensor image = narrow(r.image, 0, 0, shown), truth = narrow(r.truth, 0, 0, shown), error = clamp_max(abs(image - truth) * 4, 1);
  cell.picture(title + ": truth, above its reconstruction, above four times the error",
               train::image_grid(cat({truth, image, error}), {.columns = shown}));
}

void evaluate(Cell& cell, const TestSet& set, const Reconstruct& reconstruct) {
  Result r = reconstructed(set, reconstruct);
  cell.metric("PSNR" + set.name + " (dB)", mean(metrics::psnr(r.image, r.truth)).item());
  cell.metric("SSIM" + set.name, mean(metrics::ssim(r.image, r.truth)).item());
  show(cell, set.name.empty() ? "same mask" : set.name.substr(2), r);
}

void run(Cell& cell) {
  auto d = cell.shared("data", [&] { return make_data(cell); });
  Reconstruct reconstruct;
  if (cell.is("zero-filled")) {
    reconstruct = [](const Tensor& y, const MriOperator& mri) { return mri.adjoint(y); };
  } else if (cell.is("TV")) {
    auto lambda = cell.shared("lambda", [&] { return tuned_lambda(cell, *d); });
    reconstruct = [lambda, &cell](const Tensor& y, const MriOperator& mri) {
      return tv_reconstruct(y, mri, *lambda, cell.pick(3, 60, 100));
    };
  } else {
    reconstruct = trained(cell, *d).reconstruct;
  }
  for (const TestSet& set : d->tests) {
    evaluate(cell, set, reconstruct);
    cell.progress(0.98);
  }
  if (d->head) show(cell, "a real head", reconstructed(*d->head, reconstruct));
}

}  // namespace

Experiment experiment() {
  return {
      .title = "CIRIM",
      .paper =
          "Karkalousos, Noteboom, Hulst, Vos & Caan, Assessment of Data Consistency through Cascades of Independently Recurrent Inference "
          "Machines for fast and robust accelerated MRI reconstruction, Physics in Medicine and Biology 67(12), 2022",
      .claim = "a cascade of inference machines needs no explicit data consistency, a variational network does",
      .metrics = {{"PSNR (dB)"}, {"SSIM"}, {"PSNR, other mask (dB)"}, {"SSIM, other mask"}, {"PSNR, digits (dB)"}, {"SSIM, digits"}},
      .variants = variants(),
      .baseline = "E2EVN",
      .method = "CIRIM",
      .run = run};
}

}  // namespace plumb::methods::cirim
