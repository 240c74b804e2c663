// Fourier transforms, whose complex numbers are a last axis of 2, and linear algebra by elimination and by series.
#include <numbers>

#include "ops/create.h"
#include "ops/fft.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tests/ops/random_programs/program.h"

namespace plumb::programs {
namespace {

using Line = std::vector<Number>;

void take_wide(const Plains& x) {
  for (const Plain& p : x) require((p.dtype == f64 || p.dtype == f32) && p.dtype == x[0].dtype && count(p.shape) > 0, "takes f64 or f32");
}

// -- Fourier: n is the dimension ------------------------------------------------------------------------------------

Number cosine(int64_t k, int64_t n) {
  return constant(std::cos(2 * std::numbers::pi * static_cast<double>(k % n) / static_cast<double>(n)));
}
Number sine(int64_t k, int64_t n) { return constant(std::sin(2 * std::numbers::pi * static_cast<double>(k % n) / static_cast<double>(n))); }

// Σ of the terms, where what rounds off in a fast transform is of the size of all numbers that it mixes, not of these products.
Number mixed(const Line& terms, const Line& numbers) {
  Number s = total(terms);
  double u = precision.unit * static_cast<double>(numbers.size());
  for (const Number& x : numbers) s.ev += u * std::abs(x.v), s.ea += u * std::abs(x.a);
  return s;
}

// The complex line along dimension d at `where`, of which d and the last place are free: real parts, then imaginary ones.
Line complex_line(const Plain& x, size_t d, Index where) {
  Line line;
  for (int64_t part : {0, 1})
    for (int64_t j = 0; j < x.shape[d]; ++j) {
      where[d] = j;
      where.back() = part;
      line.push_back(at(x, where));
    }
  return line;
}

// Coefficient k, or (direction 1) n times place k, of the complex numbers in `line`: part 0 is real, 1 imaginary.
Number coefficient(const Line& line, int64_t k, int64_t part, int direction) {
  auto n = static_cast<int64_t>(line.size() / 2);
  Line terms;
  for (int64_t j = 0; j < n; ++j) {
    const Number &re = line[static_cast<size_t>(j)], &im = line[static_cast<size_t>(n + j)];
    Number c = cosine(j * k, n), s = direction > 0 ? sine(j * k, n) : -sine(j * k, n);
    terms.push_back(part == 0 ? re * c : im * c);
    terms.push_back(part == 0 ? -(im * s) : re * s);
  }
  return mixed(terms, line);
}

Plain rfft_plain(const Plains& x, const Instruction& i) {
  auto d = static_cast<size_t>(i.n[0]);
  require(d < x[0].shape.size(), "no dimension");
  Index shape = x[0].shape;
  shape[d] = shape[d] / 2 + 1;
  shape.push_back(2);
  return fresh(x[0].dtype, shape, [&](const Index& y) {
    Index place(y.begin(), y.end() - 1);
    Line line;
    for (place[d] = 0; place[d] < x[0].shape[d]; ++place[d]) line.push_back(at(x[0], place));
    line.resize(2 * line.size());
    return coefficient(line, y[d], y.back(), -1);
  });
}

Plain fft_plain(const Plains& x, const Instruction& i, int direction) {
  auto d = static_cast<size_t>(i.n[0]);
  require(x[0].rank() > 1 && d + 1 < x[0].shape.size() && x[0].shape.back() == 2, "no complex numbers");
  return fresh(x[0].dtype, x[0].shape, [&](const Index& y) {
    Number c = coefficient(complex_line(x[0], d, y), y[d], y.back(), direction);
    return direction > 0 ? c / constant(static_cast<double>(x[0].shape[d])) : c;
  });
}

// Of the coefficients 0 … m − 1 of a real line of 2 (m − 1) places; the others are their conjugates.
Plain irfft_plain(const Plains& x, const Instruction& i) {
  auto d = static_cast<size_t>(i.n[0]);
  require(x[0].rank() > 1 && d + 1 < x[0].shape.size() && x[0].shape.back() == 2 && x[0].shape[d] > 1, "no coefficients");
  int64_t half = x[0].shape[d] - 1, n = 2 * half;
  Index shape(x[0].shape.begin(), x[0].shape.end() - 1);
  shape[d] = n;
  return fresh(x[0].dtype, shape, [&](Index y) {
    int64_t j = y[d];
    y.push_back(0);
    Line line = complex_line(x[0], d, y), whole(static_cast<size_t>(2 * n));
    for (int64_t k = 0; k < n; ++k) {
      bool turned = k > half;
      auto from = static_cast<size_t>(turned ? n - k : k), to = static_cast<size_t>(k);
      whole[to] = line[from];
      Number im = line[static_cast<size_t>(half + 1) + from];
      whole[static_cast<size_t>(n) + to] = k % half == 0 ? constant(0) : turned ? -im : im;
    }
    return coefficient(whole, j, 0, 1) / constant(static_cast<double>(n));
  });
}

void draw_real(Dice& dice, const Plains& x, Instruction& i) {
  take_wide(x);
  require(x[0].rank() > 0, "a number");
  i.n = {dice.below(x[0].rank())};
}
void draw_complex(Dice& dice, const Plains& x, Instruction& i) {
  take_wide(x);
  require(x[0].rank() > 1 && x[0].shape.back() == 2, "no complex numbers");
  i.n = {dice.below(x[0].rank() - 1)};
}
int dim(const Instruction& i) { return static_cast<int>(i.n[0]); }

std::vector<Operation> fourier() {
  return {
      {"rfft", 1, draw_real, rfft_plain, [](const Tensors& x, const Instruction& i) { return rfft(x[0], dim(i)); }, "rfft($0, #0)"},
      {"fft", 1, draw_complex, [](const Plains& x, const Instruction& i) { return fft_plain(x, i, -1); },
       [](const Tensors& x, const Instruction& i) { return fft(x[0], dim(i)); }, "fft($0, #0)"},
      {"ifft", 1, draw_complex, [](const Plains& x, const Instruction& i) { return fft_plain(x, i, 1); },
       [](const Tensors& x, const Instruction& i) { return ifft(x[0], dim(i)); }, "ifft($0, #0)"},
      {"irfft", 1, draw_complex, irfft_plain, [](const Tensors& x, const Instruction& i) { return irfft(x[0], dim(i)); }, "irfft($0, #0)"},
  };
}

// -- matrices, of which the errors of lower types are not bounded here ------------------------------------------------

using Matrix = std::vector<Line>;

void take_square(const Plains& x) {
  take_wide(x);
  require(x[0].rank() == 2 && x[0].size(0) == x[0].size(1), "takes a square matrix");
}

Matrix matrix_of(const Plain& x) {
  Matrix m;
  for (int64_t r = 0; r < x.size(0); ++r) {
    m.emplace_back();
    for (int64_t c = 0; c < x.size(1); ++c) m.back().push_back(at(x, {r, c}));
  }
  precision.blurred = true;
  return m;
}
Plain plain_of(DType type, const Matrix& m) {
  return fresh(type, {static_cast<int64_t>(m.size()), static_cast<int64_t>(m[0].size())},
               [&](const Index& i) { return m[static_cast<size_t>(i[0])][static_cast<size_t>(i[1])]; });
}

// Gauss and Jordan: [a | b] becomes [1 | a⁻¹ b]. Returns log |det a|.
Number eliminate(Matrix& a, Matrix& b) {
  Number determinant = constant(0);
  for (size_t k = 0; k < a.size(); ++k) {
    size_t pivot = k;
    for (size_t r = k + 1; r < a.size(); ++r)
      if (std::abs(a[r][k].v) > std::abs(a[pivot][k].v)) pivot = r;
    require(std::abs(a[pivot][k].v) > 0.2, "nearly singular");
    std::swap(a[k], a[pivot]);
    std::swap(b[k], b[pivot]);
    Number inverse = reciprocal(a[k][k]);
    determinant = determinant + log(a[k][k].v < 0 ? -a[k][k] : a[k][k]);
    for (Number& v : a[k]) v = v * inverse;
    for (Number& v : b[k]) v = v * inverse;
    for (size_t r = 0; r < a.size(); ++r) {
      if (r == k) continue;
      Number factor = a[r][k];
      for (size_t c = 0; c < a.size(); ++c) a[r][c] = a[r][c] - factor * a[k][c];
      for (size_t c = 0; c < b[r].size(); ++c) b[r][c] = b[r][c] - factor * b[k][c];
    }
  }
  return determinant;
}

Matrix identity(size_t n) {
  Matrix m(n, Line(n));
  for (size_t k = 0; k < n; ++k) m[k][k] = constant(1);
  return m;
}

Plain solve_plain(const Plains& x, const Instruction&) {
  require(x[1].rank() == 2 && x[1].size(0) == x[0].size(0), "sizes do not fit");
  Matrix a = matrix_of(x[0]), b = matrix_of(x[1]);
  eliminate(a, b);
  return plain_of(x[0].dtype, b);
}

Plain inv_plain(const Plains& x, const Instruction&) {
  Matrix a = matrix_of(x[0]), b = identity(a.size());
  eliminate(a, b);
  return plain_of(x[0].dtype, b);
}

Plain logdet_plain(const Plains& x, const Instruction&) {
  Matrix a = matrix_of(x[0]), b = identity(a.size());
  Number determinant = eliminate(a, b);
  return fresh(x[0].dtype, {}, [&](const Index&) { return determinant; });
}

Matrix product(const Matrix& a, const Matrix& b, double factor) {
  Matrix c(a.size(), Line(b[0].size()));
  for (size_t i = 0; i < a.size(); ++i)
    for (size_t j = 0; j < b[0].size(); ++j) {
      Line terms;
      for (size_t k = 0; k < b.size(); ++k) terms.push_back(a[i][k] * b[k][j]);
      c[i][j] = factor * total(terms);
    }
  return c;
}

// Σ aᵏ / k!, of which no term beyond the thirtieth is left in f64 where the norm is below 4.
Plain matrix_exp_plain(const Plains& x, const Instruction&) {
  Matrix a = matrix_of(x[0]), term = identity(a.size()), sum = term;
  for (const Line& row : a) {
    double norm = 0;
    for (const Number& v : row) norm += std::abs(v.v);
    require(norm < 4, "a large matrix");
  }
  for (int k = 1; k <= 40; ++k) {
    term = product(term, a, 1.0 / k);
    for (size_t i = 0; i < a.size(); ++i)
      for (size_t j = 0; j < a.size(); ++j) sum[i][j] = sum[i][j] + term[i][j];
  }
  return plain_of(x[0].dtype, sum);
}

// Of x xᵀ + 1, which is symmetric and positive definite: L by rows.
Plain cholesky_plain(const Plains& x, const Instruction&) {
  Matrix m = matrix_of(x[0]), turned(m[0].size(), Line(m.size()));
  for (size_t i = 0; i < m.size(); ++i)
    for (size_t j = 0; j < m[0].size(); ++j) turned[j][i] = m[i][j];
  Matrix a = product(m, turned, 1), l(a.size(), Line(a.size()));
  for (size_t i = 0; i < a.size(); ++i)
    for (size_t j = 0; j <= i; ++j) {
      Number s = i == j ? a[i][j] + 1.0 : a[i][j];
      for (size_t k = 0; k < j; ++k) s = s - l[i][k] * l[j][k];
      l[i][j] = i == j ? sqrt(s) : s / l[j][j];
    }
  return plain_of(x[0].dtype, l);
}

Plain kron_plain(const Plains& x, const Instruction&) {
  const Plain &a = x[0], &b = x[1];
  return fresh(a.dtype, {a.size(0) * b.size(0), a.size(1) * b.size(1)},
               [&](const Index& i) { return at(a, {i[0] / b.size(0), i[1] / b.size(1)}) * at(b, {i[0] % b.size(0), i[1] % b.size(1)}); });
}

std::vector<Operation> matrices() {
  auto square = [](Dice&, const Plains& x, Instruction&) { take_square(x); };
  auto rectangular = [](Dice&, const Plains& x, Instruction&) {
    take_wide(x);
    for (const Plain& p : x) require(p.rank() == 2, "takes matrices");
  };
  return {
      {"solve", 2, square, solve_plain, [](const Tensors& x, const Instruction&) { return solve(x[0], x[1]); }, "solve($0, $1)"},
      {"inv", 1, square, inv_plain, [](const Tensors& x, const Instruction&) { return inv(x[0]); }, "inv($0)"},
      {"slogdet", 1, square, logdet_plain, [](const Tensors& x, const Instruction&) { return slogdet(x[0]).logabs; }, "slogdet($0).logabs"},
      {"matrix_exp", 1, square, matrix_exp_plain, [](const Tensors& x, const Instruction&) { return matrix_exp(x[0]); }, "matrix_exp($0)"},
      {"cholesky", 1, rectangular, cholesky_plain,
       [](const Tensors& x, const Instruction&) {
         return cholesky(matmul(x[0], transpose(x[0], 0, 1)) + eye(x[0].size(0), -1, x[0].dtype()));
       },
       "cholesky(matmul($0, transpose($0, 0, 1)) + eye($0.size(0), -1, $0.dtype()))"},
      {"kron", 2, rectangular, kron_plain, [](const Tensors& x, const Instruction&) { return kron(x[0], x[1]); }, "kron($0, $1)"},
  };
}

}  // namespace

std::vector<Operation> transform_operations() {
  std::vector<Operation> all = fourier();
  for (Operation& operation : matrices()) all.push_back(std::move(operation));
  return all;
}

}  // namespace plumb::programs
