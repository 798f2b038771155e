// A linear layer, forward and backward.

#pragma once

#include "product.h"

namespace weightspace {

// ys [rows, outputs] = xs [rows, inputs] w^T + b; w [outputs, inputs].
inline void ApplyLinear(int64_t rows, int64_t inputs, int64_t outputs,
                        const float* w, const float* b, const float* xs,
                        float* ys) {
  Product(rows, outputs, inputs, xs, inputs, w, /*turned=*/true, ys, outputs, b);
}

inline void LinearGradients(int64_t rows, int64_t inputs, int64_t outputs,
                            const float* w, const float* xs, const float* dys,
                            float* dw, float* db, float* dxs) {
  SumOuter(rows, outputs, inputs, dys, outputs, xs, dw);
  SumRows(rows, outputs, dys, outputs, db);
  Product(rows, inputs, outputs, dys, outputs, w, /*turned=*/false, dxs, inputs,
          nullptr);
}

}  // namespace weightspace
