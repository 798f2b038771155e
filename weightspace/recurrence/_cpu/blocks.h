// Blocks of rows, and memory for them.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace weightspace {

inline int64_t RoundUp(int64_t count, int64_t unit) {
  return (count + unit - 1) / unit * unit;
}

// Calls f.template operator()<M>(first row) for blocks of rows, of M in four
// sizes up to `Most`, the last two of about the same size.
template <int Most, class F>
inline void ForBlocks(int64_t rows, F f) {
  constexpr int kSome = std::max(1, Most * 2 / 3), kFew = std::max(1, Most / 3);
  int64_t at = 0;
  while (at < rows) {
    const int64_t left = rows - at;
    if (left >= 2 * Most || left == Most) {
      f.template operator()<Most>(at);
      at += Most;
    } else if (left >= kSome) {
      f.template operator()<kSome>(at);
      at += kSome;
    } else if (left >= kFew) {
      f.template operator()<kFew>(at);
      at += kFew;
    } else {
      f.template operator()<1>(at);
      at += 1;
    }
  }
}

// Scratch memory that is kept from call to call; each thread has its own.
// Aligned to a line of the cache.
class Scratch {
 public:
  float* Get(size_t count) {
    if (memory_.size() < count + 16) memory_.resize(count + 16);
    const auto address = reinterpret_cast<uintptr_t>(memory_.data());
    return memory_.data() + (64 - address % 64) % 64 / sizeof(float);
  }

 private:
  std::vector<float> memory_;
};

}  // namespace weightspace
