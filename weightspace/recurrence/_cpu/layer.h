// A recurrent layer over a whole sequence, forward and backward, on one core.
//
// The weights of the loop over time are packed once, and a tile of the product
// with them stays in registers until the gates are made of it: what XLA does in
// some fifty kernels a step is one.

#pragma once

#include <utility>

#include "product.h"

namespace weightspace {

// The cells of weightspace.cells. A gate's row of weights multiplies what the
// layer reads into slot kInput[gate], and its outputs into kHidden[gate].
// `Memory` is what a unit remembers beside its output.

struct Lstm {
  static constexpr int kGates = 4, kSlots = 4;
  static constexpr int kInput[] = {0, 1, 2, 3}, kHidden[] = {0, 1, 2, 3};
  static constexpr bool kMemory = true;

  // Pre-activations -> gates; the memory before -> memory; -> the output.
  INLINE static void Forward(Vec (&a)[4], Vec& memory, Vec& h) {
    a[0] = Sigmoid(a[0]);
    a[1] = Sigmoid(a[1]);
    a[2] = Tanh(a[2]);
    a[3] = Sigmoid(a[3]);
    memory = a[1] * memory + a[0] * a[2];
    h = a[3] * Tanh(memory);
  }

  // Gates -> gradients of pre-activations. carry: gradient of the memory ->
  // that of the memory before.
  INLINE static void Backward(Vec (&a)[4], Vec memory, Vec before, Vec dh,
                              Vec& carry) {
    const Vec seen = Tanh(memory);
    const Vec d = carry + dh * a[3] * (1.0f - seen * seen);
    carry = d * a[1];
    const Vec i = a[0], f = a[1], g = a[2], o = a[3];
    a[0] = d * g * i * (1.0f - i);
    a[1] = d * before * f * (1.0f - f);
    a[2] = d * i * (1.0f - g * g);
    a[3] = dh * seen * o * (1.0f - o);
  }
};

struct Gru {
  static constexpr int kGates = 3, kSlots = 4;
  static constexpr int kInput[] = {0, 1, 2}, kHidden[] = {0, 1, 3};
  static constexpr bool kMemory = false;

  // Gates: r, z, n and what r multiplies. h: the output before -> the output.
  INLINE static void Forward(Vec (&a)[4], Vec&, Vec& h) {
    a[0] = Sigmoid(a[0]);
    a[1] = Sigmoid(a[1]);
    a[2] = Tanh(a[2] + a[0] * a[3]);
    h = a[2] + a[1] * (h - a[2]);
  }

  // carry: what of the gradient goes past the product to the output before.
  INLINE static void Backward(Vec (&a)[4], Vec, Vec before, Vec dh,
                              Vec& carry) {
    dh += carry;
    carry = dh * a[1];
    const Vec r = a[0], z = a[1], n = a[2], v = a[3];
    const Vec dn = dh * (1.0f - z) * (1.0f - n * n);
    a[0] = dn * v * r * (1.0f - r);
    a[1] = dh * (before - n) * z * (1.0f - z);
    a[2] = dn;
    a[3] = dn * r;
  }
};

struct Elman {
  static constexpr int kGates = 1, kSlots = 1;
  static constexpr int kInput[] = {0}, kHidden[] = {0};
  static constexpr bool kMemory = false;

  INLINE static void Forward(Vec (&a)[1], Vec&, Vec& h) {
    h = a[0] = Tanh(a[0]);
  }

  INLINE static void Backward(Vec (&a)[1], Vec, Vec, Vec dh, Vec&) {
    a[0] = dh * (1.0f - a[0] * a[0]);
  }
};

// Gates whose slots are neighbours: the first of them, and how many.
template <int G>
std::vector<std::pair<int, int>> Runs(const int (&slots)[G]) {
  std::vector<std::pair<int, int>> runs;
  for (int g = 0; g < G; ++g) {
    if (g > 0 && slots[g] == slots[g - 1] + 1) {
      ++runs.back().second;
    } else {
      runs.push_back({g, 1});
    }
  }
  return runs;
}

// Sizes: steps of time, sequences, what the layer reads, hidden units.
struct Sizes {
  int64_t steps, batch, inputs, hidden;
};

// Of w [gates, hidden, depth], what gate g of units [unit, unit + kWidth)
// reads.
inline Factor OfGate(const float* w, int64_t hidden, int64_t depth, int g,
                     int64_t unit) {
  return {w + (g * hidden + unit) * depth, depth,
          std::min<int64_t>(kWidth, hidden - unit), depth, true};
}

// Rows of w [gates, hidden, depth] as panels for blocks of units, each
// [depth][gates][kWidth].
template <class Cell>
void PackGates(const float* w, int64_t hidden, int64_t depth, float* to) {
  for (int64_t unit = 0; unit < hidden; unit += kWidth) {
    for (int g = 0; g < Cell::kGates; ++g) {
      PackColumn<Cell::kGates>(OfGate(w, hidden, depth, g, unit),
                               to + unit * depth * Cell::kGates + g * kWidth);
    }
  }
}

// Forward, what units [unit, unit + kWidth) do with rows of gates.
template <class Cell, int M>
INLINE void Activate(Sizes n, int64_t t, int64_t first, int64_t unit,
                     Vec (&sums)[M][Cell::kGates], float* gates, float* hs,
                     float* memories) {
  constexpr int kG = Cell::kGates, kS = Cell::kSlots;
  const int64_t count = n.hidden - unit, step = n.batch * n.hidden;
  for (int m = 0; m < M; ++m) {
    float* out = gates + (first + m) * kS * n.hidden + unit;
    const int64_t place = (first + m) * n.hidden + unit;
    Vec a[kS], h = {}, memory = {};
    for (int g = 0; g < kG; ++g) {
      if (Cell::kInput[g] != Cell::kHidden[g]) {
        a[Cell::kInput[g]] = Load(out + Cell::kInput[g] * n.hidden, count);
      }
      a[Cell::kHidden[g]] = sums[m][g];
    }
    if (t > 0) {
      h = Load(hs + place - step, count);
      if (Cell::kMemory) memory = Load(memories + place - step, count);
    }
    Cell::Forward(a, memory, h);
    for (int s = 0; s < kS; ++s) Store(out + s * n.hidden, a[s], count);
    Store(hs + place, h, count);
    if (Cell::kMemory) Store(memories + place, memory, count);
  }
}

template <class Cell>
void Forward(Sizes n, const float* xs, const float* wx, const float* wh,
             const float* bx, const float* bh, float* gates, float* hs,
             float* memories) {
  constexpr int kG = Cell::kGates, kS = Cell::kSlots;
  static thread_local Scratch of_bias;
  const int64_t row = kS * n.hidden;
  const int64_t blocks = RoundUp(n.hidden, kWidth) / kWidth;
  // Of gates that make one sum of both products, both
  float* bias = of_bias.Get(kG * n.hidden);
  for (int g = 0; g < kG; ++g) {
    const bool shared = Cell::kInput[g] == Cell::kHidden[g];
    for (int64_t i = g * n.hidden; i < (g + 1) * n.hidden; ++i) {
      bias[i] = shared ? bx[i] + bh[i] : bx[i];
    }
  }
  constexpr bool kShared = Cell::kInput[kG - 1] == Cell::kHidden[kG - 1];
  // Of few inputs the products join the loop, as one more part of each sum;
  // those of many come first, so that the loop has the cache for its own. The
  // slots of inputs are neighbours in every cell.
  const bool together = kShared && n.inputs <= kDepth<kG>;
  if (!together) {
    Product(n.steps * n.batch, kG * n.hidden, n.inputs, xs, n.inputs, wx,
            /*turned=*/true, gates + Cell::kInput[0] * n.hidden, row, bias);
  }
  StepProduct<kG> product(blocks, {together ? n.inputs : 0, n.hidden});
  for (int64_t block = 0; block < blocks; ++block) {
    for (int g = 0; g < kG; ++g) {
      const int64_t unit = block * kWidth;
      if (together) {
        product.Pack(block, g, 0, OfGate(wx, n.hidden, n.inputs, g, unit));
      }
      product.Pack(block, g, 1, OfGate(wh, n.hidden, n.hidden, g, unit));
    }
  }
  for (int64_t t = 0; t < n.steps; ++t) {
    const int64_t first = t * n.batch;
    product.Begin(n.batch);
    product.Read(xs + first * n.inputs, n.inputs);
    if (t > 0) product.Read(hs + (first - n.batch) * n.hidden, n.hidden);
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t unit = block * kWidth, count = n.hidden - unit;
      product.Sum(
          block,
          [&]<int M>(int64_t at, Vec(&sums)[M][kG]) {
            const float* in = gates + (first + at) * row + unit;
            for (int g = 0; g < kG; ++g) {
              const bool shared = Cell::kInput[g] == Cell::kHidden[g];
              const Vec start = Load(
                  (shared ? bias : bh) + g * n.hidden + unit, count);
              for (int m = 0; m < M; ++m) {
                sums[m][g] =
                    shared && !together
                        ? Load(in + m * row + Cell::kHidden[g] * n.hidden,
                               count)
                        : start;
              }
            }
          },
          [&]<int M>(int64_t at, Vec(&sums)[M][kG]) {
            Activate<Cell, M>(n, t, first + at, unit, sums, gates, hs,
                              memories);
          });
    }
  }
}

// Backward, what units [unit, unit + kWidth) do with the gradients of rows of
// outputs.
template <class Cell, int M, int N>
INLINE void Propagate(Sizes n, int64_t t, int64_t first, int64_t unit,
                      const Vec (&sums)[M][N], float* gates, const float* hs,
                      const float* memories, float* carries) {
  constexpr int kS = Cell::kSlots;
  const int64_t step = n.batch * n.hidden;
  const float* states = Cell::kMemory ? memories : hs;
  for (int v = 0; v < N; ++v, unit += kWidth) {
    const int64_t count = n.hidden - unit;
    for (int m = 0; m < M; ++m) {
      float* out = gates + (first + m) * kS * n.hidden + unit;
      const int64_t place = (first + m) * n.hidden + unit;
      Vec a[kS], before = {}, memory = {};
      for (int s = 0; s < kS; ++s) a[s] = Load(out + s * n.hidden, count);
      if (t > 0) before = Load(states + place - step, count);
      if (Cell::kMemory) memory = Load(memories + place, count);
      float* carried = carries + place - t * step;
      Vec carry = Load(carried, count);
      Cell::Backward(a, memory, before, sums[m][v], carry);
      for (int s = 0; s < kS; ++s) Store(out + s * n.hidden, a[s], count);
      Store(carried, carry, count);
    }
  }
}

// gates become the gradients of pre-activations. What follows the last gradient
// of a sequence's outputs has none itself; a batch whose sequences are in the
// order of their ends, the longest first, is spared the work.
template <class Cell>
void Backward(Sizes n, const float* wh, const float* hs, const float* memories,
              const float* dhs, float* gates) {
  constexpr int kG = Cell::kGates, kS = Cell::kSlots;
  static thread_local Scratch of_carry;
  const int64_t row = kS * n.hidden;
  float* carries = of_carry.Get(n.batch * n.hidden);
  std::fill_n(carries, n.batch * n.hidden, 0.0f);
  const auto runs = Runs(Cell::kHidden);
  std::vector<int64_t> depths;
  for (const auto& [gate, count] : runs) depths.push_back(count * n.hidden);
  WithVectors(n.hidden, [&]<int N>() {
    constexpr int64_t kWide = N * kWidth;
    const int64_t blocks = RoundUp(n.hidden, kWide) / kWide;
    StepProduct<N> product(blocks, depths);
    for (int64_t block = 0; block < blocks; ++block) {
      for (size_t i = 0; i < runs.size(); ++i) {
        const Factor w = {wh + runs[i].first * n.hidden * n.hidden, n.hidden,
                          n.hidden, depths[i], false};
        for (int v = 0; v < N; ++v) {
          product.Pack(block, v, i, w.Places(block * kWide + v * kWidth,
                                             kWidth));
        }
      }
    }
    int64_t alive = 0;  // sequences before the first of those without gradient
    for (int64_t t = n.steps - 1; t >= 0; --t) {
      const int64_t first = t * n.batch;
      int64_t last = n.batch;
      while (last > alive && IsZero(dhs + (first + last - 1) * n.hidden,
                                    n.hidden)) {
        --last;
      }
      alive = last;
      std::fill_n(gates + (first + alive) * row, (n.batch - alive) * row, 0.0f);
      product.Begin(alive);
      if (t + 1 < n.steps) {
        for (const auto& [gate, count] : runs) {
          product.Read(gates + (first + n.batch) * row +
                           Cell::kHidden[gate] * n.hidden, row);
        }
      }
      for (int64_t block = 0; block < blocks; ++block) {
        product.Sum(
            block,
            [&]<int M>(int64_t at, Vec(&sums)[M][N]) {
              for (int m = 0; m < M; ++m) {
                for (int v = 0; v < N; ++v) {
                  const int64_t now = block * kWide + v * kWidth;
                  sums[m][v] = Load(dhs + (first + at + m) * n.hidden + now,
                                    n.hidden - now);
                }
              }
            },
            [&]<int M>(int64_t at, Vec(&sums)[M][N]) {
              Propagate<Cell, M, N>(n, t, first + at, block * kWide, sums,
                                    gates, hs, memories, carries);
            });
      }
    }
  });
}

// dw [gates, hidden, inputs], or db [gates, hidden], of gates whose products
// went into `slots`.
template <class Cell>
void SumGates(int64_t rows, Sizes n, int64_t inputs, const float* xs,
              const float* das, const int (&slots)[Cell::kGates], float* dw) {
  for (const auto& [gate, count] : Runs(slots)) {
    SumOuter(rows, count * n.hidden, inputs, das + slots[gate] * n.hidden,
             Cell::kSlots * n.hidden, xs, dw + gate * n.hidden * inputs);
  }
}

template <class Cell>
void SumGates(int64_t rows, Sizes n, const float* das,
              const int (&slots)[Cell::kGates], float* db) {
  for (const auto& [gate, count] : Runs(slots)) {
    SumRows(rows, count * n.hidden, das + slots[gate] * n.hidden,
            Cell::kSlots * n.hidden, db + gate * n.hidden);
  }
}

// Rows that have gradients, copied together if others are worth leaving out.
class Rows {
 public:
  Rows(int64_t rows, const float* das, int64_t size) : rows_(rows) {
    for (int64_t r = 0; r < rows; ++r) {
      if (!IsZero(das + r * size, size)) kept_.push_back(r);
    }
    all_ = count() > rows - rows / 8;
    if (all_) kept_.clear();
  }

  int64_t count() const { return all_ ? rows_ : kept_.size(); }

  bool all() const { return all_; }

  // How many of them are among the first `rows`.
  int64_t Before(int64_t rows) const {
    return all_ ? rows
                : std::lower_bound(kept_.begin(), kept_.end(), rows) -
                      kept_.begin();
  }

  // The rows of `from`, of `size` floats each, `earlier` places before, but for
  // those that have no such.
  const float* Gather(const float* from, int64_t size, Scratch& scratch,
                      int64_t earlier = 0) const {
    if (all_) return from;
    float* to = scratch.Get(kept_.size() * size);
    float* at = to;
    for (int64_t r : kept_) {
      if (r < earlier) continue;
      at = std::copy_n(from + (r - earlier) * size, size, at);
    }
    return to;
  }

  // The other way round: rows of `from` to where they belong, 0 elsewhere.
  void Scatter(const float* from, int64_t size, float* to) const {
    std::fill_n(to, rows_ * size, 0.0f);
    for (int64_t r : kept_) {
      std::copy_n(from, size, to + r * size);
      from += size;
    }
  }

 private:
  int64_t rows_;
  bool all_ = false;
  std::vector<int64_t> kept_;
};

template <class Cell>
void WeightGradients(Sizes n, const float* xs, const float* hs,
                     const float* das, float* dwx, float* dwh, float* dbx,
                     float* dbh) {
  static thread_local Scratch of_xs, of_hs, of_das;
  const int64_t row = Cell::kSlots * n.hidden;
  const Rows rows(n.steps * n.batch, das, row);
  const int64_t count = rows.count();
  xs = rows.Gather(xs, n.inputs, of_xs);
  hs = rows.Gather(hs, n.hidden, of_hs, n.batch);
  das = rows.Gather(das, row, of_das);
  SumGates<Cell>(count, n, n.inputs, xs, das, Cell::kInput, dwx);
  // The first step read zeros
  const int64_t first = rows.Before(n.batch);
  SumGates<Cell>(count - first, n, n.hidden, hs, das + first * row,
                 Cell::kHidden, dwh);
  SumGates<Cell>(count, n, das, Cell::kInput, dbx);
  if (std::equal(Cell::kInput, Cell::kInput + Cell::kGates, Cell::kHidden)) {
    std::copy_n(dbx, Cell::kGates * n.hidden, dbh);
  } else {
    SumGates<Cell>(count, n, das, Cell::kHidden, dbh);
  }
}

template <class Cell>
void InputGradients(Sizes n, const float* wx, const float* das, float* dxs) {
  static thread_local Scratch of_das, of_dxs;
  const int64_t row = Cell::kSlots * n.hidden;
  const Rows rows(n.steps * n.batch, das, row);
  das = rows.Gather(das, row, of_das);
  float* out = rows.all() ? dxs : of_dxs.Get(rows.count() * n.inputs);
  // The slots of inputs are neighbours in every cell
  Product(rows.count(), n.inputs, Cell::kGates * n.hidden, das, row, wx,
          /*turned=*/false, out, n.inputs, nullptr);
  if (!rows.all()) rows.Scatter(out, n.inputs, dxs);
}

}  // namespace weightspace
