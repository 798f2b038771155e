// Products of tiles of bfloat16 numbers, by what the processor has for them:
// its tile registers (AMX), or vectors of pairs (AVX512_BF16).

#pragma once

#include <cstdint>
#include <cstring>

#include "vector.h"

#if defined(__AVX512BF16__) && defined(__AVX512BW__)
#define WEIGHTSPACE_HALVES 1
#if defined(__AMX_BF16__) && defined(__linux__)
#define WEIGHTSPACE_TILE_REGISTERS 1
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace weightspace {

// A tile: 16 rows of 16 pairs of bfloat16, or of 16 floats.
constexpr int kTile = 16, kTileDepth = 2 * kTile;
constexpr int64_t kTileHalves = kTile * kTileDepth;

#if WEIGHTSPACE_HALVES

// A tile of floats in memory, rows of which lie `row` apart. Where sums start,
// null is 0.
struct TileOfSums {
  float* numbers;
  int64_t row;
};

constexpr auto kZeroTiles = [](int64_t, int64_t) -> TileOfSums {
  return {nullptr, 0};
};

// f.template operator()<T>(row, column) for each tile T of R x C.
template <int R, int C, class F>
INLINE void ForTiles(F f) {
  f.template operator()<0>(0, 0);
  if constexpr (C == 2) f.template operator()<1>(0, 1);
  if constexpr (R == 2) f.template operator()<C>(1, 0);
  if constexpr (R == 2 && C == 2) f.template operator()<3>(1, 1);
}

#if WEIGHTSPACE_TILE_REGISTERS

// Most halves of a number with which products are faster than those of floats.
constexpr int kMostHalves = 2;

// The same; 0, not those of vectors, if Linux refuses tiles to this process.
inline int HalvesHere() {
  constexpr int kRequest = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM
  static const bool granted = syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
  return granted ? kMostHalves : 0;
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
      config.row_bytes[i] = kTile * sizeof(float);
      config.rows[i] = kTile;
    }
    asm volatile("ldtilecfg %0" ::"m"(config));
  }
  ~TileRegisters() { asm volatile("tilerelease"); }
  TileRegisters(const TileRegisters&) = delete;
  TileRegisters& operator=(const TileRegisters&) = delete;
};

// Rows lie so many bytes apart.
template <int T>
INLINE void LoadTile(const void* from, int64_t row = kTile * sizeof(float)) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(row), "i"(T)
               : "memory");
}

template <int T>
INLINE void StartTile(TileOfSums from) {
  if (from.numbers) {
    LoadTile<T>(from.numbers, from.row * sizeof(float));
  } else {
    asm volatile("tilezero %%tmm%c0" ::"i"(T));
  }
}

template <int T>
INLINE void StoreTile(TileOfSums to) {
  const int64_t row = to.row * sizeof(float);
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to.numbers), "r"(row),
               "i"(T)
               : "memory");
}

// C += A B
template <int C, int A, int B>
INLINE void AddProductOfTiles() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A),
               "i"(B));
}

// to(row, column) = from(row, column) + products over `depth` tiles of H
// halves, for R x C tiles. Blocks of 16 places lie `a_block` and `b_block`
// apart. `meanwhile` is called once for each tile of depth.
template <int R, int C, int H, class From, class To, class F>
INLINE void MultiplyTiles(const uint16_t* a, int64_t a_block, const uint16_t* b,
                          int64_t b_block, int64_t depth, From from, To to,
                          F meanwhile) {
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
  ForTiles<R, C>([&]<int T>(int64_t i, int64_t j) {
    StartTile<T>(from(i, j));
  });
  // Each two neighbours share a factor, which stays in its registers
  for (int64_t k = 0; k < depth;
       ++k, a += H * kTileHalves, b += H * kTileHalves) {
    if constexpr (H == 2) {
      multiply.template operator()<true, true>(a + kTileHalves, b);
      multiply.template operator()<true, false>(a, b);
      multiply.template operator()<false, true>(a, b + kTileHalves);
    } else {
      multiply.template operator()<true, true>(a, b);
    }
    meanwhile();
  }
  ForTiles<R, C>([&]<int T>(int64_t i, int64_t j) { StoreTile<T>(to(i, j)); });
}

#else

// Products are twice as fast as those of floats: three, for two halves, no gain
constexpr int kMostHalves = 1;

inline int HalvesHere() { return kMostHalves; }

struct TileRegisters {};

// As with tiles, but that `meanwhile` comes first: vectors leave nothing idle.
template <int R, int C, int H, class From, class To, class F>
INLINE void MultiplyTiles(const uint16_t* a, int64_t a_block, const uint16_t* b,
                          int64_t b_block, int64_t depth, From from, To to,
                          F meanwhile) {
  static_assert(H == 1);
  // Sums that are in registers at a time: enough to hide how long one takes,
  // and two columns share a factor
  constexpr int kSome = kTile / C;
  for (int64_t k = 0; k < depth; ++k) meanwhile();
  for (int r = 0; r < R * kTile; r += kSome) {
    const auto place = [&](auto of_tile, int m, int c) {
      const TileOfSums tile = of_tile(r / kTile, c);
      return tile.numbers ? tile.numbers + (r % kTile + m) * tile.row : nullptr;
    };
    Vec sums[kSome][C];
#pragma GCC unroll 16
    for (int m = 0; m < kSome; ++m) {
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c) {
        const float* start = place(from, m, c);
        sums[m][c] = start ? Load(start) : Vec{};
      }
    }
    const uint16_t* x = a + r / kTile * a_block + r % kTile * kTileDepth;
    const uint16_t* y = b;
    for (int64_t k = 0; k < depth; ++k, x += kTileHalves, y += kTileHalves) {
      for (int p = 0; p < kTile; ++p) {
        __m512bh columns[C];
#pragma GCC unroll 2
        for (int c = 0; c < C; ++c) {
          columns[c] = (__m512bh)_mm512_load_si512(y + c * b_block +
                                                   p * kTileDepth);
        }
#pragma GCC unroll 16
        for (int m = 0; m < kSome; ++m) {
          int pair;
          std::memcpy(&pair, x + m * kTileDepth + 2 * p, sizeof(pair));
          const auto row = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 2
          for (int c = 0; c < C; ++c) {
            sums[m][c] = (Vec)_mm512_dpbf16_ps((__m512)sums[m][c], row,
                                               columns[c]);
          }
        }
      }
    }
#pragma GCC unroll 16
    for (int m = 0; m < kSome; ++m) {
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c) Store(place(to, m, c), sums[m][c]);
    }
  }
}

#endif

template <int R, int C, int H, class From, class To>
INLINE void MultiplyTiles(const uint16_t* a, int64_t a_block, const uint16_t* b,
                          int64_t b_block, int64_t depth, From from, To to) {
  MultiplyTiles<R, C, H>(a, a_block, b, b_block, depth, from, to, [] {});
}

#else

constexpr int kMostHalves = 0;

inline int HalvesHere() { return kMostHalves; }

struct TileRegisters {};

#endif

}  // namespace weightspace
