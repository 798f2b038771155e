// Matrix products: tiles of a result in registers, panels of a factor in cache.

#pragma once

#include <algorithm>
#include <vector>

#include "vector.h"

namespace weightspace {

// Scratch memory that is kept from call to call; each thread has its own.
// Aligned to a line of the cache.
class Scratch {
 public:
  float* Get(size_t count) {
    if (memory_.size() < count + 16) memory_.resize(count + 16);
    const auto address = reinterpret_cast<uintptr_t>(memory_.data());
    return memory_.data() + (64 - address % 64) % 64 / sizeof(float);
  }

 private:
  std::vector<float> memory_;
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

// Calls f.template operator()<M>(first row) for blocks of rows, of M in four
// sizes up to `Most`, the last two of about the same size.
template <int Most, class F>
inline void ForBlocks(int64_t rows, F f) {
  constexpr int kSome = std::max(1, Most * 2 / 3), kFew = std::max(1, Most / 3);
  int64_t at = 0;
  while (at < rows) {
    const int64_t left = rows - at;
    if (left >= 2 * Most || left == Most) {
      f.template operator()<Most>(at);
      at += Most;
    } else if (left >= kSome) {
      f.template operator()<kSome>(at);
      at += kSome;
    } else if (left >= kFew) {
      f.template operator()<kFew>(at);
      at += kFew;
    } else {
      f.template operator()<1>(at);
      at += 1;
    }
  }
}

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

// b [depth, columns] as panels of N vectors a row, with 0 where b has no more
// columns. Rows of b lie `row` apart.
template <int N>
void PackPanels(const float* b, int64_t row, int64_t depth, int64_t columns,
                float* to) {
  for (int64_t first = 0; first < columns; first += N * kWidth) {
    for (int64_t k = 0; k < depth; ++k, to += N * kWidth) {
      for (int n = 0; n < N; ++n) {
        const int64_t column = first + n * kWidth;
        Store(to + n * kWidth, Load(b + k * row + column, columns - column));
      }
    }
  }
}

// The same of a b whose columns are what lies together, `column` apart.
template <int N>
void PackTurned(const float* b, int64_t column, int64_t depth, int64_t columns,
                float* to) {
  for (int64_t first = 0; first < columns; first += N * kWidth) {
    for (int64_t k = 0; k < depth; k += kWidth) {
      const int64_t rows = std::min<int64_t>(kWidth, depth - k);
      for (int n = 0; n < N; ++n) {
        const int64_t at = first + n * kWidth;
        Vec block[kWidth] = {};
        for (int64_t j = 0; j < std::min<int64_t>(kWidth, columns - at); ++j) {
          block[j] = Load(b + (at + j) * column + k, rows);
        }
        Transpose(block);
        for (int64_t i = 0; i < rows; ++i) {
          Store(to + (k + i) * N * kWidth + n * kWidth, block[i]);
        }
      }
    }
    to += depth * N * kWidth;
  }
}

inline int64_t RoundUp(int64_t count, int64_t unit) {
  return (count + unit - 1) / unit * unit;
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
    if (!as_is) PackPanels<N>(b + k * b_row, b_row, part, columns, panels);
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
        for (int m = 0; m < M; ++m) {
          for (int n = 0; n < N; ++n) {
            sums[m][n] = Load(out + m * c_row + n * kWidth,
                              columns - first - n * kWidth);
          }
        }
        const float* panel =
            as_is ? b + k * b_row + first : panels + first * part;
        Multiply(sums, own, panel, as_is ? b_row : kWide, part);
        for (int m = 0; m < M; ++m) {
          for (int n = 0; n < N; ++n) {
            Store(out + m * c_row + n * kWidth, sums[m][n],
                  columns - first - n * kWidth);
          }
        }
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

// db [outputs] = rows of das, summed.
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
// of a lie `a_row` apart. b may lie turned, [columns, depth].
inline void Product(int64_t rows, int64_t columns, int64_t depth,
                    const float* a, int64_t a_row, const float* b, float* c,
                    const float* bias = nullptr, bool turned = false) {
  static thread_local Scratch of_b;
  WithVectors(columns, [&]<int N>() {
    float* panels = of_b.Get(RoundUp(columns, N * kWidth) * depth);
    if (turned) {
      PackTurned<N>(b, depth, depth, columns, panels);
    } else {
      PackPanels<N>(b, columns, depth, columns, panels);
    }
    std::vector<Part> parts;
    for (int64_t at = 0; at < rows; at += kRowsAtOnce) {
      for (int64_t first = 0; first < columns; first += N * kWidth) {
        parts.clear();
        AddParts<N>({a + at * a_row, a_row, panels + first * depth, depth},
                    parts);
        Tiles<N>(
            std::min(kRowsAtOnce, rows - at), parts,
            [&]<int M>(int64_t, Vec(&sums)[M][N]) {
              for (int v = 0; v < N; ++v) {
                const int64_t now = first + v * kWidth;
                const Vec start = bias ? Load(bias + now, columns - now)
                                       : Vec{};
                for (int m = 0; m < M; ++m) sums[m][v] = start;
              }
            },
            [&]<int M>(int64_t from, Vec(&sums)[M][N]) {
              for (int m = 0; m < M; ++m) {
                for (int v = 0; v < N; ++v) {
                  const int64_t now = first + v * kWidth;
                  Store(c + (at + from + m) * columns + now, sums[m][v],
                        columns - now);
                }
              }
            });
      }
    }
  });
}

}  // namespace weightspace
