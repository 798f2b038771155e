// A block of a transformer: attention and an MLP, each after a layer norm.
//
//     y = x + attend(norm(x)),  z = y + w2 relu(w1 norm(y))
//
// Products are of halves. A few rows at a time go through all of the block, so
// that what lies between two products never leaves the cache; the gradient
// computes it again, but for what softmax knows of a row. With that, and with
// sum_j share_ij dshare_ij = told_i dtold_i (FlashAttention, Dao et al. 2022,
// B.2), shares and gradients of scores are made of the products' numbers one by
// one. Rows are left factors in tiles, of which right ones and turned ones are
// made where rows are what is summed over.

#pragma once

#include <array>
#include <cmath>
#include <memory>
#include <numeric>
#include <tuple>
#include <utility>
#include <vector>

#include "product.h"
#include "share.h"
#include "tiles.h"

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

constexpr int64_t kRowsOfBlock = 64;  // that go through all at a time

// Of a row and head: a share is e^(score - top) * inverse.
struct OfSoftmax {
  float top, inverse;
};

INLINE float Sum(Vec x) { return _mm512_reduce_add_ps((__m512)x); }

INLINE void AddTo(float* sum, Vec x) { Store(sum, Load(sum) + x); }

// e^x of x <= 0, to 2^-18 of it, which is finer than halves are; at least
// 2^-126. A polynomial of the fractional part in base 2, minimax on [-.5, .5].
INLINE Vec ExpOfHalves(Vec x) {
  // Numbers of this size are whole, their last bits are n
  const float whole = 12582912.0f;
  const Vec t = (Vec)_mm512_max_ps((__m512)Broadcast(-126.0f),
                                   (__m512)(x * 1.44269504088896341f));
  const Vec shifted = t + whole;
  const Vec r = t - (shifted - whole);
  Vec p = Broadcast(9.570101911e-3f);
  p = p * r + 5.591786032e-2f;
  p = p * r + 2.402474483e-1f;
  p = p * r + 6.931218147e-1f;
  p = p * r + 9.999992614e-1f;
  return (Vec)((Ints)p + ((Ints)shifted << 23));
}

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

  // The result as a left factor.
  template <int H>
  void Forward(int64_t rows, const float* x, Packed<H> out) const {
    for (int64_t i = 0; i < rows; ++i, x += width) {
      const auto [mean, inverse] = Look(x);
      const auto normed = [&](int64_t j) {
        return (Load(x + j) - mean) * (inverse * Load(scale + j)) +
               Load(bias + j);
      };
      for (int64_t j = 0; j < width; j += kTileDepth) {
        const bool both = j + kWidth < width;
        out.PutRow(i, j, {normed(j), both ? normed(j + kWidth) : Vec{}});
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
        AddTo(dscale + j, d * normed);
        AddTo(dbias + j, d);
      }
      const float of_mean = Sum(sum) / width, of_scale = Sum(along) / width;
      for (int64_t j = 0; j < width; j += kWidth) {
        const Vec normed = (Load(x + j) - mean) * inverse;
        const Vec g = Load(dout + j) * Load(scale + j);
        AddTo(dx + j, inverse * (g - of_mean - normed * of_scale));
      }
    }
  }
};

// For `ForProduct`: the product's rows to `to` [rows, width].
struct StoreRows {
  float* to;
  int64_t width;

  INLINE void operator()(int64_t i, int64_t j, const float* from,
                         bool both) const {
    Store(to + i * width + j, Load(from));
    if (both) Store(to + i * width + j + kWidth, Load(from + kWidth));
  }
};

// The product's rows, a bias and what the block adds them to.
struct StoreSum {
  float* to;
  const float *bias, *before;
  int64_t width;

  INLINE void operator()(int64_t i, int64_t j, const float* from,
                         bool both) const {
    for (int k = 0; k <= both; ++k, j += kWidth) {
      Store(to + i * width + j, Load(from + k * kWidth) + Load(bias + j) +
                                    Load(before + i * width + j));
    }
  }
};

// Blocks with the same params, one network's tokens after the other's.
template <int H>
class TransformerBlock {
  using Packed = weightspace::Packed<H>;
  using Halves = weightspace::Halves<H>;

 public:
  TransformerBlock(BlockSizes sizes, BlockParams<const float> params,
                   bool backward)
      : n_(sizes), p_(params), backward_(backward) {
    const int64_t d = n_.width, f = n_.mlp, tokens = n_.tokens;
    head_ = d / n_.heads;
    deep_ = RoundUp(head_, kTileDepth);
    row_ = RoundUp(tokens, kTileDepth);
    for (int i = 0; i < 3; ++i) {
      of_x_[i] = Packed(arena_, d, d);
      of_x_[i].PackRight({p_[kWq + 2 * i], d, d, d, false});
    }
    wo_ = Packed(arena_, d, n_.heads * deep_);
    for (int64_t h = 0; h < n_.heads; ++h) {
      wo_.PackRight({p_[kWo] + h * head_ * d, d, d, head_, false}, h * deep_);
    }
    w1_ = Packed(arena_, f, d);
    w1_.PackRight({p_[kW1], f, f, d, false});
    // What rows are turned into has them as its depth: 0 beyond the last one
    const int64_t kept = backward ? n_.kept : kRowsOfBlock;
    normed_ = Packed::Zeros(arena_, backward ? tokens : kRowsOfBlock, d);
    told_ = Packed::Zeros(arena_, kept, n_.heads * deep_);
    normed2_ = Packed::Zeros(arena_, kept, d);
    y_ = arena_.Floats(kRowsOfBlock * d);
    rows_tokens_ = Packed(arena_, kRowsOfBlock, tokens);
    heads_.resize(n_.heads);
    for (Head& head : heads_) {
      head.queries = Packed::Zeros(arena_, n_.kept, head_);
      head.keys = Packed(arena_, tokens, head_);
      head.values = Packed::Zeros(arena_, head_, tokens);
    }
    if (backward) {
      PrepareBackward();
    } else {
      shares_ = arena_.Floats(kRowsOfBlock * row_);
      w2_ = Packed(arena_, d, f);
      w2_.PackRight({p_[kW2], d, d, f, false});
      hidden_ = Packed(arena_, kRowsOfBlock, f);
    }
  }

  // x [tokens, width] -> z [kept, width], softmax [kept, heads]
  void Forward(const float* x, float* z, OfSoftmax* softmax) {
    const int64_t d = n_.width, f = n_.mlp;
    Project(x);
    ForRows(n_.kept, [&](int64_t at, int64_t rows) {
      Attend(x, at, rows, softmax);
      ForProduct<1>({rows, f, d}, normed2_, w1_,
                    [&](int64_t i, int64_t j, const float* from, bool both) {
                      hidden_.PutRow(i, j, Hidden(j, from, both));
                    });
      ForProduct<1>({rows, d, f}, hidden_, w2_,
                    StoreSum{z + at * d, p_[kB2], y_, d});
    });
  }

  // dz [kept, width] -> dx [tokens, width]; adds to what `Gradients` gives.
  void Backward(const float* x, const OfSoftmax* softmax, const float* dz,
                float* dx) {
    const int64_t d = n_.width, kept = n_.kept;
    Project(x);
    std::copy_n(dz, kept * d, dx);
    std::fill_n(dx + kept * d, (n_.tokens - kept) * d, 0.0f);
    for (const Head& head : heads_) {
      for (const Sums& sums : {head.dkeys, head.dvalues}) {
        std::fill_n(sums.tiles, sums.size, 0.0f);
      }
    }
    ForRows(kept, [&](int64_t at, int64_t rows) {
      AttendAgain(x, at, rows, softmax);
      MlpBackward(at, rows, softmax, dz + at * d, dx + at * d);
      for (int64_t h = 0; h < n_.heads; ++h) AttendBackward(h, at, rows);
    });
    for (int64_t h = 0; h < n_.heads; ++h) {
      ReadTurned(heads_[h].dkeys, Place(1, h), dbk_ + h * head_);
      ReadTurned(heads_[h].dvalues, Place(2, h), dbv_ + h * head_);
    }
    const int64_t columns = 3 * n_.heads * deep_;
    ForRows(n_.tokens, [&](int64_t at, int64_t rows) {
      ForProduct<1>({rows, d, columns}, dqkv_.From(at, 0), wqkv_turned_,
                    StoreRows{dnormed_, d});
      Norm{p_[kScale1], p_[kBias1], d}.Backward(
          rows, x + at * d, dnormed_, dx + at * d, dscale1_, dbias1_);
    });
    Turn<true>(kept, d, dz_, turned_);
    dw2_.Add({d, n_.mlp, kept}, turned_, hiddens_);
    Turn<true>(kept, d, normed2_, turned_);
    dw1_.Add({d, n_.mlp, kept}, turned_, dhiddens_);
    Turn<true>(kept, n_.heads * deep_, told_, turned_);
    Turn<false>(kept, d, dy_, pairs_);
    dwo_.Add({n_.heads * deep_, d, kept}, turned_, pairs_);
    Turn<true>(n_.tokens, d, normed_, turned_);
    Turn<false>(n_.tokens, columns, dqkv_, pairs_);
    dwqkv_.Add({d, columns, n_.tokens}, turned_, pairs_);
  }

  // What `Gradients` gives is 0 again.
  void Begin() {
    for (const auto& [sum, count] : sums_) std::fill_n(sum, count, 0.0f);
  }

  // The sums over all networks since then.
  void Gradients(BlockParams<float> out) const {
    const int64_t d = n_.width, f = n_.mlp;
    for (int i = 0; i < 3; ++i) {
      for (int64_t h = 0; h < n_.heads; ++h) {
        dwqkv_.CopyTo(0, d, Place(i, h), head_, out[kWq + 2 * i] + h * head_,
                      d);
      }
    }
    for (int64_t h = 0; h < n_.heads; ++h) {
      dwo_.CopyTo(h * deep_, head_, 0, d, out[kWo] + h * head_ * d, d);
    }
    dw1_.CopyTo(0, d, 0, f, out[kW1], f);
    for (int64_t i = 0; i < d; ++i) {
      for (int64_t j = 0; j < f; ++j) {
        out[kW2][j * d + i] = dw2_.At(i, j / kTile * kTile)[j % kTile];
      }
    }
    const std::tuple<const float*, BlockParam, int64_t> vectors[] = {
        {dscale1_, kScale1, d}, {dbias1_, kBias1, d},   {dbq_, kBq, d},
        {dbk_, kBk, d},         {dbv_, kBv, d},         {dbo_, kBo, d},
        {dscale2_, kScale2, d}, {dbias2_, kBias2, d},   {db1_, kB1, f},
        {db2_, kB2, d}};
    for (const auto& [from, to, count] : vectors) {
      std::copy_n(from, count, out[to]);
    }
  }

 private:
  // Of one head.
  struct Head {
    Packed queries, dtold;                // left factors [rows, head]
    Packed keys, values_by_token;         // right ones, depth the head's
    Packed values, keys_by_place;         // right ones, depth the tokens
    Packed shares, dshares;               // right ones, depth some rows
    Sums dkeys, dvalues;                  // [head, tokens]
  };

  void PrepareBackward() {
    const int64_t d = n_.width, f = n_.mlp, kept = n_.kept;
    const int64_t told = n_.heads * deep_;
    wqkv_turned_ = Packed(arena_, d, 3 * told);
    for (int i = 0; i < 3; ++i) {
      for (int64_t h = 0; h < n_.heads; ++h) {
        wqkv_turned_.PackRight({p_[kWq + 2 * i] + h * head_, d, d, head_, true},
                               Place(i, h));
      }
    }
    wo_turned_ = Packed(arena_, d, d);
    wo_turned_.PackRight({p_[kWo], d, d, d, true});
    w1_turned_ = Packed(arena_, d, f);
    w1_turned_.PackRight({p_[kW1], f, d, f, true});
    w2_turned_ = Packed(arena_, f, d);
    w2_turned_.PackRight({p_[kW2], d, f, d, true});
    for (Head& head : heads_) {
      head.keys_by_place = Packed::Zeros(arena_, head_, n_.tokens);
      head.values_by_token = Packed(arena_, n_.tokens, head_);
      head.dtold = Packed::Zeros(arena_, kept, head_);
      head.shares = Packed(arena_, n_.tokens, kRowsOfBlock);
      head.dshares = Packed(arena_, n_.tokens, kRowsOfBlock);
      head.dkeys = Sums(arena_, deep_, row_);
      head.dvalues = Sums(arena_, deep_, row_);
    }
    dz_ = Packed::Zeros(arena_, kept, d);
    dy_ = Packed::Zeros(arena_, kept, d);
    dqkv_ = Packed::Zeros(arena_, n_.tokens, 3 * told);
    dhidden_ = Packed(arena_, kRowsOfBlock, f);
    hiddens_ = Packed::Zeros(arena_, f, kept);
    dhiddens_ = Packed::Zeros(arena_, f, kept);
    turned_ = Packed(arena_, std::max(d, told), n_.tokens);
    pairs_ = Packed(arena_, std::max(d, 3 * told), n_.tokens);
    excited_.resize(kRowsOfBlock * f / kWidth);
    dnormed_ = arena_.Floats(kRowsOfBlock * d);
    shares_ = arena_.Floats(n_.heads * kRowsOfBlock * row_);
    told_rows_ = arena_.Floats(n_.heads * kRowsOfBlock * deep_);
    along_ = arena_.Floats(n_.heads * kRowsOfBlock * kWidth);
    for (float** sum : {&dscale1_, &dbias1_, &dbq_, &dbk_, &dbv_, &dbo_,
                        &dscale2_, &dbias2_, &db2_}) {
      sums_.push_back({*sum = arena_.Floats(d), d});
    }
    sums_.push_back({db1_ = arena_.Floats(f), f});
    dwqkv_ = Sums(arena_, d, 3 * told);
    dwo_ = Sums(arena_, told, d);
    dw1_ = Sums(arena_, d, f);
    dw2_ = Sums(arena_, d, f);
    for (const Sums& sums : {dwqkv_, dwo_, dw1_, dw2_}) {
      sums_.push_back({sums.tiles, sums.size});
    }
  }

  // f(first, rows) for some rows at a time.
  template <class F>
  void ForRows(int64_t rows, F f) {
    for (int64_t at = 0; at < rows; at += kRowsOfBlock) {
      f(at, std::min(kRowsOfBlock, rows - at));
    }
  }

  // Where a head's queries, keys or values are among all of them.
  int64_t Place(int64_t i, int64_t h) const {
    return (i * n_.heads + h) * deep_;
  }

  // Queries, divided by the root of a head's size, keys and values of x.
  void Project(const float* x) {
    const int64_t d = n_.width;
    const float scale = 1 / std::sqrt(float(head_));
    ForRows(n_.tokens, [&](int64_t at, int64_t rows) {
      const Packed normed = normed_.From(backward_ ? at : 0, 0);
      Norm{p_[kScale1], p_[kBias1], d}.Forward(rows, x + at * d, normed);
      for (int64_t h = 0; h < n_.heads; ++h) {
        const Head& head = heads_[h];
        const auto of_head = [&](int i) { return of_x_[i].From(h * head_, 0); };
        const Extent extent = {rows, head_, d};
        if (at < n_.kept) {  // nobody asks for what follows the kept ones
          const float* bias = p_[kBq] + h * head_;
          ForProduct<1>(extent, normed, of_head(0),
                        [&](int64_t i, int64_t j, const float* from,
                            bool both) {
                          if (at + i >= n_.kept) return;
                          const auto [a, b] = RowOf(from, both);
                          const auto [c, e] = RowOf(bias + j, both);
                          head.queries.PutRow(
                              at + i, j, {(a + c) * scale, (b + e) * scale});
                        });
        }
        const auto spread = [&](const float* bias, Packed by_token,
                                Packed by_place) {
          return [=, this](int64_t i, int64_t j, const float* from,
                               bool both) {
            Spread(at + i, j, from, bias + h * head_ + j, both, by_token,
                   by_place);
          };
        };
        ForProduct<kTile>(extent, normed, of_head(1),
                          spread(p_[kBk], head.keys, head.keys_by_place));
        ForProduct<kTile>(extent, normed, of_head(2),
                          spread(p_[kBv], head.values_by_token, head.values));
      }
    });
  }

  // Keys or values of 16 tokens, up to 32 numbers of each, as right factors, as
  // far as there are such: by token, and by place with tokens as depth.
  INLINE void Spread(int64_t token, int64_t place, const float* from,
                     const float* bias, bool both, Packed by_token,
                     Packed by_place) const {
    Halves of_tokens[kTile];
    const auto [c, e] = RowOf(bias, both);
    for (int i = 0; i < kTile; ++i) {
      const auto [a, b] = RowOf(from + i * kSide, both);
      of_tokens[i] = token + i < n_.tokens ? Halves(a + c, b + e)
                                           : Halves(Vec{}, Vec{});
    }
    if (by_place.tiles) {
      for (int i = 0; i < kTile; i += 2) {
        by_place.PutPairs(place, token + i, of_tokens[i], of_tokens[i + 1],
                          both);
      }
    }
    if (by_token.tiles) by_token.PutPlaces(token, place, of_tokens);
  }

  // Of rows [at, at + rows): what they are told by the tokens; with x, to y_;
  // normed.
  void Attend(const float* x, int64_t at, int64_t rows, OfSoftmax* softmax) {
    const int64_t tokens = n_.tokens;
    for (int64_t h = 0; h < n_.heads; ++h) {
      const Head& head = heads_[h];
      ForProduct<1>({rows, tokens, head_}, head.queries.From(at, 0), head.keys,
                    StoreRows{shares_, row_});
      OfSoftmax* const of_rows = softmax + at * n_.heads + h;
      Softmax(rows, of_rows);
      ForProduct<1>({rows, head_, tokens}, rows_tokens_, head.values,
                    [&](int64_t i, int64_t j, const float* from, bool both) {
                      const auto [a, b] = RowOf(from, both);
                      const float inverse = of_rows[i * n_.heads].inverse;
                      told_.PutRow(i, h * deep_ + j,
                                   {a * inverse, b * inverse});
                    });
    }
    AddTold(x, at, rows, told_, normed2_);
  }

  // rows_tokens_ are exponentials of shares_, which are scores [rows, tokens],
  // less the largest one of the row.
  void Softmax(int64_t rows, OfSoftmax* of_rows) const {
    for (int64_t i = 0; i < rows; i += 2) {
      float *row[2], top[2];
      for (int k = 0; k < 2; ++k) {
        row[k] = shares_ + (i + k) * row_;
        for (int64_t j = n_.tokens; j < row_; ++j) row[k][j] = -INFINITY;
        Vec most = Load(row[k]);
        for (int64_t j = kWidth; j < n_.tokens; j += kWidth) {
          most = (Vec)_mm512_max_ps((__m512)most, (__m512)Load(row[k] + j));
        }
        top[k] = _mm512_reduce_max_ps((__m512)most);
      }
      Vec sums[2] = {};
      for (int64_t j = 0; j < row_; j += kTileDepth) {
        for (int k = 0; k < 2; ++k) {
          const Vec a = ExpOfHalves(Load(row[k] + j) - top[k]);
          const Vec b = ExpOfHalves(Load(row[k] + j + kWidth) - top[k]);
          sums[k] += a + b;
          rows_tokens_.PutRow(i + k, j, {a, b});
        }
      }
      for (int k = 0; k < 2 && i + k < rows; ++k) {
        of_rows[(i + k) * n_.heads] = {top[k], 1 / Sum(sums[k])};
      }
    }
  }

  // What `Attend` did, to the bit; keeps the exponentials and what heads are
  // told.
  void AttendAgain(const float* x, int64_t at, int64_t rows,
                   const OfSoftmax* softmax) {
    const int64_t tokens = n_.tokens;
    for (int64_t h = 0; h < n_.heads; ++h) {
      const Head& head = heads_[h];
      const OfSoftmax* const of_rows = softmax + at * n_.heads + h;
      float* const shares = shares_ + h * kRowsOfBlock * row_;
      ForProduct<2>(
          {rows, tokens, head_}, head.queries.From(at, 0), head.keys,
          [&](int64_t i, int64_t j, const float* from, bool both) {
            Halves two[2];
            for (int k = 0; k < 2 && i + k < rows; ++k) {
              const float top = of_rows[(i + k) * n_.heads].top;
              const auto share = [&](int64_t v) {
                const Vec x = ExpOfHalves(Load(from + k * kSide + v) - top);
                return First(tokens - j - v, x);
              };
              const Vec a = share(0), b = both ? share(kWidth) : Vec{};
              float* const to = shares + (i + k) * row_ + j;
              Store(to, a);
              Store(to + kWidth, b);
              two[k] = Halves(a, b);
              rows_tokens_.PutRow(i + k, j, two[k]);
            }
            PutTwo(head.shares, rows, i, j, two, both);
          });
      head.shares.ZeroPairs(tokens, rows);
      float* const told = told_rows_ + h * kRowsOfBlock * deep_;
      ForProduct<1>({rows, head_, tokens}, rows_tokens_, head.values,
                    [&](int64_t i, int64_t j, const float* from, bool both) {
                      const float inverse = of_rows[i * n_.heads].inverse;
                      auto [a, b] = RowOf(from, both);
                      a *= inverse;
                      b *= inverse;
                      Store(told + i * deep_ + j, a);
                      Store(told + i * deep_ + j + kWidth, b);
                      told_.PutRow(at + i, h * deep_ + j, {a, b});
                    });
    }
    AddTold(x, at, rows, told_.From(at, 0), normed2_.From(at, 0));
  }

  // y_ = x + what rows make of what they are told, and that normed.
  void AddTold(const float* x, int64_t at, int64_t rows, Packed told,
               Packed normed) {
    const int64_t d = n_.width;
    ForProduct<1>({rows, d, n_.heads * deep_}, told, wo_,
                  StoreSum{y_, p_[kBo], x + at * d, d});
    Norm{p_[kScale2], p_[kBias2], d}.Forward(rows, y_, normed);
  }

  // The first `count` of a vector, 0 for the others.
  INLINE static Vec First(int64_t count, Vec x) {
    return count >= kWidth ? x
                           : Only(count > 0 ? (1u << count) - 1 : 0, x);
  }

  // Up to 32 tokens of two rows, the second one maybe beyond the last.
  INLINE void PutTwo(Packed pairs, int64_t rows, int64_t i, int64_t token,
                     Halves (&two)[2], bool both) const {
    if (i + 1 == rows) two[1] = Halves(Vec{}, Vec{});
    pairs.PutPairs(token, i, two[0], two[1], both);
  }

  // Of hidden units of the MLP, up to 32 of a row.
  INLINE Halves Hidden(int64_t j, const float* from, bool both) const {
    const auto [a, b] = RowOf(from, both);
    const auto [c, e] = RowOf(p_[kB1] + j, both);
    const auto relu = [](Vec x) { return x < 0.0f ? Vec{} : x; };
    return {relu(a + c), relu(b + e)};
  }

  // dy, of which dz is there; the gradients of what heads are told, divided by
  // the sums of exponentials; and, in along_, those times what they are told.
  void MlpBackward(int64_t at, int64_t rows, const OfSoftmax* softmax,
                   const float* dz, float* dy) {
    const int64_t d = n_.width, f = n_.mlp;
    const Packed packed_dz = dz_.From(at, 0), packed_dy = dy_.From(at, 0);
    ForProduct<2>(
        {rows, f, d}, normed2_.From(at, 0), w1_,
        [&](int64_t i, int64_t j, const float* from, bool both) {
          Halves two[2];
          for (int k = 0; k < 2; ++k) {
            const auto [a, b] = RowOf(from + k * kSide, both);
            const auto [c, e] = RowOf(p_[kB1] + j, both);
            // Not a number is no unit that is at rest
            const auto excited = [](Vec x) {
              return _mm512_cmp_ps_mask((__m512)x, _mm512_setzero_ps(),
                                        _CMP_NLE_UQ);
            };
            const __mmask16 first = excited(a + c), second = excited(b + e);
            __mmask16* of_row = &excited_[((i + k) * f + j) / kWidth];
            of_row[0] = first;
            if (both) of_row[1] = second;
            two[k] = i + k < rows ? Halves(Only(first, a + c),
                                           Only(second, b + e))
                                  : Halves(Vec{}, Vec{});
          }
          hiddens_.PutPairs(j, at + i, two[0], two[1], both);
        });
    packed_dz.PackLeft({dz, d, rows, d, true});
    ForProduct<2>(
        {rows, f, d}, packed_dz, w2_turned_,
        [&](int64_t i, int64_t j, const float* from, bool both) {
          Halves two[2];
          Vec sum[2] = {};
          for (int k = 0; k < 2; ++k) {
            if (i + k < rows) {
              auto [a, b] = RowOf(from + k * kSide, both);
              const __mmask16* of_row = &excited_[((i + k) * f + j) / kWidth];
              a = Only(of_row[0], a);
              if (both) b = Only(of_row[1], b);
              sum[0] += a;
              sum[1] += b;
              two[k] = Halves(a, b);
            } else {
              two[k] = Halves(Vec{}, Vec{});
            }
            dhidden_.PutRow(i + k, j, two[k]);
          }
          AddTo(db1_ + j, sum[0]);
          if (both) AddTo(db1_ + j + kWidth, sum[1]);
          dhiddens_.PutPairs(j, at + i, two[0], two[1], both);
        });
    ForProduct<1>({rows, d, f}, dhidden_, w1_turned_,
                  StoreRows{dnormed_, d});
    AddRows(rows, d, dz, d, db2_);
    Norm{p_[kScale2], p_[kBias2], d}.Backward(rows, y_, dnormed_, dy, dscale2_,
                                              dbias2_);
    AddRows(rows, d, dy, d, dbo_);
    packed_dy.PackLeft({dy, d, rows, d, true});
    std::fill_n(along_, n_.heads * kRowsOfBlock * kWidth, 0.0f);
    for (int64_t h = 0; h < n_.heads; ++h) {
      const float* const told = told_rows_ + h * kRowsOfBlock * deep_;
      ForProduct<1>({rows, head_, d}, packed_dy, wo_turned_.From(h * head_, 0),
                    [&](int64_t i, int64_t j, const float* from, bool both) {
                      const float inverse =
                          softmax[(at + i) * n_.heads + h].inverse;
                      const auto [a, b] = RowOf(from, both);
                      const Halves dtold(a * inverse, b * inverse);
                      heads_[h].dtold.PutRow(at + i, j, dtold);
                      // Of the same numbers as gradients of shares will be
                      const auto [c, e] = dtold.Numbers();
                      const float* const of_row = told + i * deep_ + j;
                      AddTo(along_ + (h * kRowsOfBlock + i) * kWidth,
                            c * Load(of_row) + e * Load(of_row + kWidth));
                    });
    }
  }

  INLINE static Vec Only(__mmask16 mask, Vec x) {
    return (Vec)_mm512_maskz_mov_ps(mask, (__m512)x);
  }

  // Gradients of a head's queries, and its part in those of keys and values.
  void AttendBackward(int64_t h, int64_t at, int64_t rows) {
    const Head& head = heads_[h];
    const int64_t tokens = n_.tokens;
    const float scale = 1 / std::sqrt(float(head_));
    const Packed dtold = head.dtold.From(at, 0);
    const float* const shares = shares_ + h * kRowsOfBlock * row_;
    float means[kRowsOfBlock];
    for (int64_t i = 0; i < rows; ++i) {
      means[i] = Sum(Load(along_ + (h * kRowsOfBlock + i) * kWidth));
    }
    ForProduct<2>({rows, tokens, head_}, dtold, head.values_by_token,
                  [&](int64_t i, int64_t j, const float* from, bool both) {
                    Halves two[2];
                    for (int k = 0; k < 2 && i + k < rows; ++k) {
                      const float* const share = shares + (i + k) * row_ + j;
                      const auto [a, b] = RowOf(from + k * kSide, both);
                      two[k] = Halves(Load(share) * (a - means[i + k]),
                                      Load(share + kWidth) *
                                          (b - means[i + k]));
                      rows_tokens_.PutRow(i + k, j, two[k]);
                    }
                    PutTwo(head.dshares, rows, i, j, two, both);
                  });
    head.dshares.ZeroPairs(tokens, rows);
    const int64_t place = Place(0, h);
    ForProduct<2>({rows, head_, tokens}, rows_tokens_, head.keys_by_place,
                  [&](int64_t i, int64_t j, const float* from, bool both) {
                    Vec sum[2] = {};
                    for (int k = 0; k < 2 && i + k < rows; ++k) {
                      const auto [a, b] = RowOf(from + k * kSide, both);
                      dqkv_.PutRow(at + i + k, place + j,
                                   {a * scale, b * scale});
                      sum[0] += a * scale;
                      sum[1] += b * scale;
                    }
                    float* bias = dbq_ + h * head_ + j;
                    AddTo(bias, sum[0]);
                    if (both) AddTo(bias + kWidth, sum[1]);
                  });
    Turn<true>(rows, head_, head.queries.From(at, 0), turned_);
    head.dkeys.Add({head_, tokens, rows}, turned_, head.dshares);
    Turn<true>(rows, head_, dtold, turned_);
    head.dvalues.Add({head_, tokens, rows}, turned_, head.shares);
  }

  // Sums [head, tokens] as rows of dqkv_, columns [place, place + head).
  void ReadTurned(Sums from, int64_t place, float* dbias) const {
    for (int64_t token = 0; token < n_.tokens; token += kTile) {
      for (int64_t j = 0; j < head_; j += kTileDepth) {
        Vec tiles[2][kTile] = {};
        for (int k = 0; k < 2 && j + k * kTile < head_; ++k) {
          const float* tile = from.At(j + k * kTile, token);
          Vec sum = {};
          for (int i = 0; i < kTile; ++i) {
            tiles[k][i] = Load(tile + i * kTile);
          }
          Transpose(tiles[k]);
          for (int i = 0; i < kTile && token + i < n_.tokens; ++i) {
            sum += tiles[k][i];
          }
          AddTo(dbias + j + k * kTile, sum);
        }
        for (int i = 0; i < kTile && token + i < n_.tokens; ++i) {
          dqkv_.PutRow(token + i, place + j, {tiles[0][i], tiles[1][i]});
        }
      }
    }
  }

  TileRegisters registers_;
  Arena arena_;
  BlockSizes n_;
  BlockParams<const float> p_;
  bool backward_;
  // Numbers in a head, whole tiles of depth of them; in a row of shares
  int64_t head_, deep_, row_;

  // Weights as right factors
  Packed of_x_[3], wo_, w1_, w2_;
  Packed wqkv_turned_, wo_turned_, w1_turned_, w2_turned_;
  // Of a network: rows as left factors, backward those of all rows; heads of
  // dqkv_ and told_ begin tiles
  Packed normed_, told_, normed2_, hidden_, rows_tokens_;
  Packed dz_, dy_, dqkv_, dhidden_;
  std::vector<Head> heads_;
  // Right factors whose depth are rows, and what turned rows go through
  Packed hiddens_, dhiddens_, turned_, pairs_;
  // Of some rows; of a head and row, 16 partial sums in along_
  float *y_, *shares_, *told_rows_, *along_, *dnormed_;
  std::vector<__mmask16> excited_;
  // Gradients, summed over networks; dw2_ turned. And all of these.
  Sums dwqkv_, dwo_, dw1_, dw2_;
  float *dscale1_, *dbias1_, *dbq_, *dbk_, *dbv_, *dbo_, *dscale2_, *dbias2_,
      *db1_, *db2_;
  std::vector<std::pair<float*, int64_t>> sums_;
};

// zs [networks, kept, width] and softmax [networks, kept, heads, 2] of xs
// [networks, tokens, width].
template <int H>
void ApplyBlocks(BlockSizes n, BlockParams<const float> params,
                 int64_t networks, const float* xs, float* zs,
                 float* softmax) {
  auto* of_rows = reinterpret_cast<OfSoftmax*>(softmax);
  Share(networks, [&](auto next) {
    int64_t i = next();
    if (i < 0) return;
    for (TransformerBlock<H> block(n, params, false); i >= 0; i = next()) {
      block.Forward(xs + i * n.tokens * n.width, zs + i * n.kept * n.width,
                    of_rows + i * n.kept * n.heads);
    }
  });
}

// dxs, and gradients of the params, by dzs.
template <int H>
void BlockGradients(BlockSizes n, BlockParams<const float> params,
                    int64_t networks, const float* xs, const float* softmax,
                    const float* dzs, float* dxs,
                    BlockParams<float> gradients) {
  const auto* of_rows = reinterpret_cast<const OfSoftmax*>(softmax);
  // Sums are of so many networks, whoever adds them up, and then of those
  constexpr int64_t kTogether = 4;
  const int64_t d = n.width, f = n.mlp;
  const int64_t sizes[kBlockParams] = {d, d, d * d, d, d * d, d, d * d, d,
                                       d * d, d, d, d, d * f, f, f * d, d};
  const int64_t size = std::accumulate(sizes, sizes + kBlockParams, int64_t{0});
  const int64_t groups = RoundUp(networks, kTogether) / kTogether;
  const std::unique_ptr<float[]> of_groups(new float[groups * size]);
  float* const sums = of_groups.get();
  Share(groups, [&](auto next) {
    int64_t group = next();
    if (group < 0) return;
    TransformerBlock<H> block(n, params, true);
    for (; group >= 0; group = next()) {
      block.Begin();
      const int64_t first = group * kTogether;
      for (int64_t i = first; i < std::min(networks, first + kTogether); ++i) {
        block.Backward(xs + i * n.tokens * d, of_rows + i * n.kept * n.heads,
                       dzs + i * n.kept * d, dxs + i * n.tokens * d);
      }
      BlockParams<float> own;
      float* at = sums + group * size;
      for (int i = 0; i < kBlockParams; at += sizes[i++]) own[i] = at;
      block.Gradients(own);
    }
  });
  int64_t place = 0;
  for (int i = 0; i < kBlockParams; place += sizes[i++]) {
    SumRows(groups, sizes[i], sums + place, size, gradients[i]);
  }
}

#else

template <int H>
void ApplyBlocks(BlockSizes, BlockParams<const float>, int64_t, const float*,
                 float*, float*) {}

template <int H>
void BlockGradients(BlockSizes, BlockParams<const float>, int64_t,
                    const float*, const float*, const float*, float*,
                    BlockParams<float>) {}

#endif

}  // namespace weightspace
