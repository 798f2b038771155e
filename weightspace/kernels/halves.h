// Matrix products by what recent processors have for bfloat16, in tiles.
//
// A factor is split in two bfloat16 numbers, a high and a low half, whose sum
// has 16 bits of mantissa or more. Of the four products of halves, that of the
// low ones is left out: what is lost of a product of two numbers is some 2^-16
// of it, a hundredth of what TensorFloat32 loses; infinities become NaN. Or it
// is its high half alone, as whoever asks for bfloat16 wants it. Sums are in
// float32. `halves` and H are how many halves a number has, 0 for float32.

#pragma once

#include <algorithm>
#include <utility>

#include "blocks.h"
#include "multiply.h"
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

  Factor Depth(int64_t first, int64_t most) const {
    return {data + first * (along ? 1 : row), row, count,
            std::min(most, depth - first), along};
  }
};

#if WEIGHTSPACE_HALVES

template <int H>
constexpr int64_t kTiles = H * kTileHalves;  // bfloat16 numbers of H such
constexpr int kSomeRows = 4;                 // that are finished together

// Numbers of a vector of 32, in halves: the high ones, then the low ones.
template <int H>
struct Halves {
  __m512i half[H];

  Halves() = default;

  // Of two vectors, the numbers of the first one first.
  INLINE Halves(Vec a, Vec b) {
    half[0] = (__m512i)_mm512_cvtne2ps_pbh(b, a);
    if constexpr (H == 2) {
      const auto [c, d] = Widen(half[0]);
      half[1] = (__m512i)_mm512_cvtne2ps_pbh(b - d, a - c);
    }
  }

  // What is left of the two vectors.
  INLINE std::pair<Vec, Vec> Numbers() const {
    auto [a, b] = Widen(half[0]);
    if constexpr (H == 2) {
      const auto [c, d] = Widen(half[1]);
      a += c;
      b += d;
    }
    return {a, b};
  }

 private:
  INLINE static std::pair<Vec, Vec> Widen(__m512i half) {
    const auto widen = [](__m256i x) {
      return (Vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16);
    };
    return {widen(_mm512_castsi512_si256(half)),
            widen(_mm512_extracti64x4_epi64(half, 1))};
  }
};

INLINE void Transpose(__m512i (&rows)[kTile]) {
  Transpose(reinterpret_cast<Vec(&)[kTile]>(rows));
}

// Up to 16 places by 32 of depth, as tiles of halves of a left or a right
// factor. What is beyond is 0.
template <bool kAlong, bool kLeft, int H>
INLINE void PackTile(Factor f, uint16_t* to) {
  __m512i tiles[H][kTile];
  static const __m512i kPairs = [] {
    alignas(64) uint16_t order[32];
    for (int i = 0; i < 32; ++i) order[i] = i / 2 + i % 2 * 16;
    return _mm512_load_si512(order);
  }();
  const int64_t rows = kAlong ? f.count : f.depth;
  const int64_t columns = kAlong ? f.depth : f.count;
  for (int i = 0; i < kTile; ++i) {
    Vec a = {}, b = {};
    if (kAlong && i < rows) {
      a = Load(f.data + i * f.row, columns);
      b = Load(f.data + i * f.row + kWidth, columns - kWidth);
    } else if (!kAlong) {
      if (2 * i < rows) a = Load(f.data + 2 * i * f.row, columns);
      if (2 * i + 1 < rows) b = Load(f.data + (2 * i + 1) * f.row, columns);
    }
    const Halves<H> x(a, b);
    for (int h = 0; h < H; ++h) {
      tiles[h][i] = kAlong ? x.half[h]
                           : _mm512_permutexvar_epi16(kPairs, x.half[h]);
    }
  }
  for (int h = 0; h < H; ++h, to += kTileHalves) {
    if (kAlong != kLeft) Transpose(tiles[h]);
    for (int i = 0; i < kTile; ++i) {
      _mm512_store_si512(to + i * kTileDepth, tiles[h][i]);
    }
  }
}

inline int64_t TilesOf(int64_t count) { return RoundUp(count, kTile) / kTile; }

inline int64_t DepthTiles(int64_t depth) {
  return RoundUp(depth, kTileDepth) / kTileDepth;
}

// [places / 16][depth / 32][half] tiles, those of 16 places `block` apart.
template <bool kLeft, int H>
void PackTiles(Factor f, uint16_t* to, int64_t block) {
  for (int64_t at = 0; at < f.count; at += kTile, to += block) {
    for (int64_t k = 0; k < f.depth; k += kTileDepth) {
      const Factor tile = f.Places(at, kTile).Depth(k, kTileDepth);
      uint16_t* tiles = to + k / kTileDepth * kTiles<H>;
      if (f.along) {
        PackTile<true, kLeft, H>(tile, tiles);
      } else {
        PackTile<false, kLeft, H>(tile, tiles);
      }
    }
  }
}

// f.template operator()<1 or 2>(first) over `count`, mostly in twos.
template <class F>
INLINE void InTwos(int64_t count, F f) {
  int64_t at = 0;
  for (; at + 2 <= count; at += 2) f.template operator()<2>(at);
  if (at < count) f.template operator()<1>(at);
}

// Whether a product of that size is worth splitting its factors.
inline bool HalvesServe(int halves, int64_t rows, int64_t columns,
                        int64_t depth) {
  return halves > 0 && halves <= HalvesHere() &&
         std::min({rows, columns, depth}) >= kTile;
}

// f.template operator()<H>(), of halves that serve: at most HalvesHere().
template <class F>
void WithHalves(int halves, F f) {
  if (halves == 1) {
    f.template operator()<1>();
  } else if constexpr (kMostHalves >= 2) {
    f.template operator()<2>();
  }
}

// Whether a tile of so many rows and columns, or more, is a whole one.
INLINE bool Whole(int64_t rows, int64_t columns) {
  return std::min(rows, columns) >= kTile;
}

// c [a.count, b.count] = a b + bias [b.count]. Rows of c lie `c_row` apart.
template <int H>
void ProductOfHalves(Factor a, Factor b, float* c, int64_t c_row,
                     const float* bias) {
  static thread_local Scratch of_a, of_b, of_bias;
  // As much of a factor as stays in the second cache, and a depth of which two
  // columns of tiles stay in the first
  constexpr int64_t kMany = 256, kDeep = 256;
  [[maybe_unused]] const TileRegisters registers;
  alignas(64) float edge[4][kTile * kTile];
  float* start = of_bias.Get(RoundUp(b.count, kTile));
  std::fill_n(start, RoundUp(b.count, kTile), 0.0f);
  if (bias) std::copy_n(bias, b.count, start);
  for (int64_t k = 0; k < a.depth; k += kDeep) {
    const Factor right = b.Depth(k, kDeep);
    const int64_t depth = DepthTiles(right.depth), block = depth * kTiles<H>;
    auto* bs = of_b.GetHalves(TilesOf(b.count) * block);
    PackTiles<false, H>(right, bs, block);
    for (int64_t at = 0; at < a.count; at += kMany) {
      const Factor left = a.Places(at, kMany).Depth(k, kDeep);
      auto* as = of_a.GetHalves(TilesOf(left.count) * block);
      PackTiles<true, H>(left, as, block);
      InTwos(TilesOf(b.count), [&]<int C>(int64_t column) {
        InTwos(TilesOf(left.count), [&]<int R>(int64_t row) {
          const int64_t m = at + row * kTile, n = column * kTile;
          // A tile of c, or of `edge` if that is not whole
          const auto place = [&](int64_t i, int64_t j) -> TileOfSums {
            if (Whole(a.count - m - i * kTile, b.count - n - j * kTile)) {
              return {c + (m + i * kTile) * c_row + n + j * kTile, c_row};
            }
            return {edge[i * C + j], kTile};
          };
          // copy(in c, in `edge`, columns) for rows of tiles that are not whole
          const auto at_edges = [&](auto copy) {
            ForTiles<R, C>([&]<int T>(int64_t i, int64_t j) {
              const int64_t rows = a.count - m - i * kTile;
              const int64_t columns = b.count - n - j * kTile;
              if (Whole(rows, columns)) return;
              float* to = c + (m + i * kTile) * c_row + n + j * kTile;
              for (int64_t r = 0; r < std::min<int64_t>(rows, kTile); ++r) {
                copy(to + r * c_row, edge[T] + r * kTile, columns);
              }
            });
          };
          if (k > 0) {
            at_edges([](const float* whole, float* part, int64_t columns) {
              Store(part, Load(whole, columns));
            });
          }
          MultiplyTiles<R, C, H>(
              as + row * block, block, bs + column * block, block, depth,
              [&](int64_t i, int64_t j) -> TileOfSums {
                // The same in each row
                if (k == 0) return {start + n + j * kTile, 0};
                return place(i, j);
              },
              place);
          at_edges([](float* whole, const float* part, int64_t columns) {
            Store(whole, Load(part), columns);
          });
        });
      });
    }
  }
}

// The product of rows, packed as a left factor, and N columns of tiles, `b`.
// For blocks of M rows `start<M>(row, sums)` says what it is added to and
// `finish<M>(row, sums)` takes the result.
template <int N, int H, class Start, class Finish>
inline void TilesOfHalves(int64_t rows, const uint16_t* a, const uint16_t* b,
                          int64_t block, int64_t depth, Start start,
                          Finish finish) {
  alignas(64) float products[2 * N][kTile * kTile];
  for (int64_t at = 0; at < rows; at += 2 * kTile, a += 2 * block) {
    const int64_t some = std::min<int64_t>(2 * kTile, rows - at);
    InTwos(N, [&]<int C>(int64_t column) {
      InTwos(TilesOf(some), [&]<int R>(int64_t) {
        MultiplyTiles<R, C, H>(
            a, block, b + column * block, block, depth, kZeroTiles,
            [&](int64_t i, int64_t j) -> TileOfSums {
              return {products[i * N + column + j], kTile};
            });
      });
    });
    ForBlocks<kSomeRows>(some, [&]<int M>(int64_t from) {
      Vec sums[M][N];
      start.template operator()<M>(at + from, sums);
      for (int m = 0; m < M; ++m) {
        for (int n = 0; n < N; ++n) {
          const int64_t row = from + m;
          sums[m][n] += Load(products[row / kTile * N + n] +
                             row % kTile * kTile);
        }
      }
      finish.template operator()<M>(at + from, sums);
    });
  }
}

#else  // HalvesHere and HalvesServe say no; nothing else is ever called

template <int H>
constexpr int64_t kTiles = 0;

inline bool HalvesServe(int, int64_t, int64_t, int64_t) { return false; }

template <class F>
void WithHalves(int, F) {}

inline int64_t TilesOf(int64_t) { return 0; }

inline int64_t DepthTiles(int64_t) { return 0; }

template <bool kLeft, int H>
void PackTiles(Factor, uint16_t*, int64_t) {}

template <int H>
void ProductOfHalves(Factor, Factor, float*, int64_t, const float*) {}

template <int N, int H, class Start, class Finish>
void TilesOfHalves(int64_t, const uint16_t*, const uint16_t*, int64_t, int64_t,
                   Start, Finish) {}

#endif

}  // namespace weightspace
