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
                        const float* of_rows, const float* of_columns, float* y,
                        float* over_columns, float* over_rows, int halves) {
  const int64_t size = n.outputs;
  Product(n.rows * n.columns, size, n.inputs, x, n.inputs, w, /*turned=*/false,
          y, size, nullptr, halves);
  std::fill_n(over_rows, n.columns * size, 0.0f);
  for (int64_t row = 0; row < n.rows; ++row) {
    float* const ys = y + row * n.columns * size;
    for (int64_t k = 0; k < size; k += kWidth) {
      const int64_t count = size - k;
      const Vec of_row = Load(of_rows + row * size + k, count);
      Vec sum = {};
      for (int64_t at = k; at < n.columns * size; at += size) {
        Vec a = Load(ys + at, count) + of_row + Load(of_columns + at, count);
        a = a < 0.0f ? Vec{} : a;
        Store(ys + at, a, count);
        sum += a;
        Store(over_rows + at, Load(over_rows + at, count) + a, count);
      }
      Store(over_columns + row * size + k, sum / float(n.columns), count);
    }
  }
  for (int64_t i = 0; i < n.columns * size; ++i) over_rows[i] /= n.rows;
}

// The gradients of what it reads, by those of its three results.
inline void FieldGradients(FieldSizes n, const float* x, const float* w,
                           const float* y, const float* dy,
                           const float* dover_columns, const float* dover_rows,
                           float* dx, float* dw, float* dof_rows,
                           float* dof_columns, int halves) {
  static thread_local Scratch of_sums;
  const int64_t size = n.outputs, places = n.rows * n.columns;
  float* das = of_sums.Get(places * size);  // of what relu reads
  std::fill_n(dof_columns, n.columns * size, 0.0f);
  const float of_column = 1.0f / n.columns, of_row = 1.0f / n.rows;
  for (int64_t row = 0; row < n.rows; ++row) {
    const int64_t first = row * n.columns * size;
    for (int64_t k = 0; k < size; k += kWidth) {
      const int64_t count = size - k;
      const Vec of_mean = Load(dover_columns + row * size + k, count) *
                          of_column;
      Vec sum = {};
      for (int64_t at = k; at < n.columns * size; at += size) {
        Vec da = Load(dy + first + at, count) + of_mean +
                 Load(dover_rows + at, count) * of_row;
        da = Load(y + first + at, count) > 0.0f ? da : Vec{};
        Store(das + first + at, da, count);
        sum += da;
        Store(dof_columns + at, Load(dof_columns + at, count) + da, count);
      }
      Store(dof_rows + row * size + k, sum, count);
    }
  }
  SumOuter(places, n.inputs, size, x, n.inputs, das, dw, halves);
  Product(places, n.inputs, size, das, size, w, /*turned=*/true, dx, n.inputs,
          nullptr, halves);
}

}  // namespace weightspace
