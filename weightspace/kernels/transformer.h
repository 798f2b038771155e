// A block of a transformer: attention and an MLP, each after a layer norm.
//
//     y = x + attend(norm(x)),  z = y + w2 relu(w1 norm(y))
//
// Products are of halves. A few rows at a time go through all of the block, so
// that what lies between two products never leaves the cache; the gradient
// computes it again.

#pragma once

#include <array>
#include <cmath>
#include <tuple>
#include <utility>
#include <vector>

#include "product.h"

namespace weightspace {

// Tokens of which the first `kept` are asked for, numbers in a token, heads,
// hidden units of the MLP. Numbers in a head and hidden units are multiples of
// 16.
struct BlockSizes {
  int64_t tokens, kept, width, heads, mlp;
};

// Params, matrices as [depth, places]: of the first layer norm; of queries,
// keys, values and what heads are told, [width, width] and [width]; of the
// second norm; of the MLP, [width, mlp], [mlp], [mlp, width], [width].
enum BlockParam {
  kScale1, kBias1, kWq, kBq, kWk, kBk, kWv, kBv, kWo, kBo, kScale2, kBias2, kW1,
  kB1, kW2, kB2, kBlockParams
};

template <class T>
using BlockParams = std::array<T*, kBlockParams>;

#if WEIGHTSPACE_HALVES

constexpr int64_t kSide = 2 * kTile;  // of a block of a product
constexpr int64_t kRowsOfBlock = 64;  // that go through all at a time

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

// A factor in tiles.
struct Packed {
  uint16_t* tiles;
  int64_t block;

  Packed() = default;
  Packed(Arena& arena, int64_t count, int64_t depth)
      : block(DepthTiles(depth) * kPair) {
    tiles = arena.Halves(TilesOf(count) * block);
  }

  // Of places [place, ...) and tiles of depth [tile, ...).
  template <bool kLeft>
  void Pack(Factor f, int64_t place = 0, int64_t tile = 0) const {
    PackTiles<kLeft>(f, tiles + place / kTile * block + tile * kPair, block);
  }
};

// A product of factors in tiles: rows, columns from `first` on, depth.
struct Extent {
  int64_t rows, columns, depth, first = 0;
};

// f(row, column, rows, columns, block) for blocks of a product, of 32 rows and
// columns or what is left of them; a block's rows lie 32 apart.
template <class F>
INLINE void ForProduct(Extent n, Packed a, Packed b, F f) {
  alignas(64) float out[2][kSide * kSide];
  const int64_t depth = DepthTiles(n.depth);
  // A block is used while the tiles of the next one are multiplied
  struct {
    int64_t row, column, rows = 0, columns;
  } ready;
  int turn = 0;
  const auto use = [&] {
    f(ready.row, ready.column, ready.rows, ready.columns, out[1 - turn]);
  };
  InTwos(TilesOf(n.columns - n.first), [&]<int C>(int64_t column) {
    column += n.first / kTile;
    InTwos(TilesOf(n.rows), [&]<int R>(int64_t row) {
      ForTiles<R, C>([&]<int T>(int64_t, int64_t) { ZeroTile<T>(); });
      MultiplyTiles<R, C>(a.tiles + row * a.block, a.block,
                          b.tiles + column * b.block, b.block, depth);
      if (ready.rows > 0) use();
      ForTiles<R, C>([&]<int T>(int64_t i, int64_t j) {
        StoreTile<T>(out[turn] + (i * kSide + j) * kTile,
                     kSide * sizeof(float));
      });
      ready = {row * kTile, column * kTile,
               std::min<int64_t>(R * kTile, n.rows - row * kTile), C * kTile};
      turn = 1 - turn;
    });
  });
  if (ready.rows > 0) use();
}

// f(row, column, vector) for the vectors of a product.
template <class F>
INLINE void ForVectors(Extent n, Packed a, Packed b, F f) {
  ForProduct(n, a, b,
             [&](int64_t row, int64_t column, int64_t rows, int64_t columns,
                 const float* block) {
               for (int64_t i = 0; i < rows; ++i) {
                 for (int64_t j = 0; j < columns; j += kWidth) {
                   f(row + i, column + j, Load(block + i * kSide + j));
                 }
               }
             });
}

// out [columns, rows] = the product turned; rows of out lie `row_size` apart.
inline void ProductTurned(Extent n, Packed a, Packed b, float* out,
                          int64_t row_size) {
  ForProduct(n, a, b,
             [&](int64_t row, int64_t column, int64_t rows, int64_t columns,
                 const float* block) {
               for (int64_t i = 0; i < rows; i += kTile) {
                 for (int64_t j = 0; j < columns; j += kTile) {
                   Vec tile[kTile];
                   for (int64_t k = 0; k < kTile; ++k) {
                     tile[k] = Load(block + (i + k) * kSide + j);
                   }
                   Transpose(tile);
                   const int64_t left = n.columns - column - j;
                   for (int64_t k = 0; k < std::min<int64_t>(kTile, left);
                        ++k) {
                     Store(out + (column + j + k) * row_size + row + i,
                           tile[k]);
                   }
                 }
               }
             });
}

// sum [rows, columns] += the product.
inline void AddTo(Extent n, Packed a, Packed b, float* sum) {
  ForVectors(n, a, b, [&](int64_t i, int64_t j, Vec v) {
    float* at = sum + i * n.columns + j;
    Store(at, Load(at) + v);
  });
}

INLINE float Sum(Vec x) { return _mm512_reduce_add_ps((__m512)x); }

// A layer norm of rows [rows, width], as Flax has it.
struct Norm {
  const float *scale, *bias;
  int64_t width;

  // Mean, and 1 / deviation.
  INLINE std::pair<float, float> Look(const float* x) const {
    Vec sum = {}, squares = {};
    for (int64_t j = 0; j < width; j += kWidth) {
      const Vec v = Load(x + j);
      sum += v;
      squares += v * v;
    }
    const float mean = Sum(sum) / width;
    const float variance = Sum(squares) / width - mean * mean;
    return {mean, 1 / std::sqrt(std::max(variance, 0.0f) + 1e-6f)};
  }

  void Forward(int64_t rows, const float* x, float* out) const {
    for (int64_t i = 0; i < rows; ++i, x += width, out += width) {
      const auto [mean, inverse] = Look(x);
      for (int64_t j = 0; j < width; j += kWidth) {
        Store(out + j, (Load(x + j) - mean) * (inverse * Load(scale + j)) +
                           Load(bias + j));
      }
    }
  }

  // dx += the gradient of x, by that of the result.
  void Backward(int64_t rows, const float* x, const float* dout, float* dx,
                float* dscale, float* dbias) const {
    for (int64_t i = 0; i < rows;
         ++i, x += width, dout += width, dx += width) {
      const auto [mean, inverse] = Look(x);
      Vec sum = {}, along = {};
      for (int64_t j = 0; j < width; j += kWidth) {
        const Vec d = Load(dout + j), normed = (Load(x + j) - mean) * inverse;
        const Vec g = d * Load(scale + j);
        sum += g;
        along += g * normed;
        Store(dscale + j, Load(dscale + j) + d * normed);
        Store(dbias + j, Load(dbias + j) + d);
      }
      const float of_mean = Sum(sum) / width, of_scale = Sum(along) / width;
      for (int64_t j = 0; j < width; j += kWidth) {
        const Vec normed = (Load(x + j) - mean) * inverse;
        const Vec g = Load(dout + j) * Load(scale + j);
        Store(dx + j,
              Load(dx + j) + inverse * (g - of_mean - normed * of_scale));
      }
    }
  }
};

// Rows of scores [rows, tokens] become shares that add up to 1. They lie `row`
// apart, and there is memory for whole vectors.
inline void Softmax(int64_t rows, int64_t tokens, float* scores, int64_t row) {
  for (int64_t i = 0; i < rows; ++i, scores += row) {
    for (int64_t j = tokens; j < RoundUp(tokens, kWidth); ++j) {
      scores[j] = -INFINITY;
    }
    Vec most = Load(scores);
    for (int64_t j = kWidth; j < tokens; j += kWidth) {
      most = (Vec)_mm512_max_ps((__m512)most, (__m512)Load(scores + j));
    }
    const float top = _mm512_reduce_max_ps((__m512)most);
    Vec sum = {};
    for (int64_t j = 0; j < tokens; j += kWidth) {
      const Vec x = Exp(Load(scores + j) - top);
      sum += x;
      Store(scores + j, x);
    }
    const float whole = 1 / Sum(sum);
    for (int64_t j = 0; j < tokens; j += kWidth) {
      Store(scores + j, Load(scores + j) * whole);
    }
  }
}

// Blocks with the same params, one network's tokens after the other's.
class TransformerBlock {
 public:
  TransformerBlock(BlockSizes sizes, BlockParams<const float> params,
                   bool backward)
      : n_(sizes), p_(params) {
    const int64_t d = n_.width, f = n_.mlp;
    head_ = d / n_.heads;
    row_ = RoundUp(n_.tokens, kRowsOfBlock);
    wqkv_ = Packed(arena_, 3 * d, d);
    wo_ = Packed(arena_, d, d);
    w1_ = Packed(arena_, f, d);
    const float* of_x[] = {p_[kWq], p_[kWk], p_[kWv]};
    const float* biases[] = {p_[kBq], p_[kBk], p_[kBv]};
    bqkv_ = arena_.Floats(3 * d);
    for (int i = 0; i < 3; ++i) {
      wqkv_.Pack<false>({of_x[i], d, d, d, false}, i * d);
      std::copy_n(biases[i], d, bqkv_ + i * d);
    }
    wo_.Pack<false>({p_[kWo], d, d, d, false});
    w1_.Pack<false>({p_[kW1], f, f, d, false});
    if (!backward) {
      w2_ = Packed(arena_, d, f);
      w2_.Pack<false>({p_[kW2], d, d, f, false});
    }
    qkv_ = arena_.Floats(n_.tokens * 3 * d);
    normed_ = arena_.Floats(RoundUp(n_.tokens, kRowsOfBlock) * d);
    rows_d_ = Packed(arena_, kRowsOfBlock, d);
    rows_f_ = Packed(arena_, kRowsOfBlock, f);
    rows_head_ = Packed(arena_, kRowsOfBlock, head_);
    rows_tokens_ = Packed(arena_, kRowsOfBlock, n_.tokens);
    for (int64_t h = 0; h < n_.heads; ++h) {
      keys_.emplace_back(arena_, n_.tokens, head_);
      values_.emplace_back(arena_, head_, n_.tokens);
    }
    hidden_ = arena_.Floats(kRowsOfBlock * f);
    const int64_t kept = backward ? RoundUp(n_.kept, kRowsOfBlock)
                                  : kRowsOfBlock;
    shares_ = arena_.Floats(n_.heads * kept * row_);
    told_ = arena_.Floats(kept * d);
    y_ = arena_.Floats(kept * d);
    normed2_ = arena_.Floats(kept * d);
    if (backward) PrepareBackward();
  }

  // x [tokens, width] -> z [kept, width]
  void Forward(const float* x, float* z) {
    const int64_t d = n_.width;
    Project(x);
    PackHeads();
    for (int64_t at = 0; at < n_.kept; at += kRowsOfBlock) {
      const int64_t rows = std::min(kRowsOfBlock, n_.kept - at);
      Attend(x, at, rows, shares_, told_, y_, normed2_);
      Hidden(rows, normed2_);
      rows_f_.Pack<true>({hidden_, n_.mlp, rows, n_.mlp, true});
      ForVectors({rows, d, n_.mlp}, rows_f_, w2_,
                 [&](int64_t i, int64_t j, Vec v) {
                   Store(z + (at + i) * d + j,
                         v + Load(p_[kB2] + j) + Load(y_ + i * d + j));
                 });
    }
  }

  // dz [kept, width] -> dx [tokens, width]; adds to what `Gradients` gives.
  void Backward(const float* x, const float* dz, float* dx) {
    const int64_t d = n_.width, f = n_.mlp, kept = n_.kept;
    const Norm norm1 = {p_[kScale1], p_[kBias1], d};
    const Norm norm2 = {p_[kScale2], p_[kBias2], d};
    Project(x);
    PackHeads();
    std::copy_n(dz, kept * d, dy_);
    for (int64_t at = 0; at < kept; at += kRowsOfBlock) {
      const int64_t rows = std::min(kRowsOfBlock, kept - at);
      Attend(x, at, rows, shares_ + at * n_.heads * row_, told_ + at * d,
             y_ + at * d, normed2_ + at * d);
      Hidden(rows, normed2_ + at * d);
      hiddens_.Pack<false>({hidden_, f, f, rows, false}, 0, at / kTileDepth);
      rows_d_.Pack<true>({dz + at * d, d, rows, d, true});
      ForVectors({rows, f, d}, rows_d_, w2_turned_,
                 [&](int64_t i, int64_t j, Vec v) {
                   const Vec h = Load(hidden_ + i * f + j);
                   Store(dhidden_ + i * f + j, h > 0.0f ? v : Vec{});
                 });
      AddRows(rows, f, dhidden_, f, db1_);
      dhiddens_.Pack<false>({dhidden_, f, f, rows, false}, 0, at / kTileDepth);
      rows_f_.Pack<true>({dhidden_, f, rows, f, true});
      ForVectors({rows, d, f}, rows_f_, w1_turned_,
                 [&](int64_t i, int64_t j, Vec v) {
                   Store(dnormed_ + i * d + j, v);
                 });
      norm2.Backward(rows, y_ + at * d, dnormed_, dy_ + at * d, dscale2_,
                     dbias2_);
      rows_d_.Pack<true>({dy_ + at * d, d, rows, d, true});
      ForVectors({rows, d, d}, rows_d_, wo_turned_,
                 [&](int64_t i, int64_t j, Vec v) {
                   Store(dtold_ + (at + i) * d + j, v);
                 });
    }
    AddRows(kept, d, dz, d, db2_);
    AddRows(kept, d, dy_, d, dbo_);
    turned_.Pack<true>({dz, d, d, kept, false});
    AddTo({d, f, kept}, turned_, hiddens_, dw2_);
    turned_.Pack<true>({normed2_, d, d, kept, false});
    AddTo({d, f, kept}, turned_, dhiddens_, dw1_);
    turned_.Pack<true>({told_, d, d, kept, false});
    along_.Pack<false>({dy_, d, d, kept, false});
    AddTo({d, d, kept}, turned_, along_, dwo_);
    for (int64_t h = 0; h < n_.heads; ++h) AttendBackward(h);
    for (int64_t i = kept; i < n_.tokens; ++i) {
      std::fill_n(dqkv_ + i * 3 * d, d, 0.0f);
    }
    std::copy_n(dy_, kept * d, dx);
    std::fill_n(dx + kept * d, (n_.tokens - kept) * d, 0.0f);
    for (int64_t at = 0; at < n_.tokens; at += kRowsOfBlock) {
      const int64_t rows = std::min(kRowsOfBlock, n_.tokens - at);
      for (int i = 0; i < 3; ++i) {
        rows_qkv_.Pack<true>({dqkv_ + at * 3 * d + i * d, 3 * d, rows, d, true},
                             0, i * DepthTiles(d));
      }
      ForVectors({rows, d, 3 * RoundUp(d, kTileDepth)}, rows_qkv_, wqkv_turned_,
                 [&](int64_t i, int64_t j, Vec v) {
                   Store(dnormed_ + i * d + j, v);
                 });
      norm1.Backward(rows, x + at * d, dnormed_, dx + at * d, dscale1_,
                     dbias1_);
    }
    AddRows(n_.tokens, 3 * d, dqkv_, 3 * d, dbqkv_);
    turned_.Pack<true>({normed_, d, d, n_.tokens, false});
    along_.Pack<false>({dqkv_, 3 * d, 3 * d, n_.tokens, false});
    AddTo({d, 3 * d, n_.tokens}, turned_, along_, dwqkv_);
  }

  // The sums over all networks.
  void Gradients(BlockParams<float> out) const {
    const int64_t d = n_.width, f = n_.mlp;
    float* of_x[] = {out[kWq], out[kWk], out[kWv]};
    float* biases[] = {out[kBq], out[kBk], out[kBv]};
    for (int i = 0; i < 3; ++i) {
      std::copy_n(dbqkv_ + i * d, d, biases[i]);
      for (int64_t j = 0; j < d; ++j) {
        std::copy_n(dwqkv_ + j * 3 * d + i * d, d, of_x[i] + j * d);
      }
    }
    for (int64_t j = 0; j < f; ++j) {
      for (int64_t i = 0; i < d; ++i) out[kW2][j * d + i] = dw2_[i * f + j];
    }
    const std::tuple<const float*, float*, int64_t> others[] = {
        {dscale1_, out[kScale1], d}, {dbias1_, out[kBias1], d},
        {dwo_, out[kWo], d * d},     {dbo_, out[kBo], d},
        {dscale2_, out[kScale2], d}, {dbias2_, out[kBias2], d},
        {dw1_, out[kW1], d * f},     {db1_, out[kB1], f},
        {db2_, out[kB2], d}};
    for (const auto& [from, to, count] : others) std::copy_n(from, count, to);
  }

 private:
  void PrepareBackward() {
    const int64_t d = n_.width, f = n_.mlp;
    const int64_t rows = RoundUp(n_.tokens, kRowsOfBlock);
    wqkv_turned_ = Packed(arena_, d, 3 * RoundUp(d, kTileDepth));
    const float* of_x[] = {p_[kWq], p_[kWk], p_[kWv]};
    for (int i = 0; i < 3; ++i) {
      wqkv_turned_.Pack<false>({of_x[i], d, d, d, true}, 0, i * DepthTiles(d));
    }
    wo_turned_ = Packed(arena_, d, d);
    wo_turned_.Pack<false>({p_[kWo], d, d, d, true});
    w1_turned_ = Packed(arena_, d, f);
    w1_turned_.Pack<false>({p_[kW1], f, d, f, true});
    w2_turned_ = Packed(arena_, f, d);
    w2_turned_.Pack<false>({p_[kW2], d, f, d, true});
    rows_qkv_ = Packed(arena_, kRowsOfBlock, 3 * RoundUp(d, kTileDepth));
    hiddens_ = Packed(arena_, f, n_.kept);
    dhiddens_ = Packed(arena_, f, n_.kept);
    dhidden_ = arena_.Floats(kRowsOfBlock * f);
    dnormed_ = arena_.Floats(kRowsOfBlock * d);
    dy_ = arena_.Floats(rows * d);
    dtold_ = arena_.Floats(rows * d);
    dqkv_ = arena_.Floats(rows * 3 * d);
    dshares_ = arena_.Floats(kRowsOfBlock * row_);
    by_token_ = Packed(arena_, n_.tokens, head_);
    by_place_ = Packed(arena_, head_, n_.tokens);
    all_shares_ = Packed(arena_, n_.tokens, n_.kept);
    all_dshares_ = Packed(arena_, n_.tokens, n_.kept);
    turned_ = Packed(arena_, d, n_.tokens);
    along_ = Packed(arena_, 3 * d, n_.tokens);
    for (float** sum :
         {&dscale1_, &dbias1_, &dbo_, &dscale2_, &dbias2_, &db2_}) {
      *sum = Zeros(d);
    }
    dbqkv_ = Zeros(3 * d);
    db1_ = Zeros(f);
    dwqkv_ = Zeros(3 * d * d);
    dwo_ = Zeros(d * d);
    dw1_ = Zeros(d * f);
    dw2_ = Zeros(d * f);
  }

  float* Zeros(int64_t count) {
    float* sum = arena_.Floats(count);
    std::fill_n(sum, count, 0.0f);
    return sum;
  }

  // Queries, divided by the root of a head's size, keys and values of x.
  void Project(const float* x) {
    const int64_t d = n_.width;
    const Norm norm = {p_[kScale1], p_[kBias1], d};
    const float scale = 1 / std::sqrt(float(head_));
    for (int64_t at = 0; at < n_.tokens; at += kRowsOfBlock) {
      const int64_t rows = std::min(kRowsOfBlock, n_.tokens - at);
      norm.Forward(rows, x + at * d, normed_ + at * d);
      rows_d_.Pack<true>({normed_ + at * d, d, rows, d, true});
      // Nobody asks for what follows the kept ones
      const Extent extent = {rows, 3 * d, d, at < n_.kept ? 0 : d};
      ForVectors(extent, rows_d_, wqkv_, [&](int64_t i, int64_t j, Vec v) {
        v += Load(bqkv_ + j);
        Store(qkv_ + (at + i) * 3 * d + j, j < d ? v * scale : v);
      });
    }
  }

  void PackHeads() {
    const int64_t d = n_.width;
    for (int64_t h = 0; h < n_.heads; ++h) {
      const float* keys = qkv_ + d + h * head_;
      keys_[h].Pack<false>({keys, 3 * d, n_.tokens, head_, true});
      values_[h].Pack<false>({keys + d, 3 * d, head_, n_.tokens, false});
    }
  }

  // Of rows [at, at + rows): the shares of tokens in each, [rows, row] head by
  // head; what they are told [rows, width]; with x; and normed.
  void Attend(const float* x, int64_t at, int64_t rows, float* shares,
              float* told, float* y, float* normed) {
    const int64_t d = n_.width;
    for (int64_t h = 0; h < n_.heads; ++h, shares += kRowsOfBlock * row_) {
      rows_head_.Pack<true>(
          {qkv_ + at * 3 * d + h * head_, 3 * d, rows, head_, true});
      ForVectors({rows, n_.tokens, head_}, rows_head_, keys_[h],
                 [&](int64_t i, int64_t j, Vec v) {
                   Store(shares + i * row_ + j, v);
                 });
      Softmax(rows, n_.tokens, shares, row_);
      rows_tokens_.Pack<true>({shares, row_, rows, n_.tokens, true});
      ForVectors({rows, head_, n_.tokens}, rows_tokens_, values_[h],
                 [&](int64_t i, int64_t j, Vec v) {
                   Store(told + i * d + h * head_ + j, v);
                 });
    }
    rows_d_.Pack<true>({told, d, rows, d, true});
    ForVectors({rows, d, d}, rows_d_, wo_, [&](int64_t i, int64_t j, Vec v) {
      Store(y + i * d + j, v + Load(p_[kBo] + j) + Load(x + (at + i) * d + j));
    });
    Norm{p_[kScale2], p_[kBias2], d}.Forward(rows, y, normed);
  }

  // What the MLP's hidden units make of rows [rows, width].
  void Hidden(int64_t rows, const float* normed) {
    const int64_t d = n_.width, f = n_.mlp;
    rows_d_.Pack<true>({normed, d, rows, d, true});
    ForVectors({rows, f, d}, rows_d_, w1_, [&](int64_t i, int64_t j, Vec v) {
      v += Load(p_[kB1] + j);
      Store(hidden_ + i * f + j, v < 0.0f ? Vec{} : v);
    });
  }

  // Gradients of a head's queries, keys and values.
  void AttendBackward(int64_t h) {
    const int64_t d = n_.width, kept = n_.kept, tokens = n_.tokens;
    const float* queries = qkv_ + h * head_;
    const float *keys = queries + d, *values = keys + d;
    float* dqueries = dqkv_ + h * head_;
    const float* dtold = dtold_ + h * head_;
    const float scale = 1 / std::sqrt(float(head_));
    by_token_.Pack<false>({values, 3 * d, tokens, head_, true});
    by_place_.Pack<false>({keys, 3 * d, head_, tokens, false});
    for (int64_t at = 0; at < kept; at += kRowsOfBlock) {
      const int64_t rows = std::min(kRowsOfBlock, kept - at);
      const float* shares = shares_ + (at * n_.heads + h * kRowsOfBlock) * row_;
      rows_head_.Pack<true>({dtold + at * d, d, rows, head_, true});
      ForVectors({rows, tokens, head_}, rows_head_, by_token_,
                 [&](int64_t i, int64_t j, Vec v) {
                   Store(dshares_ + i * row_ + j, v);
                 });
      for (int64_t i = 0; i < rows; ++i) {
        const float* share = shares + i * row_;
        float* d = dshares_ + i * row_;
        Vec sum = {};
        for (int64_t j = 0; j < tokens; j += kWidth) {
          sum += Load(share + j) * Load(d + j);
        }
        const float mean = Sum(sum);
        for (int64_t j = 0; j < tokens; j += kWidth) {
          Store(d + j, Load(share + j) * (Load(d + j) - mean));
        }
      }
      rows_tokens_.Pack<true>({dshares_, row_, rows, tokens, true});
      ForVectors({rows, head_, tokens}, rows_tokens_, by_place_,
                 [&](int64_t i, int64_t j, Vec v) {
                   Store(dqueries + (at + i) * 3 * d + j, v * scale);
                 });
      const int64_t tile = at / kTileDepth;
      all_shares_.Pack<false>({shares, row_, tokens, rows, false}, 0, tile);
      all_dshares_.Pack<false>({dshares_, row_, tokens, rows, false}, 0, tile);
    }
    turned_.Pack<true>({queries, 3 * d, head_, kept, false});
    ProductTurned({head_, tokens, kept}, turned_, all_dshares_, dqueries + d,
                  3 * d);
    turned_.Pack<true>({dtold, d, head_, kept, false});
    ProductTurned({head_, tokens, kept}, turned_, all_shares_,
                  dqueries + 2 * d, 3 * d);
  }

  TileRegisters registers_;
  Arena arena_;
  BlockSizes n_;
  BlockParams<const float> p_;
  int64_t head_, row_;  // numbers in a head, in a row of shares

  // Factors that serve all networks, and those of a few rows
  Packed wqkv_, wo_, w1_, w2_;
  Packed wqkv_turned_, wo_turned_, w1_turned_, w2_turned_;
  Packed rows_d_, rows_f_, rows_head_, rows_tokens_, rows_qkv_;
  // Of a network: keys and values of each head; backward, of all rows
  std::vector<Packed> keys_, values_;
  Packed by_token_, by_place_, all_shares_, all_dshares_, hiddens_, dhiddens_,
      turned_, along_;
  float* bqkv_;
  float *qkv_, *normed_, *shares_, *told_, *y_, *normed2_, *hidden_;
  float *dhidden_, *dnormed_, *dy_, *dtold_, *dqkv_, *dshares_;
  // Gradients, summed over networks; dw2_ turned
  float *dscale1_, *dbias1_, *dwqkv_, *dbqkv_, *dwo_, *dbo_, *dscale2_,
      *dbias2_, *dw1_, *db1_, *dw2_, *db2_;
};

#endif

}  // namespace weightspace
