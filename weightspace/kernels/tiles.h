// Products of factors in tiles of halves, and what is made of them meanwhile.
//
// A product comes in blocks. While the tiles of one are multiplied (AMX), or
// before (vectors), the numbers of the one before are used: what they become is
// mostly a factor of the next product, in tiles again, and never lies anywhere
// as floats.

#pragma once

#include <utility>
#include <vector>

#include "halves.h"

#if WEIGHTSPACE_HALVES

namespace weightspace {

constexpr int64_t kSide = 2 * kTile;  // of a block of a product

// Memory of a thread for arrays that all live as long as this does.
class Arena {
 public:
  float* Floats(int64_t count) { return Next().Get(count); }

  uint16_t* Halves(int64_t count) { return Next().GetHalves(count); }

 private:
  Scratch& Next() {
    static thread_local std::vector<Scratch> scratches;
    if (next_ == scratches.size()) scratches.emplace_back();
    return scratches[next_++];
  }

  size_t next_ = 0;
};

// Two rows of 32 numbers as 32 pairs, those of the first 16 columns or of the
// others.
template <bool kSecond>
INLINE __m512i InPairs(__m512i a, __m512i b) {
  struct alignas(64) Order {
    uint16_t places[32];
    constexpr Order() : places() {
      for (int i = 0; i < 32; ++i) {
        places[i] = i / 2 + (kSecond ? 16 : 0) + (i % 2 ? 32 : 0);
      }
    }
  };
  static constexpr Order kOrder;
  return _mm512_permutex2var_epi16(a, _mm512_load_si512(&kOrder), b);
}

// A factor in tiles: places by depth, as `PackTiles` lays it.
template <int H>
struct Packed {
  uint16_t* tiles = nullptr;
  int64_t block = 0;

  Packed() = default;

  // With room for whole tiles of depth either way
  Packed(Arena& arena, int64_t places, int64_t depth)
      : block(DepthTiles(depth) * kTiles<H>) {
    tiles = arena.Halves(TilesOf(RoundUp(places, kTileDepth)) * block);
  }

  static Packed Zeros(Arena& arena, int64_t places, int64_t depth) {
    const Packed made(arena, places, depth);
    std::fill_n(made.tiles, TilesOf(RoundUp(places, kTileDepth)) * made.block,
                uint16_t{0});
    return made;
  }

  // The tile of high halves of these; that of low ones, if any, comes next.
  uint16_t* At(int64_t place, int64_t depth) const {
    return tiles + place / kTile * block + depth / kTileDepth * kTiles<H>;
  }

  // From a place and a depth on, which begin tiles.
  Packed From(int64_t place, int64_t depth) const {
    Packed part = *this;
    part.tiles = At(place, depth);
    return part;
  }

  void PackLeft(Factor f) const { PackTiles<true, H>(f, tiles, block); }

  void PackRight(Factor f, int64_t depth = 0) const {
    PackTiles<false, H>(f, At(0, depth), block);
  }

  // A row of a tile: of a left factor, 32 numbers of a place; of a right one, a
  // pair of depth at 16 places.
  INLINE void PutRow(int64_t row, int64_t depth, Halves<H> x) const {
    uint16_t* to = At(row, depth) + row % kTile * kTileDepth;
    for (int h = 0; h < H; ++h) Put(to + h * kTileHalves, x.half[h]);
  }

  // Of a right factor, rows `depth` and the next one at 32 places, or at 16.
  INLINE void PutPairs(int64_t place, int64_t depth, Halves<H> a, Halves<H> b,
                       bool both) const {
    uint16_t* to = At(place, depth) + depth % kTileDepth / 2 * kTileDepth;
    for (int h = 0; h < H; ++h, to += kTileHalves) {
      Put(to, InPairs<false>(a.half[h], b.half[h]));
      if (both) Put(to + block, InPairs<true>(a.half[h], b.half[h]));
    }
  }

  // Of a right factor, 32 of depth at each of 16 places.
  INLINE void PutPlaces(int64_t place, int64_t depth,
                        const Halves<H> (&places)[kTile]) const {
    uint16_t* to = At(place, depth);
    for (int h = 0; h < H; ++h, to += kTileHalves) {
      __m512i rows[kTile];
      for (int i = 0; i < kTile; ++i) rows[i] = places[i].half[h];
      Transpose(rows);
      for (int i = 0; i < kTile; ++i) Put(to + i * kTileDepth, rows[i]);
    }
  }

  // Pairs of depth [from, the end of its tile) become 0.
  void ZeroPairs(int64_t places, int64_t from) const {
    const int64_t first = (from + 1) / 2 % kTile;
    if (from % kTileDepth == 0 || first == 0) return;
    for (int64_t place = 0; place < places; place += kTile) {
      for (int64_t half = 0; half < kTiles<H>; half += kTileHalves) {
        std::fill_n(At(place, from) + half + first * kTileDepth,
                    (kTile - first) * kTileDepth, uint16_t{0});
      }
    }
  }

 private:
  INLINE static void Put(uint16_t* to, __m512i row) {
    _mm512_store_si512(to, row);
  }
};

// Rows of a left factor, whole tiles of depth of them, as a factor whose depth
// they are: a right one or, turned, a left one.
template <bool kLeft, int H>
inline void Turn(int64_t rows, int64_t columns, Packed<H> from, Packed<H> to) {
  for (int64_t row = 0; row < rows; row += kTileDepth) {
    for (int64_t column = 0; column < columns; column += kTileDepth) {
      for (int64_t half = 0; half < kTiles<H>; half += kTileHalves) {
        __m512i pairs[2][kTile];
        for (int i = 0; i < kTile; ++i) {
          const uint16_t* two = from.At(row + i / 8 * kTile, column) + half +
                                i % 8 * 2 * kTileDepth;
          const __m512i a = _mm512_load_si512(two);
          const __m512i b = _mm512_load_si512(two + kTileDepth);
          pairs[0][i] = InPairs<false>(a, b);
          pairs[1][i] = InPairs<true>(a, b);
        }
        for (int p = 0; p < 2 && column + p * kTile < columns; ++p) {
          if (kLeft) Transpose(pairs[p]);
          uint16_t* tile = to.At(column + p * kTile, row) + half;
          for (int i = 0; i < kTile; ++i) {
            _mm512_store_si512(tile + i * kTileDepth, pairs[p][i]);
          }
        }
      }
    }
  }
}

// A product of factors in tiles: rows, columns, depth.
struct Extent {
  int64_t rows, columns, depth;
};

// f(row, column, numbers, both) for all of a product, kRows rows from `row` on,
// of `numbers` that lie kSide apart, and 32 columns or, if not `both`, 16. The
// last rows of some may be beyond the product's.
template <int kRows, int H, class F>
INLINE void ForProduct(Extent n, Packed<H> a, Packed<H> b, F f) {
  alignas(64) float out[2][kSide * kSide];
  const int64_t depth = DepthTiles(n.depth);
  const int64_t share = RoundUp(kSide / kRows, depth) / depth;
  struct {
    int64_t row, column, rows = 0;
    const float* numbers;
    bool both;
  } ready;
  const auto use = [&](int64_t times) __attribute__((always_inline)) {
    for (; ready.rows > 0 && times > 0; --times) {
      f(ready.row, ready.column, ready.numbers, ready.both);
      ready.row += kRows;
      ready.rows -= kRows;
      ready.numbers += kRows * kSide;
    }
  };
  int turn = 0;
  InTwos(TilesOf(n.rows), [&]<int R>(int64_t row) {
    InTwos(TilesOf(n.columns), [&]<int C>(int64_t column) {
      float* block = out[turn];
      MultiplyTiles<R, C, H>(
          a.tiles + row * a.block, a.block, b.tiles + column * b.block, b.block,
          depth, kZeroTiles,
          [&](int64_t i, int64_t j) -> TileOfSums {
            return {block + (i * kSide + j) * kTile, kSide};
          },
          [&] { use(share); });
      ready = {row * kTile, column * kTile,
               std::min<int64_t>(R * kTile, n.rows - row * kTile), block,
               C == 2};
      turn = 1 - turn;
    });
  });
  use(kSide);
}

// Both vectors of a row of `ForProduct`, the second one 0 if it has none.
INLINE std::pair<Vec, Vec> RowOf(const float* numbers, bool both) {
  return {Load(numbers), both ? Load(numbers + kWidth) : Vec{}};
}

// A matrix of sums of products, tile by tile.
struct Sums {
  float* tiles;
  int64_t columns, size;

  Sums() = default;
  Sums(Arena& arena, int64_t rows, int64_t columns)
      : columns(RoundUp(columns, kTile)),
        size(RoundUp(rows, kTile) * this->columns) {
    tiles = arena.Floats(size);
  }

  float* At(int64_t row, int64_t column) const {
    return tiles + (row / kTile * columns + column) * kTile +
           row % kTile * kTile;
  }

  template <int H>
  void Add(Extent n, Packed<H> a, Packed<H> b) const {
    const int64_t depth = DepthTiles(n.depth);
    InTwos(TilesOf(n.columns), [&]<int C>(int64_t column) {
      InTwos(TilesOf(n.rows), [&]<int R>(int64_t row) {
        const auto tile = [&](int64_t i, int64_t j) -> TileOfSums {
          return {At((row + i) * kTile, (column + j) * kTile), kTile};
        };
        MultiplyTiles<R, C, H>(a.tiles + row * a.block, a.block,
                               b.tiles + column * b.block, b.block, depth, tile,
                               tile);
      });
    });
  }

  // Rows [first, first + rows) and columns from `column` on, `row` apart in
  // `to`.
  void CopyTo(int64_t first, int64_t rows, int64_t column, int64_t count,
              float* to, int64_t row) const {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < count; j += kTile) {
        std::copy_n(At(first + i, column + j), kTile, to + i * row + j);
      }
    }
  }
};

}  // namespace weightspace

#endif
