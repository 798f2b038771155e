// A network that writes: each symbol that it reads is one that it drew before.
//
// Strings that are alike so far have one state, which is computed once: those
// of a network that knows its language are mostly alike. Each step takes blocks
// of states through all layers while they lie in the cache.

#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "layer.h"

namespace weightspace {

// Weights of a layer: wx [gates, hidden, inputs], wh [gates, hidden, hidden],
// bx and bh [gates, hidden].
struct LayerWeights {
  int64_t inputs, hidden;
  const float *wx, *wh, *bx, *bh;
};

// Of a linear layer: w [outputs, inputs], b [outputs].
struct LinearWeights {
  int64_t inputs, outputs;
  const float *w, *b;
};

// Strings in groups that are alike so far, "stems". At first all are one.
class Stems {
 public:
  explicit Stems(int64_t strings) : of_(strings, 0), parents_(1), tokens_(1) {}

  int64_t count() const { return parents_.size(); }
  int64_t Of(int64_t string) const { return of_[string]; }
  // The stem that one was before its last token, and that token.
  const int64_t* parents() const { return parents_.data(); }
  const int32_t* tokens() const { return tokens_.data(); }

  // Each string goes on with a token, one of `symbols`.
  void GoOn(const int32_t* tokens, int64_t symbols) {
    found_.assign(count() * symbols, -1);
    parents_.clear();
    tokens_.clear();
    for (size_t i = 0; i < of_.size(); ++i) {
      int64_t& stem = found_[of_[i] * symbols + tokens[i]];
      if (stem < 0) {
        stem = count();
        parents_.push_back(of_[i]);
        tokens_.push_back(tokens[i]);
      }
      of_[i] = stem;
    }
  }

 private:
  std::vector<int64_t> of_, parents_, found_;
  std::vector<int32_t> tokens_;
};

// Stems [first, first + rows): what each was before and its last token.
struct Block {
  int64_t first, rows;
  const int64_t* parents;
  const int32_t* tokens;
};

// A layer, its weights packed, with a state for each stem.
template <class Cell>
class Level {
 public:
  void Start(const LayerWeights& from, bool reads_tokens, int64_t strings) {
    inputs_ = from.inputs;
    hidden_ = from.hidden;
    units_ = RoundUp(hidden_, kWidth);
    tokens_ = reads_tokens;
    x_panels_ = of_x_.Get(units_ * kG * inputs_);
    h_panels_ = of_h_.Get(units_ * kG * hidden_);
    x_bias_ = of_x_bias_.Get(units_ * kG);
    h_bias_ = of_h_bias_.Get(units_ * kG);
    PackGates<Cell>(from.wx, hidden_, inputs_, x_panels_);
    PackGates<Cell>(from.wh, hidden_, hidden_, h_panels_);
    PackGates<Cell>(from.bx, hidden_, 1, x_bias_);
    PackGates<Cell>(from.bh, hidden_, 1, h_bias_);
    for (int64_t unit = 0; unit < units_; unit += kWidth) {
      for (int g = 0; g < kG; ++g) {
        const int64_t at = unit * kG + g * kWidth;
        if (!Apart(g)) Store(x_bias_ + at, Bias(x_bias_, unit, g) +
                                               Bias(h_bias_, unit, g));
        if (tokens_) AddBias(unit, g);
      }
    }
    for (int i = 0; i < 2; ++i) {
      hs_[i] = of_hs_[i].Get(strings * hidden_);
      if (Cell::kMemory) memories_[i] = of_memories_[i].Get(strings * hidden_);
    }
    std::fill_n(hs_[0], hidden_, 0.0f);
    if (Cell::kMemory) std::fill_n(memories_[0], hidden_, 0.0f);
  }

  // The states so far are those before, from now on.
  void Turn() {
    std::swap(hs_[0], hs_[1]);
    std::swap(memories_[0], memories_[1]);
  }

  // The outputs of a block's stems, which read `xs` [rows, inputs] or tokens.
  const float* Advance(const Block& block, const float* xs) {
    static thread_local Scratch of_before;
    float* before = of_before.Get(block.rows * hidden_);
    for (int64_t i = 0; i < block.rows; ++i) {
      std::copy_n(hs_[1] + block.parents[i] * hidden_, hidden_,
                  before + i * hidden_);
    }
    const bool first = !tokens_ && !kTogether;
    float* us = first ? Project(block, xs) : nullptr;
    for (int64_t unit = 0; unit < hidden_; unit += kWidth) {
      // What gates get beside the outputs before
      const auto given = [&](int64_t i) -> const float* {
        if (tokens_) {
          return x_panels_ + (unit * inputs_ + block.tokens[i] * kWidth) * kG;
        }
        return (first ? us + i * units_ * kG : x_bias_) + unit * kG;
      };
      parts_.clear();
      if (!tokens_ && !first) {
        AddParts<kG>({xs, inputs_, x_panels_ + unit * kG * inputs_, inputs_},
                     parts_);
      }
      AddParts<kG>({before, hidden_, h_panels_ + unit * kG * hidden_, hidden_},
                   parts_);
      Tiles<kG>(
          block.rows, parts_,
          [&]<int M>(int64_t at, Vec(&sums)[M][kG]) {
            for (int m = 0; m < M; ++m) {
              const float* from = given(at + m);
              for (int g = 0; g < kG; ++g) {
                sums[m][g] = Apart(g) ? Bias(h_bias_, unit, g)
                                      : Load(from + g * kWidth);
              }
            }
          },
          [&]<int M>(int64_t at, Vec(&sums)[M][kG]) {
            for (int m = 0; m < M; ++m) {
              Finish(block, at + m, unit, given(at + m), sums[m],
                     before + (at + m) * hidden_ + unit);
            }
          });
    }
    return hs_[0] + block.first * hidden_;
  }

 private:
  static constexpr int kG = Cell::kGates, kS = Cell::kSlots;
  // Whether products with inputs may join those with outputs in one sum
  static constexpr bool kTogether = Cell::kInput[kG - 1] ==
                                    Cell::kHidden[kG - 1];

  static constexpr bool Apart(int g) {
    return Cell::kInput[g] != Cell::kHidden[g];
  }

  static Vec Bias(const float* packed, int64_t unit, int g) {
    return Load(packed + unit * kG + g * kWidth);
  }

  // Makes of each column of wx, which is what a token adds, all that is given.
  void AddBias(int64_t unit, int g) {
    float* column = x_panels_ + unit * kG * inputs_ + g * kWidth;
    Vec sum = Bias(x_bias_, unit, g);
    for (int64_t k = 0; k < inputs_; ++k) {
      // In a product with a one-hot vector, 0 times infinity is not a number
      sum += 0.0f * Load(column + k * kG * kWidth);
    }
    for (int64_t k = 0; k < inputs_; ++k) {
      float* at = column + k * kG * kWidth;
      Store(at, Load(at) + sum);
    }
  }

  // Products with the inputs and biases, [rows, units, gates] by vectors.
  float* Project(const Block& block, const float* xs) {
    static thread_local Scratch of_us;
    float* us = of_us.Get(block.rows * units_ * kG);
    for (int64_t unit = 0; unit < hidden_; unit += kWidth) {
      parts_.clear();
      AddParts<kG>({xs, inputs_, x_panels_ + unit * kG * inputs_, inputs_},
                   parts_);
      Tiles<kG>(
          block.rows, parts_,
          [&]<int M>(int64_t, Vec(&sums)[M][kG]) {
            for (int m = 0; m < M; ++m) {
              for (int g = 0; g < kG; ++g) {
                sums[m][g] = Bias(x_bias_, unit, g);
              }
            }
          },
          [&]<int M>(int64_t at, Vec(&sums)[M][kG]) {
            for (int m = 0; m < M; ++m) {
              float* out = us + ((at + m) * units_ + unit) * kG;
              for (int g = 0; g < kG; ++g) {
                Store(out + g * kWidth, sums[m][g]);
              }
            }
          });
    }
    return us;
  }

  INLINE void Finish(const Block& block, int64_t i, int64_t unit,
                     const float* given, const Vec (&sums)[kG],
                     const float* before) {
    const int64_t count = hidden_ - unit;
    const int64_t place = (block.first + i) * hidden_ + unit;
    Vec a[kS], h = Load(before, count), memory = {};
    for (int g = 0; g < kG; ++g) {
      if (Apart(g)) a[Cell::kInput[g]] = Load(given + g * kWidth);
      a[Cell::kHidden[g]] = sums[g];
    }
    if (Cell::kMemory) {
      memory = Load(memories_[1] + block.parents[i] * hidden_ + unit, count);
    }
    Cell::Forward(a, memory, h);
    Store(hs_[0] + place, h, count);
    if (Cell::kMemory) Store(memories_[0] + place, memory, count);
  }

  int64_t inputs_, hidden_, units_;
  bool tokens_;
  float *x_panels_, *h_panels_, *x_bias_, *h_bias_;
  float *hs_[2], *memories_[2];  // now and before, [stems, hidden]
  std::vector<Part> parts_;
  Scratch of_x_, of_h_, of_x_bias_, of_h_bias_, of_hs_[2], of_memories_[2];
};

// Logarithms of the probabilities that logits stand for, and the probabilities
// summed up, [rows, outputs]. Rows of logits lie `row` apart.
inline void Distribute(int64_t rows, int64_t outputs, const float* logits,
                       int64_t row, float* log_probs, float* sums) {
  static thread_local Scratch of_logs, of_shares;
  // Turned, so that a vector has the same output of many rows
  float* logs = of_logs.Get(outputs * kWidth);
  float* shares = of_shares.Get(outputs * kWidth);
  for (int64_t at = 0; at < rows; at += kWidth) {
    const int64_t count = std::min<int64_t>(kWidth, rows - at);
    for (int64_t j = 0; j < kWidth; ++j) {
      const float* from = logits + (at + std::min(j, count - 1)) * row;
      for (int64_t v = 0; v < outputs; ++v) logs[v * kWidth + j] = from[v];
    }
    Vec most = Load(logs);
    for (int64_t v = 1; v < outputs; ++v) {
      const Vec x = Load(logs + v * kWidth);
      most = x > most ? x : most;
    }
    Vec whole = {};
    for (int64_t v = 0; v < outputs; ++v) {
      const Vec x = Load(logs + v * kWidth) - most;
      Store(logs + v * kWidth, x);
      whole += Exp(x);
      Store(shares + v * kWidth, whole);
    }
    const Vec log_whole = Log(whole);
    for (int64_t v = 0; v < outputs; ++v) {
      float* p = logs + v * kWidth;
      Store(p, Load(p) - log_whole);
      p = shares + v * kWidth;
      Store(p, Load(p) / whole);
    }
    for (int64_t j = 0; j < count; ++j) {
      for (int64_t v = 0; v < outputs; ++v) {
        log_probs[(at + j) * outputs + v] = logs[v * kWidth + j];
        sums[(at + j) * outputs + v] = shares[v * kWidth + j];
      }
    }
  }
}

// The read-out, packed.
class ReadOut {
 public:
  explicit ReadOut(const LinearWeights& from)
      : from_(from), outputs_(RoundUp(from.outputs, kWidth)) {
    static thread_local Scratch of_panels;
    panels_ = of_panels.Get(outputs_ * from.inputs);
    // As a layer's with one gate
    PackGates<Elman>(from.w, from.outputs, from.inputs, panels_);
  }

  // log_probs and sums, as of `Distribute`, of outputs hs [rows, inputs].
  void Apply(int64_t rows, const float* hs, float* log_probs, float* sums) {
    static thread_local Scratch of_logits;
    float* logits = of_logits.Get(rows * outputs_);
    for (int64_t v = 0; v < from_.outputs; v += kWidth) {
      const Vec bias = Load(from_.b + v, from_.outputs - v);
      parts_.clear();
      AddParts<1>({hs, from_.inputs, panels_ + v * from_.inputs, from_.inputs},
                  parts_);
      Tiles<1>(
          rows, parts_,
          [&]<int M>(int64_t, Vec(&sums)[M][1]) {
            for (int m = 0; m < M; ++m) sums[m][0] = bias;
          },
          [&]<int M>(int64_t at, Vec(&sums)[M][1]) {
            for (int m = 0; m < M; ++m) {
              Store(logits + (at + m) * outputs_ + v, sums[m][0]);
            }
          });
    }
    Distribute(rows, from_.outputs, logits, outputs_, log_probs, sums);
  }

 private:
  LinearWeights from_;
  int64_t outputs_;
  float* panels_;
  std::vector<Part> parts_;
};

// How many of `count` sums a draw has passed: the output that it stands for.
// None if they are not numbers.
inline int32_t Passed(float draw, const float* sums, int64_t count) {
  int32_t passed = 0;
  for (int64_t v = 0; v < count; ++v) passed += draw >= sums[v];
  return passed;
}

// Stems that go through all layers together.
constexpr int64_t kStemsAtOnce = 96;

// draws [steps, strings] in [0, 1) -> tokens [steps, strings], log_probs
// [steps, strings, outputs]. All strings read `first` first.
template <class Cell>
void Generate(int64_t steps, int64_t strings, int32_t first,
              const std::vector<LayerWeights>& layers,
              const LinearWeights& linear, const float* draws, int32_t* tokens,
              float* log_probs) {
  static thread_local std::vector<Level<Cell>> levels;
  static thread_local Scratch of_logs, of_sums;
  const int64_t outputs = linear.outputs, symbols = layers[0].inputs;
  float* logs = of_logs.Get(strings * outputs);
  float* sums = of_sums.Get(strings * outputs);
  levels.resize(layers.size());
  for (size_t i = 0; i < layers.size(); ++i) {
    levels[i].Start(layers[i], i == 0, strings);
  }
  ReadOut read_out(linear);
  Stems stems(strings);
  const std::vector<int32_t> start(strings, first);
  const int32_t* read = start.data();
  for (int64_t t = 0; t < steps; ++t) {
    stems.GoOn(read, symbols);
    for (Level<Cell>& level : levels) level.Turn();
    for (int64_t at = 0; at < stems.count(); at += kStemsAtOnce) {
      const Block block = {at, std::min(kStemsAtOnce, stems.count() - at),
                           stems.parents() + at, stems.tokens() + at};
      const float* xs = nullptr;
      for (Level<Cell>& level : levels) xs = level.Advance(block, xs);
      read_out.Apply(block.rows, xs, logs + at * outputs, sums + at * outputs);
    }
    for (int64_t i = 0; i < strings; ++i) {
      const int64_t place = stems.Of(i) * outputs;
      tokens[i] = Passed(draws[i], sums + place, outputs - 1);
      for (int64_t v = 0; v < outputs; ++v) {
        log_probs[i * outputs + v] = logs[place + v];
      }
    }
    read = tokens;
    draws += strings;
    tokens += strings;
    log_probs += strings * outputs;
  }
}

}  // namespace weightspace
