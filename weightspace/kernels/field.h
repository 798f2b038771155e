// A matrix of channels in a layer that is equivariant to the order of its rows
// and to that of its columns.

#pragma once

#include "product.h"

namespace weightspace {

// Of the matrix, and of the channels of a place before and after.
struct FieldSizes {
  int64_t rows, columns, inputs, outputs;
};

// f(in_row, count, for_columns) for the vectors of a row's channels, of which
// `count` are there; for_columns(g) calls g(place, in_column) for each of its
// places. in_row, place and in_column are where they begin in arrays [rows,
// outputs], [rows, columns, outputs] and [columns, outputs].
template <class F>
INLINE void ForChannels(FieldSizes n, int64_t row, F f) {
  const int64_t size = n.outputs;
  for (int64_t channel = 0; channel < size; channel += kWidth) {
    f(row * size + channel, size - channel, [&](auto g) {
      for (int64_t column = 0; column < n.columns; ++column) {
        const int64_t in_column = column * size + channel;
        g(row * n.columns * size + in_column, in_column);
      }
    });
  }
}

// y [rows, columns, outputs] = relu(x w + of_rows + of_columns), and its means
// over columns [rows, outputs] and over rows [columns, outputs]. What is added
// has the shapes of the means; x [rows, columns, inputs], w [inputs, outputs].
inline void UpdateField(FieldSizes n, const float* x, const float* w,
                         const float* of_rows, const float* of_columns,
                         float* y, float* over_columns, float* over_rows,
                         bool halves) {
  const int64_t size = n.outputs;
  Product(n.rows * n.columns, size, n.inputs, x, n.inputs, w, /*turned=*/false,
          y, size, nullptr, halves);
  std::fill_n(over_rows, n.columns * size, 0.0f);
  for (int64_t row = 0; row < n.rows; ++row) {
    ForChannels(n, row, [&](int64_t in_row, int64_t count, auto for_columns) {
      const Vec of_row = Load(of_rows + in_row, count);
      Vec sum = {};
      for_columns([&](int64_t place, int64_t in_column) {
        Vec a = Load(y + place, count) + of_row +
                Load(of_columns + in_column, count);
        a = a < 0.0f ? Vec{} : a;
        Store(y + place, a, count);
        sum += a;
        float* over_row = over_rows + in_column;
        Store(over_row, Load(over_row, count) + a, count);
      });
      Store(over_columns + in_row, sum / float(n.columns), count);
    });
  }
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
    ForChannels(n, row, [&](int64_t in_row, int64_t count, auto for_columns) {
      const Vec of_mean = Load(dover_columns + in_row, count) * of_column;
      Vec sum = {};
      for_columns([&](int64_t place, int64_t in_column) {
        Vec da = Load(dy + place, count) + of_mean +
                 Load(dover_rows + in_column, count) * of_row;
        da = Load(y + place, count) > 0.0f ? da : Vec{};
        Store(das + place, da, count);
        sum += da;
        float* dof_column = dof_columns + in_column;
        Store(dof_column, Load(dof_column, count) + da, count);
      });
      Store(dof_rows + in_row, sum, count);
    });
  }
  SumOuter(places, n.inputs, size, x, n.inputs, das, dw, halves);
  Product(places, n.inputs, size, das, size, w, /*turned=*/true, dx, n.inputs,
          nullptr, halves);
}

}  // namespace weightspace
