// Strings that networks write, as XLA calls it.

#include "calls.h"
#include "generate.h"

namespace weightspace {
namespace {

// `layers` are wx, wh, bx and bh of each layer in turn.
ffi::Error GenerateStringsCall(std::string_view cell, int64_t first,
                               Array draws, Array w, Array b,
                               ffi::RemainingArgs layers,
                               ffi::Result<ffi::Buffer<ffi::S32>> tokens,
                               Result log_probs) {
  std::vector<Array> arrays;
  if (const auto error = Read(layers, arrays); error.failure()) return error;
  const Dims in = draws.dimensions(), of_w = w.dimensions();
  return WithCell(cell, [&]<class Cell>() {
    ForNetworks(log_probs->dimensions(), 3, [&](auto at) {
      std::vector<LayerWeights> weights;
      for (size_t i = 0; i < arrays.size(); i += 4) {
        const Dims of_wx = arrays[i].dimensions();
        weights.push_back({Axis(of_wx, 1), Axis(of_wx, 2), at(arrays[i]),
                           at(arrays[i + 1]), at(arrays[i + 2]),
                           at(arrays[i + 3])});
      }
      Generate<Cell>(Axis(in, 2), Axis(in, 1), first, weights,
                     {Axis(of_w, 1), Axis(of_w, 2), at(w), at(b)}, at(draws),
                     at(*tokens), at(*log_probs));
    });
  });
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    GenerateStrings, GenerateStringsCall,
    ffi::Ffi::Bind().Attr<std::string_view>("cell").Attr<int64_t>("first")
        .Arg<Array>().Arg<Array>().Arg<Array>().RemainingArgs()
        .Ret<ffi::Buffer<ffi::S32>>().Ret<Array>());

}  // namespace weightspace
