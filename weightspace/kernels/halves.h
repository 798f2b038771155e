// Matrix products by the bfloat16 tiles of recent processors.
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
#include "vector.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__) && \
    defined(__AVX512BW__) && defined(__linux__)
#define WEIGHTSPACE_HALVES 1
#include <sys/syscall.h>
#include <unistd.h>
#endif

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

// A tile: 16 rows of 16 pairs of bfloat16, or of 16 floats.
constexpr int kTile = 16, kTileDepth = 2 * kTile;
constexpr int64_t kTileHalves = kTile * kTileDepth;
template <int H>
constexpr int64_t kTiles = H * kTileHalves;  // bfloat16 numbers of H such
constexpr int64_t kTileRow = 64;  // bytes
constexpr int kSomeRows = 4;      // that are finished together

// Whether Linux lets this process use tiles.
inline bool HaveHalves() {
  constexpr int kRequest = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM
  static const bool granted = syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
  return granted;
}

// While it lives, this thread's registers hold tiles.
class TileRegisters {
 public:
  TileRegisters() {
    struct alignas(64) {
      uint8_t palette = 1, start = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {};
      uint8_t rows[16] = {};
    } config;
    for (int i = 0; i < 8; ++i) {
      config.row_bytes[i] = kTileRow;
      config.rows[i] = kTile;
    }
    asm volatile("ldtilecfg %0" ::"m"(config));
  }
  ~TileRegisters() { asm volatile("tilerelease"); }
  TileRegisters(const TileRegisters&) = delete;
  TileRegisters& operator=(const TileRegisters&) = delete;
};

template <int T>
INLINE void ZeroTile() {
  asm volatile("tilezero %%tmm%c0" ::"i"(T));
}

template <int T>
INLINE void LoadTile(const void* from, int64_t row = kTileRow) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(row), "i"(T)
               : "memory");
}

template <int T>
INLINE void StoreTile(void* to, int64_t row = kTileRow) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(row), "i"(T)
               : "memory");
}

// C += A B
template <int C, int A, int B>
INLINE void AddProductOfTiles() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A),
               "i"(B));
}

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

// Tiles 0 to R * C - 1 = products over `depth` tiles, added to what they hold.
// Blocks of 16 places lie `a_block` and `b_block` apart. `meanwhile` is called
// once for each tile of depth.
template <int R, int C, int H, class F>
INLINE void MultiplyTiles(const uint16_t* a, int64_t a_block, const uint16_t* b,
                          int64_t b_block, int64_t depth, F meanwhile) {
  // R x C products of tiles of a and b, of which `kLoad`s are not there yet
  const auto multiply = [&]<bool kLoadA, bool kLoadB>(const uint16_t* x,
                                                      const uint16_t* y) {
    if constexpr (kLoadA) LoadTile<4>(x);
    if constexpr (kLoadB) LoadTile<6>(y);
    AddProductOfTiles<0, 4, 6>();
    if constexpr (C == 2) {
      if constexpr (kLoadB) LoadTile<7>(y + b_block);
      AddProductOfTiles<1, 4, 7>();
    }
    if constexpr (R == 2) {
      if constexpr (kLoadA) LoadTile<5>(x + a_block);
      AddProductOfTiles<C, 5, 6>();
      if constexpr (C == 2) AddProductOfTiles<3, 5, 7>();
    }
  };
  // Each two neighbours share a factor, which stays in its registers
  for (int64_t k = 0; k < depth; ++k, a += kTiles<H>, b += kTiles<H>) {
    if constexpr (H == 2) {
      multiply.template operator()<true, true>(a + kTileHalves, b);
      multiply.template operator()<true, false>(a, b);
      multiply.template operator()<false, true>(a, b + kTileHalves);
    } else {
      multiply.template operator()<true, true>(a, b);
    }
    meanwhile();
  }
}

template <int R, int C, int H>
INLINE void MultiplyTiles(const uint16_t* a, int64_t a_block, const uint16_t* b,
                          int64_t b_block, int64_t depth) {
  MultiplyTiles<R, C, H>(a, a_block, b, b_block, depth, [] {});
}

// f.template operator()<T>(row, column) for each tile T of R x C.
template <int R, int C, class F>
INLINE void ForTiles(F f) {
  f.template operator()<0>(0, 0);
  if constexpr (C == 2) f.template operator()<1>(0, 1);
  if constexpr (R == 2) f.template operator()<C>(1, 0);
  if constexpr (R == 2 && C == 2) f.template operator()<3>(1, 1);
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
  return halves > 0 && HaveHalves() &&
         std::min({rows, columns, depth}) >= kTile;
}

// f.template operator()<H>()
template <class F>
void WithHalves(int halves, F f) {
  if (halves == 1) {
    f.template operator()<1>();
  } else {
    f.template operator()<2>();
  }
}

// c [a.count, b.count] = a b + bias [b.count]. Rows of c lie `c_row` apart.
template <int H>
void ProductOfHalves(Factor a, Factor b, float* c, int64_t c_row,
                            const float* bias) {
  static thread_local Scratch of_a, of_b, of_bias;
  // As much of a factor as stays in the second cache, and a depth of which two
  // columns of tiles stay in the first
  constexpr int64_t kMany = 256, kDeep = 256;
  const TileRegisters registers;
  alignas(64) float edge[kTile * kTile];
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
          // A tile's place in c, its rows and columns, as far as there are some
          const auto place = [&](int64_t i, int64_t j, auto use) {
            const int64_t m = at + (row + i) * kTile, n = (column + j) * kTile;
            use(n, c + m * c_row + n, std::min<int64_t>(a.count - m, kTile),
                b.count - n);
          };
          ForTiles<R, C>([&]<int T>(int64_t i, int64_t j) {
            place(i, j, [&](int64_t n, const float* from, int64_t rows,
                            int64_t columns) {
              if (k == 0) {
                LoadTile<T>(start + n, 0);  // the same in each row
              } else if (rows == kTile && columns >= kTile) {
                LoadTile<T>(from, c_row * sizeof(float));
              } else {
                for (int64_t r = 0; r < rows; ++r) {
                  Store(edge + r * kTile, Load(from + r * c_row, columns));
                }
                LoadTile<T>(edge);
              }
            });
          });
          MultiplyTiles<R, C, H>(as + row * block, block,
                                 bs + column * block, block, depth);
          ForTiles<R, C>([&]<int T>(int64_t i, int64_t j) {
            place(i, j, [&](int64_t, float* to, int64_t rows,
                            int64_t columns) {
              if (rows == kTile && columns >= kTile) {
                StoreTile<T>(to, c_row * sizeof(float));
                return;
              }
              StoreTile<T>(edge);
              for (int64_t r = 0; r < rows; ++r) {
                Store(to + r * c_row, Load(edge + r * kTile), columns);
              }
            });
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
        ForTiles<R, C>([&]<int T>(int64_t, int64_t) { ZeroTile<T>(); });
        MultiplyTiles<R, C, H>(a, block, b + column * block, block, depth);
        ForTiles<R, C>([&]<int T>(int64_t i, int64_t j) {
          StoreTile<T>(products[i * N + column + j]);
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

#else  // HaveHalves and HalvesServe say no; nothing else is ever called

constexpr int kTile = 16;
template <int H>
constexpr int64_t kTiles = 0;

inline bool HaveHalves() { return false; }

inline bool HalvesServe(int, int64_t, int64_t, int64_t) { return false; }

template <class F>
void WithHalves(int, F) {}

inline int64_t TilesOf(int64_t) { return 0; }

inline int64_t DepthTiles(int64_t) { return 0; }

struct TileRegisters {};

template <bool kLeft, int H>
void PackTiles(Factor, uint16_t*, int64_t) {}

template <int H>
void ProductOfHalves(Factor, Factor, float*, int64_t, const float*) {}

template <int N, int H, class Start, class Finish>
void TilesOfHalves(int64_t, const uint16_t*, const uint16_t*, int64_t, int64_t,
                   Start, Finish) {}

#endif

}  // namespace weightspace
