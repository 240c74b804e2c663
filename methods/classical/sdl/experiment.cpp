// Supervised dictionary learning on data whose labels lie outside the subspace that rebuilds best, and on digits that look alike: against
// factorising first, and against all features.
#include "methods/experiment.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <sstream>

#include "engine/data/digits/digits.h"
#include "engine/data/files.h"
#include "engine/data/film_reviews.h"
#include "engine/data/images.h"
#include "methods/classical/sdl/planted.h"
#include "methods/common/image_sets.h"
#include "methods/common/logistic_regression.h"
#include "models/metrics/confusion.h"
#include "models/metrics/roc.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::sdl {
namespace {

const std::string kAccuracy = "test accuracy (%)", kF1 = "F1 (%)", kRebuilt = "reconstruction error (%)",
                  kCovariate = "test accuracy with a covariate (%)", kDigits = "4 against 9: test accuracy (%)",
                  kDigitsRebuilt = "4 against 9: reconstruction error (%)", kRareF1 = "rare class: F1 (%)",
                  kRareAuc = "rare class: AUC (%)";

constexpr double kLpgdNu = 1e-3, kFeatureNu = 1e-2;  // feature codes could follow any label without a penalty
const std::vector<double> kBcdXi{0.001, 0.01, 0.1, 1, 10}, kLpgdXi{0.01, 0.15, 1, 100}, kRidge{0, 0.01, 0.1, 1, 10};

/// A split problem. X is as it is; LPGD scales it.
struct Problem {
  Tensor train_x, train_y, train_aux, test_x, test_y, test_aux;
};

// What a variant gives: scores of rows that it was not fitted to, and the dictionary (undefined: none).
struct Fitted {
  Tensor train, test;  // logits
  Tensor dictionary;
  bool nonnegative = false;
};

// -- problems -----------------------------------------------------------------------------------------------------

// The intercept's row of n equal numbers has length 1.
Tensor intercept(int64_t columns_here, int64_t n) { return full({1, columns_here}, 1 / std::sqrt(static_cast<double>(n)), f64); }

Problem planted_problem(const Cell& cell) {
  int64_t train = cell.pick<int64_t>(250, 400, 1000), test = cell.pick<int64_t>(200, 200, 1000);
  Planted p = planted_data({.features = cell.pick<int64_t>(30, 60, 200), .samples = train + test}, default_generator());
  Tensor first = arange(0, train), rest = arange(train, train + test);
  return {columns(p.x, first), index_select(p.labels, 0, first), intercept(train, train),
          columns(p.x, rest),  index_select(p.labels, 0, rest),  intercept(test, train)};
}

// The same samples with a noisy copy of what the labels were drawn from beside the intercept.
Problem with_covariate(const Cell& cell) {
  int64_t train = cell.pick<int64_t>(250, 400, 1000), test = cell.pick<int64_t>(200, 200, 1000);
  Planted p = planted_data({.features = cell.pick<int64_t>(30, 60, 200), .samples = train + test}, default_generator());
  Tensor copy = unsqueeze((p.logit + randn(p.logit.shape(), {.dtype = f64}) * 2) / std::sqrt(10.0 * static_cast<double>(train)), 0);
  Tensor first = arange(0, train), rest = arange(train, train + test);
  return {columns(p.x, first), index_select(p.labels, 0, first), cat({intercept(train, train), columns(copy, first)}, 0),
          columns(p.x, rest),  index_select(p.labels, 0, rest),  cat({intercept(test, train), columns(copy, rest)}, 0)};
}

// The fours and nines of a set, a column each; MNIST's are averaged over 2 × 2 pixels.
std::pair<Tensor, Tensor> fours_and_nines(const data::Dataset& set, int64_t count, Generator& g) {
  data::Dataset pair = set.with_labels({4, 9});
  std::vector<int64_t> order = data::random_order(pair.size(), g);
  order.resize(static_cast<size_t>(std::min(count, pair.size())));
  data::Batch batch = pair.subset(order).batch(static_cast<int64_t>(order.size())).next();
  Tensor images = batch.image.size(3) > 8 ? avg_pool2d(batch.image, 2) : batch.image;
  return {contiguous(mT(to(flatten(images, 1), f64))), to(batch.label == 9, i64)};
}

Problem digits_problem(const Cell& cell) {
  bool there = images_there("mnist") && cell.budget() != Budget::smoke;
  data::DatasetParts parts = there ? data::mnist() : data::digits();
  int64_t train = cell.pick<int64_t>(150, 500, 5000), test = cell.pick<int64_t>(70, 1000, 2000);
  auto [x, y] = fours_and_nines(parts.train(), train, default_generator());
  auto [u, v] = fours_and_nines(parts.test(), test, default_generator());
  return {x, y, intercept(x.size(1), x.size(1)), u, v, intercept(u.size(1), x.size(1))};
}

// The share of each frequent word among a text's words, a column a text. The vocabulary is that of the training texts: words of three
// letters or more, most texts first, those in more than half of them left out.
std::vector<std::string> vocabulary(const std::vector<data::Review>& texts, size_t count) {
  std::map<std::string, int64_t> seen_in;
  for (const data::Review& r : texts) {
    std::istringstream stream(r.text);
    std::set<std::string> own;
    for (std::string word; stream >> word;)
      if (word.size() > 2) own.insert(word);
    for (const std::string& word : own) ++seen_in[word];
  }
  std::vector<std::pair<int64_t, std::string>> order;
  for (const auto& [word, texts_with] : seen_in)
    if (2 * texts_with <= static_cast<int64_t>(texts.size())) order.emplace_back(-texts_with, word);
  std::ranges::sort(order);
  std::vector<std::string> words;
  for (size_t i = 0; i < std::min(count, order.size()); ++i) words.push_back(order[i].second);
  return words;
}

Tensor word_shares(const std::vector<data::Review>& texts, const std::vector<std::string>& words) {
  std::map<std::string, int64_t> place;
  for (size_t i = 0; i < words.size(); ++i) place[words[i]] = static_cast<int64_t>(i);
  auto columns_here = static_cast<int64_t>(texts.size());
  Tensor x = zeros({static_cast<int64_t>(words.size()), columns_here}, f64);
  for (int64_t t = 0; t < columns_here; ++t) {
    std::istringstream stream(texts[static_cast<size_t>(t)].text);
    double length = 0;
    std::vector<int64_t> found;
    for (std::string word; stream >> word; ++length)
      if (auto at = place.find(word); at != place.end()) found.push_back(at->second);
    for (int64_t row : found) x.data<double>()[row * columns_here + t] += 100 / length;
  }
  return x;
}

// Unfavourable film reviews with a few favourable ones among them; where the reviews are not there, planted data whose labels are rare.
Problem rare_problem(const Cell& cell) {
  bool there =
      !data::find_optional_data_file(data::data_directory(), "text", "review_polarity.tar.gz").empty() && cell.budget() != Budget::smoke;
  int64_t train = cell.pick<int64_t>(250, 560, 770), test = cell.pick<int64_t>(200, 336, 330);
  if (!there) {
    Planted p = planted_data({.features = cell.pick<int64_t>(30, 60, 200), .samples = train + test}, default_generator());
    Tensor rare = to(p.logit + randn(p.logit.shape(), {.dtype = f64}) > 3, i64), first = arange(0, train),
           rest = arange(train, train + test);
    return {columns(p.x, first), index_select(rare, 0, first), intercept(train, train),
            columns(p.x, rest),  index_select(rare, 0, rest),  intercept(test, train)};
  }
  std::vector<data::Review> all = data::film_reviews(), known, asked;
  for (int64_t i : data::random_order(static_cast<int64_t>(all.size()), default_generator())) {
    const data::Review& r = all[static_cast<size_t>(i)];
    std::vector<data::Review>& part = r.fold() < 7 ? known : asked;
    int64_t most = (r.fold() < 7 ? train : test) * (r.positive ? 3 : 25) / 28, have = 0;
    for (const data::Review& other : part) have += other.positive == r.positive ? 1 : 0;
    if (have < most) part.push_back(r);
  }
  // The rare ones were all taken early: mixed again, so that every part of the columns has some.
  std::vector<data::Review> mixed;
  for (int64_t i : data::random_order(static_cast<int64_t>(known.size()), default_generator()))
    mixed.push_back(known[static_cast<size_t>(i)]);
  known = mixed;
  auto labels = [](const std::vector<data::Review>& part) {
    std::vector<int64_t> y;
    for (const data::Review& r : part) y.push_back(r.positive);
    return from_vector(y);
  };
  std::vector<std::string> words = vocabulary(known, 200);
  auto n = static_cast<int64_t>(known.size());
  return {word_shares(known, words), labels(known), intercept(n, n),
          word_shares(asked, words), labels(asked), intercept(static_cast<int64_t>(asked.size()), n)};
}

// -- variants -------------------------------------------------------------------------------------------------------

Tensor logits_of(const SdlModel& m, const Tensor& x, const Tensor& aux, bool nonnegative = false) {
  return squeeze(predict_logits(m, x, aux, nonnegative), 1);
}

Fitted all_features(const Problem& p, double ridge) {
  Tensor seen = cat({p.train_x, p.train_aux}, 0), w = reference_regression(mT(seen), p.train_y, zeros({seen.size(0), 1}, f64), ridge, 1e-5);
  return {squeeze(matmul(mT(seen), w), 1), squeeze(matmul(mT(cat({p.test_x, p.test_aux}, 0)), w), 1), {}};
}

Fitted of_model(const SdlModel& m, const Problem& p, double scale = 1, bool nonnegative = false) {
  return {logits_of(m, p.train_x / scale, p.train_aux, nonnegative), logits_of(m, p.test_x / scale, p.test_aux, nonnegative), m.w,
          nonnegative};
}

SdlData data_of(const Problem& p, double scale = 1) { return {p.train_x / scale, p.train_y, p.train_aux}; }

Fitted factorised_first(const Problem& p, int64_t rank, bool nonnegative, int64_t iterations) {
  SdlData d = data_of(p);
  if (!nonnegative) return of_model(refit_classifier(principal_start(d, rank, Kind::filter), d), p);
  Bcd found = sdl_bcd(d, {.rank = rank, .kind = Kind::feature, .iterations = iterations, .nonnegative = true, .supervised = false});
  return of_model(found.model, p, 1, true);
}

// Two normal classes with one covariance on the codes of PCA and the covariates that vary.
Fitted discriminant(const Problem& p, int64_t rank) {
  SdlModel m = principal_start(data_of(p), rank, Kind::filter);
  Tensor varying = p.train_aux.size(0) > 1 ? narrow(p.train_aux, 0, 1, p.train_aux.size(0) - 1) : Tensor();
  auto seen = [&](const Tensor& x, const Tensor& aux) {
    Tensor codes = matmul(mT(m.w), x);
    return mT(varying.defined() ? cat({codes, narrow(aux, 0, 1, aux.size(0) - 1)}, 0) : codes);
  };
  Tensor rows = seen(p.train_x, p.train_aux), in = unsqueeze(to(p.train_y, f64), 1), out = 1 - in;
  double n1 = sum(in).item(), n0 = sum(out).item();
  Tensor m1 = sum(rows * in, {0}) / n1, m0 = sum(rows * out, {0}) / n0, left = rows - in * m1 - out * m0;
  Tensor w = lstsq(matmul(mT(left), left) / (n0 + n1), m1 - m0);
  Tensor b = std::log(n1 / n0) - dot(w, (m1 + m0) * 0.5);
  return {matmul(rows, w) + b, matmul(seen(p.test_x, p.test_aux), w) + b, m.w};
}

Fitted block_descent(const Problem& p, int64_t rank, Kind kind, double xi, int64_t iterations) {
  double nu = kind == Kind::feature ? kFeatureNu : 0;
  return of_model(sdl_bcd(data_of(p), {.rank = rank, .kind = kind, .xi = xi, .nu = nu, .iterations = iterations}).model, p);
}

Fitted lifted_descent(const Problem& p, int64_t rank, Kind kind, double xi, double nu, int64_t iterations, bool refitted = false) {
  double scale = spectral_norm(p.train_x);
  SdlData d = data_of(p, scale);
  SdlModel m = sdl_lpgd(d, {.rank = rank, .kind = kind, .xi = xi, .nu = nu, .iterations = iterations}).model;
  return of_model(refitted ? refit_classifier(m, d) : m, p, scale);
}

double accuracy_of(const Tensor& logits, const Tensor& labels) { return mean(to((logits > 0) == (labels == 1), f64)).item(); }

struct Effort {
  int64_t rank = 3, bcd = 100, lpgd = 300;
};

bool is_lifted(const Cell& cell) { return cell.variant().find("LPGD") != std::string::npos; }

// What is chosen among: ξ of joint learning, the ridge of regression on all features; one place where nothing is.
std::vector<double> choices(const Cell& cell) {
  if (cell.is("LR on all features")) return kRidge;
  if (cell.variant().starts_with("SDL") && !cell.is("SDL-W, LPGD, guaranteed")) return is_lifted(cell) ? kLpgdXi : kBcdXi;
  return {0};
}

Fitted fit(const Cell& cell, const Problem& p, const Effort& e, double choice) {
  Kind kind = cell.variant().starts_with("SDL-H") ? Kind::feature : Kind::filter;
  if (cell.is("LR on all features")) return all_features(p, choice);
  if (cell.is("PCA, then LR")) return factorised_first(p, e.rank, false, e.bcd);
  if (cell.is("NMF, then LR")) return factorised_first(p, e.rank, true, e.bcd);
  if (cell.is("PCA, then LDA")) return discriminant(p, e.rank);
  if (cell.is("SDL-W, LPGD, guaranteed")) return lifted_descent(p, e.rank, kind, 0.15, 0.1, e.lpgd, true);
  if (is_lifted(cell)) return lifted_descent(p, e.rank, kind, choice, kLpgdNu, e.lpgd);
  return block_descent(p, e.rank, kind, choice, e.bcd);
}

// The first four fifths of the training columns, judged by the last.
Problem inner_split(const Problem& p) {
  int64_t n = p.train_x.size(1), kept = n * 4 / 5;
  Tensor first = arange(0, kept), rest = arange(kept, n);
  return {columns(p.train_x, first), index_select(p.train_y, 0, first), columns(p.train_aux, first),
          columns(p.train_x, rest),  index_select(p.train_y, 0, rest),  columns(p.train_aux, rest)};
}

double chosen(Cell& cell, const Problem& p, const Effort& e, double from, double to) {
  std::vector<double> all = choices(cell);
  if (all.size() == 1) return all[0];
  Problem inner = inner_split(p);
  double best = all[0], most = -1;
  for (size_t i = 0; i < all.size(); ++i) {
    double a = metrics::roc_auc(fit(cell, inner, e, all[i]).test, inner.test_y);
    if (a > most) most = a, best = all[i];
    cell.progress(from + (to - from) * static_cast<double>(i + 1) / static_cast<double>(all.size()));
  }
  return best;
}

// A model without a dictionary rebuilds nothing.
double rebuilt(const Fitted& f, const Tensor& x) {
  return f.dictionary.defined() ? reconstruction_error(f.dictionary, x, f.nonnegative) : 1;
}

// At the threshold that is best on the training columns.
double f1_of(const Fitted& f, const Problem& p) {
  double threshold = metrics::youden_threshold(metrics::roc_curve(f.train, p.train_y));
  return metrics::f1_score(to(f.test >= threshold, i64), p.test_y);
}

// Accuracy and reconstruction over the whole range of ξ.
void chart_tradeoff(Cell& cell, const Problem& p, const Effort& e) {
  for (double xi : choices(cell)) {
    Fitted f = fit(cell, p, e, xi);
    cell.point("test accuracy by xi (%)", "log10 xi", std::log10(xi), 100 * accuracy_of(f.test, p.test_y));
    cell.point("reconstruction error by xi (%)", "log10 xi", std::log10(xi), 100 * rebuilt(f, p.test_x));
  }
}

void run(Cell& cell) {
  Effort e{.rank = 3, .bcd = cell.pick<int64_t>(10, 100, 300), .lpgd = cell.pick<int64_t>(40, 300, 1000)};
  auto planted = cell.shared("planted", [&] { return planted_problem(cell); });
  double choice = chosen(cell, *planted, e, 0, 0.3);
  Fitted f = fit(cell, *planted, e, choice);
  cell.metric(kAccuracy, 100 * accuracy_of(f.test, planted->test_y));
  cell.metric(kF1, 100 * f1_of(f, *planted));
  cell.metric(kRebuilt, 100 * rebuilt(f, planted->test_x));
  if (choices(cell).size() > 1 && cell.variant().starts_with("SDL")) chart_tradeoff(cell, *planted, e);
  cell.progress(0.5);

  auto covariate = cell.shared("covariate", [&] { return with_covariate(cell); });
  cell.metric(kCovariate, 100 * accuracy_of(fit(cell, *covariate, e, choice).test, covariate->test_y));
  cell.progress(0.6);

  auto digits = cell.shared("digits", [&] { return digits_problem(cell); });
  e.rank = 5;
  e.bcd = cell.pick<int64_t>(3, 40, 200);
  e.lpgd = cell.pick<int64_t>(10, 100, 500);
  f = fit(cell, *digits, e, chosen(cell, *digits, e, 0.6, 0.75));
  cell.metric(kDigits, 100 * accuracy_of(f.test, digits->test_y));
  cell.metric(kDigitsRebuilt, 100 * rebuilt(f, digits->test_x));

  auto rare = cell.shared("rare", [&] { return rare_problem(cell); });
  f = fit(cell, *rare, e, chosen(cell, *rare, e, 0.75, 0.95));
  cell.metric(kRareF1, 100 * f1_of(f, *rare));
  cell.metric(kRareAuc, 100 * metrics::roc_auc(f.test, rare->test_y));
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "Supervised dictionary learning";
  e.paper = "Lee, Lyu and Yao, Supervised Dictionary Learning with Auxiliary Covariates, 2022";
  e.claim = "Atoms learned for data and labels together predict where atoms learned for data alone are near chance.";
  e.metrics = {{kAccuracy}, {kF1},     {kRebuilt, Better::lower}, {kCovariate}, {kDigits}, {kDigitsRebuilt, Better::lower},
               {kRareF1},   {kRareAuc}};
  e.variants = {{"LR on all features", "logistic regression on X and covariates, the ridge chosen; rebuilds nothing"},
                {"PCA, then LR", "the leading singular vectors, then logistic regression on their codes"},
                {"NMF, then LR", "non-negative atoms and codes"},
                {"PCA, then LDA", "linear discriminant on the codes"},
                {"SDL-W, BCD", "filter model, block coordinate descent"},
                {"SDL-W, LPGD", "filter model, low-rank projected gradient descent, nu = 0.001"},
                {"SDL-W, LPGD, guaranteed", "xi = 0.15 and nu = 0.1, then regression on what the dictionary sees"},
                {"SDL-H, BCD", "feature model, block coordinate descent, nu = 0.01"},
                {"SDL-H, LPGD", "feature model, low-rank projected gradient descent, nu = 0.001"}};
  e.baseline = "PCA, then LR";
  e.method = "SDL-W, BCD";
  e.run = run;
  return e;
}

}  // namespace plumb::methods::sdl
