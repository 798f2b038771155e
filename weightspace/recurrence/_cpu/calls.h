// What calls by XLA have in common: a function of the other headers is called
// for each network.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "layer.h"
#include "xla/ffi/api/ffi.h"

namespace weightspace {

namespace ffi = xla::ffi;

using Array = ffi::Buffer<ffi::F32>;
using Result = ffi::Result<Array>;

// Networks: leading axes, of size 1 where an operand serves all of them.

using Dims = ffi::Span<const int64_t>;

class Networks {
 public:
  Networks(Dims result, int own)
      : sizes_(result.begin(), result.end() - own) {
    for (int64_t size : sizes_) count_ *= size;
  }

  int64_t count() const { return count_; }

  // The place of a network in an operand, in floats.
  int64_t Offset(Dims dims, int64_t network) const {
    int64_t place = 0, stride = 1;
    for (size_t i = sizes_.size(); i < dims.size(); ++i) stride *= dims[i];
    for (size_t i = sizes_.size(); i-- > 0;) {
      if (dims[i] != 1) place += network % sizes_[i] * stride;
      stride *= dims[i];
      network /= sizes_[i];
    }
    return place;
  }

  // place(buffer) is where a network's share of it begins.
  auto PlaceOf(int64_t network) const {
    return [this, network](auto& buffer) {
      return buffer.typed_data() + Offset(buffer.dimensions(), network);
    };
  }

 private:
  std::vector<int64_t> sizes_;
  int64_t count_ = 1;
};

// f(place), where place(buffer) is a network's share of a buffer, for all
// networks of a result with `own` axes beside theirs.
template <class F>
void ForNetworks(Dims result, int own, F f) {
  const Networks networks(result, own);
  for (int64_t i = 0; i < networks.count(); ++i) f(networks.PlaceOf(i));
}

template <class F>
ffi::Error WithCell(std::string_view name, F f) {
  if (name == "lstm") {
    f.template operator()<Lstm>();
  } else if (name == "gru") {
    f.template operator()<Gru>();
  } else if (name == "elman") {
    f.template operator()<Elman>();
  } else {
    return ffi::Error::InvalidArgument("no such cell: " + std::string(name));
  }
  return ffi::Error::Success();
}

// Size of the axis that is `place`th from the end.
inline int64_t Axis(Dims dims, int place) { return dims[dims.size() - place]; }

// All of the remaining arguments or results, in order.
template <class Remaining, class T>
ffi::Error Read(const Remaining& remaining, std::vector<T>& arrays) {
  for (size_t i = 0; i < remaining.size(); ++i) {
    const auto array = remaining.template get<Array>(i);
    if (array.has_error()) return array.error();
    arrays.push_back(*array);
  }
  return ffi::Error::Success();
}

}  // namespace weightspace
