// Matrix products: tiles of a result in registers, panels of a factor in cache.

#pragma once

#include <algorithm>
#include <vector>

#include "blocks.h"
#include "vector.h"

namespace weightspace {

// A factor as it lies in memory, `count` places by `depth`: row by row along
// the depth, or place by place. Its rows lie `row` apart.
struct Factor {
  const float* data;
  int64_t row, count, depth;
  bool along;

  Factor Places(int64_t first, int64_t most) const {
    return {data + first * (along ? row : 1), row,
            std::min(most, count - first), depth, along};
  }
};

// A matrix in memory, read with any strides.
struct Matrix {
  const float* data;
  int64_t row, column;  // strides

  Matrix From(int64_t first_row, int64_t first_column) const {
    return {data + first_row * row + first_column * column, row, column};
  }
};

// Copies a tile vector by vector, so that compilers may keep it in registers.
template <int M, int N>
INLINE void Copy(const Vec (&from)[M][N], Vec (&to)[M][N]) {
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m) {
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) to[m][n] = from[m][n];
  }
}

// The first `columns` of each row of a tile, rows `row` apart in memory.
template <int M, int N>
INLINE void LoadSums(Vec (&sums)[M][N], const float* from, int64_t row,
                     int64_t columns) {
  const bool whole = columns >= N * kWidth;  // asked once, not M * N times
  for (int m = 0; m < M; ++m) {
    for (int n = 0; n < N; ++n) {
      const float* at = from + m * row + n * kWidth;
      sums[m][n] = whole ? Load(at) : Load(at, columns - n * kWidth);
    }
  }
}

template <int M, int N>
INLINE void StoreSums(const Vec (&sums)[M][N], float* to, int64_t row,
                      int64_t columns) {
  if (columns >= N * kWidth) {
    for (int m = 0; m < M; ++m) {
      for (int n = 0; n < N; ++n) Store(to + m * row + n * kWidth, sums[m][n]);
    }
  } else {
    for (int m = 0; m < M; ++m) {
      for (int n = 0; n < N; ++n) {
        Store(to + m * row + n * kWidth, sums[m][n], columns - n * kWidth);
      }
    }
  }
}

// sums[m][n] += a[m, k] b[k, n] over all k. Rows of b are N vectors, `b_row`
// apart.
template <int M, int N>
INLINE void Multiply(Vec (&sums)[M][N], Matrix a, const float* b, int64_t b_row,
                     int64_t depth) {
  Vec kept[M][N];
  Copy(sums, kept);
  for (int64_t k = 0; k < depth; ++k) {
    Vec y[N];
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) y[n] = Load(b + n * kWidth);
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      const Vec factor = Broadcast(a.data[m * a.row]);
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) kept[m][n] += factor * y[n];
    }
    a.data += a.column;
    b += b_row;
  }
  Copy(kept, sums);
}

// Rows of a tile with N vectors a row: what the registers hold, beside the
// vectors of b and a factor.
template <int N>
constexpr int kRows = std::min(12, (kRegisters - N - 2) / N);

// A share of a sum of products: `depth` columns of a matrix, rows of which lie
// `row` apart, and as many rows of a panel.
struct Part {
  const float* a;
  int64_t row;
  const float* panel;
  int64_t depth;
};

// Rows of a panel, N vectors each, that stay in the first cache.
template <int N>
constexpr int64_t kDepth = 512 / N;

// Adds a product to `parts`, cut so that each share's panel fits the cache.
template <int N>
inline void AddParts(Part whole, std::vector<Part>& parts) {
  for (int64_t k = 0; k < whole.depth; k += kDepth<N>) {
    parts.push_back({whole.a + k, whole.row, whole.panel + k * N * kWidth,
                     std::min(kDepth<N>, whole.depth - k)});
  }
}

// The sum of products. For tiles of M rows `start<M>(row, sums)` says what it
// is added to and `finish<M>(row, sums)` takes the result.
template <int N, class Start, class Finish>
inline void Tiles(int64_t rows, const std::vector<Part>& parts, Start start,
                  Finish finish) {
  static thread_local Scratch of_sums;
  int64_t depth = 0;
  for (const Part& part : parts) depth += part.depth;
  if (depth <= kDepth<N>) {  // all panels stay in the cache
    ForBlocks<kRows<N>>(rows, [&]<int M>(int64_t at) {
      Vec sums[M][N];
      start.template operator()<M>(at, sums);
      for (const Part& part : parts) {
        Multiply(sums, {part.a + at * part.row, part.row, 1}, part.panel,
                 N * kWidth, part.depth);
      }
      finish.template operator()<M>(at, sums);
    });
    return;
  }
  float* kept = of_sums.Get(rows * N * kWidth);
  for (size_t i = 0; i < parts.size(); ++i) {
    const Part& part = parts[i];
    ForBlocks<kRows<N>>(rows, [&]<int M>(int64_t at) {
      Vec sums[M][N];
      auto& here = *reinterpret_cast<Vec(*)[M][N]>(kept + at * N * kWidth);
      if (i == 0) {
        start.template operator()<M>(at, sums);
      } else {
        Copy(here, sums);
      }
      Multiply(sums, {part.a + at * part.row, part.row, 1}, part.panel,
               N * kWidth, part.depth);
      if (i + 1 == parts.size()) {
        finish.template operator()<M>(at, sums);
      } else {
        Copy(sums, here);
      }
    });
  }
}

// Up to kWidth places of a factor as a column of panels of N vectors a row,
// with 0 beyond them.
template <int N>
INLINE void PackColumn(Factor f, float* to) {
  if (!f.along) {
    for (int64_t k = 0; k < f.depth; ++k) {
      Store(to + k * N * kWidth, Load(f.data + k * f.row, f.count));
    }
    return;
  }
  for (int64_t k = 0; k < f.depth; k += kWidth) {
    const int64_t rows = std::min<int64_t>(kWidth, f.depth - k);
    Vec block[kWidth] = {};
    for (int64_t j = 0; j < std::min<int64_t>(kWidth, f.count); ++j) {
      block[j] = Load(f.data + j * f.row + k, rows);
    }
    Transpose(block);
    for (int64_t i = 0; i < rows; ++i) {
      Store(to + (k + i) * N * kWidth, block[i]);
    }
  }
}

// A factor as panels of N vectors a row.
template <int N>
void PackPanels(Factor f, float* to) {
  for (int64_t at = 0; at < f.count; at += N * kWidth) {
    for (int n = 0; n < N; ++n) {
      PackColumn<N>(f.Places(at + n * kWidth, kWidth), to + n * kWidth);
    }
    to += f.depth * N * kWidth;
  }
}

template <int N>
void AddProduct(int64_t rows, int64_t columns, int64_t depth, Matrix a,
                const float* b, int64_t b_row, float* c, int64_t c_row) {
  constexpr int64_t kWide = N * kWidth;
  static thread_local Scratch of_a, of_b;
  // Columns that lie far apart are copied together, or a would be fetched line
  // by line for each row of tiles.
  const bool far = a.column > 256;
  const int64_t most =
      far ? kDepth<N> : std::min(kDepth<N>, 8192 / a.column);
  // Panels of b are read where they are if that is close enough
  const bool as_is = columns % kWide == 0 && b_row <= 256;
  float* panels = as_is ? nullptr : of_b.Get(RoundUp(columns, kWide) * most);
  for (int64_t k = 0; k < depth; k += most) {
    const int64_t part = std::min(most, depth - k);
    if (!as_is) {
      PackPanels<N>({b + k * b_row, b_row, columns, part, false}, panels);
    }
    float* packed = nullptr;
    if (far) {
      packed = of_a.Get(rows * part);
      for (int64_t i = 0; i < part; i += 8) {
        const int64_t some = std::min<int64_t>(8, part - i);
        ForBlocks<kRows<N>>(rows, [&]<int M>(int64_t at) {
          float* to = packed + at * part + i * M;
          for (int64_t j = 0; j < some; ++j) {
            std::memcpy(to + j * M, a.From(at, k + i + j).data,
                        sizeof(float) * M);
          }
        });
      }
    }
    for (int64_t first = 0; first < columns; first += kWide) {
      ForBlocks<kRows<N>>(rows, [&]<int M>(int64_t at) {
        const Matrix own = far ? Matrix{packed + at * part, 1, M}
                               : a.From(at, k);
        Vec sums[M][N];
        float* out = c + at * c_row + first;
        LoadSums(sums, out, c_row, columns - first);
        const float* panel =
            as_is ? b + k * b_row + first : panels + first * part;
        Multiply(sums, own, panel, as_is ? b_row : kWide, part);
        StoreSums(sums, out, c_row, columns - first);
      });
    }
  }
}

// f.template operator()<N>(), with N vectors a row as suit so many columns.
template <class F>
void WithVectors(int64_t columns, F f) {
  if (columns > 2 * kWidth) {
    if (RoundUp(columns, 3 * kWidth) < RoundUp(columns, 4 * kWidth)) {
      f.template operator()<3>();
    } else {
      f.template operator()<4>();
    }
  } else if (columns > kWidth) {
    f.template operator()<2>();
  } else {
    f.template operator()<1>();
  }
}

// c [rows, columns] += a [rows, depth] b [depth, columns]. Rows of b lie
// `b_row` apart, those of c `c_row`.
inline void AddProduct(int64_t rows, int64_t columns, int64_t depth, Matrix a,
                       const float* b, int64_t b_row, float* c, int64_t c_row) {
  WithVectors(columns, [&]<int N>() {
    AddProduct<N>(rows, columns, depth, a, b, b_row, c, c_row);
  });
}

// dw [outputs, inputs] = the outer products of rows of das and xs, summed. Rows
// of das lie `da_row` apart.
inline void SumOuter(int64_t rows, int64_t outputs, int64_t inputs,
                     const float* das, int64_t da_row, const float* xs,
                     float* dw) {
  if (inputs >= kWidth || outputs < kWidth) {
    std::fill_n(dw, outputs * inputs, 0.0f);
    AddProduct(outputs, inputs, rows, {das, 1, da_row}, xs, inputs, dw, inputs);
    return;
  }
  // Too few inputs to fill a vector: the other way round
  static thread_local Scratch of_turned;
  float* turned = of_turned.Get(inputs * outputs);
  std::fill_n(turned, inputs * outputs, 0.0f);
  AddProduct(inputs, outputs, rows, {xs, 1, inputs}, das, da_row, turned,
             outputs);
  for (int64_t j = 0; j < outputs; ++j) {
    for (int64_t i = 0; i < inputs; ++i) {
      dw[j * inputs + i] = turned[i * outputs + j];
    }
  }
}

// db [outputs] = rows of das, which lie `da_row` apart, summed.
inline void SumRows(int64_t rows, int64_t outputs, const float* das,
                    int64_t da_row, float* db) {
  for (int64_t j = 0; j < outputs; j += kWidth) {
    Vec sums[4] = {};  // an addition waits for the one before
    for (int64_t r = 0; r < rows; ++r) {
      sums[r % 4] += Load(das + r * da_row + j, outputs - j);
    }
    Store(db + j, (sums[0] + sums[1]) + (sums[2] + sums[3]), outputs - j);
  }
}

// Rows of a product whose sums stay in the second cache.
constexpr int64_t kRowsAtOnce = 192;

// c [rows, columns] = a [rows, depth] b [depth, columns] + bias [columns]. Rows
// of a lie `a_row` apart, those of c `c_row`. b may lie turned, [columns,
// depth].
inline void Product(int64_t rows, int64_t columns, int64_t depth,
                    const float* a, int64_t a_row, const float* b, bool turned,
                    float* c, int64_t c_row, const float* bias) {
  const Factor right = {b, turned ? depth : columns, columns, depth, turned};
  static thread_local Scratch of_b;
  WithVectors(columns, [&]<int N>() {
    float* panels = of_b.Get(RoundUp(columns, N * kWidth) * depth);
    PackPanels<N>(right, panels);
    std::vector<Part> parts;
    for (int64_t at = 0; at < rows; at += kRowsAtOnce) {
      for (int64_t first = 0; first < columns; first += N * kWidth) {
        parts.clear();
        AddParts<N>({a + at * a_row, a_row, panels + first * depth, depth},
                    parts);
        Tiles<N>(
            std::min(kRowsAtOnce, rows - at), parts,
            [&]<int M>(int64_t, Vec(&sums)[M][N]) {
              Vec start[1][N] = {};
              if (bias) LoadSums(start, bias + first, 0, columns - first);
#pragma GCC unroll 16
              for (int m = 0; m < M; ++m) {
#pragma GCC unroll 8
                for (int n = 0; n < N; ++n) sums[m][n] = start[0][n];
              }
            },
            [&]<int M>(int64_t from, Vec(&sums)[M][N]) {
              StoreSums(sums, c + (at + from) * c_row + first, c_row,
                        columns - first);
            });
      }
    }
  });
}

// Products of weights, packed once, with the rows of each step of a loop.
// Results come in blocks of N columns, each a vector of kWidth places. Rows and
// weights may be in parts, each of its own depth.
template <int N>
class StepProduct {
 public:
  StepProduct(int64_t blocks, std::vector<int64_t> depths)
      : depths_(std::move(depths)) {
    static thread_local Scratch of_weights;
    for (int64_t depth : depths_) {
      places_.push_back(panel_size_);
      panel_size_ += depth * N * kWidth;
    }
    panels_ = of_weights.Get(blocks * panel_size_);
  }

  // A part of the weights of one column of a block.
  void Pack(int64_t block, int column, int part, Factor weights) {
    PackColumn<N>(weights, panels_ + block * panel_size_ + places_[part] +
                               column * kWidth);
  }

  // The next step, of so many rows; then its parts, from the first one on.
  void Begin(int64_t rows) {
    rows_ = rows;
    read_.clear();
  }

  void Read(const float* a, int64_t row) {
    read_.push_back({a, row, nullptr, depths_[read_.size()]});
  }

  // As `Tiles`.
  template <class Start, class Finish>
  void Sum(int64_t block, Start start, Finish finish) {
    parts_.clear();
    for (size_t i = 0; i < read_.size(); ++i) {
      Part part = read_[i];
      part.panel = panels_ + block * panel_size_ + places_[i];
      AddParts<N>(part, parts_);
    }
    Tiles<N>(rows_, parts_, start, finish);
  }

 private:
  std::vector<int64_t> depths_, places_;
  int64_t rows_ = 0, panel_size_ = 0;
  float* panels_ = nullptr;
  std::vector<Part> read_, parts_;
};

}  // namespace weightspace
