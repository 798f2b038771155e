// A matrix of channels in a layer that is equivariant to the order of its rows
// and to that of its columns.

#pragma once

#include "product.h"

namespace weightspace {

// Of the matrix, and of the channels of a place before and after.
struct FieldSizes {
  int64_t rows, columns, inputs, outputs;
};

// y [rows, columns, outputs] = relu(x w + of_rows + of_columns), and its means
// over columns [rows, outputs] and over rows [columns, outputs]. What is added
// has the shapes of the means; x [rows, columns, inputs], w [inputs, outputs].
inline void UpdateField(FieldSizes n, const float* x, const float* w,
                         const float* of_rows, const float* of_columns,
                         float* y, float* over_columns, float* over_rows,
                         bool halves) {
  const int64_t size = n.outputs, places = n.rows * n.columns;
  std::fill_n(over_columns, n.rows * size, 0.0f);
  std::fill_n(over_rows, n.columns * size, 0.0f);
  WithVectors(size, [&]<int N>() {
    constexpr int64_t kWide = N * kWidth;
    const int64_t blocks = RoundUp(size, kWide) / kWide;
    StepProduct<N> product(blocks, {n.inputs}, std::min(kRowsAtOnce, places),
                           halves);
    for (int64_t block = 0; block < blocks; ++block) {
      for (int v = 0; v < N; ++v) {
        product.Pack(block, v, 0,
                     Factor{w, size, size, n.inputs, false}.Places(
                         block * kWide + v * kWidth, kWidth));
      }
    }
    for (int64_t first = 0; first < places; first += kRowsAtOnce) {
      product.Begin(std::min(kRowsAtOnce, places - first));
      product.Read(x + first * n.inputs, n.inputs);
      for (int64_t block = 0; block < blocks; ++block) {
        // each(row, column, channel, m, v) of the vectors of some places
        const auto for_vectors = [&]<int M>(int64_t at, auto each) {
          int64_t row = (first + at) / n.columns;
          int64_t column = (first + at) % n.columns;
          for (int m = 0; m < M; ++m) {
            for (int v = 0; v < N; ++v) {
              const int64_t channel = block * kWide + v * kWidth;
              each(row * size + channel, column * size + channel,
                   size - channel, m, v);
            }
            if (++column == n.columns) {
              column = 0;
              ++row;
            }
          }
        };
        product.Sum(
            block,
            [&]<int M>(int64_t at, Vec(&sums)[M][N]) {
              for_vectors.template operator()<M>(
                  at, [&](int64_t row, int64_t column, int64_t count, int m,
                          int v) {
                    sums[m][v] = Load(of_rows + row, count) +
                                 Load(of_columns + column, count);
                  });
            },
            [&]<int M>(int64_t at, Vec(&sums)[M][N]) {
              for_vectors.template operator()<M>(
                  at, [&](int64_t row, int64_t column, int64_t count, int m,
                          int v) {
                    const Vec s = sums[m][v];
                    const Vec kept = s < 0.0f ? Vec{} : s;
                    const int64_t channel = block * kWide + v * kWidth;
                    Store(y + (first + at + m) * size + channel, kept, count);
                    for (float* sum : {over_columns + row, over_rows + column}) {
                      Store(sum, Load(sum, count) + kept, count);
                    }
                  });
            });
      }
    }
  });
  for (int64_t i = 0; i < n.rows * size; ++i) over_columns[i] /= n.columns;
  for (int64_t i = 0; i < n.columns * size; ++i) over_rows[i] /= n.rows;
}

// The gradients of what it reads, by those of its three results.
inline void FieldGradients(FieldSizes n, const float* x, const float* w,
                          const float* y, const float* dy,
                          const float* dover_columns, const float* dover_rows,
                          float* dx, float* dw, float* dof_rows,
                          float* dof_columns, bool halves) {
  static thread_local Scratch of_sums;
  const int64_t size = n.outputs, places = n.rows * n.columns;
  float* das = of_sums.Get(places * size);  // of what relu reads
  std::fill_n(dof_columns, n.columns * size, 0.0f);
  const float of_column = 1.0f / n.columns, of_row = 1.0f / n.rows;
  for (int64_t row = 0; row < n.rows; ++row) {
    for (int64_t channel = 0; channel < size; channel += kWidth) {
      const int64_t count = size - channel, in_row = row * size + channel;
      const Vec of_mean = Load(dover_columns + in_row, count) * of_column;
      Vec sum = {};
      for (int64_t column = 0; column < n.columns; ++column) {
        const int64_t in_column = column * size + channel;
        const int64_t place = row * n.columns * size + in_column;
        Vec da = Load(dy + place, count) + of_mean +
                 Load(dover_rows + in_column, count) * of_row;
        da = Load(y + place, count) > 0.0f ? da : Vec{};
        Store(das + place, da, count);
        float* of_columns = dof_columns + in_column;
        Store(of_columns, Load(of_columns, count) + da, count);
        sum += da;
      }
      Store(dof_rows + in_row, sum, count);
    }
  }
  SumOuter(places, n.inputs, size, x, n.inputs, das, dw, halves);
  Product(places, n.inputs, size, das, size, w, /*turned=*/true, dx, n.inputs,
          nullptr, halves);
}

}  // namespace weightspace
